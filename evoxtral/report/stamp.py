"""What a committed report was made from: digests of what decides its numbers, and nothing else.

Comments, docstrings, prose of notebooks, and the code that only draws or prints are left out, so
that a report is stale when its numbers may be, and not whenever a sentence was improved.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from evoxtral import params, runs
from evoxtral.report.provenance import cells_digest, files_digests

STAMP = "stamp.json"
"""File of a report with its profile and the digests of its parts."""

DECIDING = (
    "bench", "checks", "datamix", "dataset", "experiment", "metrics", "mix", "model", "raft",
    "sample", "scripts", "sft", "speech", "train",
)  # fmt: skip
"""Packages that decide a report's numbers; the modules beside them are in `_MODULES`."""

_MODULES = ("devices", "heard", "paper", "predictions", "stats", "tags")


def stamp(notebooks: Sequence[str], profile: str) -> dict[str, str]:
    """Digests by part: packages, code cells, parameters, published numbers, embedded weights.

    Args:
        notebooks: of the report.
        profile: whose parameters.
    """
    package = runs.root() / "evoxtral"
    parts = {f"evoxtral.{name}": _digest(package / name) for name in DECIDING}
    parts |= {f"evoxtral.{name}": _digest(package / f"{name}.py") for name in _MODULES}
    for name in notebooks:
        parts[f"notebooks/{name}.ipynb"] = cells_digest(name)
        parts[f"params/{profile}/{name}.yaml"] = params.profile(name, profile).digest()
    return parts | files_digests()


def changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the parts that differ, new and removed ones included."""
    names = sorted(before.keys() | now.keys())
    return [name for name in names if before.get(name) != now.get(name)]


def code_text(source: str) -> str:
    r"""Python source without docstrings, blank lines and lines that are comments.

    >>> code_text("'Said.'\n\n# said\nx = 1  # why")
    'x = 1  # why'
    """
    lines = source.splitlines()
    kept = [line if not line.lstrip().startswith("#") else "" for line in lines]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            said = node.body[0]
            assert said.end_lineno is not None
            kept[said.lineno - 1 : said.end_lineno] = [""] * (said.end_lineno - said.lineno + 1)
    return "\n".join(line for line in kept if line.strip())


def _digest(path: Path) -> str:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{code_text(file.read_text(encoding='utf-8'))}\0".encode())
    return total.hexdigest()
