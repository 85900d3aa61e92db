"""The page people read: every executed notebook of a profile in one self-contained HTML file.

It holds no script, and its content policy lets it load nothing but what is inside it: figures and
sound are data URIs. Under every table and figure stands where it came from, with links to its files
beside the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from evoxtral import UserError, runs
from evoxtral.report.output import SOURCE

PAGE = "index.html"
_SHORT = 12  # digits of a digest
_VERDICTS = {
    "smoke": "A smoke run: everything ran, in seconds. Its numbers mean nothing.",
    "tiny": "The method in a tiny world of synthetic speech and a small model: same method, other "
    "world. Nothing here is a reproduction of the paper.",
    "paper": "Voxtral-Mini-3B with the report's settings.",
}


@dataclass(frozen=True)
class Piece:
    """One thing on the page.

    Attributes:
        kind: `heading`, `text`, `parameters`, `code`, `log`, `html`, `image` or `plain`.
        content: HTML of `text`, `parameters` and `html`, a data URI of `image`, plain text of the
            others.
        cell: id of the notebook cell.
        anchor: of a heading.
        level: of a heading, 1 or 2.
        alt: what an image shows, in words.
        files: what was written of it, below the notebook's folder.
    """

    kind: str
    content: str
    cell: str
    anchor: str = ""
    level: int = 0
    alt: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """One notebook.

    Attributes:
        name: of the notebook.
        pieces: in order.
        origin: its `provenance.json`.
    """

    name: str
    pieces: tuple[Piece, ...]
    origin: Mapping[str, Any]

    @property
    def headings(self) -> list[Piece]:
        """Headings in order; the first is the title."""
        return [piece for piece in self.pieces if piece.kind == "heading"]

    @property
    def stamp(self) -> str:
        """Commit, code, parameters and seed in one line."""
        commit = self.origin["commit"]
        changed = " with uncommitted changes" if self.origin["uncommitted_changes"] else ""
        parts = [f"commit {commit[:_SHORT]}{changed}"] if commit else []
        parts.append(f"code {self.origin['code_sha256'][:_SHORT]}")
        parts.append(f"parameters {self.origin['parameters_sha256'][:_SHORT]}")
        return " · ".join([*parts, f"seed {self.origin['parameters']['seed']}"])

    @property
    def facts(self) -> str:
        """The whole of its provenance as text."""
        return json.dumps(self.origin, indent=1, ensure_ascii=False)


def write_page(profile: str, notebooks: Sequence[str]) -> Path:
    """Write `reports/<profile>/index.html` from executed notebooks.

    Raises:
        UserError: a notebook has not been run.
    """
    folder = runs.reports_dir() / profile
    page = render(profile, [chapter(folder, name) for name in notebooks])
    return runs.write_text(folder / PAGE, page)


def chapter(folder: Path, name: str) -> Chapter:
    """Read an executed notebook and its provenance.

    Args:
        folder: of the profile's reports.
        name: of the notebook.

    Raises:
        UserError: it has not been run.
    """
    executed = folder / f"{name}.ipynb"
    if not executed.is_file():
        raise UserError(f"{executed} does not exist: run `evoxtral report` first")
    notebook = nbformat.read(executed, as_version=4)
    pieces = [piece for cell in notebook.cells for piece in _pieces(cell, name)]
    return Chapter(name, tuple(_joined(pieces)), runs.read_json(folder / name / "provenance.json"))


def render(profile: str, chapters: Sequence[Chapter]) -> str:
    """The page as HTML."""
    loader = jinja2.PackageLoader("evoxtral.report")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("page.html")
    return template.render(profile=profile, verdict=_VERDICTS[profile], chapters=chapters)


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Code of cells that follow one another directly as one piece."""
    for code, run in groupby(pieces, lambda piece: piece.kind == "code"):
        own = list(run)
        if code:
            yield replace(own[0], content="\n\n".join(piece.content for piece in own))
        else:
            yield from own


def _pieces(cell: NotebookNode, name: str) -> Iterator[Piece]:
    if cell.cell_type == "markdown":
        yield from _prose(cell, name)
    elif cell.cell_type == "code" and cell.source.strip():
        yield Piece("code", cell.source, cell.id)
        printed = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
        if printed:
            yield Piece("log", "".join(printed).strip(), cell.id)
        for output in cell.outputs:
            if output.output_type in ("display_data", "execute_result"):
                result = _result(output, cell.id)
                # Parameters are a long table that few readers want.
                folded = result.kind == "text" and "params.load(" in cell.source
                yield replace(result, kind="parameters") if folded else result


def _prose(cell: NotebookNode, name: str) -> Iterator[Piece]:
    first, _, rest = cell.source.partition("\n")
    level = len(first) - len(first.lstrip("#"))
    if level:
        title = first.lstrip("# ")
        yield Piece("heading", title, cell.id, f"{name}-{cell.id}", min(level, 2))
    else:
        rest = cell.source
    if rest.strip():
        yield Piece("text", markdown2html(rest), cell.id)


def _result(output: NotebookNode, cell: str) -> Piece:
    """The richest form of an output."""
    data = output.data
    if "image/png" in data:
        about = output.metadata.get("image/png", {})
        uri = f"data:image/png;base64,{data['image/png'].strip()}"
        return Piece("image", uri, cell, alt=about.get("alt", ""), files=_files(about))
    if "text/html" in data:
        return Piece(
            "html", data["text/html"], cell, files=_files(output.metadata.get("text/html", {}))
        )
    if "text/markdown" in data:
        return Piece("text", markdown2html(data["text/markdown"]), cell)
    return Piece("plain", data.get("text/plain", ""), cell)


def _files(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(metadata.get(SOURCE, {}).get("files", ()))
