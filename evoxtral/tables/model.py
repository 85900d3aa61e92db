"""A table: raw values, how to print each column, and which cells are best.

The frame keeps full precision and is what a CSV file holds; printing never changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from evoxtral import UserError

Direction = Literal["lower", "higher"]
Kind = Literal["text", "count", "number", "percent", "points"]
MINUS = "−"
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

    kind: Kind = "text"
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
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return MISSING
        if self.kind == "text":
            return str(value)
        number = float(value) * (100 if self.kind in ("percent", "points") else 1)
        text = f"{number:{'+' if self.signed else ''},.{self.decimals}f}"
        percent = "%" if self.kind == "percent" else ""
        return f"{self.prefix}{text.replace('-', MINUS)}{percent}{self.suffix}"


TEXT = Format()
COUNT = Format("count")


@dataclass(frozen=True)
class Best:
    """Which columns compete in each row, and in which direction (one per row)."""

    columns: tuple[str, ...]
    directions: tuple[Direction, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """Data with a caption and printing rules.

    Attributes:
        frame: raw values at full precision; columns without a header are kept but not shown.
        headers: printed name of each shown column, in order.
        caption: one sentence.
        formats: per column one `Format`, or one per row; `TEXT` where absent.
        best: the cells to print bold are computed by this rule.
        notes: sentences below the table.
    """

    frame: pd.DataFrame
    headers: Mapping[str, str]
    caption: str
    formats: Mapping[str, Format | Sequence[Format]] = field(default_factory=dict)
    best: Best | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse rules that do not fit the frame."""
        named = {*self.headers, *self.formats, *(self.best.columns if self.best else ())}
        unknown = sorted(named - set(self.frame.columns))
        if unknown:
            raise UserError(f"the table has no column {unknown[0]!r}: name one of its frame")
        per_row = [f for f in self.formats.values() if not isinstance(f, Format)]
        lengths = {len(f) for f in per_row} | ({len(self.best.directions)} if self.best else set())
        if lengths - {len(self.frame)}:
            raise UserError(f"the table has {len(self.frame)} rows: give one rule for each")

    def cells(self) -> list[list[str]]:
        """The shown cells as text, row by row."""
        columns = []
        for name in self.headers:
            rule = self.formats.get(name, TEXT)
            rules = [rule] * len(self.frame) if isinstance(rule, Format) else rule
            columns.append([f(v) for f, v in zip(rules, self.frame[name], strict=True)])
        return [list(row) for row in zip(*columns, strict=True)]

    def bold(self) -> frozenset[tuple[int, str]]:
        """The best cells as (row position, column); see `best_in_row`."""
        if self.best is None:
            return frozenset()
        values = self.frame[list(self.best.columns)].to_dict("records")
        pairs = zip(values, self.best.directions, strict=True)
        return frozenset(
            (row, column)
            for row, (value, direction) in enumerate(pairs)
            for column in best_in_row(value, direction)
        )

    def numeric(self, name: str) -> bool:
        """Whether a shown column is printed as numbers, hence aligned right."""
        rule = self.formats.get(name, TEXT)
        rules = [rule] if isinstance(rule, Format) else rule
        return all(f.kind != "text" for f in rules)


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
