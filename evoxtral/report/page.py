"""The notebooks of the report run in order, and the page people read made of them.

The page is one self-contained HTML file. It holds no script, and its content policy lets it load
nothing but what is inside it: figures and sound are data URIs. Under every table and figure stands
where it came from, with links to its files beside the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import nbformat
import papermill
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from evoxtral import UserError, params, runs
from evoxtral.params import REPORT_NOTEBOOKS
from evoxtral.report import SOURCE
from evoxtral.report.provenance import STAMP, stamp

PAGE = "index.html"
_SHORT = 12  # digits of a digest
_VERDICTS = {
    "smoke": "A smoke run: everything ran, in seconds. Its numbers mean nothing.",
    "tiny": "The method in a tiny world of synthetic speech and a small model: same method, other "
    "world. Nothing here is a reproduction of the paper.",
    "paper": "Voxtral-Mini-3B with the report's settings.",
}


def run_report(profile: str) -> Path:
    """Execute every notebook of the report into `reports/<profile>/` and write its page.

    The stamp reads all parameter files first, so that a wrong one stops before any work.
    """
    folder = runs.reports_dir() / profile
    made_from = {"profile": profile, "parts": stamp(profile)}
    for notebook in REPORT_NOTEBOOKS:
        run_notebook(notebook, profile, folder / f"{notebook}.ipynb")
    runs.write_json(folder / STAMP, made_from)
    return write_page(profile, REPORT_NOTEBOOKS)


def run_notebook(notebook: str, profile: str, output: Path) -> Path:
    """Execute one notebook with `params/<profile>/<notebook>.yaml`.

    The executed copy is written beside `output` and renamed over it, since papermill itself
    leaves half a notebook on a full disk.

    Raises:
        UserError: a parameter file is wrong, the notebook failed (names the executed copy), or
            the disk is full (names the file).
    """
    cfg = params.profile(params.NOTEBOOKS[notebook], profile)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.ipynb")
    try:
        papermill.execute_notebook(
            runs.root() / "notebooks" / f"{notebook}.ipynb",
            partial,
            parameters=cfg.model_dump(),
            kernel_name="python3",
            cwd=runs.root() / "notebooks",
            progress_bar={"desc": notebook},
        )
    except papermill.PapermillExecutionError as error:
        failed = output.with_name(f"{output.stem}.failed.ipynb")
        partial.replace(failed)
        reason = f"{error.ename}: {error.evalue}"
        raise UserError(f"{notebook} stopped with {reason}; see {failed}") from error
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {output}: {error.strerror or error}; free space or set EVOXTRAL_REPORTS "
            "to another place, then run again"
        ) from error
    runs.write_bytes(output, partial.read_bytes())
    partial.unlink()
    return output


class Piece(NamedTuple):
    """One thing on the page; anchor and level, 1 or 2, are a heading's.

    The content is HTML of `text`, `parameters` and `html`, a data URI of `image`, else plain text.
    """

    kind: str  # heading, text, parameters, code, log, html, image or plain
    content: str
    cell: str  # its id
    anchor: str = ""
    level: int = 0
    alt: str = ""  # what an image shows, in words
    files: Sequence[str] = ()  # what was written of it, below the notebook's folder


def write_page(profile: str, notebooks: Sequence[str]) -> Path:
    """Write `reports/<profile>/index.html` from executed notebooks.

    Raises:
        UserError: a notebook has not been run.
    """
    folder = runs.reports_dir() / profile
    chapters = []
    for name in notebooks:
        pieces = read_pieces(folder, name)
        origin = runs.read_json(folder / name / "provenance.json")
        headings = [piece for piece in pieces if piece.kind == "heading"]
        facts = json.dumps(origin, indent=1, ensure_ascii=False)
        about = {"facts": facts, "stamp": _stamp(origin)}
        chapters.append({"name": name, "pieces": pieces, "headings": headings, **about})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evoxtral.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        profile=profile, verdict=_VERDICTS[profile], chapters=chapters
    )
    return runs.write_text(folder / PAGE, page)


def _stamp(origin: Mapping[str, Any]) -> str:
    """Commit, code, parameters and seed in one line."""
    changed = " with uncommitted changes" if origin["uncommitted_changes"] else ""
    parts = [f"commit {origin['commit'][:_SHORT]}{changed}"] if origin["commit"] else []
    parts += [f"{part} {origin[f'{part}_sha256'][:_SHORT]}" for part in ("code", "parameters")]
    return " · ".join([*parts, f"seed {origin['parameters']['seed']}"])


def executed_cells(folder: Path, name: str) -> list[NotebookNode]:
    """Cells of an executed notebook in a profile's folder of reports.

    Raises:
        UserError: it has not been run.
    """
    executed = folder / f"{name}.ipynb"
    if not executed.is_file():
        raise UserError(f"{executed} does not exist: run `evoxtral report` first")
    return nbformat.read(executed, as_version=4).cells


def read_pieces(folder: Path, name: str) -> list[Piece]:
    """What the page shows of an executed notebook; code of neighbouring cells as one piece."""
    pieces = [piece for cell in executed_cells(folder, name) for piece in _pieces(cell, name)]
    joined: list[Piece] = []
    for code, group in groupby(pieces, lambda piece: piece.kind == "code"):
        own = list(group)
        if code:
            own = [own[0]._replace(content="\n\n".join(piece.content for piece in own))]
        joined += own
    return joined


def _pieces(cell: NotebookNode, name: str) -> Iterator[Piece]:
    if cell.cell_type == "markdown":
        first, _, rest = cell.source.partition("\n")
        if level := len(first) - len(first.lstrip("#")):
            yield Piece("heading", first.lstrip("# "), cell.id, f"{name}-{cell.id}", min(level, 2))
        else:
            rest = cell.source
        if rest.strip():
            yield Piece("text", markdown2html(rest), cell.id)
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
                yield result._replace(kind="parameters") if folded else result


def _result(output: NotebookNode, cell: str) -> Piece:
    """The richest form of an output."""
    for kind, shown in (("image/png", "image"), ("text/html", "html"), ("text/markdown", "text")):
        if kind in output.data:
            about, content = output.metadata.get(kind, {}), output.data[kind]
            if shown == "image":
                content = f"data:image/png;base64,{content.strip()}"
            elif shown == "text":
                content = markdown2html(content)
            files = about.get(SOURCE, {}).get("files", ())
            return Piece(shown, content, cell, alt=about.get("alt", ""), files=files)
    return Piece("plain", output.data.get("text/plain", ""), cell)
