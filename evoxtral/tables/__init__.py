"""Data in, table out: each table's headers, rules and sentences are in `layouts.yaml`.

Rates are printed in percent, differences in points. The frames of scores (`bench.score_frame`) are
pivoted here to systems side by side, which `evoxtral.figures` draws too.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import yaml

from evoxtral import bench, paper, tags
from evoxtral.bench import Split
from evoxtral.metrics import PROTOCOL, Evaluation, Protocol
from evoxtral.paper import Published
from evoxtral.tables.render import MISSING, Table, show, to_csv, to_html, to_latex, to_markdown

if TYPE_CHECKING:
    from evoxtral.raft import Curated

_DATA = yaml.safe_load(Path(__file__).with_name("layouts.yaml").read_text(encoding="utf-8"))
_LAYOUTS = _DATA["tables"]
_ARROWS = {"lower": "↓", "higher": "↑"}
_NAMES = {"sft": "SFT", "rl": "RL", "base": "Base"}
_SPACE = "\N{NO-BREAK SPACE}"
_ENDS = f"[{{}},{_SPACE}{{}}]"
_ENDINGS = ("low", "high", "seed_sd")
_Row: TypeAlias = Mapping[Hashable, Any]


class Measure(NamedTuple):
    """How a metric is called and printed."""

    label: str
    direction: Literal["lower", "higher"]  # which is better
    rule: str  # of `show`


MEASURES = {key: Measure(*said) for key, said in _DATA["measures"].items()}
"""Every metric of both protocols, in the order of tables."""


def of(name: str, frame: pd.DataFrame, notes: Sequence[str] = (), **said: object) -> Table:
    """A table by its name in `layouts.yaml`, which has its headers and rules.

    `notes` are sentences below it, after those of the layout; `said` is what caption, headers and
    notes name, such as `on`, the clips.
    """
    layout, shown, rows = _LAYOUTS[name], frame.copy(), frame.to_dict("records")
    for column, text in layout.get("texts", {}).items():
        shown[column] = [text.format(**row, label=_label(row.get("metric"))) for row in rows]
    for column, (prefix, rule) in layout.get("intervals", {}).items():
        ends, text = (f"{prefix}low", f"{prefix}high"), layout.get("ends", _ENDS)
        shown[column] = [_interval(map(row.get, ends), _rule(rule, row), text) for row in rows]
    headed = dict.fromkeys(frame, layout["others"]) if "others" in layout else {}
    headed |= {column: head for column, head in layout["columns"].items() if column in shown}
    headed = {c: (head, "text") if isinstance(head, str) else head for c, head in headed.items()}
    names = {"paper": bench.PAPER, "strict": bench.STRICT, **said}
    best = enumerate(_best(rows, layout))
    return Table(
        shown,
        {column: head.format(**names, column=column) for column, (head, _) in headed.items()},
        layout["caption"].format(**names),
        {c: [_rule(rule, row) for row in rows] or rule for c, (_, rule) in headed.items()},
        frozenset((place, column) for place, columns in best for column in columns),
        [*(note.format(**names) for note in layout.get("notes", ())), *notes],
    )


def _label(key: str | None) -> str | None:
    return MEASURES[key].label if key in MEASURES else _NAMES.get(key)


def _rule(rule: str, row: _Row) -> str:
    """A rule of `show` from one of a layout, which may leave it to the row."""
    kind, *words = rule.split()
    if kind == "metric":
        key = row.get("key", row["metric"])
        own = "number 3" if key in tags.TAGS else MEASURES[key].rule
        return points(own) + " signed" * ("signed" in words) if words else own
    if kind in _DATA["rules"]:
        cases = _DATA["rules"][kind]
        return cases.get(row[cases["by"]], cases.get("else")).format(**row)
    return rule


def points(rule: str) -> str:
    """The rule for differences and ends of intervals: a percentage has no sign there."""
    return rule.replace("percent", "points")


def _interval(ends: Iterable[float], rule: str, text: str = _ENDS) -> str | None:
    """Both ends of an interval as text, nothing where there is none."""
    shown = [show(end, rule) for end in ends]
    return None if MISSING in shown else text.format(*shown)


def _best(rows: Sequence[_Row], layout: Mapping[str, Any]) -> list[list[str]]:
    """The best columns of each row, ties together; none where all values present are the same."""
    found = []
    for row in rows:
        values = {c: row[c] for c in layout.get("best", ()) if not math.isnan(row[c])}
        way = min if row.get("direction") == "lower" else max
        differ = len(set(values.values())) > 1
        found.append([c for c, v in values.items() if differ and v == way(values.values())])
    return found


# Scores


def core(frame: pd.DataFrame) -> Table:
    """Core metrics as published (`paper.Published.core`), the printed best beside the computed."""
    best = _best(frame.to_dict("records"), _LAYOUTS["table2"])
    shown = frame.assign(
        shown_metric=frame["metric"] + " " + frame["direction"].map(_ARROWS),
        best_computed=[", ".join(map(_NAMES.get, own)) for own in best],
        best_printed=frame["best"].map(_NAMES),
    )
    differ = shown.loc[shown["best_printed"] != shown["best_computed"], "metric"]
    notes = [f"The printed best of {metric} is not the best of its row." for metric in differ]
    return of("table2", shown, notes)


def scores_frame(scores: pd.DataFrame, paired: pd.DataFrame | None = None) -> pd.DataFrame:
    """One protocol's scores as figures draw them, a row for each metric, in their order here.

    `key`, `metric` (its label), `direction`, `unit`, `protocol`, and the columns of `bench.wide`.
    """
    wide = bench.wide(scores, paired)
    keys = [key for key in MEASURES if key in wide.index]
    rows = [(key, m.label, m.direction, m.rule.split()[0]) for key in keys for m in [MEASURES[key]]]
    frame = pd.DataFrame(rows, columns=["key", "metric", "direction", "unit"])
    return frame.assign(protocol=scores["protocol"].iloc[0]).join(wide, on="key")


def scores(evaluations: Mapping[str, Evaluation], protocol: Protocol) -> Table:
    """Scores of several systems on the same clips, with 95 % intervals over clips.

    Differences are taken to the first system; the last one's are shown. A `UserError` where clips
    differ.
    """
    name, split, [base, *others] = f"{protocol}/{PROTOCOL}", Split("", evaluations), evaluations
    chosen, pairs = {name: bench.OVERALL[name]}, [(base, system) for system in others]
    return side_by_side(
        bench.score_frame(split, chosen),
        bench.paired_frame(split, pairs, chosen),
        trainings=_trainings(evaluations),
        on=f"{split.clips:,} clips",
    )


def side_by_side(
    scores: pd.DataFrame, paired: pd.DataFrame, *, trainings: int, on: object
) -> Table:
    """One protocol's scores, a column for each system, and the last pair's differences.

    Both are frames of `evoxtral.bench`; a system has at most one reference. `on` names the clips.
    """
    frame = scores_frame(scores, paired)
    frame["shown_metric"] = frame["metric"] + _SPACE + frame["direction"].map(_ARROWS)
    headers = {"shown_metric": "Metric"}
    for system in scores["system"].unique():
        frame[f"shown_{system}"] = _cells(frame, system, "metric")
        headers[f"shown_{system}"] = system[:1].upper() + system[1:]
    notes = [covered(trainings)]
    if len(paired):
        last = paired.iloc[-1]
        frame["shown_difference"] = _differences(frame, last["system"])
        headers["shown_difference"] = "{system} − {reference}".format(**last)
        notes.append(_DATA["paired"])
    caption = _DATA["beside"].format(protocol=scores["protocol"].iloc[0], on=on)
    return Table(frame, headers, caption, notes=notes)


def _cells(frame: pd.DataFrame, column: str, rule: str) -> list[str]:
    """Values of a column with their intervals, in one cell."""
    cells = []
    for row in frame.to_dict("records"):
        ends = row[f"{column}_low"], row[f"{column}_high"]
        apart = row.get(f"{column}_seed_sd", math.nan)
        cells.append(cell(row[column], ends, _rule(rule, row), apart))
    return cells


def cell(value: float, ends: Iterable[float], rule: str, apart: float = math.nan) -> str:
    """A value by a rule of `show`, its interval, and its spread between trainings, if known."""
    parts = [show(value, rule), _interval(ends, points(rule))]
    if not math.isnan(apart):
        parts.append(show(apart, points(rule).removesuffix(" signed") + " ±"))
    return _SPACE.join(filter(None, parts))


def _trainings(evaluations: Mapping[str, Evaluation]) -> int:
    """How often the systems were trained."""
    return max(1 + len(own.repeats) for own in evaluations.values())


def covered(trainings: int) -> str:
    """What intervals in brackets cover, of systems trained so often."""
    return _DATA["one_training" if trainings == 1 else "trainings"].format(count=trainings)


def _differences(frame: pd.DataFrame, system: str) -> list[str] | None:
    """Differences to the reference, which has none, with their intervals and what they show."""
    if f"{system}_difference" not in frame:
        return None
    cells = _cells(frame, f"{system}_difference", "metric signed")
    ends = (frame[f"{system}_difference_{end}"] for end in ("low", "high"))
    said = (verdict(*own) for own in zip(frame["key"], *ends, strict=True))
    return [f"{cell} {own}".rstrip() for cell, own in zip(cells, said, strict=True)]


def verdict(metric: str, low: float, high: float) -> str:
    """Whether the interval of a difference says better or worse; empty where it says neither."""
    if not (low > 0 or high < 0):
        return ""
    return "better" if (low > 0) == (MEASURES[metric].direction == "higher") else "worse"


def by_metric(
    scores: pd.DataFrame,
    caption: str,
    notes: Sequence[str] = (),
    metrics: Sequence[str] = bench.HEADLINE,
    **headers: str,
) -> Table:
    """`bench.headline` with a column for each metric, a row for each value of `headers`' columns.

    Of the metrics only those named are shown. The frame has the protocol, and the values of all as
    `<metric>`, `<metric>_low` and the like.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in scores.to_dict("records"):
        names = {name: row[name] for name in [*headers, "protocol"]}
        own = rows.setdefault(tuple(names.values()), names)
        key, ends = row["metric"], (row["low"], row["high"])
        own |= {key: row["value"]} | {f"{key}_{end}": row[end] for end in _ENDINGS}
        own[f"{key}_shown"] = cell(row["value"], ends, MEASURES[key].rule, row["seed_sd"])
    heads = {
        f"{key}_shown": f"{MEASURES[key].label}{_SPACE}{_ARROWS[MEASURES[key].direction]}"
        for key in metrics
    }
    return Table(pd.DataFrame(rows.values()), headers | heads, caption, notes=notes)


