"""Tables of scores: systems side by side, and what 00 and 04 show, as headers and formats.

Rates are printed in percent, differences in points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pandas as pd

from evoxtral import bench, tags
from evoxtral.bench import Split
from evoxtral.metrics import PROTOCOL, Evaluation, Protocol
from evoxtral.tables.model import COUNT, MISSING, TEXT, Direction, Format, Table, best_in_row


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
_RATE, _POINTS = Format("percent", 1), Format("points", 1, signed=True)
_NUMBER, _SIGNED, _F1 = Format("number", 2), Format("number", 2, signed=True), Format("number", 3)
_INTERVAL = ("95% interval", TEXT)
_N = ("n", COUNT)
_ERROR = Format("points", 1, prefix="±", suffix=" pp")

_Row: TypeAlias = Mapping[str, Any]
_Rule: TypeAlias = Format | Callable[[_Row], Format]


def _measured(row: _Row, *, signed: bool = False, bare: bool = False) -> Format:
    """How a row's metric is printed: `signed` as a difference, `bare` without a percent sign."""
    key = row.get("key", row["metric"])
    if key in tags.TAGS:
        return replace(_F1, signed=signed)
    measure = MEASURES[key]
    kind = "points" if signed or bare else "percent"
    return Format(kind if measure.unit == "percent" else "number", measure.decimals, signed=signed)


def _signed(row: _Row) -> Format:
    return _measured(row, signed=True)


def _bare(row: _Row) -> Format:
    return _measured(row, bare=True)


def _claimed(row: _Row) -> Format:
    if row["unit"] == "count":
        return COUNT
    if row["unit"] == "percent":
        return Format("percent", row["decimals"])
    sign = {"signed": True} if row["unit"] == "points" else {"prefix": "±"}
    return Format("points", row["decimals"], suffix=" pp", **sign)


@dataclass(frozen=True)
class _Layout:
    """Caption, columns as (header, rule), columns of intervals as (prefix of the ends, rule)."""

    caption: str
    columns: Mapping[str, tuple[str, _Rule]]
    intervals: Mapping[str, tuple[str, _Rule]] = field(default_factory=dict)
    best: tuple[str, ...] = ()
    ends: str = _ENDS


