"""RAFT, rejection sampling fine-tuning, from an SFT adapter to a better one (report section 3.3).

Sample, score, select, curate, fine-tune; validation chooses among the recipes compared. Chance
comes from a digest of seed and clip id: what is drawn for a clip depends on no other clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from evoxtral import UserError, model, pipeline, processes, runs, stats, tags
from evoxtral.clips import Clip
from evoxtral.decode import Decoding, in_batches, plan_batches
from evoxtral.metrics import Evaluation
from evoxtral.metrics.rewards import Convention, RewardWeights, reward
from evoxtral.mix.source import TRAIN
from evoxtral.params import Raft, Sft, profile
from evoxtral.pipeline import VALIDATION, Setup
from evoxtral.processes import progress
from evoxtral.stats import Ratio
from evoxtral.train import Tuned

COMPLETIONS = "completions.jsonl"
SFT, RL = "SFT", "RL"

TERMS = ("wer", "tag_f1", "hallucination")
"""Columns the reward is made of, as in `metrics.rewards`; WER may exceed 1."""

Rule = Literal["report", "exact"]
_CODE = ("evoxtral.model", "evoxtral.decode", "evoxtral.raft")
_DECIMALS = 12  # further ones are the order of summation, and would break ties of equal texts


class Recipe(Raft):
    """Parameters of 03, and two that only its controls change.

    Learnt is the best completion by reward, a random one, or the reference in its place; sampled
    are the first `clips` of the split, or all.
    """

    select: Literal["best", "random", "reference"] = "best"
    clips: int | None = None

    @property
    def weights(self) -> RewardWeights:
        """Of the reward's terms."""
        return RewardWeights(self.accuracy_weight, self.tag_weight, self.hallucination_weight)


def recipe_of(cfg: Raft) -> Recipe:
    """The notebook's recipe; a `UserError` where weights do not sum to 1 or an adapter is none."""
    if cfg.adapter:
        model.find_adapter(cfg.adapter, runs.root())
    recipe = Recipe(**cfg.model_dump())
    assert recipe.weights
    return recipe


def others(own: Recipe, prompts: int) -> dict[str, Recipe]:
    """What `compare` sets beside our recipe, which samples so many prompts.

    Controls are what a gain has to be told from; the grid adds one change at a time from the
    report's recipe to ours, and beyond it.
    """

    def changed(recipe: Recipe, **changes: object) -> Recipe:
        return recipe.model_copy(update=changes)

    report = changed(own, prompts=TRAIN, convention="report", curation="report", drop_flat=False,
                     untagged=0.0, rounds=1, clips=prompts)  # fmt: skip
    controls = {
        "SFT continued": changed(own, select="reference"),
        "random of k": changed(own, select="random"),
        "report's recipe": report,
    }
    unseen = changed(report, prompts="raft_prompts", curation="exact")
    strict = changed(unseen, convention="strict")
    negatives = changed(strict, untagged=0.15)
    grid = controls | {
        "unseen prompts": unseen,
        "+ strict reward": strict,
        "+ untagged 15%": negatives,
        "+ flat groups dropped": changed(negatives, drop_flat=True),
        "+ hotter": changed(negatives, temperature=1.2 * own.temperature),
        "+ two rounds": changed(negatives, rounds=2),
    }
    return {"none": {}, "controls": controls, "grid": grid}[own.compare]


# Sampling