def tag_scores(evaluations: Mapping[str, Evaluation]) -> Table:
    """F1 of each of the 17 tags with 95 % intervals, in the report's order, protocol strict.

    The frame is what figures draw: `tag`, `group`, `support`, `protocol`, and `<system>`,
    `<system>_low`, `<system>_high`; NaN for a tag that is nowhere.
    """
    chosen = {bench.STRICT: bench.PROTOCOLS[bench.STRICT]}
    found = bench.by_tag(bench.score_frame(Split("", evaluations), chosen))
    support = found.groupby("tag")["support"].first().reindex(tags.TAGS, fill_value=0)
    frame = pd.DataFrame({"tag": tags.TAGS, "group": map(tags.group_of, tags.TAGS)}).assign(
        support=support.to_numpy(),
        shown_tag=[f"[{tag}]" for tag in tags.TAGS],
        protocol=bench.STRICT,
    )
    ends = ("", *(f"_{end}" for end in _ENDINGS))
    columns = [f"{system}{end}" for system in evaluations for end in ends]
    frame = frame.join(bench.wide(found, key="tag").reindex(columns=columns), on="tag")
    headers = {"shown_tag": "Tag", "group": "Group", "support": "Support"}
    for system in evaluations:
        cells = _cells(frame, system, "number 2")
        frame.insert(frame.columns.get_loc(f"{system}_high") + 1, f"shown_{system}", cells)
        headers[f"shown_{system}"] = f"F1, {system}"
    caption = "F1 of each tag, strict protocol."
    notes = [covered(_trainings(evaluations))]
    return Table(frame, headers, caption, {"support": "count"}, notes=notes)


