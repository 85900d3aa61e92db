"""Tables of the data (01), of training (02, 03) and of speed (05) whose rows are made here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import claims
from evoxtral.metrics import Evaluation, Protocol
from evoxtral.paper import Published, scientific
from evoxtral.tables.bench import (
    LAYOUTS,
    MEASURES,
    PAIRED,
    difference,
    of,
    scores,
    with_interval,
)
from evoxtral.tables.model import COUNT, TEXT, Format, Table

if TYPE_CHECKING:
    from evoxtral.raft import Curated

_UNITS = {"share": Format("percent", 1), "count": COUNT, "text": TEXT}
_GRID: Mapping[Protocol, tuple[str, ...]] = {
    "paper": ("wer", "tag_f1", "hallucination"),
    "strict": ("wer", "tag_f1", "hallucinated_per_untagged"),
}


def audibility(frame: pd.DataFrame) -> Table:
    """Linear probes on simple statistics of the sound (`chapter.audible`)."""
    bands = zip(frame["low"], frame["high"], strict=True)
    shown = frame.assign(
        shown_tag=[f"[{tag}]" for tag in frame["tag"]],
        target=[f"≥ {low:g}" if high == 1 else f"{low:g}–{high:g}" for low, high in bands],
    )
    note = "An error of 0 only says that no test clip was out of order."
    if frame.empty:
        note = "This source has no clips with and without a tag to compare."
    return of("audibility", shown, [note])


def near_duplicates(pairs: pd.DataFrame, **facts: object) -> Table:
    """The ten pairs of texts most alike (`chapter.filter_alike`)."""
    shown = pairs.head(10)
    shown = shown.assign(stay=["both" if both else "one" for both in shown["kept"]])
    return of("near_duplicates", shown, shown=len(shown), pairs=len(pairs), **facts)


def targets(frame: pd.DataFrame, caption: str) -> Table:
    """Goals before and after rebalancing (`balance.rebalance`)."""
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    return of("targets", frame, caption=caption, count=len(frame), met=met, reached=reached)


def composition(sets: Mapping[str, pd.DataFrame], name: str) -> Table:
    """One table of the composition note for several sets side by side.

    Rows and targets are those of the first set; what another set does not have is missing.

    Args:
        sets: `composition.judge` by name of the set.
        name: of the table.
    """
    first = next(iter(sets.values()))
    frame = first.loc[first["table"] == name, ["row", "target", "unit"]].reset_index(drop=True)
    headers, passed = {"row": "Row", "target": "Target"}, []
    for label, judged in sets.items():
        own = judged[judged["table"] == name].set_index("row").reindex(frame["row"])
        frame[label] = own["measured"].to_numpy()
        frame[f"{label}: pass"] = own["pass"].fillna("not known").to_numpy()
        headers |= {label: label.capitalize(), f"{label}: pass": "Pass"}
        passed.append(f"{label} {(own['pass'] == 'yes').sum()}")
    rules = [_UNITS[unit] for unit in frame["unit"]]
    formats = dict.fromkeys(sets, rules)
    note = f"Rows that pass, of {len(frame)}: {', '.join(passed)}."
    return Table(frame, headers, LAYOUTS["compositions"][name], formats, notes=(note,))


def recipe(this_run: Mapping[str, object], numbers: Published) -> Table:
    """Table 1 of the report, the composition note's advice, and what this run did.

    A setting of `this_run` that the report does not have gets a row of its own; capitals are
    ignored.
    """
    report = dict(numbers.hyperparameters[["hyperparameter", "value"]].to_numpy())
    note = dict(numbers.sft_advice[["hyperparameter", "advice"]].to_numpy())
    rows: dict[str, str] = {}
    for name in (*report, *note, *this_run):
        rows.setdefault(name.casefold(), name)
    ours = {name.casefold(): _setting(value) for name, value in this_run.items()}
    found = [(name, report.get(name), note.get(name), ours.get(key)) for key, name in rows.items()]
    return _rows("recipe", found)


def rl_recipe(this_run: Mapping[str, object], numbers: Published) -> Table:
    """The card's settings of the second stage, and what this run did."""
    printed = dict(numbers.rl_settings[["parameter", "value"]].to_numpy())
    names = dict.fromkeys((*printed, *this_run))
    return _rows("rl_recipe", [(name, printed.get(name), this_run.get(name)) for name in names])


def _rows(name: str, rows: Sequence[tuple[object, ...]]) -> Table:
    """A table of the layout's columns and no others."""
    return of(name, pd.DataFrame(rows, columns=list(LAYOUTS[name]["columns"])))


def _setting(value: object) -> str:
    """A setting in words; small numbers as Table 1 prints them."""
    if isinstance(value, float):
        return scientific(value) if 0 < value < 1e-3 else f"{value:g}"
    return COUNT(value) if isinstance(value, int) else str(value)


def parameter_counts(frame: pd.DataFrame, numbers: Published) -> Table:
    """Parameters of this run's model (`part | total | trainable`) beside Voxtral-Mini-3B's."""
    rank, mini = int(numbers.numbers["lora_rank"]), "Voxtral-Mini-3B"
    printed = (numbers.numbers[f"{name}_parameters"] for name in ("total", "trainable"))
    rows = [(f"{mini}, as printed", *printed)]
    for encoder, name in ((True, "adapted"), (False, "frozen")):
        count = claims.lora_parameter_count(rank, encoder=encoder)
        rows.append((f"{mini}, encoder {name}", math.nan, count))
    columns = ["part", "total", "trainable"]
    shown = pd.concat([frame[columns], pd.DataFrame(rows, columns=columns)], ignore_index=True)
    shown["share"] = shown["trainable"] / shown["total"]
    return of("parameter_counts", shown, rank=rank)


