"""Tables by their layouts, and those of scores: systems side by side, single tags.

Rates are printed in percent, differences in points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import yaml

from evoxtral import bench, tags
from evoxtral.bench import Split
from evoxtral.metrics import PROTOCOL, Evaluation, Protocol
from evoxtral.tables.model import COUNT, MISSING, Direction, Format, Table, best_in_row


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


MEASURES: Mapping[str, Measure] = {
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
    "f1": Measure("F1", "higher"),
    "f1_macro": Measure("F1, mean over types", "higher"),
    "distance": Measure("Tag distance", "lower"),
    "tagged_wer": Measure("WER, tags as words", "lower", 2),
    "score": Measure("Score", "higher"),
}
"""Every metric of both protocols and of `evoxtral.events`, in the order of tables."""

SYSTEM_LABELS = {"base": "Base Voxtral", "sft": "Evoxtral SFT", "rl": "Evoxtral RL"}
PAIRED = (
    "Differences are paired, in points where the metric is a percentage; better or worse is said "
    "where the interval leaves out 0."
)

_ARROWS = {"lower": "↓", "higher": "↑"}
_NAMES = {"sft": "SFT", "rl": "RL", "base": "Base"}
_SPACE = "\N{NO-BREAK SPACE}"
_ENDS = f"[{{}},{_SPACE}{{}}]"
_NUMBER, _F1 = Format("number", 2), Format("number", 3)

_Row: TypeAlias = Mapping[str, Any]
LAYOUTS = yaml.safe_load(Path(__file__).with_name("layouts.yaml").read_text(encoding="utf-8"))


def of(name: str, frame: pd.DataFrame, notes: Sequence[str] = (), **said: object) -> Table:
    """A table by its name in `layouts.yaml`, which has its headers and formats.

    Args:
        name: of the layout.
        frame: what it shows, see the function that makes it.
        notes: sentences below it, after those of the layout.
        said: what caption, headers and notes name, such as `on`, the clips.
    """
    layout, rows = LAYOUTS[name], frame.to_dict("records")
    headed = dict(layout["columns"])
    if layout.get("optional"):
        headed = {column: rule for column, rule in headed.items() if column in frame}
    if "others" in layout:
        headed |= {column: layout["others"] for column in frame if column not in headed}
    headed = {c: (v, "text") if isinstance(v, str) else v for c, v in headed.items()}
    shown = frame.copy()
    if "shown_metric" in headed:
        labels = {key: measure.label for key, measure in MEASURES.items()} | _NAMES
        shown["shown_metric"] = frame["metric"].map(labels)
    if "shown_tag" in headed:
        shown["shown_tag"] = [f"[{tag}]" for tag in frame["tag"]]
    ends = layout.get("ends", _ENDS)
    for column, (prefix, rule) in layout.get("intervals", {}).items():
        shown[column] = [_interval(row, prefix, rule, ends) for row in rows]
    names = {"paper": bench.PAPER, "strict": bench.STRICT, **said}
    return Table(
        shown,
        {c: header.format(**names, column=c) for c, (header, _) in headed.items()},
        layout["caption"].format(**names),
        {
            column: [_format(rule, row) for row in rows] if "{" in rule else _format(rule, {})
            for column, (_, rule) in headed.items()
        },
        _best(frame, layout["best"], ["higher"] * len(frame)) if "best" in layout else frozenset(),
        (*(note.format(**names) for note in layout.get("notes", ())), *notes),
    )


def _format(rule: str, row: _Row) -> Format:
    """A rule of `layouts.yaml` for a row."""
    if rule.startswith("{metric}"):
        return _measured(row, signed="signed" in rule, bare="bare" in rule)
    if rule == "{claim}":
        return _claimed(row)
    if rule == "{goal}":
        return COUNT if row["table"] == "examples" else Format("percent", 1)
    kind, *rest = rule.split()
    decimals = int(rest.pop(0)) if rest else 0
    prefix = "±" if "±" in rest else ""
    unit = "".join(word for word in rest if word not in ("signed", "±"))
    return Format(kind, decimals, "signed" in rest, prefix, " pp" if unit == "pp" else unit)


def _measured(row: _Row, *, signed: bool, bare: bool) -> Format:
    """How a row's metric is printed: `signed` as a difference, `bare` without a percent sign."""
    key = row.get("key", row["metric"])
    if key in tags.TAGS:
        return replace(_F1, signed=signed)
    measure = MEASURES[key]
    kind = "points" if signed or bare else "percent"
    return Format(kind if measure.unit == "percent" else "number", measure.decimals, signed=signed)


