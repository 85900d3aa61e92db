"""Tables as Markdown, LaTeX (booktabs), HTML and CSV."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from evoxtral.tables.model import Table

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


def to_markdown(table: Table) -> str:
    """A GitHub table: caption above in bold, best cells bold, notes below."""
    names = list(table.headers)
    rule = ["---:" if table.numeric(n) else "---" for n in names]
    body = _emphasised(table, _escape_markdown, "**{}**".format)
    lines = [[_escape_markdown(h) for h in table.headers.values()], rule, *body]
    rows = [f"| {' | '.join(line)} |" for line in lines]
    notes = [f"\n*{_escape_markdown(note)}*" for note in table.notes]
    return "\n".join([f"**{_escape_markdown(table.caption)}**\n", *rows, *notes]) + "\n"


def to_latex(table: Table, label: str | None = None) -> str:
    r"""A floating `table` environment; needs `\usepackage{booktabs}` only.

    Args:
        table: what to print.
        label: name for `\ref`, e.g. `tab:core`; none where absent.
    """
    align = "".join(_latex_column(table, place) for place in range(len(table.headers)))
    body = _emphasised(table, _escape_latex, r"\textbf{{{}}}".format)
    heads = [_escape_latex(h) for h in table.headers.values()]
    notes = [rf"\par\smallskip{{\footnotesize {_escape_latex(note)}}}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_escape_latex(table.caption)}}}",
            *([rf"\label{{{label}}}"] if label else []),
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


def to_csv(table: Table) -> str:
    """The raw frame at full precision, hidden columns included; lines end as on Unix."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def _emphasised(
    table: Table, escape: Callable[[str], str], strong: Callable[[str], str]
) -> list[list[str]]:
    bold = table.bold()
    return [
        [
            strong(escape(cell)) if (position, name) in bold else escape(cell)
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
