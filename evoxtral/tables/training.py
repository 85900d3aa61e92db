"""Tables of fine-tuning (02) and of rejection sampling (03)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import claims
from evoxtral.metrics import Evaluation, Protocol
from evoxtral.paper import Published, scientific
from evoxtral.tables.bench import MEASURES, PAIRED, difference, scores, with_interval
from evoxtral.tables.model import COUNT, Format, Table

if TYPE_CHECKING:
    from evoxtral.selection import Curated

_SHARE, _REWARD = Format("percent", 1), Format("number", 3)
_EPOCHS = {
    "epoch": ("Epoch", Format("number", 0)),
    "validation_loss": ("Validation loss", _REWARD),
    "validation_wer": ("WER", _SHARE),
    "validation_tag_f1": ("Tag F1 (paper)", _SHARE),
    "validation_strict_tag_f1": ("Tag F1 (strict, tagged clips)", _SHARE),
    "plain_wer": ("WER, plain speech", _SHARE),
}
_CURATION = {
    "rule": "Rule",
    "clips": "Clips",
    "kept": "Kept",
    "share": "Share",
    "threshold": "Threshold",
    "mean_before": "Mean reward, all",
    "mean_after": "Mean reward, kept",
}
_GRID: Mapping[Protocol, tuple[str, ...]] = {
    "paper": ("wer", "tag_f1", "hallucination"),
    "strict": ("wer", "tag_f1", "hallucinated_per_untagged"),
}


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
    frame = pd.DataFrame(
        [(name, report.get(name), note.get(name), ours.get(key)) for key, name in rows.items()],
        columns=["parameter", "report", "note", "run"],
    )
    headers = ("Setting", "Report, Table 1", "Composition note", "This run")
    return Table(
        frame, dict(zip(frame, headers, strict=True)), "Settings of supervised fine-tuning."
    )


def rl_recipe(this_run: Mapping[str, object], numbers: Published) -> Table:
    """The card's settings of the second stage, and what this run did."""
    printed = dict(numbers.rl_settings[["parameter", "value"]].to_numpy())
    names = dict.fromkeys((*printed, *this_run))
    rows = [(name, printed.get(name), this_run.get(name)) for name in names]
    frame = pd.DataFrame(rows, columns=["parameter", "paper", "run"])
    headers = ("Setting", "Model card", "This run")
    return Table(frame, dict(zip(frame, headers, strict=True)), "Settings of the RL stage.")


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
    headers = {"part": "", "total": "Parameters", "trainable": "Trainable", "share": "Share"}
    formats = {"total": COUNT, "trainable": COUNT, "share": _SHARE}
    note = (
        f"The printed count is that of LoRA of rank {rank} with the encoder's q, k and v adapted, "
        "rounded; the last two rows are counted from layer shapes."
    )
    return Table(shown, headers, "What is trained, and what is not.", formats, notes=(note,))


def epochs(frame: pd.DataFrame, best: int) -> Table:
    """Validation after every epoch, of `Tuned.epochs`; the best one is marked as kept."""
    frame = frame[frame["step"] > 0]
    shown = {
        name: rule for name, rule in _EPOCHS.items() if name in frame and frame[name].notna().any()
    }
    rows = frame[list(shown)].assign(
        kept=["kept" if epoch == best else "" for epoch in frame["epoch"].round()]
    )
    headers = {name: header for name, (header, _) in shown.items()} | {"kept": ""}
    formats = {name: form for name, (_, form) in shown.items()}
    return Table(rows, headers, "Validation after every epoch.", formats)


def learnt(groups: Mapping[str, Sequence[str]]) -> Table:
    """Tags by what became of them."""
    rows = [(name, len(own), ", ".join(f"[{tag}]" for tag in own)) for name, own in groups.items()]
    frame = pd.DataFrame(rows, columns=["group", "count", "tags"])
    headers = {"group": "What became of them", "count": "Tags", "tags": "Which"}
    note = (
        "Learnt: F1 of one half or more. Audible: the linear probe reaches an AUC of 0.9, so the "
        "encoder holds the tag."
    )
    caption = "What was learnt, and what was not."
    return Table(frame, headers, caption, {"count": COUNT}, notes=(note,))


def curation(curated: Mapping[str, Curated | str], numbers: Published) -> Table:
    """What each curation kept, or why it kept nothing, under the report's own row."""
    paper = numbers.numbers
    names = ("train_clips", "curated_clips", "reward_threshold", "mean_before", "mean_reward")
    rows = {"Report": [paper.get(name) for name in names]}
    failed = []
    for name, c in curated.items():
        if isinstance(c, str):
            rows[name] = [None] * len(names)
            failed.append(f" By {name}: {c}.")
        else:
            rows[name] = [c.kept + c.dropped, c.kept, c.threshold, c.mean_before, c.mean_after]
    columns = [name for name in _CURATION if name not in ("rule", "share")]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype="float64")
    frame["share"] = frame["kept"] / frame["clips"]
    formats = {"clips": COUNT, "kept": COUNT, "share": _SHARE}
    formats |= dict.fromkeys(("threshold", "mean_before", "mean_after"), _REWARD)
    caption = "".join(["Best completions before and after curation.", *failed])
    return Table(frame.rename_axis("rule").reset_index(), _CURATION, caption, formats)


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
        groups: of `selection.group_table`.
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
    headers = {"question": "Question", "answer": "Answer"}
    return Table(pd.DataFrame(rows, columns=list(headers)), headers, "What can be said.")


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
