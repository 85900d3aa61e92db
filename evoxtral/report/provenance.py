"""Where a result came from: code, parameters, stages, versions, machine, time; and what is stale.

A notebook's result is fresh if nothing that it was run with has changed since: its parameters, its
code cells, the parts of the package it had loaded, the published numbers, the embedded weights, and
the stages it used. A stage is fresh if it is whole and a fresh notebook uses it. Comments,
docstrings and prose do not count (`runs.code_digest`).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evoxtral import params, runs
from evoxtral.params import REPORT_NOTEBOOKS, Parameters

STAMP = "stamp.json"
"""File of a report with its profile and the digests of its parts."""

_PACKAGES = ("evoxtral", "accelerate", "espeakng-loader", "jiwer", "matplotlib", "mistral-common",
             "numpy", "pandas", "peft", "scipy", "torch", "transformers")  # fmt: skip
_DRAWING = {"__init__", "__main__", "cards", "cli", "cost", "figures", "headless", "processes",
            "report", "runs", "speed", "tables", "tracking", "transcribe"}  # fmt: skip
_MOST = 3  # names in a reason


def origin(parameters: Parameters, started: datetime) -> dict[str, Any]:
    """Everything needed to say how a result was made; the one file that holds times and paths."""
    installed = {d.metadata["Name"].lower() for d in metadata.distributions()}
    return {
        "notebook": parameters.notebook,
        "parameters": parameters.model_dump(mode="json"),
        "parameters_sha256": parameters.digest(),
        "code_sha256": runs.code_digest(["evoxtral"]),
        "cells_sha256": cells_digest(parameters.notebook),
        "modules": _parts({name.split(".")[1] for name in sys.modules if "evoxtral." in name}),
        "files": files_digests(),
        **commit(),
        "stages": [
            {"name": s.name, "digest": s.digest, "executed": s.executed} for s in runs.used_stages()
        ],
        "versions": {name: metadata.version(name) for name in _PACKAGES if name in installed},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "device": _device(),
        # A kernel's own arguments say nothing of its runner.
        "command": "a notebook kernel"
        if "ipykernel_launcher" in sys.argv[0]
        else " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def stamp(profile: str) -> dict[str, str]:
    """Digests of what decides a report's numbers: code, cells, parameters, published numbers."""
    package = runs.root() / "evoxtral"
    names = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    parts = _parts(names - _DRAWING - {"__pycache__"})
    for name in REPORT_NOTEBOOKS:
        parts[f"notebooks/{name}.ipynb"] = cells_digest(name)
        parts[f"params/{profile}/{name}.yaml"] = params.profile(
            params.NOTEBOOKS[name], profile
        ).digest()
    return parts | files_digests()


def cells_digest(notebook: str) -> str:
    """SHA-256 of the code of a notebook; its prose decides no number."""
    cells = runs.read_json(runs.root() / "notebooks" / f"{notebook}.ipynb")["cells"]
    return runs.digest(["".join(c["source"]) for c in cells if c["cell_type"] == "code"])


def files_digests() -> dict[str, str]:
    """SHA-256 of what the report reads that is no code: published numbers, embedded weights."""
    root = runs.root()
    files = [
        *root.glob("reports/paper/*.csv"),
        *root.glob("evoxtral/world/base/checkpoint/*.safetensors"),
    ]
    return {file.relative_to(root).as_posix(): runs.digest_file(file) for file in sorted(files)}


def _parts(names: set[str]) -> dict[str, str]:
    """Digests of parts of the package, by module name."""
    return {f"evoxtral.{name}": _part(f"evoxtral.{name}") for name in sorted(names)}


def _part(module: str) -> str:
    """The digest of a module or package; empty if it is gone."""
    try:
        return runs.code_digest([module])
    except ValueError:
        return ""


def commit() -> dict[str, Any]:
    """Commit of the checkout, and whether tracked files differ from it; None without git."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": None if changed is None else bool(changed),
    }


def _git(*arguments: str) -> str | None:
    """Output of a git command in the checkout, or None where there is no git or no commit."""
    command = ["git", "-C", str(runs.root()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _device() -> str:
    """What a model would have run on; loads no framework to find out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "no deep-learning framework loaded"
    cuda = torch.cuda.is_available()
    return str(torch.cuda.get_device_name()) if cuda else f"CPU, {torch.get_num_threads()} threads"


# ---- what a profile has ----


@dataclass(frozen=True)
class Status:
    """One notebook or stage: `fresh`, `stale` or `missing`, why, and the stages it used."""

    name: str
    state: str
    why: str = ""
    stages: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"  {self.state:8} {self.name:28} {self.why}".rstrip()


def notebook_statuses(profile: str, notebooks: Sequence[str] = REPORT_NOTEBOOKS) -> list[Status]:
    """State of each notebook's results in `reports/<profile>/`."""
    return [_notebook(profile, name) for name in notebooks]


def _notebook(profile: str, name: str) -> Status:
    path = runs.reports_dir() / profile / name / "provenance.json"
    if not path.is_file():
        return Status(name, "missing", "not run yet")
    said = runs.read_json(path)
    if not {"cells_sha256", "modules", "files"} <= said.keys():
        return Status(name, "stale", "run by an earlier version")
    used = tuple(f"{stage['name']}-{stage['digest'][:12]}" for stage in said["stages"])
    run, now = (
        said["parameters"],
        params.profile(params.NOTEBOOKS[name], profile).model_dump(mode="json"),
    )
    changed = [f"{key} was {run.get(key)!r}, is {now[key]!r}" for key in _differ(run, now)]
    modules = {module: _part(module) for module in said["modules"]}
    damaged = [stage for stage in used if runs.why_build(runs.runs_dir() / profile / stage)]
    why = [
        _listed("parameters changed", [one for one in changed if one.split()[0] in now]),
        "" if said["cells_sha256"] == cells_digest(name) else "its code cells changed",
        _listed("code changed", _differ(said["modules"], modules)),
        _listed("files changed", _differ(said["files"], files_digests())),
        _listed("stages missing or damaged", damaged),
    ]
    reasons = "; ".join(reason for reason in why if reason)
    return Status(name, "stale" if reasons else "fresh", reasons, used)


def _differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted(before.keys() | now.keys())
    return [name for name in names if before.get(name) != now.get(name)]


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{what}: {', '.join(names[:_MOST])}{more}" if names else ""


def stage_statuses(profile: str, notebooks: Sequence[Status]) -> list[Status]:
    """State of every stage in `runs/<profile>/`, and of those that a notebook used."""
    folder = runs.runs_dir() / profile
    there = {path.parent.name for path in folder.glob("*/stage.json")}
    unfinished = {path.name for path in folder.glob("*.partial") if path.is_dir()}
    used = {name for one in notebooks for name in one.stages}
    return [_stage(folder / name, notebooks) for name in sorted(there | used | unfinished)]


def _stage(folder: Path, notebooks: Sequence[Status]) -> Status:
    name = folder.name
    if name.endswith(".partial"):
        return Status(name, "missing", "unfinished: the next run of its notebook resumes it")
    damage = runs.why_build(folder)
    if damage:
        return Status(name, "missing", damage)
    users = [one for one in notebooks if name in one.stages]
    if any(one.state == "fresh" for one in users):
        return Status(name, "fresh")
    if users:
        return Status(name, "stale", f"only used by {', '.join(one.name for one in users)}")
    return Status(name, "stale", "no report uses it")
