"""Tables of a benchmark: scores, confusion, counts, and published beside measured numbers.

Each takes a frame of `evoxtral.bench`. Rates are printed in percent, differences in points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from evoxtral import tags
from evoxtral.tables.model import COUNT, Format, Table
from evoxtral.tables.scores import MEASURES, Measure

_RATE = Format("percent", 1)
_POINTS = Format("points", 1, signed=True)
_NUMBER = Format("number", 2)
_F1 = Format("number", 3)
_SPACE = "\N{NO-BREAK SPACE}"
_MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        **MEASURES,
        "f1": Measure("F1", "higher"),
        "f1_macro": Measure("F1, mean over types", "higher"),
        "distance": Measure("Tag distance", "lower"),
        "tagged_wer": Measure("WER, tags as words", "lower", 2),
        "score": Measure("Score", "higher"),
    }
)
"""Metrics of `bench.scores` and `bench.position_scores`."""


def _rule(metric: str, *, signed: bool = False, bare: bool = False) -> Format:
    """How values of a metric are printed.

    Args:
        metric: its key.
        signed: as a difference, in points.
        bare: without a percent sign, as the ends of intervals are.
    """
    measure = _MEASURES[metric]
    if measure.unit != "percent":
        return Format("number", measure.decimals, signed=signed)
    return Format("points" if signed or bare else "percent", measure.decimals, signed=signed)


def _intervals(
    frame: pd.DataFrame, rules: Iterable[Format], low: str = "low", high: str = "high"
) -> list[str | None]:
    """Both ends of each row's interval as text, nothing where there is none."""
    ends = zip(frame[low], frame[high], rules, strict=True)
    return [
        None if math.isnan(a) or math.isnan(b) else f"[{rule(a)},{_SPACE}{rule(b)}]"
        for a, b, rule in ends
    ]


def bench_scores(frame: pd.DataFrame, caption: str) -> Table:
    """Scores with intervals (`bench.Scores.metrics`, `bench.position_scores`)."""
    rules = [_rule(metric) for metric in frame["metric"]]
    shown = frame.assign(
        shown_metric=[_MEASURES[metric].label for metric in frame["metric"]],
        interval=_intervals(frame, [_rule(metric, bare=True) for metric in frame["metric"]]),
    )
    headers = {
        "system": "System",
        "protocol": "Protocol",
        "shown_metric": "Metric",
        "value": "Value",
        "interval": "95% interval",
        "n": "Clips",
    }
    return Table(shown, headers, caption, {"value": rules, "n": COUNT})


def bench_per_tag(frame: pd.DataFrame, caption: str) -> Table:
    """Scores of each tag (`bench.Scores.per_tag`)."""
    shown = frame.assign(
        shown_tag=[f"[{tag}]" for tag in frame["tag"]],
        interval=_intervals(frame, [_F1] * len(frame)),
    )
    headers = {
        "system": "System",
        "protocol": "Protocol",
        "shown_tag": "Tag",
        "precision": "Precision",
        "recall": "Recall",
        "f1": "F1",
        "interval": "95% interval",
        "predicted": "Predicted",
        "support": "Support",
    }
    formats = {
        **dict.fromkeys(("precision", "recall", "f1"), _F1),
        **dict.fromkeys(("predicted", "support"), COUNT),
    }
    return Table(shown, headers, caption, formats)


def confused(frame: pd.DataFrame, caption: str, *, most: int = 10) -> Table:
    """The most frequent confusions, missed and invented tags included (`bench.confusion`).

    Args:
        frame: of one system.
        caption: one sentence.
        most: rows to show.
    """
    wrong = frame[(frame["true"] != frame["predicted"]) & (frame["count"] > 0)]
    shown = wrong.sort_values("count", ascending=False, kind="stable").head(most)
    headers = {"true": "True tag", "predicted": "Predicted tag", "count": "Times", "share": "Share"}
    notes = (
        f"{len(shown)} of {len(wrong):,} kinds of error shown.",
        "Share of the true tag; where a tag was invented, of the predicted one.",
    )
    return Table(shown, headers, caption, {"count": COUNT, "share": _RATE}, None, notes)


def tag_bias(frame: pd.DataFrame, caption: str) -> Table:
    """Whether a system writes too many tags or too few (`bench.count_bias`)."""
    signed = Format("number", 2, signed=True)
    rules = [signed] * len(frame), [_NUMBER] * len(frame)
    shown = frame.assign(
        interval=_intervals(frame, rules[0]),
        ratio_interval=_intervals(frame, rules[1], "ratio_low", "ratio_high"),
    )
    headers = {
        "system": "System",
        "true": "True tags per clip",
        "predicted": "Predicted",
        "difference": "Difference",
        "interval": "95% interval",
        "ratio": "Predicted / true",
        "ratio_interval": "95% interval",
        "same": "Clips with the same number",
        "n": "Clips",
    }
    formats = {
        **dict.fromkeys(("true", "predicted", "ratio"), _NUMBER),
        "difference": signed,
        "same": _RATE,
        "n": COUNT,
    }
    return Table(shown, headers, caption, formats)


