"""What `03_raft.ipynb` shows: facts for Figure 1, one clip's completions, recipes side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from evoxtral import UserError, figures, metrics, sft, tables
from evoxtral.datamix import TRAIN
from evoxtral.figures import RaftFacts
from evoxtral.metrics import Evaluation
from evoxtral.params import Raft
from evoxtral.pipeline import Setup, transcripts
from evoxtral.raft.curation import Curated, curate
from evoxtral.raft.recipes import RaftRecipe, controls, grid
from evoxtral.raft.run import Refined, Round, refine
from evoxtral.raft.scoring import TERMS, group_table

SFT, RL = "SFT", "RL"


def facts(cfg: Raft, recipe: RaftRecipe, refined: Refined) -> RaftFacts:
    """What Figure 1 says of this run's last round."""
    last = refined.rounds[-1]
    weights = recipe.weights
    return RaftFacts(
        clips=last.scored["clip"].nunique(),
        completions=recipe.k,
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        weights=(weights.accuracy, weights.tags, weights.hallucination),
        filtered_share=recipe.drop_share,
        threshold=last.curated.threshold or 0.0,
        kept=last.curated.kept,
        mean_reward=last.curated.mean_after,
        epochs=cfg.epochs,
        learning_rate=cfg.learning_rate,
        final_loss=float(last.tuned.steps["loss"].iloc[-1]),
        prompts="Training clips" if recipe.prompts == TRAIN else "Clips that SFT has not seen",
    )


def one_clip(setup: Setup, recipe: RaftRecipe, done: Round) -> Any:
    """The completions of the clip whose rewards lie furthest apart, the chosen one outlined."""
    groups = group_table(done.scored)
    clip = str(groups.loc[groups["spread"].idxmax(), "clip"])
    reference = next(c.tagged_text for c in setup.clips(recipe.prompts) if c.id == clip)
    rows = done.scored[done.scored["clip"] == clip]
    best = rows.sort_values(["reward", "index"], ascending=[False, True]).iloc[0]
    return figures.completions(reference, rows, int(best["index"]), recipe.weights)


def curations(best: pd.DataFrame, recipe: RaftRecipe) -> dict[str, Curated | str]:
    """The selected completions curated by both rules, or why a rule keeps none of them."""
    made: dict[str, Curated | str] = {}
    for rule, name in (("report", "this run, report's rule"), ("exact", "this run, our rule")):
        try:
            made[name] = curate(best, rule, share=recipe.drop_share)
        except UserError as reason:
            made[name] = str(reason)
    return made


def curve_columns() -> tuple[str, ...]:
    """Scores whose best-of-k curve is drawn: the reward and its terms."""
    return ("reward", *TERMS)


def tag_changes(scores: pd.DataFrame) -> Figure:
    """Each tag's F1 under SFT and RL, of the frame of `tables.tag_scores`."""
    renamed = scores.rename(columns={SFT: "sft", RL: "rl"})
    return figures.per_tag_dumbbell(renamed[renamed["support"] > 0])


def takeaways(scores: pd.DataFrame, groups: pd.DataFrame, chosen: str) -> list[tuple[str, str]]:
    """Questions that the notebook set out with, answered by its numbers.

    Args:
        scores: frame of `tables.scores` with SFT as the reference.
        groups: of `raft.group_table`.
        chosen: the recipe that validation chose.
    """
    rows = {row["key"]: row for row in scores.to_dict("records")}
    answers = [
        (f"Does RL change {rows[key]['metric']}?", _change(rows[key], RL))
        for key in ("tag_f1_tagged", "wer", "hallucinated_per_untagged")
        if key in rows and f"{RL}_difference" in rows[key]
    ]
    share = float((groups["spread"] == 0).mean())
    answers.append(
        ("Of how many clips do all completions earn the same?", f"{share:.1%} of {len(groups):,}")
    )
    answers.append(("Which recipe does validation choose?", chosen))
    return answers


def _change(row: Mapping[str, Any], system: str) -> str:
    measure = tables.MEASURES[row["key"]]
    change, low, high = (row[f"{system}_difference{end}"] for end in ("", "_low", "_high"))
    better = change < 0 if measure.direction == "lower" else change > 0
    verdict = "no difference shown"
    if low > 0 or high < 0:
        verdict = "better" if better else "worse"
    ends = f"{measure.points(low, signed=True)} to {measure.points(high, signed=True)}"
    return (
        f"{measure.value(row[SFT])} to {measure.value(row[system])}: "
        f"{measure.points(change, signed=True)} ({ends}), {verdict}"
    )


def compared(
    cfg: Raft, setup: Setup, start: Path, own: RaftRecipe, refined: Refined
) -> dict[str, Path]:
    """Adapters by name: SFT, this run's RL, and whatever `compare` asks for, trained if missing."""
    wanted: dict[str, RaftRecipe] = {}
    prompts = len(setup.clips(own.prompts))
    if cfg.compare != "none":
        wanted |= controls(own, prompts)
    if cfg.compare == "grid":
        wanted |= grid(own, prompts)
    made = {
        name: refine(cfg, setup, start, recipe, name).adapter for name, recipe in wanted.items()
    }
    return {SFT: start, RL: refined.adapter, **made}


def best_by_validation(
    setup: Setup, adapters: Mapping[str, Path], split: str = "validation"
) -> tuple[str, dict[str, Evaluation]]:
    """The recipe with the highest mean reward (`strict`) on validation, and all evaluations.

    SFT itself is a candidate: a recipe has to beat it.
    """
    scored = sft.evaluate(setup, split, adapters)
    references = [clip.tagged_text for clip in setup.clips(split)]
    means = {name: _mean_reward(references, setup, split, path) for name, path in adapters.items()}
    return max(means, key=lambda name: means[name]), scored


def _mean_reward(references: list[str], setup: Setup, split: str, adapter: Path) -> float:
    heard = transcripts(setup, split, adapter)
    pairs = zip(references, heard, strict=True)
    rewards = [metrics.reward(ref, own, convention="strict").total for ref, own in pairs]
    return sum(rewards) / len(rewards)