_SYSTEM = {"system": ("System", TEXT), "protocol": ("Protocol", TEXT)}
_SCORES = {
    **_SYSTEM,
    "shown_metric": ("Metric", TEXT),
    "value": ("Value", _measured),
    "interval": _INTERVAL,
    "n": ("Clips", COUNT),
}
_TAGS = {"shown_tag": ("Tag", TEXT), "group": ("Group", TEXT)}
_COMPARED = {
    "system": ("System", TEXT),
    "metric": ("Metric", TEXT),
    "paper": ("Paper", _measured),
    "measured": ("Measured", _measured),
    "delta": ("Delta", _signed),
    "interval": _INTERVAL,
    "n_paper": ("n, paper", COUNT),
    "n": _N,
    "verdict": ("Verdict", TEXT),
}
_CONFUSED = {
    "true": ("True tag", TEXT),
    "predicted": ("Predicted tag", TEXT),
    "count": ("Times", COUNT),
    "share": ("Share", _RATE),
}
_LAYOUTS = {
    "architecture": _Layout(
        "The embedded model has every part of Voxtral, small.",
        {"part": ("", TEXT), "tiny": ("Embedded model", COUNT),
         "mini": ("Voxtral-Mini-3B-2507", COUNT)},
    ),
    "corpus": _Layout(
        "What the base learns from, and what it is tested on.",
        {"part": ("Part", TEXT), "clips": ("Clips", COUNT), "hours": ("Hours", Format("number", 1)),
         "voices": ("Voices", COUNT), "texts": ("Distinct texts", COUNT)},
    ),
    "transcription": _Layout(
        "Word error rate on unheard speech, and transcripts that hold a bracket.",
        {"set": ("Test set", TEXT), "clips": ("Clips", COUNT), "wer": ("WER, as written", _RATE),
         "wer_normalised": ("WER, normalised", _RATE), "interval": _INTERVAL,
         "tagged": ("Transcripts with a tag", COUNT)},
        {"interval": ("", Format("points", 1))},
        ends="{} to {}%",
    ),
    "probes": _Layout(
        "How well a line through the frozen encoder's features tells each tag, in unheard voices.",
        {**_TAGS, "auc": ("AUC", _F1), "clips": ("Test clips", COUNT)},
    ),
    "sources": _Layout(
        "Files of published numbers.",
        {"file": ("File", TEXT), "source": ("Source", TEXT), "place": ("Place", TEXT),
         "note": ("Note", TEXT)},
    ),
    "table1": _Layout(
        "Table 1. Settings of supervised fine-tuning.",
        {"hyperparameter": ("Hyperparameter", TEXT), "value": ("Value", TEXT)},
    ),
    "rl_settings": _Layout(
        "Settings of the RL stage (RAFT), from the model card.",
        {"parameter": ("Parameter", TEXT), "value": ("Value", TEXT)},
    ),
    "compared": _Layout(
        f"Table {{number}} beside this run: {{on}}, {bench.PAPER}.",
        _COMPARED,
        {"interval": ("", _bare)},
    ),
    "changes": _Layout(
        "What each stage changes, in points, {on}, paired.",
        {"step": ("Step", TEXT), "metric": ("Metric", TEXT), "paper": ("Paper", _signed),
         "measured": ("Measured", _signed), "delta": ("Delta", _signed), "interval": _INTERVAL,
         "n": _N, "direction": ("Direction", TEXT), "verdict": ("Verdict", TEXT)},
        {"interval": ("", _signed)},
    ),
    "scores": _Layout(
        "All systems, both protocols, {on}.", _SCORES, {"interval": ("", _bare)}
    ),
    "table3": _Layout(
        "Table 3. F1 of each tag, as published.",
        {"shown_tag": ("Tag", TEXT), "sft": ("SFT F1", _F1), "rl": ("RL F1", _F1),
         "delta": ("Δ, printed", TEXT), "support": ("Support", COUNT)},
        best=("sft", "rl"),
    ),
    "rare_tags": _Layout(
        f"Each tag, {{on}}, {bench.STRICT}.",
        {**_SYSTEM, "shown_tag": ("Tag", TEXT), "precision": ("Precision", _F1),
         "recall": ("Recall", _F1), "value": ("F1", _F1), "interval": _INTERVAL,
         "predicted": ("Predicted", COUNT), "support": ("Support", COUNT)},
        {"interval": ("", _F1)},
    ),
    "confused": _Layout("{system}: most frequent confusions, {on}.", _CONFUSED),
    "tag_bias": _Layout(
        "Tags per clip, predicted and true, {on}.",
        {"system": ("System", TEXT), "true": ("True tags per clip", _NUMBER),
         "predicted": ("Predicted", _NUMBER), "difference": ("Difference", _SIGNED),
         "interval": _INTERVAL, "ratio": ("Predicted / true", _NUMBER),
         "ratio_interval": _INTERVAL, "same": ("Clips with the same number", _RATE),
         "n": ("Clips", COUNT)},
        {"interval": ("", _SIGNED), "ratio_interval": ("ratio_", _NUMBER)},
    ),
    "counterparts": _Layout(
        "Counterparts in public benchmarks.",
        {**_TAGS, **{name: (name, TEXT) for name in ("nvv16", "wesr", "nvv45")}},
    ),
    "events": _Layout(
        "Vocal events alone, in the style of public benchmarks, {on}.",
        _SCORES, {"interval": ("", _bare)},
    ),
    "claims": _Layout(
        "Published claims, recomputed.",
        {"claim": ("Claim", TEXT), "printed": ("Printed", _claimed),
         "recomputed": ("Recomputed", _claimed), "verdict": ("Verdict", TEXT),
         "note": ("Note", TEXT)},
    ),
    "per_tag_changes": _Layout(
        "Changes of Table 3, recomputed.",
        {"tag": ("Tag", TEXT), "delta": ("Δ, printed", TEXT),
         "relative": ("Relative", Format("percent", 2, signed=True)), "points": ("Points", _POINTS),
         "counts_sft": ("SFT hits/predicted", TEXT), "counts_rl": ("RL hits/predicted", TEXT),
         "fewest_events": ("Fewest events", COUNT), "support": ("Support", COUNT)},
    ),
    "tag_f1_errors": _Layout(
        "Standard error of mean Tag F1.",
        {"shown_metric": ("Tag F1 of", TEXT), "mean": ("Mean", _RATE),
         "assumption": ("Per-clip spread", TEXT), "sd": ("sd", _NUMBER),
         "se": ("Standard error", _ERROR)},
    ),
    "spread": _Layout(
        "Spread of Tag F1 between clips, measured instead of assumed.",
        {"system": ("System", TEXT), "mean": ("Mean Tag F1", _RATE), "sd": ("sd of clips", _NUMBER),
         "se_few": ("Standard error, {few} clips", _ERROR),
         "se": ("Standard error, {clips:,} clips", _ERROR)},
    ),
    "label_noise": _Layout(
        "Hallucination with labels removed on purpose, {on}.",
        {**_SYSTEM, "share": ("Labels missing", Format("percent")),
         "value": ("Hallucination", _RATE), "interval": _INTERVAL,
         "rise": ("Rise, points", _POINTS), "rise_interval": _INTERVAL, "n": ("Clips", COUNT)},
        {"interval": ("", Format("points", 1)), "rise_interval": ("rise_", _POINTS)},
    ),
    "limits": _Layout(
        "Limits of the report, section 6.",
        {"limit": ("Limit", TEXT), "said": ("The report", TEXT),
         "measured": ("Measured here", TEXT)},
    ),
    "choices": _Layout(
        "Which model for which use, {on}.",
        {"use": ("Use", TEXT), "protocol": ("Protocol", TEXT), "choice": ("Choice", TEXT),
         "metric": ("By", TEXT), "best": ("Best", TEXT), "value": ("Value", _RATE),
         "rival": ("Next", TEXT), "rival_value": ("Value", _RATE),
         "difference": ("Difference, points", _POINTS),
         "interval": ("95% interval, paired", TEXT), "n": _N},
        {"interval": ("", _POINTS)},
    ),
}  # fmt: skip


