"""RAFT, rejection sampling fine-tuning, from an SFT adapter to a better one.

Sample, score, select, curate, fine-tune (report section 3.3); and the recipes that are compared,
written down before any is run. Validation chooses among them, not the test set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from evoxtral import metrics, pipeline, processes, runs, selection
from evoxtral.clips import Clip
from evoxtral.decode import Decoding, decode, plan_batches
from evoxtral.metrics import Evaluation, RewardWeights
from evoxtral.mix.source import TRAIN
from evoxtral.model import adapter_digest, check_adapter, shape_of
from evoxtral.params import Raft, Sft, profile
from evoxtral.pipeline import VALIDATION, Setup
from evoxtral.processes import progress
from evoxtral.selection import Curated
from evoxtral.train import Examples, Tuned

COMPLETIONS, TARGETS = "completions.jsonl", "targets.jsonl"
SFT, RL = "SFT", "RL"

_PARTS = "part-*.jsonl"
_CODE = ("evoxtral.raft", "evoxtral.selection")


class Recipe(Raft):
    """Parameters of 03, and two that only its controls change.

    Attributes:
        select: learn the best completion by reward, a random one, or the reference in its place.
        clips: most clips to sample, the first of the split; None takes all.
    """

    select: Literal["best", "random", "reference"] = "best"
    clips: int | None = None

    @property
    def weights(self) -> RewardWeights:
        """Of the reward's terms."""
        return RewardWeights(self.accuracy_weight, self.tag_weight, self.hallucination_weight)


def recipe_of(cfg: Raft) -> Recipe:
    """The recipe that the notebook's parameters name.

    Raises:
        UserError: the weights of the reward do not sum to 1, or the folder that `adapter` names
            holds none.
    """
    if cfg.adapter:
        check_adapter(runs.named(cfg.adapter))
    recipe = Recipe(**cfg.model_dump())
    assert recipe.weights
    return recipe


def others(own: Recipe, prompts: int) -> dict[str, Recipe]:
    """What `compare` sets beside our recipe.

    Controls are what a gain has to be told from: the same clips with other texts, and the report's
    recipe. The grid adds one change at a time from the report's recipe to ours, and beyond it.

    Args:
        own: this run's recipe.
        prompts: clips that it samples; the report's recipe takes no more of the training split.
    """
    if own.compare == "none":
        return {}
    report = own.model_copy(
        update={
            "prompts": TRAIN, "convention": "report", "curation": "report", "drop_flat": False,
            "untagged": 0.0, "rounds": 1, "clips": prompts,
        }
    )  # fmt: skip
    controls = {
        "SFT continued": own.model_copy(update={"select": "reference"}),
        "random of k": own.model_copy(update={"select": "random"}),
        "report's recipe": report,
    }
    if own.compare == "controls":
        return controls
    unseen = report.model_copy(update={"prompts": "raft_prompts", "curation": "exact"})
    strict = unseen.model_copy(update={"convention": "strict"})
    negatives = strict.model_copy(update={"untagged": 0.15})
    return controls | {
        "unseen prompts": unseen,
        "+ strict reward": strict,
        "+ untagged 15%": negatives,
        "+ flat groups dropped": negatives.model_copy(update={"drop_flat": True}),
        "+ hotter": negatives.model_copy(update={"temperature": 1.2 * own.temperature}),
        "+ two rounds": negatives.model_copy(update={"rounds": 2}),
    }


# Sampling


def sample(
    setup: Setup, recipe: Recipe, clips: Sequence[Clip], adapter: Path, seed: int
) -> pd.DataFrame:
    """K completions of each clip by an adapter, as a stage that survives being killed.

    Batches are planned from the full list of clips, so that a resumed run, or another process,
    takes whole batches of the same plan; each completion's random numbers come from (seed, clip,
    index). Each process appends to a part of its own; the parts become one file, in the order of
    clips. In float32 on one thread per process that file is the same, byte for byte, however many
    there were.

    Returns:
        `clip | index | text | tokens | finished`, in the order of clips and indices.
    """
    key = {
        "k": recipe.k,
        "temperature": recipe.temperature,
        "top_p": recipe.top_p,
        "batch": recipe.sample_batch,
        "seed": seed,
        "base": setup.base.digest,
        "adapter": adapter_digest(adapter),
        "clips": pipeline.clips_digest(clips),
        "max_new_tokens": setup.max_new_tokens,
    }

    def make(folder: Path) -> None:
        _sample(folder, setup, recipe, clips, adapter, seed)
        processes.barrier()
        if processes.is_main():
            _join(folder, [clip.id for clip in clips])

    code = ("evoxtral.model", "evoxtral.decode", "evoxtral.raft")
    made = runs.stage("completions", recipe.profile, key, make, code=code, together=True)
    return pd.DataFrame(runs.read_jsonl(made.path / COMPLETIONS))