def _claimed(row: _Row) -> Format:
    if row["unit"] == "count":
        return COUNT
    if row["unit"] == "percent":
        return Format("percent", row["decimals"])
    sign = {"signed": True} if row["unit"] == "points" else {"prefix": "±"}
    return Format("points", row["decimals"], suffix=" pp", **sign)


def _interval(row: _Row, prefix: str, rule: str, ends: str) -> str | None:
    """Both ends of an interval as text, nothing where there is none."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    form = _format(rule, row)
    return None if math.isnan(low) or math.isnan(high) else ends.format(form(low), form(high))


def _best(
    frame: pd.DataFrame, columns: Sequence[str], directions: Sequence[Direction]
) -> frozenset[tuple[int, str]]:
    """The best cells of each row as (row position, column)."""
    rows = zip(frame[list(columns)].to_dict("records"), directions, strict=True)
    return frozenset(
        (place, column) for place, (row, way) in enumerate(rows) for column in best_in_row(row, way)
    )


def confused(frame: pd.DataFrame, *, most: int = 10, **said: object) -> Table:
    """The most frequent confusions, missed and invented tags included (`analyses.confusion`)."""
    wrong = frame[(frame["true"] != frame["predicted"]) & (frame["count"] > 0)]
    shown = wrong.sort_values("count", ascending=False, kind="stable").head(most)
    notes = (
        f"{len(shown)} of {len(wrong):,} kinds of error shown.",
        "Share of the true tag; where a tag was invented, of the predicted one.",
    )
    return of("confused", shown, notes, **said)


def core(frame: pd.DataFrame) -> Table:
    """Core metrics as published (report, Table 2); the best of each row is computed.

    Args:
        frame: `paper.Published.core`; its `best` is shown beside the computed best.
    """
    systems, ways = list(SYSTEM_LABELS), frame["direction"]
    best = _best(frame, systems, ways)
    computed = [
        ", ".join(_NAMES[s] for s in systems if (row, s) in best) for row in range(len(frame))
    ]
    shown = frame.assign(
        shown_metric=[f"{m} {_ARROWS[d]}" for m, d in zip(frame["metric"], ways, strict=True)],
        best_computed=computed,
        best_printed=frame["best"].map(_NAMES),
    )
    differ = shown.loc[shown["best_printed"] != shown["best_computed"], "metric"]
    # The report prints the two error rates with two digits and everything else with one.
    digits = [Format("percent", 2 if key in ("wer", "cer") else 1) for key in frame["key"]]
    return Table(
        shown,
        {"shown_metric": "Metric", **SYSTEM_LABELS, "best_printed": "Best, printed",
         "best_computed": "Best, computed"},
        "Table 2. Core metrics on Evoxtral-Bench, as published.",
        dict.fromkeys(systems, digits),
        best,
        [f"The printed best of {metric} is not the best of its row." for metric in differ],
    )  # fmt: skip


def scores(
    evaluations: Mapping[str, Evaluation],
    metrics: Sequence[str] | None = None,
    protocol: Protocol = "strict",
    *,
    reference: str | None = None,
    seed: int = 0,
) -> Table:
    """Scores of several systems on the same clips, with 95 % intervals over clips.

    Args:
        evaluations: by system, in the order shown.
        metrics: keys of `MEASURES`; by default all that the protocol has.
        protocol: `paper` or `strict`.
        reference: the system that differences are taken to; by default the first. The last
            system's are shown.
        seed: of the bootstrap.

    Raises:
        UserError: different clips.
    """
    base = next(iter(evaluations)) if reference is None else reference
    name = f"{protocol}/{PROTOCOL}"
    chosen = {name: bench.PROTOCOLS[name]}
    split = Split("", evaluations)
    frame = bench.overall(bench.score_frame(split, chosen, seed=seed))
    paired = bench.paired_frame(split, base, chosen, seed=seed)
    made = scores_frame(frame, paired, metrics)
    return _side_by_side(
        made, list(evaluations), base, f"{protocol} protocol, {split.clips:,} clips"
    )


def scores_frame(
    scores: pd.DataFrame, paired: pd.DataFrame | None = None, metrics: Sequence[str] | None = None
) -> pd.DataFrame:
    """One protocol's scores as `figures.system_scores` draws them.

    Returns:
        `bench.wide` with `metric` (its label), `direction` and `unit`, in the order of `MEASURES`.
    """
    found = bench.wide(scores, paired).set_index("key")
    keys = [key for key in MEASURES if key in found.index] if metrics is None else list(metrics)
    frame = found.loc[keys].reset_index()
    frame.insert(1, "metric", [MEASURES[key].label for key in keys])
    frame.insert(2, "direction", [MEASURES[key].direction for key in keys])
    frame.insert(3, "unit", [MEASURES[key].unit for key in keys])
    return frame


def _side_by_side(frame: pd.DataFrame, systems: Sequence[str], base: str, what: str) -> Table:
    rows = frame.to_dict("records")
    shown = {
        "shown_metric": [f"{row['metric']}{_SPACE}{_ARROWS[row['direction']]}" for row in rows],
        **{f"shown_{name}": [with_interval(row, name) for row in rows] for name in systems},
    }
    headers = {f"shown_{name}": name[:1].upper() + name[1:] for name in systems}
    notes = [f"By the {what}; 95% bootstrap intervals over clips in brackets."]
    last = systems[-1]
    if f"{last}_difference" in frame:
        shown["shown_difference"] = [difference(row, last) for row in rows]
        headers["shown_difference"] = f"{last} − {base}"
        notes.append(PAIRED)
    headers = {"shown_metric": "Metric", **headers}
    return Table(frame.assign(**shown), headers, f"Scores, {what}.", notes=notes)


def with_interval(row: Mapping[str, object], column: str, *, signed: bool = False) -> str:
    """A value of a row of `scores` with its interval, in one cell.

    Args:
        row: of the frame.
        column: `<system>`, or `<system>_difference` with `signed`.
        signed: print it as a difference.
    """
    measure = MEASURES[str(row["key"])]
    value, low, high = (float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    text = measure.points(value, signed=True) if signed else measure.value(value)
    if math.isnan(low):
        return text
    ends = (measure.points(end, signed=signed) for end in (low, high))
    return f"{text}{_SPACE}{_ENDS.format(*ends)}"


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

    The frame is what `figures.tag_f1` draws: `tag`, `group`, `support`, `protocol`,
    and `<system>`, `<system>_low`, `<system>_high`; NaN for a tag that is nowhere.
    """
    name = f"{protocol}/{PROTOCOL}"
    found = bench.by_tag(
        bench.score_frame(Split("", evaluations), {name: bench.PROTOCOLS[name]}, seed=seed)
    )
    frame = pd.DataFrame({"tag": tags.TAGS, "group": [tags.group_of(t) for t in tags.TAGS]})
    support = found.groupby("tag")["support"].first()
    frame["support"] = support.reindex(tags.TAGS, fill_value=0).to_numpy()
    frame["shown_tag"] = [f"[{tag}]" for tag in tags.TAGS]
    frame["protocol"] = name
    headers = {"shown_tag": "Tag", "group": "Group", "support": "Support"}
    for system in evaluations:
        own = found[found["system"] == system].set_index("tag").reindex(tags.TAGS)
        for column, end in (
            (system, "value"),
            (f"{system}_low", "low"),
            (f"{system}_high", "high"),
        ):
            frame[column] = own[end].to_numpy()
        frame[f"shown_{system}"] = [
            MISSING
            if math.isnan(v)
            else f"{_NUMBER(v)}{_SPACE}{_ENDS.format(_NUMBER(a), _NUMBER(b))}"
            for v, a, b in zip(own["value"], own["low"], own["high"], strict=True)
        ]
        headers[f"shown_{system}"] = f"F1, {system}"
    caption = f"F1 of each tag with its 95% interval, {protocol} protocol."
    return Table(frame, headers, caption, {"support": COUNT})
