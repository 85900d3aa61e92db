"""The notebooks of the report run in order, and what people read of them: a page, an example.

The page is one self-contained HTML file without scripts: figures and sound are data URIs. It opens
with the section `In short` of the last notebook. Under every table and figure stands where it came
from, with links to its files beside the page. The example is what GitHub shows: Markdown without
code and sound, its figures in few colours.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pandas as pd
import papermill
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from PIL import Image

from evoxtral import UserError, params, runs
from evoxtral.params import REPORT_NOTEBOOKS, Parameters
from evoxtral.report import SOURCE, render
from evoxtral.tables import side_by_side, to_markdown

EXAMPLE = "reports/example"  # the committed report, below the checkout
SUMMARY = "In short"  # heading of the section that opens page and example

# What an output is on the page, the richest form first.
_KINDS = {"image/png": "image", "text/html": "html", "text/markdown": "text", "text/plain": "plain"}
_FOLDED = ("code", "log")
_COLOURS = 48
_NUMBERS = re.compile("(<!-- numbers of reports/example -->).*(<!-- end of numbers -->)", re.DOTALL)
_QUOTED = ("groups", "new clips", "plain speech")  # topics of the sentences that the README quotes


def run_report(profile: str) -> Path:
    """Execute every notebook of the report into `reports/<profile>/` and write its page."""
    # All parameter files are read first: a wrong one stops before any work.
    for cfg in [params.profile(params.NOTEBOOKS[name], profile) for name in REPORT_NOTEBOOKS]:
        run_notebook(cfg)
    return write_page(profile)


def run_notebook(cfg: Parameters) -> None:
    """Execute one notebook as `reports/<profile>/<notebook>.ipynb`.

    Raises:
        UserError: one in the notebook, or the disk is full; an earlier copy stays.
    """
    name = f"{cfg.notebook}.ipynb"
    try:
        executed = papermill.execute_notebook(
            runs.named("notebooks") / name,
            None,
            parameters=cfg.model_dump(),
            progress_bar={"desc": cfg.notebook},
        )
    except papermill.PapermillExecutionError as error:
        if error.ename != "UserError":
            raise  # its message has the cell and the traceback
        raise UserError(f"{cfg.notebook} stopped: {error.evalue}") from error
    runs.write_text(runs.reports_dir() / cfg.profile / name, nbformat.writes(executed))


class Piece(NamedTuple):
    """One thing that is shown; `text` and `parameters` are Markdown, an `image` is base64."""

    kind: str  # heading, text, parameters, code, log, html, image or plain
    content: str
    cell: str  # its id
    level: int = 0  # of a heading
    alt: str = ""  # what an image shows, in words
    files: tuple[str, ...] = ()  # what was written of it, below the notebook's folder


def read_pieces(folder: Path, name: str) -> list[Piece]:
    """What is shown of an executed notebook; code of neighbouring cells as one piece.

    Raises:
        UserError: it has not been run.
    """
    executed = folder / f"{name}.ipynb"
    if not executed.is_file():
        raise UserError(f"{executed} does not exist: run `evoxtral report` first")
    pieces: list[Piece] = []
    for cell in nbformat.read(executed, as_version=4).cells:
        if cell.cell_type == "markdown":
            pieces += _prose(cell)
            continue
        code = cell.source
        if pieces and pieces[-1].kind == "code":
            code = f"{pieces.pop().content}\n\n{code}"
        pieces += [Piece("code", code, cell.id), *_outputs(cell)]
    return pieces


def _prose(cell: NotebookNode) -> Iterator[Piece]:
    first, _, rest = cell.source.partition("\n")
    level = len(first) - len(first.lstrip("#"))
    if level:
        yield Piece("heading", first.lstrip("# "), cell.id, level)
    if text := rest.strip() if level else cell.source:
        yield Piece("text", text, cell.id)


def _outputs(cell: NotebookNode) -> Iterator[Piece]:
    """What the cell printed in one piece, then each output in its richest form."""
    printed = [one.text for one in cell.outputs if one.get("name") == "stdout"]
    if printed:
        yield Piece("log", "".join(printed).strip(), cell.id)
    for output in cell.outputs:
        mime = next((mime for mime in _KINDS if mime in output.get("data", {})), None)
        if mime:
            about, kind = output.metadata.get(mime, {}), _KINDS[mime]
            # Parameters are a long table that few readers want.
            if kind == "text" and "params.load(" in cell.source:
                kind = "parameters"
            files = tuple(about.get(SOURCE, {}).get("files", ()))
            yield Piece(kind, output.data[mime], cell.id, alt=about.get("alt", ""), files=files)


def write_page(profile: str) -> Path:
    """Write `reports/<profile>/index.html` from executed notebooks."""
    folder, summary, chapters = runs.reports_dir() / profile, [], []
    for name in REPORT_NOTEBOOKS:
        lifted, pieces = lift_summary(read_pieces(folder, name))
        origin = runs.read_json(folder / name / "provenance.json")
        facts = json.dumps(origin, indent=1, ensure_ascii=False)
        chapter = {"name": name, "pieces": pieces, "origin": origin, "facts": facts}
        chapters.append(chapter)
        summary += [(chapter, piece) for piece in lifted]
    page = render(
        "page.html", profile=profile, summary=summary, chapters=chapters, markdown=_markdown_html
    )
    return runs.write_text(folder / "index.html", page)


def lift_summary(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """The section `In short`, if there is one, raised to a chapter; the rest with a link to it.

    The section's code stays where it is.
    """
    levels = {i: piece.level for i, piece in enumerate(pieces) if piece.level}
    for start, level in levels.items():
        if pieces[start].content == SUMMARY:
            later = (i for i in levels if i > start and levels[i] <= level)
            end = next(later, len(pieces))
            link = Piece("text", f"*[{SUMMARY}](#in-short) opens this page.*", pieces[start].cell)
            section = [one._replace(level=max(0, one.level - 1)) for one in pieces[start:end]]
            shown = [one for one in section if one.kind not in _FOLDED]
            folded = [one for one in section if one.kind in _FOLDED]
            return shown, [*pieces[:start], link, *folded, *pieces[end:]]
    return [], pieces


def _markdown_html(text: str) -> str:
    """Markdown as HTML; the heads of its tables say that they head a column."""
    return re.sub("<th(?=[ >])", '<th scope="col"', markdown2html(text))


# ---- the committed example, and what the project's README takes from it ----


def write_example(profile: str) -> Path:
    """Replace `reports/example/` by a finished report, and the README's numbers by its numbers."""
    source, target = runs.reports_dir() / profile, runs.named(EXAMPLE)
    summary, chapters = [], {}
    for name in REPORT_NOTEBOOKS:
        lifted, chapters[name] = lift_summary(read_pieces(source, name))
        summary += [_markdown(piece, name, source) for piece in lifted]
    said = [
        f"# An example: the {profile} report",
        "Written by `python -m evoxtral example` from `make report`; without code and sound, which "
        f"the page `reports/{profile}/index.html` has.",
        *summary,
    ]
    left_out = shutil.ignore_patterns("*.md", "*.tex", "*.svg", "*.pdf", "predictions")
    for name, pieces in chapters.items():
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(source / name, target / name, ignore=left_out)
        said += [_markdown(piece, name, source) for piece in pieces]
    for figure in target.glob("*/figures/*.png"):
        with Image.open(figure) as image:
            few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        few.save(figure, optimize=True)
    runs.write_text(target / "README.md", "\n\n".join(filter(None, said)) + "\n")
    readme = runs.root() / "README.md"
    runs.write_text(readme, with_numbers(readme.read_text(encoding="utf-8")))
    return target