def grid(scores: pd.DataFrame, chosen: str, trainings: int) -> Table:
    """A row for each system of `bench.headline`, a column for each metric, and which was chosen."""
    notes = [covered(trainings), _DATA["chosen"].format(chosen=chosen)]
    caption = "Recipes and controls on the same clips, strict protocol."
    return by_metric(scores, caption, notes, system="Recipe")


def by_verdict(paired: pd.DataFrame) -> pd.DataFrame:
    """What each comparison of `bench.paired_frame` shows, in words.

    `system | reference | pair | protocol | better | worse | unresolved`: metrics and their changes,
    missing where there are none.
    """
    ends = {end: f"difference_{end}" for end in _ENDINGS}
    cells = _cells(paired.rename(columns=ends), "difference", "metric signed")
    intervals = zip(paired["metric"], paired["low"], paired["high"], strict=True)
    said = zip(paired["metric"].map(MEASURES), cells, strict=True)
    rows = paired.assign(
        said=[f"{measure.label}{_SPACE}{own}" for measure, own in said],
        verdict=[verdict(*own) or "unresolved" for own in intervals],
        pair=paired["system"] + " − " + paired["reference"],
    )
    names = ["system", "reference", "pair", "protocol"]
    wide = rows.pivot_table("said", names, "verdict", "; ".join, sort=False)
    return wide.reindex(columns=["better", "worse", "unresolved"]).reset_index()