def _sample(
    folder: Path, setup: Setup, recipe: Recipe, clips: Sequence[Clip], adapter: Path, seed: int
) -> None:
    """This process's share of what the folder lacks, in its part."""
    model, heard = pipeline.listener(setup, recipe.prompts, adapter)
    rows = {clip.id: i for i, clip in enumerate(setup.clips(recipe.prompts))}
    places = [rows[clip.id] for clip in clips]
    windows = [heard.windows[place] for place in places]
    plan = plan_batches(windows, [clip.seconds or 0.0 for clip in clips], recipe.sample_batch)
    have = {(row["clip"], row["index"]) for row in _parts(folder)}
    wanted = range(recipe.k)
    mine = processes.share(
        [
            batch
            for batch in plan
            if any((clips[i].id, j) not in have for i in batch for j in wanted)
        ]
    )
    processes.barrier()  # nobody writes before everybody has read
    part = folder / _PARTS.replace("*", f"{processes.index():03d}")
    if part.exists():  # a kill can tear its last line only
        data = part.read_bytes()
        runs.write_bytes(part, data[: data.rfind(b"\n") + 1])
    settings = Decoding(setup.max_new_tokens, recipe.temperature, recipe.top_p)
    total = recipe.k * sum(map(len, mine))
    with progress(total, "completions", unit="completion") as bar:
        for batch in mine:
            prompt = setup.prompter.prompt(windows[batch[0]])
            features = torch.cat([heard[places[i]] for i in batch])
            seeds = [[_seed(seed, clips[i].id, j) for j in wanted] for i in batch]
            made = decode(model, prompt, features, settings, setup.prompter.eos, seeds, recipe.k)
            new = [
                {
                    "clip": clips[i].id,
                    "index": j,
                    "text": setup.prompter.text(one.ids),
                    "tokens": len(one.ids),
                    "finished": one.finished,
                }
                for i, group in zip(batch, made, strict=True)
                for j, one in enumerate(group)
                if (clips[i].id, j) not in have
            ]
            runs.append_jsonl(part, new)
            bar.update(recipe.k * len(batch))


def _parts(folder: Path) -> Iterator[dict[str, Any]]:
    """What is there already, by however many processes it was written."""
    for part in sorted(folder.glob(_PARTS)):
        yield from runs.read_jsonl(part, torn_last=True)


def _join(folder: Path, ids: Sequence[str]) -> None:
    place = {name: i for i, name in enumerate(ids)}
    rows = sorted(_parts(folder), key=lambda row: (place[row["clip"]], row["index"]))
    runs.write_jsonl(folder / COMPLETIONS, rows)
    for part in folder.glob(_PARTS):
        part.unlink()


def _seed(seed: int, clip: str, index: int) -> int:
    return int(runs.digest([seed, clip, index])[:16], 16)


# From completions to an adapter


@dataclass(frozen=True, eq=False)
class Round:
    """One pass of RAFT.

    Attributes:
        scored: every completion with its reward (`selection.score`).
        chosen: the selected completion of each clip.
        curated: of those, what curation kept.
        tuned: the adapter and its log.
    """

    scored: pd.DataFrame
    chosen: pd.DataFrame
    curated: Curated
    tuned: Tuned


def start_adapter(cfg: Raft, setup: Setup) -> Path:
    """The SFT adapter to start from: the one named, or that of 02 in this profile.

    Raises:
        UserError: the folder named holds no adapter.
    """
    if cfg.adapter:
        return check_adapter(runs.named(cfg.adapter))
    return pipeline.sft_adapter(profile(Sft, cfg.profile), setup).adapter


def refine(recipe: Recipe, setup: Setup, start: Path, name: str) -> list[Round]:
    """Run all rounds of a recipe, each on its own part of the prompts, each from the one before.

    Raises:
        UserError: there is nothing to learn from: all rewards tie, or the data lacks a split.
    """
    clips = setup.clips(recipe.prompts)[: recipe.clips]
    done: list[Round] = []
    for number in range(recipe.rounds):
        adapter = done[-1].tuned.adapter if done else start
        part, seed = clips[number :: recipe.rounds], recipe.seed + number
        references = {clip.id: clip.tagged_text for clip in part}
        completions = sample(setup, recipe, part, adapter, seed)
        scored = selection.score(completions, references, recipe.weights, recipe.convention)
        chosen, curated = select(scored, recipe, seed)
        targets = training_set(curated, references, recipe, seed)
        tuned = _tune(recipe, setup, adapter, targets, name)
        done.append(Round(scored, chosen, curated, tuned))
    return done