def _markdown(piece: Piece, name: str, source: Path) -> str:
    """A piece of a notebook as the example has it; empty if it has it not."""
    files = {Path(file).suffix: f"{name}/{file}" for file in piece.files}
    if piece.kind == "heading":
        return f"#{'#' * piece.level} {piece.content}"
    if ".png" in files:
        return f"![{piece.alt.replace('[', '').replace(']', '')}]({files['.png']})"
    if ".md" in files:
        table = (source / files[".md"]).read_text(encoding="utf-8").rstrip()
        return f"{table}\n\n[CSV]({files['.csv']})"
    return piece.content if piece.kind == "text" else ""


def with_numbers(readme: str) -> str:
    """The project's README with what the committed report says in short between their two marks."""
    folder = f"{EXAMPLE}/04_benchmark"
    origin, found = (
        runs.read_json(runs.named(folder) / name) for name in ("provenance.json", "results.json")
    )
    scores, changes = (
        pd.DataFrame(found[key]).astype({"seed_sd": float})
        for key in ("in_short", "in_short_paired")
    )
    clips = f"{scores['n'].max():,} clips of {scores['split'][0]}"
    table = side_by_side(scores, changes, trainings=origin["parameters"]["seeds"], on=clips)
    _, half, _ = found["examples"]
    parts = [
        f"Spoken: `{half['reference']}`\\\nWritten by RL: `{half['RL']}`",
        f"![The table's scores as dots with intervals]({folder}/figures/headline.png)",
        to_markdown(table).rstrip(),
        "\n".join(f"- {row['said']}" for row in found["sentences"] if row["topic"] in _QUOTED),
    ]
    return _NUMBERS.sub(lambda marks: "\n\n".join([marks[1], *parts, marks[2]]), readme)