def takeaways(paired: pd.DataFrame, spreads: pd.Series, chosen: str, trainings: int) -> Table:
    """What each comparison of `bench.headline` shows, better and worse, and what it does not.

    `spreads` are those of `raft.spreads`, `chosen` is the recipe that validation chose.
    """
    same = f"{(spreads == 0).mean():.1%} of {len(spreads):,}"
    notes = [covered(trainings), _DATA["chosen"].format(chosen=chosen)]
    return of("takeaways", by_verdict(paired), notes, same=same)


# Data and training


def audibility(frame: pd.DataFrame) -> Table:
    """Linear probes on simple statistics of the sound (`chapter.audible`)."""
    bands = zip(frame["low"], frame["high"], strict=True)
    target = [f"≥ {low:g}" if high == 1 else f"{low:g}–{high:g}" for low, high in bands]
    note = "An error of 0 only says that no test clip was out of order."
    if frame.empty:
        note = "This source has no clips with and without a tag to compare."
    return of("audibility", frame.assign(shown_tag="[" + frame["tag"] + "]", target=target), [note])


def near_duplicates(pairs: pd.DataFrame, **facts: object) -> Table:
    """The ten pairs of texts most alike (`chapter.filter_alike`)."""
    shown = pairs.head(10)
    shown = shown.assign(stay=shown["kept"].map({True: "both", False: "one"}))
    return of("near_duplicates", shown, shown=len(shown), pairs=len(pairs), **facts)


def targets(frame: pd.DataFrame, caption: str) -> Table:
    """Goals before and after rebalancing (`balance.rebalance`)."""
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    return of("targets", frame, caption=caption, count=len(frame), met=met, reached=reached)


def composition(sets: Mapping[str, pd.DataFrame], name: str) -> Table:
    """One table of the composition note for sets of `composition.judge`, side by side.

    Rows and targets are those of the first set; what another set does not have is missing. In
    brackets stands whether it passes.
    """
    first = next(iter(sets.values()))
    frame = first.loc[first["table"] == name, ["row", "target", "unit"]].reset_index(drop=True)
    headers, passed = {"row": "Row", "target": "Target"}, []
    for label, judged in sets.items():
        own = judged[judged["table"] == name].set_index("row").reindex(frame["row"])
        frame[label] = own["measured"].to_numpy()
        frame[f"{label}: pass"] = own["pass"].fillna("not known").to_numpy()
        shown = [
            f"{show(row[label], _rule('unit', row))} ({row[f'{label}: pass']})"
            for row in frame.to_dict("records")
        ]
        frame[f"{label}: shown"] = shown
        headers[f"{label}: shown"] = label.capitalize()
        passed.append(f"{label} {(own['pass'] == 'yes').sum()}")
    note = f"Rows that pass, of {len(frame)}: {', '.join(passed)}."
    return Table(frame, headers, _DATA["compositions"][name], notes=[note])


def recipe(name: str, this_run: Mapping[str, object], *printed: pd.DataFrame) -> Table:
    """Settings as printed (first two columns of each frame) and of this run, by a layout's name.

    Capitals of settings are ignored; one that is nowhere printed gets a row of its own.
    """
    sources = [dict(frame.iloc[:, :2].to_numpy()) for frame in printed]
    sources.append({name: _setting(value) for name, value in this_run.items()})
    names: dict[str, str] = {}
    for setting in chain(*sources):
        names.setdefault(setting.casefold(), setting)
    folded = [{key.casefold(): value for key, value in source.items()} for source in sources]
    rows = [(shown, *(own.get(key) for own in folded)) for key, shown in names.items()]
    return of(name, pd.DataFrame(rows, columns=list(_LAYOUTS[name]["columns"])))


