"""Tables of rejection sampling: what curation kept, and the grid of recipes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import UserError
from evoxtral.metrics import Evaluation, Protocol
from evoxtral.tables.model import COUNT, Format, Table
from evoxtral.tables.scores import MEASURES, PAIRED, difference, scores, with_interval

if TYPE_CHECKING:
    from evoxtral.paper import Published
    from evoxtral.raft import Curated


GRID_METRICS: Mapping[Protocol, tuple[str, ...]] = {
    "paper": ("wer", "tag_f1", "hallucination"),
    "strict": ("wer", "tag_f1", "hallucinated_per_untagged"),
}
"""What a recipe is judged by, by protocol."""

_REWARD = Format("number", 3)


def curation(curated: Mapping[str, Curated | str], numbers: Published) -> Table:
    """What each curation kept, under the report's own row.

    Args:
        curated: by name, such as the rule that made it; or why that rule kept nothing.
        numbers: the published numbers.

    Raises:
        UserError: nothing was curated.
    """
    if not curated:
        raise UserError("there is no curation to show: curate the best completions first")
    paper = numbers.numbers
    clips, kept = int(paper["train_clips"]), int(paper["curated_clips"])
    rows: list[tuple[object, ...]] = [
        ("Report", clips, kept, paper["reward_threshold"], math.nan, paper["mean_reward"])
    ]
    rows += [
        (name, math.nan, math.nan, math.nan, math.nan, math.nan)
        if isinstance(c, str)
        else (name, c.kept + c.dropped, c.kept, c.threshold, c.mean_before, c.mean_after)
        for name, c in curated.items()
    ]
    failed = [f" By {name}: {c}." for name, c in curated.items() if isinstance(c, str)]
    columns = ["rule", "clips", "kept", "threshold", "mean_before", "mean_after"]
    frame = pd.DataFrame(rows, columns=columns)
    frame[columns[1:]] = frame[columns[1:]].astype("float64")
    frame["share"] = frame["kept"] / frame["clips"]
    headers = {
        "rule": "Rule",
        "clips": "Clips",
        "kept": "Kept",
        "share": "Share",
        "threshold": "Threshold",
        "mean_before": "Mean reward, all",
        "mean_after": "Mean reward, kept",
    }
    formats = {
        "clips": COUNT,
        "kept": COUNT,
        "share": Format("percent", 1),
        **dict.fromkeys(("threshold", "mean_before", "mean_after"), _REWARD),
    }
    caption = "".join(["Best completions before and after curation.", *failed])
    return Table(frame, headers, caption, formats)


def grid(
    evaluations: Mapping[str, Evaluation],
    metrics: Sequence[str] | None = None,
    protocol: Protocol = "strict",
    *,
    reference: str = "SFT",
    chosen: str | None = None,
    seed: int = 0,
) -> Table:
    """Recipes and controls, one row each: scores and paired differences to one of them.

    The frame holds every value, interval and difference as `<metric>`, `<metric>_low`, ….

    Args:
        evaluations: by recipe, on the same clips, in the order shown.
        metrics: keys of `MEASURES`; by default `GRID_METRICS`.
        protocol: `paper` or `strict`.
        reference: the recipe that differences are taken to.
        chosen: the recipe that validation chose; named below the table.
        seed: of the bootstrap.

    Raises:
        UserError: no recipe, an unknown metric, reference or choice, or different clips.
    """
    if chosen is not None and chosen not in evaluations:
        raise UserError(f"{chosen!r} was not evaluated: use one of {', '.join(evaluations)}")
    wanted = GRID_METRICS[protocol] if metrics is None else metrics
    made = scores(evaluations, wanted, protocol, reference=reference, seed=seed)
    by_metric = made.frame.to_dict("records")
    frame = pd.DataFrame([_recipe(name, by_metric) for name in evaluations])
    headers = {"recipe": "Recipe"}
    for key in wanted:
        headers |= {
            f"{key}_shown": MEASURES[key].label,
            f"{key}_change": f"Δ {MEASURES[key].label}",
        }
    notes = [
        *made.notes[:1],
        f"Δ is the difference to {reference}. {PAIRED}",
    ]
    if chosen is not None:
        notes.append(f"Chosen on validation: {chosen}.")
    return Table(frame, headers, "Recipes and controls on the same clips.", notes=tuple(notes))


def _recipe(name: str, by_metric: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """One recipe's values out of the rows of a frame of scores."""
    row: dict[str, object] = {"recipe": name}
    for found in by_metric:
        key = str(found["key"])
        for part in ("", "_low", "_high", "_difference", "_difference_low", "_difference_high"):
            row[f"{key}{part}"] = found.get(f"{name}{part}", math.nan)
        row[f"{key}_shown"] = with_interval(found, name)
        row[f"{key}_change"] = difference(found, name)
    return row