def of(name: str, frame: pd.DataFrame, notes: Sequence[str] = (), **said: object) -> Table:
    """A table of 00 or 04 by its name: its headers and formats are data.

    Args:
        name: a key of the layouts, mostly the file's name.
        frame: what it shows, see the function that makes it.
        notes: sentences below it.
        said: what caption and headers name, such as `on`, the clips.
    """
    layout = _LAYOUTS[name]
    shown = frame.copy()
    if "shown_metric" in layout.columns:
        labels = {key: measure.label for key, measure in MEASURES.items()} | _NAMES
        shown["shown_metric"] = frame["metric"].map(labels)
    if "shown_tag" in layout.columns:
        shown["shown_tag"] = [f"[{tag}]" for tag in frame["tag"]]
    rows = frame.to_dict("records")
    for column, (prefix, rule) in layout.intervals.items():
        shown[column] = [_interval(row, prefix, rule, layout.ends) for row in rows]
    formats = {
        column: rule if isinstance(rule, Format) else [rule(row) for row in rows]
        for column, (_, rule) in layout.columns.items()
    }
    headers = {column: header.format(**said) for column, (header, _) in layout.columns.items()}
    bold = _best(frame, layout.best, ["higher"] * len(frame)) if layout.best else frozenset()
    return Table(shown, headers, layout.caption.format(**said), formats, bold, notes)


def _interval(row: _Row, prefix: str, rule: _Rule, ends: str) -> str | None:
    """Both ends of an interval as text, nothing where there is none."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    if math.isnan(low) or math.isnan(high):
        return None
    form = rule if isinstance(rule, Format) else rule(row)
    return ends.format(form(low), form(high))


def _best(
    frame: pd.DataFrame, columns: Sequence[str], directions: Sequence[Direction]
) -> frozenset[tuple[int, str]]:
    """The best cells of each row as (row position, column)."""
    rows = zip(frame[list(columns)].to_dict("records"), directions, strict=True)
    return frozenset(
        (place, column) for place, (row, way) in enumerate(rows) for column in best_in_row(row, way)
    )


def systems(frame: pd.DataFrame, protocols: Iterable[str]) -> Table:
    """The systems, and how many clips of each split they wrote down (`Measured.clip_counts`)."""
    splits = frame.columns[2:]
    headers = {"system": "System", "origin": "What it is"}
    headers |= {name: f"Clips, {name}" for name in splits}
    notes = (
        f"Protocols: {', '.join([*bench.PROTOCOLS, *protocols])}. "
        "No score stands without the name of its protocol in the CSV.",
    )
    return Table(frame, headers, "Systems measured.", dict.fromkeys(splits, COUNT), notes=notes)


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
    """One protocol's scores as `figures.system_scores` and `figures.raft_differences` draw them.

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

    The frame is what `figures.tag_f1_with_ceiling` draws: `tag`, `group`, `support`, `protocol`,
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