def select(scored: pd.DataFrame, recipe: Recipe, seed: int) -> tuple[pd.DataFrame, Curated]:
    """One completion per clip, and of those what curation keeps."""
    if recipe.drop_flat:
        scored = selection.drop_flat(scored)
    best = selection.best_of(scored)
    kept = selection.curate(best, recipe.curation, recipe.drop_share)
    if recipe.select != "random":
        return best, kept
    chosen = selection.random_of(scored, seed)
    rows = chosen[chosen["clip"].isin(set(kept.rows["clip"]))].reset_index(drop=True)
    return chosen, replace(kept, rows=rows, mean_after=float(rows["reward"].mean()))


def training_set(
    curated: Curated, references: Mapping[str, str], recipe: Recipe, seed: int
) -> pd.DataFrame:
    """What the last step learns: `clip | text | source`, in order of clip id."""
    targets = curated.rows[["clip", "text"]].assign(source="completion")
    if recipe.untagged:
        targets = selection.mix_untagged(targets, references, recipe.untagged, seed)
    if recipe.select == "reference":
        targets = targets.assign(text=targets["clip"].map(references), source="reference")
    return targets


def _tune(recipe: Recipe, setup: Setup, adapter: Path, targets: pd.DataFrame, name: str) -> Tuned:
    def training(folder: Path) -> Examples:
        if processes.is_main():
            runs.write_jsonl(folder / TARGETS, targets.to_dict("records"))
        learnt = dict(zip(targets["clip"], targets["text"], strict=True))
        clips = setup.clips(recipe.prompts)
        texts = [learnt.get(clip.id, "") for clip in clips]
        rows = [i for i, clip in enumerate(clips) if clip.id in learnt]
        heard = setup.heard(recipe.prompts, encoder_learns=shape_of(adapter).encoder_lora)
        return Examples(heard, texts, rows, setup.prompter, [1.0] * len(clips))

    more = {"targets": runs.digest(targets[["clip", "text"]].to_dict("records"))}
    inputs = {"adapter": adapter_digest(adapter)}
    return pipeline.tune(
        "raft", recipe, setup, adapter, training, inputs, name=name, more=more, code=_CODE
    )


# What 03 shows


def facts(recipe: Recipe, last: Round) -> dict[str, float]:
    """What Figure 1 says of a round, keyed as the published numbers."""
    sampled = last.scored["clip"].nunique()
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
        "reward_threshold": last.curated.threshold or 0.0,
        "curated_clips": last.curated.kept,
        "mean_reward": last.curated.mean_after,
        "rl_epochs": recipe.epochs,
        "rl_learning_rate": recipe.learning_rate,
        "rl_final_loss": float(last.tuned.steps["loss"].iloc[-1]),
    }


def furthest_apart(setup: Setup, recipe: Recipe, last: Round) -> tuple[str, pd.DataFrame, int]:
    """The clip whose rewards differ most: reference, scored completions, index of the chosen."""
    groups = selection.group_table(last.scored)
    clip = groups.loc[groups["spread"].idxmax(), "clip"]
    reference = next(c.tagged_text for c in setup.clips(recipe.prompts) if c.id == clip)
    index = last.chosen.loc[last.chosen["clip"] == clip, "index"].item()
    return reference, last.scored[last.scored["clip"] == clip], int(index)


def compared(recipe: Recipe, setup: Setup, start: Path, rounds: Sequence[Round]) -> dict[str, Path]:
    """Adapters by name: SFT, this run's RL, and whatever `compare` asks for, trained if missing."""
    wanted = others(recipe, len(setup.clips(recipe.prompts)))
    made = {
        name: refine(other, setup, start, name)[-1].tuned.adapter for name, other in wanted.items()
    }
    return {SFT: start, RL: rounds[-1].tuned.adapter, **made}


def best_by_validation(
    setup: Setup, adapters: Mapping[str, Path]
) -> tuple[str, dict[str, Evaluation]]:
    """The recipe with the highest mean reward (`strict`) on validation, and all evaluations.

    SFT itself is a candidate: a recipe has to beat it.
    """
    scored = pipeline.evaluate(setup, VALIDATION, adapters)
    rewards = {
        name: [
            metrics.reward(clip.reference, clip.prediction, convention="strict").total
            for clip in own.clips
        ]
        for name, own in scored.items()
    }
    return max(rewards, key=lambda name: sum(rewards[name]) / len(rewards[name])), scored
