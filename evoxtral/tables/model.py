"""A table: raw values, how to print each column, and its four renderings.

The frame keeps full precision and is what a CSV file holds; printing never changes it.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Direction = Literal["lower", "higher"]
MISSING = "—"


@dataclass(frozen=True)
class Format:
    """How values of a column are printed.

    Attributes:
        kind: `text` as it is, `count` with thousands separators, `number` with `decimals`,
            `percent` a fraction times 100 with a percent sign, `points` a difference of fractions
            times 100 without one.
        decimals: digits after the point.
        signed: print a plus sign for positive values.
        prefix: text before a number, e.g. `±`.
        suffix: text after it, e.g. a unit.
    """

    kind: Literal["text", "count", "number", "percent", "points"] = "text"
    decimals: int = 0
    signed: bool = False
    prefix: str = ""
    suffix: str = ""

    def __call__(self, value: object) -> str:
        """Print one value; a missing one is a dash.

        >>> Format("percent", 2)(0.0664), Format("points", 1, signed=True)(-0.022)
        ('6.64%', '−2.2')
        >>> Format("count")(124780544), Format("number", 3)(float("nan"))
        ('124,780,544', '—')
        """
        if pd.isna(value):
            return MISSING
        if self.kind == "text":
            return str(value)
        number = float(value) * (100 if self.kind in ("percent", "points") else 1)
        text = f"{number:{'+' if self.signed else ''},.{self.decimals}f}"
        percent = "%" if self.kind == "percent" else ""
        return f"{self.prefix}{text.replace('-', '−')}{percent}{self.suffix}"


TEXT = Format()
COUNT = Format("count")


@dataclass(frozen=True, eq=False)
class Table:
    """Data with a caption and printing rules.

    Attributes:
        frame: raw values at full precision; columns without a header are kept but not shown.
        headers: printed name of each shown column, in order.
        caption: one sentence.
        formats: per column one `Format`, or one per row; `TEXT` where absent.
        bold: the cells to print bold, as (row position, column).
        notes: sentences below the table.
    """

    frame: pd.DataFrame
    headers: Mapping[str, str]
    caption: str
    formats: Mapping[str, Format | Sequence[Format]] = field(default_factory=dict)
    bold: frozenset[tuple[int, str]] = frozenset()
    notes: Sequence[str] = ()

    def cells(self) -> list[list[str]]:
        """The shown cells as text, row by row."""
        columns = []
        for name in self.headers:
            rule = self.formats.get(name, TEXT)
            rules = [rule] * len(self.frame) if isinstance(rule, Format) else rule
            columns.append([f(v) for f, v in zip(rules, self.frame[name], strict=True)])
        return [list(row) for row in zip(*columns, strict=True)]

    def numeric(self, name: str) -> bool:
        """Whether a shown column is printed as numbers, hence aligned right."""
        rule = self.formats.get(name, TEXT)
        rules = [rule] if isinstance(rule, Format) else rule
        return all(one.kind != "text" for one in rules)


def best_in_row(values: Mapping[str, float], direction: Direction) -> tuple[str, ...]:
    """Names of the best values of a row.

    Values tied for best are all named; when every value present is the same, none is best.
    Missing values do not compete.

    >>> best_in_row({"base": 0.0664, "sft": 0.0447, "rl": 0.0512}, "lower")
    ('sft',)
    >>> best_in_row({"sft": 0.957, "rl": 0.957}, "higher")
    ()
    """
    present = {name: value for name, value in values.items() if not math.isnan(value)}
    if len(set(present.values())) < 2:
        return ()
    best = min(present.values()) if direction == "lower" else max(present.values())
    return tuple(name for name, value in present.items() if value == best)


# pdflatex prints these only from commands.
_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # a bracket at the start of a row would be read as an option of the line break
    "]": "{]}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\to$",
    "Δ": r"$\Delta$",
    "≠": r"$\neq$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "⁻": r"\textsuperscript{$-$}",
    "…": r"\dots{}",
    "—": "---",
    "–": "--",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    **{c: f"\\textsuperscript{{{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
_WRAPPED = 36  # characters
# The class is repeated to outweigh Jupyter's own rules for tables, which align all text right.
_STYLE = """<style>
.evx-table{overflow-x:auto;margin:.75em 0 1.25em;line-height:1.4}
.evx-table table{border-collapse:collapse;border:0;margin:0;font-size:.95em;
font-variant-numeric:tabular-nums}
.evx-table caption{caption-side:top;text-align:left;padding:0 .6em .5em 0;font-weight:600}
.evx-table.evx-table.evx-table :is(th,td){border:0;padding:.32em .8em;text-align:left;
vertical-align:top;background:none}
.evx-table.evx-table.evx-table .num{text-align:right;white-space:nowrap}
.evx-table.evx-table.evx-table thead th{border-top:2px solid;border-bottom:1px solid;
font-weight:600;white-space:nowrap}
.evx-table.evx-table.evx-table tbody tr+tr td{border-top:1px solid rgba(128,128,128,.25)}
.evx-table.evx-table.evx-table tbody tr:last-child td{border-bottom:2px solid}
.evx-table .note{font-size:.85em;opacity:.8;margin:.4em 0 0}
</style>"""


def to_csv(table: Table) -> str:
    """The raw frame at full precision, hidden columns included; lines end as on Unix."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """A GitHub table: caption above in bold, best cells bold, notes below."""
    rule = ["---:" if table.numeric(name) else "---" for name in table.headers]
    body = _emphasised(table, _escape_markdown, "**{}**".format)
    lines = [[_escape_markdown(h) for h in table.headers.values()], rule, *body]
    rows = [f"| {' | '.join(line)} |" for line in lines]
    notes = [f"\n*{_escape_markdown(note)}*" for note in table.notes]
    return "\n".join([f"**{_escape_markdown(table.caption)}**\n", *rows, *notes]) + "\n"


def to_latex(table: Table, label: str) -> str:
    r"""A floating `table` environment for `\ref{label}`; needs `\usepackage{booktabs}` only."""
    align = "".join(_latex_column(table, place) for place in range(len(table.headers)))
    body = _emphasised(table, _escape_latex, r"\textbf{{{}}}".format)
    heads = [_escape_latex(h) for h in table.headers.values()]
    notes = [rf"\par\smallskip{{\footnotesize {_escape_latex(note)}}}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_escape_latex(table.caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            f"{' & '.join(heads)} \\\\",
            r"\midrule",
            *(f"{' & '.join(row)} \\\\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def to_html(table: Table) -> str:
    """A self-contained fragment; inherits the page's text colour, scrolls on a narrow screen."""
    kinds = [' class="num"' if table.numeric(n) else "" for n in table.headers]
    heads = [
        f'<th scope="col"{kind}>{html.escape(head)}</th>'
        for kind, head in zip(kinds, table.headers.values(), strict=True)
    ]
    body = [
        "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        for row in _emphasised(table, html.escape, "<strong>{}</strong>".format)
    ]
    notes = [f'<p class="note">{html.escape(note)}</p>' for note in table.notes]
    return "\n".join(
        [
            f'<div class="evx-table">{_STYLE}<table>',
            f"<caption>{html.escape(table.caption)}</caption>",
            f"<thead><tr>{''.join(heads)}</tr></thead>",
            "<tbody>",
            *(f"<tr>{row}</tr>" for row in body),
            "</tbody></table>",
            *notes,
            "</div>",
        ]
    )


def _emphasised(
    table: Table, escape: Callable[[str], str], strong: Callable[[str], str]
) -> list[list[str]]:
    return [
        [
            strong(escape(cell)) if (position, name) in table.bold else escape(cell)
            for name, cell in zip(table.headers, row, strict=True)
        ]
        for position, row in enumerate(table.cells())
    ]


def _latex_column(table: Table, place: int) -> str:
    """Numbers right, text left, long text wrapped so that the table fits the page."""
    if table.numeric(list(table.headers)[place]):
        return "r"
    longest = max((len(row[place]) for row in table.cells()), default=0)
    return r"p{0.3\linewidth}" if longest > _WRAPPED else "l"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]~])", r"\\\1", text).replace("\n", " ")


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
