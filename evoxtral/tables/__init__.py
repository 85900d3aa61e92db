"""Data in, table out: raw values, printing rules, and renderings."""

from evoxtral.tables.base import architecture, corpus, probes, transcription
from evoxtral.tables.model import COUNT, TEXT, Best, Direction, Format, Table, best_in_row
from evoxtral.tables.paper import (
    SYSTEM_LABELS,
    claims,
    core,
    deltas,
    per_tag,
    settings,
    sources,
    uncertainty,
)
from evoxtral.tables.render import to_csv, to_html, to_latex, to_markdown

__all__ = [
    "COUNT",
    "SYSTEM_LABELS",
    "TEXT",
    "Best",
    "Direction",
    "Format",
    "Table",
    "architecture",
    "best_in_row",
    "claims",
    "core",
    "corpus",
    "deltas",
    "per_tag",
    "probes",
    "settings",
    "sources",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "transcription",
    "uncertainty",
]