def counterparts(frame: pd.DataFrame, coverage: pd.DataFrame, sources: Mapping[str, str]) -> Table:
    """What each tag is called in public schemes of vocal events (`bench.mapping`).

    Args:
        frame: `tag`, `group`, and a column of names for each scheme, empty where it has none.
        coverage: `bench.coverage`, said in the notes.
        sources: name and source of each scheme, by column.
    """
    shown = frame.assign(tag=[f"[{tag}]" for tag in frame["tag"]])
    for name in sources:
        shown[name] = shown[name].where(shown[name] != "")
    headers = {"tag": "Tag", "group": "Group"} | {name: name for name in sources}
    covered = coverage.set_index("scheme")
    notes = tuple(
        f"{name}: {source}; {covered.loc[name, 'types']} of {len(frame)} tags, "
        f"{_RATE(covered.loc[name, 'share'])} of {covered.loc[name, 'tags']:,} occurrences."
        for name, source in sources.items()
    )
    return Table(shown, headers, "Counterparts in public benchmarks.", {}, None, notes)


def label_noise(frame: pd.DataFrame, caption: str) -> Table:
    """Hallucination against the share of missing labels (`bench.noise_curve`)."""
    shown = frame.assign(
        interval=_intervals(frame, [Format("points", 1)] * len(frame)),
        rise_interval=_intervals(frame, [_POINTS] * len(frame), "rise_low", "rise_high"),
    )
    headers = {
        "system": "System",
        "protocol": "Protocol",
        "share": "Labels missing",
        "value": "Hallucination",
        "interval": "95% interval",
        "rise": "Rise, points",
        "rise_interval": "95% interval",
        "n": "Clips",
    }
    formats = {"share": Format("percent"), "value": _RATE, "rise": _POINTS, "n": COUNT}
    return Table(shown, headers, caption, formats)


def against_paper(frame: pd.DataFrame, caption: str) -> Table:
    """Published beside measured scores (`bench.core_comparison`, `bench.per_tag_comparison`)."""
    per_tag = frame["key"].isin(tags.TAGS)
    keys = ["" if tag else key for tag, key in zip(per_tag, frame["key"], strict=True)]
    rules = [_rule(key) if key else _F1 for key in keys]
    deltas = [_rule(key, signed=True) if key else replace(_F1, signed=True) for key in keys]
    ends = [_rule(key, bare=True) if key else _F1 for key in keys]
    shown = frame.assign(interval=_intervals(frame, ends))
    headers = {
        "system": "System",
        "metric": "Metric",
        "paper": "Paper",
        "measured": "Measured",
        "delta": "Delta",
        "interval": "95% interval",
        "n_paper": "n, paper",
        "n": "n",
        "verdict": "Verdict",
    }
    formats = {
        **dict.fromkeys(("paper", "measured"), rules),
        "delta": deltas,
        **dict.fromkeys(("n_paper", "n"), COUNT),
    }
    return Table(shown, headers, caption, formats)


def stage_changes(frame: pd.DataFrame, caption: str) -> Table:
    """What each stage changes, published and measured, in points (`bench.changes`)."""
    rules = [_rule(key, signed=True) for key in frame["key"]]
    shown = frame.assign(interval=_intervals(frame, rules))
    headers = {
        "step": "Step",
        "metric": "Metric",
        "paper": "Paper",
        "measured": "Measured",
        "delta": "Delta",
        "interval": "95% interval",
        "n": "n",
        "direction": "Direction",
        "verdict": "Verdict",
    }
    formats = {**dict.fromkeys(("paper", "measured", "delta"), rules), "n": COUNT}
    return Table(shown, headers, caption, formats)


def choices(frame: pd.DataFrame, caption: str) -> Table:
    """Which model for which use (`bench.choose`)."""
    shown = frame.assign(interval=_intervals(frame, [_POINTS] * len(frame)))
    headers = {
        "use": "Use",
        "protocol": "Protocol",
        "choice": "Choice",
        "metric": "By",
        "best": "Best",
        "value": "Value",
        "rival": "Next",
        "rival_value": "Value",
        "difference": "Difference, points",
        "interval": "95% interval, paired",
        "n": "n",
    }
    formats: dict[str, Any] = {
        **dict.fromkeys(("value", "rival_value"), _RATE),
        "difference": _POINTS,
        "n": COUNT,
    }
    return Table(shown, headers, caption, formats, None, tuple(frame["text"]))