def epochs(frame: pd.DataFrame, best: int) -> Table:
    """Validation after every epoch, of `Tuned.epochs`; the best one is marked as kept."""
    rows = frame[frame["step"] > 0].dropna(axis="columns", how="all")
    rows = rows.assign(kept=["kept" if epoch == best else "" for epoch in rows["epoch"].round()])
    return of("epochs", rows.filter(LAYOUTS["epochs"]["columns"]))


def learnt(groups: Mapping[str, Sequence[str]]) -> Table:
    """Tags by what became of them."""
    rows = [(name, len(own), ", ".join(f"[{tag}]" for tag in own)) for name, own in groups.items()]
    return _rows("learnt", rows)


def curation(curated: Mapping[str, Curated | str], numbers: Published) -> Table:
    """What each curation kept, or why it kept nothing, under the report's own row."""
    names = ("train_clips", "curated_clips", "reward_threshold", "mean_before", "mean_reward")
    rows = {"Report": [numbers.numbers.get(name) for name in names]}
    failed = ""
    for name, c in curated.items():
        if isinstance(c, str):
            rows[name] = [None] * len(names)
            failed += f" By {name}: {c}."
        else:
            mean = c.best["reward"].mean()
            rows[name] = [len(c.best), c.kept, c.threshold, mean, c.mean_after]
    columns = ["clips", "kept", "threshold", "mean_before", "mean_after"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype="float64")
    frame["share"] = frame["kept"] / frame["clips"]
    return of("curation", frame.rename_axis("rule").reset_index(), failed=failed)


def grid(
    evaluations: Mapping[str, Evaluation], chosen: str, protocol: Protocol = "strict"
) -> Table:
    """Recipes and controls, one row each: scores and paired differences to SFT.

    The frame holds every value, interval and difference as `<metric>`, `<metric>_low`, ….

    Args:
        evaluations: by recipe, on the same clips, in the order shown.
        chosen: the recipe that validation chose; named below the table.
        protocol: `paper` or `strict`.
    """
    made = scores(evaluations, _GRID[protocol], protocol, reference="SFT")
    rows, headers = {name: {"recipe": name} for name in evaluations}, {"recipe": "Recipe"}
    for found in made.frame.to_dict("records"):
        key = found["key"]
        label = MEASURES[key].label
        headers |= {f"{key}_shown": label, f"{key}_change": f"Δ {label}"}
        for name, row in rows.items():
            for part in ("", "_low", "_high", "_difference", "_difference_low", "_difference_high"):
                row[f"{key}{part}"] = found.get(f"{name}{part}", math.nan)
            row[f"{key}_shown"] = with_interval(found, name)
            row[f"{key}_change"] = difference(found, name)
    notes = (*made.notes[:1], f"Δ is the difference to SFT. {PAIRED}",
             f"Chosen on validation: {chosen}.")  # fmt: skip
    frame = pd.DataFrame(rows.values())
    return Table(frame, headers, "Recipes and controls on the same clips.", notes=notes)


def takeaways(frame: pd.DataFrame, groups: pd.DataFrame, chosen: str) -> Table:
    """Questions that 03 set out with, answered by its numbers.

    Args:
        frame: of `scores` with SFT as the reference.
        groups: of `raft.group_table`.
        chosen: the recipe that validation chose.
    """
    found = {row["key"]: row for row in frame.to_dict("records")}
    rows = [
        (f"Does RL change {found[key]['metric']}?", _change(found[key]))
        for key in ("tag_f1_tagged", "wer", "hallucinated_per_untagged")
        if key in found
    ]
    share = float((groups["spread"] == 0).mean())
    rows += [
        ("Of how many clips do all completions earn the same?", f"{share:.1%} of {len(groups):,}"),
        ("Which recipe does validation choose?", chosen),
    ]
    return _rows("takeaways", rows)


def _change(row: Mapping[str, object]) -> str:
    """SFT's value, RL's, and the difference with its interval and a verdict."""
    measure = MEASURES[row["key"]]
    change, low, high = (row[f"RL_difference{end}"] for end in ("", "_low", "_high"))
    verdict = "no difference shown"
    if low > 0 or high < 0:
        verdict = "better" if (change < 0) == (measure.direction == "lower") else "worse"
    ends = f"{measure.points(low, signed=True)} to {measure.points(high, signed=True)}"
    return (
        f"{measure.value(row['SFT'])} to {measure.value(row['RL'])}: "
        f"{measure.points(change, signed=True)} ({ends}), {verdict}"
    )


def exponents(slopes: pd.DataFrame) -> Table:
    """How time grows with size (`speed.exponents`)."""
    sizes = zip(slopes["smallest"], slopes["largest"], strict=True)
    return of("growth", slopes.assign(sizes=[f"{low:,} to {high:,}" for low, high in sizes]))


def speed_conditions(said: pd.DataFrame) -> Table:
    """What each part was measured on."""
    device = said["gpu"].fillna(said["processor"])
    return of("conditions", said.assign(device=device, commit=said["commit"].str[:9]))


def floors(rounds: pd.DataFrame) -> Table:
    """A GPU's times beside the least that arithmetic allows (`speed.real_size`)."""
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
    if seconds != seconds:
        return None
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
