"""What a source holds, as rows: its splits, what validation found, durations."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evoxtral import figures, tags
from evoxtral.datamix.source import TRAIN, Source
from evoxtral.tags import text_key

KINDS = ("reject", "warning", "repair")
_ORDER = (
    TRAIN, "validation", "plain_val", "raft_prompts", "test", "natural", "balanced",
    "base_test",
)  # fmt: skip
_SHOWN = (TRAIN, "natural", "base_test", "test", "validation")


def split_summary(source: Source) -> pd.DataFrame:
    """One row per split.

    Columns: `split | clips | hours | voices | texts | held_out | tagged | tags | least`: hours and
    voices are missing without sound; `held_out` is the share of clips from template families that
    training never sees, `tagged` that of clips with a tag, `tags` the number of tags, `least` how
    often the rarest of the 17 occurs.
    """
    known = {name: place for place, name in enumerate(_ORDER)}
    ordered = sorted(source.splits.items(), key=lambda pair: known.get(pair[0], len(known)))
    return pd.DataFrame([_split_row(name, rows) for name, rows in ordered])


def _split_row(name: str, rows: Sequence[object]) -> dict[str, object]:
    found = [tags.find_tags(row.tagged_text) for row in rows]
    seconds = [getattr(row, "seconds", None) for row in rows]
    voices = {getattr(row, "voice", None) for row in rows}
    flat = [tag for names in found for tag in names]
    return {
        "split": name,
        "clips": len(rows),
        "hours": None if None in seconds else sum(seconds) / 3600,
        "voices": None if None in voices else len(voices),
        "texts": len({text_key(row.plain_text) for row in rows}),
        "held_out": sum(row.held_out for row in rows) / len(rows),
        "tagged": sum(map(bool, found)) / len(rows),
        "tags": len(flat),
        "least": min(flat.count(tag) for tag in tags.TAGS),
    }


def findings_summary(source: Source, examples: int = 3) -> pd.DataFrame:
    """Findings counted by kind: `kind | rows | share | examples`, the first few in words."""
    rows = []
    for kind in KINDS:
        found = source.findings[source.findings["kind"] == kind]
        shown = [f"{f.file}:{f.line}: {f.reason}" for f in found.head(examples).itertuples()]
        rows.append(
            {
                "kind": kind,
                "rows": len(found),
                "share": len(found) / max(1, source.judged),
                "examples": "; ".join(shown),
            }
        )
    return pd.DataFrame(rows)


def durations(source: Source, most: int = 3) -> dict[str, list[float]]:
    """Seconds of every clip of training and of the largest kinds of test; empty without sound."""
    known = {
        name: [getattr(row, "seconds", None) for row in source.splits[name]]
        for name in _SHOWN
        if name in source.splits
    }
    whole = [(name, values) for name, values in known.items() if None not in values]
    return dict(whole[:most])


def duration_figure(source: Source) -> Figure:
    """Distribution of durations, or a sentence for a source without sound."""
    known = durations(source)
    if not known:
        return figures.missing("No durations: this source has no sound.")
    return figures.durations(known, source.window_seconds)
