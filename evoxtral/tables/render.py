"""A table: raw values, how to print each column, and its four renderings.

The frame keeps full precision and is what a CSV file holds; printing never changes it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

MISSING = "—"

# Braces are LaTeX's own.
_TEMPLATES = jinja2.Environment(
    variable_start_string="((",
    variable_end_string="))",
    block_start_string="((*",
    block_end_string="*))",
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
)


def show(value: object, rule: str = "text") -> str:
    """Print one value; a missing one is a dash.

    A rule is a kind, digits after the point, and words. Kinds: `text` as it is, `count` with
    thousands separators, `number`, `percent` a fraction times 100 with a percent sign, `points` the
    same without one. Words: `signed` for a plus sign, `±` before the number, else a unit behind it.

    >>> show(0.0664, "percent 2"), show(-0.022, "points 1 signed pp"), show(0.042, "points 1 ±")
    ('6.64%', '−2.2 pp', '±4.2')
    >>> show(124780544, "count"), show(float("nan"), "number 3")
    ('124,780,544', '—')
    """
    if pd.isna(value):
        return MISSING
    kind, *rest = rule.split()
    if kind == "text":
        return str(value)
    decimals, words = rest[0] if rest else 0, rest[1:]
    number = float(value) * (100 if kind in ("percent", "points") else 1)
    text = f"{number:{'+' if 'signed' in words else ''},.{decimals}f}".replace("-", "−")
    before = "±" if "±" in words else ""
    unit = "".join(word for word in words if word not in ("signed", "±")).replace("pp", " pp")
    return f"{before}{text}{'%' if kind == 'percent' else ''}{unit}"


@dataclass(frozen=True, eq=False)
class Table:
    """Data with a caption and printing rules."""

    frame: pd.DataFrame  # raw values; columns without a header are kept but not shown
    headers: Mapping[str, str]  # printed name of each shown column, in order
    caption: str
    rules: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Of `show`: per column one, or one per row; `text` where absent."""
    bold: frozenset[tuple[int, str]] = frozenset()  # cells as (row position, column)
    notes: Sequence[str] = ()  # sentences below the table

    def cells(self) -> list[list[str]]:
        """The shown cells as text, row by row."""
        columns = []
        for name in self.headers:
            rule = self.rules.get(name, "text")
            rules = [rule] * len(self.frame) if isinstance(rule, str) else rule
            columns.append(map(show, self.frame[name], rules))
        return [list(row) for row in zip(*columns, strict=True)]

    def numeric(self) -> list[bool]:
        """Whether each shown column is printed as numbers, hence aligned right."""
        rules = [self.rules.get(name, "text") for name in self.headers]
        return ["text" not in ([rule] if isinstance(rule, str) else rule) for rule in rules]


def to_csv(table: Table) -> str:
    """The raw frame at full precision, hidden columns included; lines end as on Unix."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """A GitHub table: caption above in bold, best cells bold, notes below."""

    def escape(text: str) -> str:
        return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", text).replace("\n", " ")

    rule = ["---:" if number else "---" for number in table.numeric()]
    return _render(table, "md", escape, "**{}**", rule=rule)


# pdflatex prints these only from commands.
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
    "[": "{[}",  # a bracket at the start of a row would be read as an option of the line break
    "]": "{]}",
    "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    "→": r"$\to$", "Δ": r"$\Delta$", "≠": r"$\neq$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≈": r"$\approx$", "⁻": r"\textsuperscript{$-$}", "…": r"\dots{}",
    "—": "---", "–": "--", "‘": "`", "’": "'", "“": "``", "”": "''",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"\\textsuperscript{{{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip
_WRAPPED = 36  # characters


def to_latex(table: Table, label: str) -> str:
    r"""A floating `table` environment for `\ref{label}`; needs `\usepackage{booktabs}` only."""
    # Numbers right, text left, long text wrapped so that the table fits the page.
    align = ["r" if number else "l" for number in table.numeric()]
    for place, column in enumerate(zip(*table.cells(), strict=True)):
        if align[place] == "l" and max(map(len, column)) > _WRAPPED:
            align[place] = r"p{0.3\linewidth}"

    def escape(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    return _render(table, "tex", escape, r"\textbf{{{}}}", label=label, align="".join(align))


def to_html(table: Table) -> str:
    """A self-contained fragment; inherits the page's text colour, scrolls on a narrow screen."""
    kinds = [' class="num"' if number else "" for number in table.numeric()]
    return _render(table, "html", html.escape, "<strong>{}</strong>", kinds=kinds).rstrip()


def _render(
    table: Table, kind: str, escape: Callable[[str], str], strong: str, **more: object
) -> str:
    rows = [
        [
            strong.format(escape(cell)) if (place, name) in table.bold else escape(cell)
            for name, cell in zip(table.headers, row, strict=True)
        ]
        for place, row in enumerate(table.cells())
    ]
    return _TEMPLATES.get_template(f"table.{kind}").render(
        caption=escape(table.caption),
        heads=[escape(head) for head in table.headers.values()],
        rows=rows,
        notes=[escape(note) for note in table.notes],
        **more,
    )