def _setting(value: object) -> str:
    """A setting in words; small numbers as Table 1 prints them."""
    if isinstance(value, float):
        return paper.scientific(value) if 0 < value < 1e-3 else f"{value:g}"
    return show(value, "count" if isinstance(value, int) else "text")


def parameter_counts(frame: pd.DataFrame, numbers: Published) -> Table:
    """Parameters of this run's model (`part | total | trainable`) beside Voxtral-Mini-3B's."""
    rank, mini = int(numbers.numbers["lora_rank"]), "Voxtral-Mini-3B"
    columns = ["part", "total", "trainable"]
    printed = (numbers.numbers[f"{name}_parameters"] for name in columns[1:])
    rows = [(f"{mini}, as printed", *printed)]
    for encoder, name in ((True, "adapted"), (False, "frozen")):
        count = paper.lora_parameter_count(rank, encoder=encoder)
        rows.append((f"{mini}, encoder {name}", math.nan, count))
    shown = pd.concat([frame[columns], pd.DataFrame(rows, columns=columns)], ignore_index=True)
    shown["share"] = shown["trainable"] / shown["total"]
    return of("parameter_counts", shown, rank=rank)


def epochs(frame: pd.DataFrame, best: int) -> Table:
    """Validation before training and after every epoch (`Tuned.epochs`); the best one is marked."""
    rows = frame.dropna(axis="columns", how="all")
    rows = rows.assign(kept=["kept" if epoch == best else "" for epoch in rows["epoch"].round()])
    return of("epochs", rows.filter(_LAYOUTS["epochs"]["columns"]))


def learnt(frame: pd.DataFrame, system: str) -> Table:
    """Tags of each group by whether a system's F1 reaches one half; the frame of `tag_scores`."""
    rows = frame.dropna(subset=system).sort_values(system, ascending=False)
    told = zip(rows["tag"], rows[system], strict=True)
    said = pd.Series([f"[{tag}]{_SPACE}{f1:.2f}" for tag, f1 in told], rows.index, dtype=object)
    parts = {"learnt": rows[system] >= 0.5, "not_learnt": rows[system] < 0.5}
    columns = {name: said[own].groupby(rows["group"]).agg(", ".join) for name, own in parts.items()}
    made = pd.DataFrame(columns).reindex([g for g in tags.GROUPS if g in set(rows["group"])])
    return of("learnt", made.rename_axis("group").reset_index(), system=system)


def curation(
    curated: Mapping[str, Curated | str], numbers: Published, facts: Mapping[str, Any]
) -> Table:
    """What each curation kept, or why it kept nothing, under the report's own row.

    Below stands what is learnt of it, by `raft.facts`.
    """
    names = ("train_clips", "curated_clips", "reward_threshold", "mean_before", "mean_reward")
    rows, failed = [("Report", *map(numbers.numbers.get, names))], ""
    for name, c in curated.items():
        if isinstance(c, str):
            rows.append((name, *[None] * len(names)))
            failed += f" By {name}: {c}."
        else:
            mean = c.best["reward"].mean()
            rows.append((name, len(c.best), c.kept, c.threshold, mean, c.mean_after))
    columns = ["clips", "kept", "threshold", "mean_before", "mean_after"]
    frame = pd.DataFrame(rows, columns=["rule", *columns]).astype(dict.fromkeys(columns, float))
    frame = frame.assign(share=frame["kept"] / frame["clips"])
    return of("curation", frame, failed=failed, **facts)


def speed_conditions(said: pd.DataFrame) -> Table:
    """What each part was measured on."""
    device = said["gpu"].fillna(said["processor"])
    return of("conditions", said.assign(device=device, commit=said["commit"].str[:9]))


def floors(rounds: pd.DataFrame) -> Table:
    """A GPU's times beside the least that arithmetic allows (`cost.real_size`)."""
    found = rounds.groupby("work", sort=False)[["seconds", "floor"]].median().reset_index()
    return of("floors", found.assign(share=found["floor"] / found["seconds"]))


def forecast(frame: pd.DataFrame) -> Table:
    """Memory and time of every step, predicted (`cost.forecasts`)."""
    times = {name: frame[name].map(_duration) for name in ("floor", "expected")}
    return of("forecast", frame.assign(**times))


def _duration(seconds: float) -> str | None:
    """A time as people say it.

    >>> _duration(0.44), _duration(61), _duration(625)
    ('0.4 s', '61 s', '10 min')
    """
    if math.isnan(seconds):
        return None
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