def sample(
    setup: Setup, recipe: Recipe, clips: Sequence[Clip], adapter: Path, seed: int
) -> pd.DataFrame:
    """K completions of each clip by an adapter, as a stage that survives being killed.

    Each batch of one plan is a file: a resumed run, or another process, takes the missing ones. In
    float32 on one thread per process the bytes are the same however many processes there were.

    Returns:
        `clip | index | text | tokens | finished`, in the order of clips and indices.
    """
    key = recipe.model_dump(include={"k", "temperature", "top_p", "sample_batch"})
    key |= {"seed": seed, **pipeline.decoding_key(setup, clips, adapter)}

    def make(folder: Path) -> None:
        system, heard = pipeline.listener(setup, recipe.prompts, adapter)
        split, prompter = setup.clips(recipe.prompts), setup.prompter
        place = {clip.id: i for i, clip in enumerate(split)}
        plan = plan_batches(heard, [place[clip.id] for clip in clips], recipe.sample_batch)
        parts = {folder / f"part-{number:06d}.jsonl": batch for number, batch in enumerate(plan)}
        mine = processes.share([part for part in parts if not part.exists()])
        processes.barrier()  # nobody writes before everybody has looked
        settings = Decoding(setup.max_new_tokens, recipe.temperature, recipe.top_p)

        def seeds(clip: int) -> list[int]:
            return [_drawn(seed, split[clip].id, j) >> 192 for j in range(recipe.k)]

        batches = [parts[part] for part in mine]
        work = in_batches(system, prompter, heard, batches, settings, seeds)
        with progress(recipe.k * sum(map(len, batches)), "completions", unit="completion") as bar:
            for part, batch, made in zip(mine, batches, work, strict=True):
                new = [
                    {"clip": split[i].id, "index": j} | one.row(prompter)
                    for i, group in zip(batch, made, strict=True)
                    for j, one in enumerate(group)
                ]
                runs.write_jsonl(part, new)
                bar.update(len(new))
        processes.barrier()
        if processes.is_main():
            rows = [row for part in parts for row in runs.read_jsonl(part)]
            rows.sort(key=lambda row: (place[row["clip"]], row["index"]))
            runs.write_jsonl(folder / COMPLETIONS, rows)
            for part in parts:
                part.unlink()

    made = runs.stage("completions", recipe.profile, key, make, code=_CODE, together=True)
    return pd.DataFrame(runs.read_jsonl(made.path / COMPLETIONS))


def _drawn(*of: object) -> int:
    """A number in 0 … 2^256 - 1 that looks random and depends on a seed, a clip and the like."""
    return int(runs.digest(of), 16)


# From completions to a training set


def score(
    completions: pd.DataFrame,
    references: Mapping[str, str],
    weights: RewardWeights,
    convention: Convention,
) -> pd.DataFrame:
    """Reward of each completion of `sample` (equation 1; `metrics.rewards`).

    `references` are tagged texts by clip id.

    Returns:
        The same columns, `reward` in [0, 1] and `TERMS`, in order of clip id, then index.
    """
    frame = completions.sort_values(["clip", "index"], ignore_index=True)
    pairs = zip(frame["clip"].map(references), frame["text"], strict=True)
    rewards = pd.DataFrame([reward(*pair, weights, convention=convention) for pair in pairs])
    return frame.assign(reward=rewards["total"].round(_DECIMALS), **rewards[[*TERMS]])


def spreads(scored: pd.DataFrame) -> pd.Series:
    """Best minus worst reward of each clip's completions, in order of clip id."""
    rewards = scored.groupby("clip", sort=True)["reward"]
    return (rewards.max() - rewards.min()).round(_DECIMALS)


def ranked(scored: pd.DataFrame) -> pd.DataFrame:
    """Completions by clip id, the best first: by reward, finished, fewer tokens, lower index."""
    keys = {"clip": True, "reward": False, "finished": False, "tokens": True, "index": True}
    return scored.sort_values(list(keys), ascending=list(keys.values()), ignore_index=True)


def best_of(scored: pd.DataFrame) -> pd.DataFrame:
    """The completion of each clip that is `ranked` first, in order of clip id."""
    return ranked(scored).drop_duplicates("clip", ignore_index=True)


