"""The small committed report, `reports/example/`, and what the project's README takes from it.

GitHub shows its README.md: prose, figures and tables of every notebook, without code. Figures keep
few colours, sound is left out, so that it stays small.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from PIL import Image

from evoxtral import UserError, runs
from evoxtral.params import REPORT_NOTEBOOKS
from evoxtral.report import SOURCE
from evoxtral.report.page import executed_cells
from evoxtral.report.provenance import STAMP
from evoxtral.tables import MEASURES

MOST_BYTES = 3_000_000
"""Largest size of the committed report."""

NUMBERS = ("<!-- numbers of reports/example -->", "<!-- end of numbers -->")
"""Lines of the project's README between which its numbers stand."""

_COLOURS = 48
_KEPT = ("two_stage_pipeline.png",)  # what the README shows, drawn from published numbers
_SHOWN = {
    "paper": ("wer", "tag_f1", "hallucination"),
    "strict": ("wer", "tag_f1_tagged", "hallucinated_per_untagged"),
}


def folder() -> Path:
    """Where the committed report is."""
    return runs.root() / "reports" / "example"


def write_example(profile: str) -> Path:
    """Replace `reports/example/` by a finished report, and the README's numbers by its numbers.

    Raises:
        UserError: a notebook has not been run, or the result is too large; nothing is replaced.
    """
    source, partial = runs.reports_dir() / profile, folder().with_name(".example.partial")
    shutil.rmtree(partial, ignore_errors=True)
    parts = [_chapter(source, partial, name) for name in REPORT_NOTEBOOKS]
    runs.write_text(partial / "README.md", "\n\n".join([_head(profile), *parts]) + "\n")
    runs.write_json(partial / STAMP, runs.read_json(source / STAMP))
    size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    if size > MOST_BYTES:
        raise UserError(
            f"the example would take {size:,} bytes, more than {MOST_BYTES:,}: show fewer figures"
        )
    for name in _KEPT:
        shutil.copyfile(folder() / name, partial / name)
    shutil.rmtree(folder())
    partial.replace(folder())
    readme = runs.root() / "README.md"
    runs.write_text(readme, fill_readme(readme.read_text(encoding="utf-8"), numbers()))
    return folder()


def _head(profile: str) -> str:
    return (
        f"# An example: the {profile} report\n\nWritten by `python -m evoxtral example` from "
        f"`make report`; without code and sound, which the page `reports/{profile}/index.html` has."
    )


def _chapter(source: Path, target: Path, name: str) -> str:
    """Copy what the report shows of a notebook; returns it as Markdown."""
    cells = executed_cells(source, name)
    for file in ("results.json", "provenance.json"):
        data = (source / name / file).read_bytes()
        runs.write_bytes(target / name / file, data)
    return "\n\n".join(part for cell in cells for part in _parts(cell, source, target, name))


def _parts(cell: NotebookNode, source: Path, target: Path, name: str) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield re.sub(r"^(#+ )", r"#\1", cell.source)
        return
    for output in cell.get("outputs", []):
        for kind, data in output.get("data", {}).items():
            files = output.metadata.get(kind, {}).get(SOURCE, {}).get("files", [])
            if files and kind == "image/png":
                yield _figure(output.metadata[kind].get("alt", ""), files, source, target, name)
            elif files:
                yield _table(files, source, target, name)
            elif kind == "text/markdown" and "params.load(" not in cell.source:
                yield data


def _figure(alt: str, files: Sequence[str], source: Path, target: Path, name: str) -> str:
    [file] = [f"{name}/{file}" for file in files if file.endswith(".png")]
    with Image.open(source / file) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    few.save(buffer, "png", optimize=True)
    runs.write_bytes(target / file, buffer.getvalue())
    return f"![{alt.replace('[', '').replace(']', '')}]({file})"


def _table(files: Sequence[str], source: Path, target: Path, name: str) -> str:
    csv, markdown = (
        next(f"{name}/{file}" for file in files if file.endswith(end)) for end in (".csv", ".md")
    )
    runs.write_bytes(target / csv, (source / csv).read_bytes())
    return f"{(source / markdown).read_text(encoding='utf-8').rstrip()}\n\n[CSV]({csv})"


def numbers() -> str:
    """The README's table: the three systems of the committed report, in both protocols.

    Raises:
        UserError: there is no committed report.
    """
    found = runs.read_json(folder() / "04_benchmark" / "results.json")["scores_measured"]
    rows = [
        row for name, keys in _SHOWN.items() for key in keys for row in [_row(found, name, key)]
    ]
    clips = max(row["n"] for row in found)
    head = f"| {clips:,} clips, 95% intervals | base | SFT | RL |\n|---|---|---|---|"
    return "\n".join([head, *rows])


def _row(found: Sequence[Mapping[str, Any]], protocol: str, key: str) -> str:
    measure = MEASURES[key]
    cells = []
    for system in ("base", "SFT", "RL"):
        [row] = [
            r for r in found
            if (r["system"], r["metric"]) == (system, key) and r["protocol"].startswith(protocol)
        ]  # fmt: skip
        value, low, high = (row[name] for name in ("value", "low", "high"))
        ends = "" if low is None else f" [{measure.points(low)}, {measure.points(high)}]"
        cells.append("—" if value is None else f"{measure.value(value)}{ends}")
    return f"| {measure.label}, {protocol} protocol | {' | '.join(cells)} |"


def fill_readme(text: str, table: str) -> str:
    """A README with its numbers replaced.

    Raises:
        UserError: the two lines that mark their place are not there, once each.
    """
    first, last = NUMBERS
    if text.count(first) != 1 or text.count(last) != 1:
        raise UserError(f"README.md must have the lines {first!r} and {last!r} once each")
    before, rest = text.split(first)
    after = rest.split(last)[1]
    return f"{before}{first}\n\n{table}\n\n{last}{after}"
