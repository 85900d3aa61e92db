"""The folder of one notebook's results, written piece by piece, each piece whole.

`reports/<profile>/<notebook>/` holds `tables/` (CSV in full precision, Markdown, LaTeX),
`figures/` (SVG, PNG, PDF), JSON lines such as predictions, `results.json` (no time, path or commit
in it: the same run gives the same bytes) and `provenance.json` (all of those).
"""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from evoxtral import UserError, figures, runs, tables
from evoxtral.params import Parameters
from evoxtral.report.provenance import origin

SOURCE = "evoxtral"
"""Key of an output's metadata that names the files it was written to."""

_DECIMALS = 6


class Report:
    """Collects what a notebook shows and writes it; holds the folder's lock until `finish`.

    `frames` are those of the tables that `show` wrote, by name, for `results.json`.

    Raises:
        UserError: another process is writing the same folder.
    """

    _open: ClassVar[dict[Path, weakref.finalize]] = {}

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.folder = runs.reports_dir() / parameters.profile / parameters.notebook
        self._started = datetime.now(UTC)
        self._written: set[Path] = set()
        self.frames: dict[str, pd.DataFrame] = {}
        # A cell run again in JupyterLab starts over: the kernel's earlier report gives way.
        if self.folder in self._open:
            self._open.pop(self.folder)()
        stack = ExitStack()
        stack.enter_context(runs.exclusive(self.folder))
        self._open[self.folder] = weakref.finalize(self, stack.close)

    def _write(self, relative: str, data: bytes) -> None:
        if self.folder not in self._open:
            raise UserError(f"the report of {self.parameters.notebook} is finished: run it again")
        path = self.folder / relative
        if path in self._written:
            raise ValueError(f"{relative} is written twice")
        runs.write_bytes(path, data)
        self._written.add(path)

    def table(self, name: str, table: tables.Table) -> HTML:
        """Write a table as `tables/<name>.{csv,md,tex}` and return it for display."""
        rendered = {
            "csv": tables.to_csv(table),
            "md": tables.to_markdown(table),
            "tex": tables.to_latex(table, f"tab:{name}"),
        }
        for suffix, text in rendered.items():
            self._write(f"tables/{name}.{suffix}", text.encode("utf-8"))
        return HTML(tables.to_html(table), metadata=_source("tables", name, rendered))

    def figure(self, name: str, figure: Figure, *, width: int = 760) -> Image:
        """Write a figure as `figures/<name>.{svg,png,pdf}`; returns the PNG.

        Its displayed width is in CSS pixels.
        """
        rendered = figures.save_figure(figure)
        for suffix, data in rendered.items():
            self._write(f"figures/{name}.{suffix}", data)
        said = str(figure.get_label())
        source = _source("figures", name, rendered)
        return Image(rendered["png"], format="png", width=width, alt=said, metadata=source)

    def show(
        self,
        made: Mapping[str, tables.Table | Figure],
        absent: str = "Not measured: `source` is `paper`.",
    ) -> None:
        """Write and display tables and figures by name, or one sentence where there are none."""
        if not made:
            display(Markdown(f"*{absent}*"))
        for name, one in made.items():
            if isinstance(one, tables.Table):
                self.frames[name] = one.frame
                display(self.table(name, one))
            else:
                display(self.figure(name, one))

    def rows(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Write JSON lines as `<name>.jsonl`, such as predictions that others may score."""
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
        self._write(f"{name}.jsonl", "".join(lines).encode("utf-8"))

    def finish(self, **results: Any) -> str:
        """Write `results.json` and `provenance.json`, drop files of earlier runs, unlock.

        Results are independent of time and place; floats keep six decimals, which are the same on
        every platform. Returns a line that says where they are.
        """
        self._write("results.json", runs.json_text(_plain(results)).encode("utf-8"))
        made = origin(self.parameters, self._started)
        self._write("provenance.json", runs.json_text(made).encode("utf-8"))
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path not in self._written:
                path.unlink()
        self._open.pop(self.folder)()
        shown = self.folder.relative_to(self.folder.parents[2]).as_posix()
        return f"{len(self._written)} files in {shown}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: frames as records, NaN as null, whole floats as integers."""
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if value is None or isinstance(value, str | bool):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else round(number, _DECIMALS)


def _source(folder: str, name: str, rendered: Mapping[str, object]) -> dict[str, Any]:
    """Metadata of an output, from which the page says below it where it lies."""
    return {SOURCE: {"files": [f"{folder}/{name}.{suffix}" for suffix in rendered]}}