def random_of(scored: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One completion of each clip at random, in order of clip id: learning without selection."""
    groups = scored.sort_values(["clip", "index"]).groupby("clip")
    chosen = [own.iloc[[_drawn(seed, clip) % len(own)]] for clip, own in groups]
    return pd.concat(chosen, ignore_index=True)


@dataclass(frozen=True, eq=False)
class Curated:
    """What curation kept: the `rows` of `best`, the selected completions, in order of clip id.

    All kept clips exceed the threshold by `report`, and reach it by `exact`, where it is the
    highest reward that was dropped; None if nothing was.
    """

    best: pd.DataFrame
    rows: pd.DataFrame
    threshold: float | None

    @property
    def kept(self) -> int:
        """Clips left."""
        return len(self.rows)

    @property
    def mean_after(self) -> float:
        """Mean reward of the kept clips."""
        return float(self.rows["reward"].mean())


def curate(best: pd.DataFrame, rule: Rule, share: float) -> Curated:
    """Drop a share, in [0, 1), of the clips: those whose selected completion earned least.

    Of n clips and a share s, `report` keeps rewards above the ⌊s n⌋-th order statistic, counted
    from 0: it drops one clip more, 81 of 808 at a tenth, and every tie with that one. `exact` keeps
    n - ⌊s n⌋ clips, 728 of 808; among equal rewards those whose ids come first.
    `report` may keep none, a `UserError`.

    >>> best = pd.DataFrame({"clip": list("abcd"), "reward": [0.2, 0.4, 0.4, 0.6]})
    >>> [curate(best, rule, share=0.25).rows["clip"].tolist() for rule in ("report", "exact")]
    [['d'], ['b', 'c', 'd']]
    """
    order = best.sort_values(["reward", "clip"], ascending=[False, True])
    kept = len(best) - math.floor(len(best) * Fraction(str(share)))
    rows, rewards = order[:kept], order["reward"].tolist()
    threshold = rewards[kept] if kept < len(best) else None
    if rule == "report":
        threshold = rewards[kept - 1]
        rows = best[best["reward"] > threshold]
    if rows.empty:
        raise UserError(
            f"no reward exceeds the threshold {threshold:.3f}, which is the highest of all "
            f"{len(best)} clips: use the rule 'exact', or raise the temperature or k"
        )
    return Curated(best, rows.sort_values("clip", ignore_index=True), threshold)


def curations(best: pd.DataFrame, share: float) -> dict[str, Curated | str]:
    """The selected completions curated by both rules, or why a rule keeps none of them."""

    def made(rule: Rule) -> Curated | str:
        try:
            return curate(best, rule, share)
        except UserError as reason:
            return str(reason)

    return {"this run, report's rule": made("report"), "this run, our rule": made("exact")}


def select(scored: pd.DataFrame, recipe: Recipe, seed: int) -> Curated:
    """Select a completion per clip, and curate those; a `UserError` where no clip is left."""
    if recipe.drop_flat:
        apart = spreads(scored)
        scored = scored[scored["clip"].isin(apart.index[apart > 0])]
        if scored.empty:
            raise UserError(
                "no clip has completions whose rewards differ: raise the temperature or k"
            )
    curated = curate(best_of(scored), recipe.curation, recipe.drop_share)
    if recipe.select != "random":
        return curated
    kept = scored[scored["clip"].isin(curated.rows["clip"])]
    return replace(curated, rows=random_of(kept, seed))


def mix_untagged(
    targets: pd.DataFrame, references: Mapping[str, str], share: float, seed: int
) -> pd.DataFrame:
    """Make untagged clips, with their references, a share, in (0, 1), of a training set.

    Selection by reward favours such clips (any clean transcript earns 1), or leaves hardly any once
    flat groups are dropped. So tagged clips stay, and untagged ones are drawn anew from all
    references, of which there may be too few (`UserError`); with the same seed a larger share takes
    the same clips and more.
    """
    untagged = [clip for clip, text in references.items() if not tags.parse(text).tags]
    tagged = targets[~targets["clip"].isin(untagged)]
    exact = Fraction(str(share))
    wanted = round(len(tagged) * exact / (1 - exact))
    if wanted > len(untagged):
        raise UserError(
            f"a share of {share} takes {wanted} untagged clips beside {len(tagged)} tagged ones, "
            f"there are {len(untagged)}: lower the share or add untagged prompts"
        )
    chosen = sorted(untagged, key=lambda clip: (_drawn(seed, clip), clip))[:wanted]
    rows = [(clip, references[clip], "reference") for clip in chosen]
    negatives = pd.DataFrame(rows, columns=["clip", "text", "source"], dtype="str")
    return pd.concat([tagged, negatives]).sort_values("clip", ignore_index=True)


def training_set(
    curated: Curated, references: Mapping[str, str], recipe: Recipe, seed: int
) -> pd.DataFrame:
    """What the last step learns: `clip | text | source`, in order of clip id."""
    targets = curated.rows[["clip", "text"]].assign(source="completion")
    if recipe.untagged:
        targets = mix_untagged(targets, references, recipe.untagged, seed)
    if recipe.select == "reference":
        targets = targets.assign(text=targets["clip"].map(references), source="reference")
    return targets


def best_of_curve(scored: pd.DataFrame) -> pd.DataFrame:
    """Expected highest reward of j completions, for every j up to k.

    Of all subsets of j completions, C(k - 1 - i, j - 1) have the i-th best of the k (from 0) as
    their best; the mean over all C(k, j) is the unbiased estimate for j fresh samples.

    Returns:
        `j | value | low | high | n`: means over n clips with 95% bootstrap intervals (NaN for a
        single clip).
    """
    order, k = ranked(scored), int(scored["clip"].value_counts().iloc[0])
    weights = np.array(
        [[comb(k - 1 - i, j - 1) / comb(k, j) for i in range(k)] for j in range(1, k + 1)]
    )
    expected = weights @ order["reward"].to_numpy().reshape(-1, k).T
    ratios = {j: Ratio(own, np.ones(len(own))) for j, own in enumerate(expected, start=1)}
    found = stats.bootstrap_intervals(ratios)
    rows = [(j, own.value, own.low, own.high, own.n) for j, own in found.items()]
    return pd.DataFrame(rows, columns=["j", "value", "low", "high", "n"])


# From a training set to an adapter


@dataclass(frozen=True, eq=False)
class Round:
    """One pass of RAFT: every completion with its reward, what was kept of them, the adapter."""

    scored: pd.DataFrame
    curated: Curated
    tuned: Tuned


def start_adapters(cfg: Raft, setup: Setup) -> list[Path]:
    """The SFT adapter each training starts from: the one named, or those of 02 in this profile."""
    if cfg.adapter:
        return [model.find_adapter(cfg.adapter, runs.root())] * cfg.seeds
    sft = profile(Sft, cfg.profile, {"seeds": cfg.seeds, "language": cfg.language})
    return [tuned.adapter for tuned in pipeline.sft_adapters(sft, setup)]


def refine(recipe: Recipe, setup: Setup, start: Path, name: str) -> list[Round]:
    """Run all rounds of a recipe, each on its own part of the prompts, each from the one before."""
    done: list[Round] = []
    for number in range(recipe.rounds):
        clips = setup.clips(recipe.prompts)[: recipe.clips][number :: recipe.rounds]
        seed, references = recipe.seed + number, {clip.id: clip.tagged_text for clip in clips}
        completions = sample(setup, recipe, clips, start, seed)
        scored = score(completions, references, recipe.weights, recipe.convention)
        curated = select(scored, recipe, seed)
        targets = training_set(curated, references, recipe, seed).assign(draws=1, weight=1.0)
        tuned = pipeline.tune(recipe, setup, start, recipe.prompts, targets, name)
        done.append(Round(scored, curated, tuned))
        start = tuned.adapter
    return done


def repeat(recipe: Recipe, setup: Setup, starts: Sequence[Path], name: str) -> list[list[Round]]:
    """Run a recipe once for each of its seeds, each from a start of its own."""
    seeds = zip(pipeline.each_seed(recipe), starts, strict=True)
    return [refine(own, setup, start, name) for own, start in seeds]


# What 03 shows


def read_targets(last: Round) -> pd.DataFrame:
    """What the last step learnt, as its own file says: `clip | text | source | index | reward`.

    In order of clip id; the last two are missing where the reference is learnt.
    """
    rows = pd.DataFrame(runs.read_jsonl(last.tuned.adapter.parent / pipeline.TARGETS))
    drawn = ranked(last.scored).drop_duplicates(["clip", "text"]).assign(source="completion")
    rows = rows.merge(drawn, how="left", on=["clip", "text", "source"])
    return rows[["clip", "text", "source", "index", "reward"]]


def facts(recipe: Recipe, last: Round) -> dict[str, Any]:
    """What Figure 1 says of a round, keyed as the published numbers, and what they do not tell.

    Ranked are the clips that curation chose from; `kept_rule` is what its threshold did in words.
    What is learnt are completions, and references of untagged clips instead of those set aside. The
    loss is the mean over the last tenth of the steps of training.
    """
    sampled, curated, made = last.scored["clip"].nunique(), last.curated, read_targets(last)
    completions = made["reward"].dropna()
    losses = last.tuned.steps["loss"]
    threshold, tied = curated.threshold, int((curated.rows["reward"] == curated.threshold).sum())
    rule = "all" if threshold is None else f"R > {threshold:.3g}"
    return {
        "sampled_clips": sampled,
        "unseen_clips": 0 if recipe.prompts == TRAIN else sampled,
        "completions": recipe.k,
        "temperature": recipe.temperature,
        "top_p": recipe.top_p,
        "weight_accuracy": recipe.accuracy_weight,
        "weight_tag_f1": recipe.tag_weight,
        "weight_hallucination": recipe.hallucination_weight,
        "filtered_share": recipe.drop_share,
        "ranked_clips": len(curated.best),
        "kept_rule": f"{rule} and {tied} at {threshold:.3g}" if tied else rule,
        "curated_clips": curated.kept,
        "learnt_completions": len(completions),
        "learnt_references": len(made) - len(completions),
        "set_aside": curated.kept - len(completions),
        "mean_reward": float(completions.mean()),
        "rl_epochs": recipe.epochs,
        "rl_learning_rate": recipe.learning_rate,
        "rl_final_loss": float(losses.tail(math.ceil(len(losses) / 10)).mean()),
    }


def furthest_apart(setup: Setup, recipe: Recipe, last: Round) -> tuple[str, pd.DataFrame, int]:
    """Of clips whose completion is learnt, that with the widest range of rewards.

    Returns:
        Its reference, scored completions, and the index of the one that is learnt.
    """
    chosen = read_targets(last).dropna().set_index("clip")["index"]
    clip = spreads(last.scored)[chosen.index].idxmax()
    [reference] = [c.tagged_text for c in setup.clips(recipe.prompts) if c.id == clip]
    return reference, last.scored[last.scored["clip"] == clip], int(chosen[clip])


def compared(
    recipe: Recipe, setup: Setup, starts: Sequence[Path], made: Sequence[Sequence[Round]]
) -> dict[str, list[Path]]:
    """Adapters by name: SFT, this run's RL, and what `compare` asks for, trained if missing."""
    rounds = {RL: made}
    for name, other in others(recipe, len(setup.clips(recipe.prompts))).items():
        rounds[name] = repeat(other, setup, starts, name)
    last = {name: [own[-1].tuned.adapter for own in each] for name, each in rounds.items()}
    return {SFT: [*starts], **last}


def best_by_validation(
    setup: Setup, systems: pipeline.Systems
) -> tuple[str, dict[str, Evaluation]]:
    """The recipe, or SFT, that earns most on validation (mean `strict` reward), and all scores."""
    scored = pipeline.evaluate(setup, VALIDATION, systems)

    def earned(name: str) -> float:
        clips = [c for own in (scored[name], *scored[name].repeats) for c in own.clips]
        rewards = [reward(c.reference, c.prediction, convention="strict").total for c in clips]
        return sum(rewards) / len(rewards)

    return max(scored, key=earned), scored
