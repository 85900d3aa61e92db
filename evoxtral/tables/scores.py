"""Scores of systems on the same clips, with intervals and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from evoxtral import UserError, tags
from evoxtral.metrics import Evaluation, Protocol, compare
from evoxtral.tables.model import COUNT, MISSING, Direction, Format, Table


@dataclass(frozen=True)
class Measure:
    """How a metric is called and printed.

    Attributes:
        label: its name in a table.
        direction: which way is better.
        decimals: digits printed.
        unit: `percent` for a fraction, `number` for a count per clip.
    """

    label: str
    direction: Direction
    decimals: int = 1
    unit: str = "percent"

    def value(self, value: float) -> str:
        """Print a value of the metric.

        >>> MEASURES["wer"].value(0.0447), MEASURES["hallucinated_per_untagged"].value(0.02)
        ('4.47%', '0.020')
        """
        return Format("percent" if self.unit == "percent" else "number", self.decimals)(value)

    def points(self, value: float, *, signed: bool = False) -> str:
        """Print an end of an interval or a difference: percent without the sign, or a number."""
        kind = "points" if self.unit == "percent" else "number"
        return Format(kind, self.decimals, signed=signed)(value)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "wer": Measure("WER", "lower", 2),
        "wer_normalised": Measure("WER, normalised", "lower", 2),
        "cer": Measure("CER", "lower", 2),
        "tag_f1": Measure("Tag F1", "higher"),
        "tag_f1_tagged": Measure("Tag F1, tagged clips", "higher"),
        "tag_precision": Measure("Tag precision", "higher"),
        "tag_recall": Measure("Tag recall", "higher"),
        "tag_f1_macro": Measure("Tag F1, macro", "higher"),
        "tag_f1_macro_tagged": Measure("Tag F1, macro, tagged clips", "higher"),
        "tag_f1_anywhere": Measure("Tag F1, anywhere", "higher"),
        "emphasis_f1": Measure("Emphasis F1", "higher"),
        "hallucination": Measure("Tag hallucination", "lower"),
        "hallucinated_per_untagged": Measure("Tags per untagged clip", "lower", 3, "number"),
        "untagged_clean": Measure("Untagged clips kept clean", "higher"),
    }
)
"""Every metric of both protocols (`metrics.protocols`), in the order of tables."""

_ARROWS = {"lower": "↓", "higher": "↑"}
_SPACE = "\N{NO-BREAK SPACE}"
PAIRED = (
    "Differences are paired, in points where the metric is a percentage; better or worse is said "
    "where the interval leaves out 0."
)


def scores(
    evaluations: Mapping[str, Evaluation],
    metrics: Sequence[str] | None = None,
    protocol: Protocol = "strict",
    *,
    reference: str | None = None,
    seed: int = 0,
) -> Table:
    """Scores of several systems on the same clips, with 95 % intervals over clips.

    The frame is what `figures.system_scores`, `figures.core_metrics` and
    `figures.raft_differences` draw: `key`, `metric`, `direction`, `unit`; `<system>`,
    `<system>_low`, `<system>_high` of each system; and, of each but the reference, the paired
    difference to it as `<system>_difference`, `<system>_difference_low`, `…_high`.

    Args:
        evaluations: by system, in the order shown.
        metrics: keys of `MEASURES`; by default all that the protocol has.
        protocol: `paper` or `strict`.
        reference: the system that differences are taken to; by default the first. The last
            system's are shown.
        seed: of the bootstrap.

    Raises:
        UserError: no system, an unknown metric or reference, or different clips.
    """
    if not evaluations:
        raise UserError("there are no scores to show: evaluate at least one system")
    base = next(iter(evaluations)) if reference is None else reference
    if base not in evaluations:
        raise UserError(f"{base!r} was not evaluated: use one of {', '.join(evaluations)}")
    keys = _keys(evaluations, metrics, protocol)
    frame = pd.DataFrame({"key": keys})
    frame["metric"] = [MEASURES[key].label for key in keys]
    frame["direction"] = [MEASURES[key].direction for key in keys]
    frame["unit"] = [MEASURES[key].unit for key in keys]
    for name, evaluation in evaluations.items():
        columns = {name: evaluation.intervals(protocol, seed=seed)}
        if name != base:
            paired = compare(evaluation, evaluations[base], protocol, seed=seed)
            columns[f"{name}_difference"] = paired
        for column, found in columns.items():
            frame[column] = [found[key].value for key in keys]
            frame[f"{column}_low"] = [found[key].low for key in keys]
            frame[f"{column}_high"] = [found[key].high for key in keys]
    count = len(next(iter(evaluations.values())).clips)
    return _printed(frame, list(evaluations), base, f"{protocol} protocol, {count:,} clips")


def _keys(
    evaluations: Mapping[str, Evaluation], metrics: Sequence[str] | None, protocol: Protocol
) -> list[str]:
    tables = [evaluation.table(protocol) for evaluation in evaluations.values()]
    present = [key for key in MEASURES if all(key in table for table in tables)]
    wanted = present if metrics is None else list(metrics)
    unknown = [key for key in wanted if key not in present]
    if unknown:
        raise UserError(f"{protocol} has no metric {unknown[0]!r}: use {', '.join(present)}")
    return wanted


def _printed(frame: pd.DataFrame, systems: Sequence[str], base: str, what: str) -> Table:
    frame["shown_metric"] = [
        f"{m}{_SPACE}{_ARROWS[d]}" for m, d in zip(frame["metric"], frame["direction"], strict=True)
    ]
    headers = {"shown_metric": "Metric"}
    for name in systems:
        frame[f"shown_{name}"] = [with_interval(row, name) for row in frame.to_dict("records")]
        headers[f"shown_{name}"] = name[:1].upper() + name[1:]
    last = f"{systems[-1]}_difference"
    notes = [f"By the {what}; 95% bootstrap intervals over clips in brackets."]
    if last in frame:
        frame["shown_difference"] = [
            difference(row, systems[-1]) for row in frame.to_dict("records")
        ]
        headers["shown_difference"] = f"{systems[-1]} − {base}"
        notes.append(PAIRED)
    return Table(frame, headers, f"Scores, {what}.", notes=tuple(notes))


def with_interval(row: Mapping[str, object], column: str, *, signed: bool = False) -> str:
    """A value of a row of scores with its interval, in one cell.

    Args:
        row: of the frame of `scores`.
        column: `<system>`, or `<system>_difference` with `signed`.
        signed: print it as a difference.
    """
    measure = MEASURES[str(row["key"])]
    value, low, high = (float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    text = measure.points(value, signed=True) if signed else measure.value(value)
    if math.isnan(low):
        return text
    ends = f",{_SPACE}".join(measure.points(end, signed=signed) for end in (low, high))
    return f"{text}{_SPACE}[{ends}]"


def difference(row: Mapping[str, object], system: str) -> str | None:
    """A system's difference to the reference with its interval, and whether it is resolved.

    Args:
        row: of the frame of `scores`.
        system: whose difference; the reference has none.
    """
    column = f"{system}_difference"
    if column not in row:
        return None
    text = with_interval(row, column, signed=True)
    low, high = float(row[f"{column}_low"]), float(row[f"{column}_high"])
    if math.isnan(low) or low <= 0 <= high:
        return text
    return f"{text} {'better' if (low > 0) == (row['direction'] == 'higher') else 'worse'}"


def tag_scores(
    evaluations: Mapping[str, Evaluation], protocol: Protocol = "strict", *, seed: int = 0
) -> Table:
    """F1 of each of the 17 tags with 95 % intervals, in the report's order.

    The frame is what `figures.tag_f1_with_ceiling` draws: `tag`, `group`, `support`, and
    `<system>`, `<system>_low`, `<system>_high`; NaN for a tag that is nowhere.

    Args:
        evaluations: of the same clips, by system.
        protocol: `paper` or `strict`.
        seed: of the bootstrap.

    Raises:
        UserError: no system.
    """
    if not evaluations:
        raise UserError("there are no scores to show: evaluate at least one system")
    frame = pd.DataFrame({"tag": tags.TAGS, "group": [tags.group_of(t) for t in tags.TAGS]})
    counts = next(iter(evaluations.values())).tag_counts(protocol)
    frame["support"] = [counts[t].support if t in counts else 0 for t in tags.TAGS]
    frame["shown_tag"] = [f"[{tag}]" for tag in tags.TAGS]
    headers = {"shown_tag": "Tag", "group": "Group", "support": "Support"}
    for name, evaluation in evaluations.items():
        found = evaluation.intervals(protocol, seed=seed)
        ends = [found.get(f"f1[{tag}]") for tag in tags.TAGS]
        for column, end in ((name, "value"), (f"{name}_low", "low"), (f"{name}_high", "high")):
            frame[column] = [getattr(e, end) if e else math.nan for e in ends]
        frame[f"shown_{name}"] = [_f1(row, name) for row in frame.to_dict("records")]
        headers[f"shown_{name}"] = f"F1, {name}"
    caption = f"F1 of each tag with its 95% interval, {protocol} protocol."
    return Table(frame, headers, caption, {"support": COUNT})


def _f1(row: Mapping[str, float], name: str) -> str:
    form = Format("number", 2)
    if math.isnan(row[name]):
        return MISSING
    low, high = form(row[f"{name}_low"]), form(row[f"{name}_high"])
    return f"{form(row[name])}{_SPACE}[{low},{_SPACE}{high}]"
