"""RAFT from an SFT adapter to a better one: sample, score, select, curate, fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from evoxtral import UserError, processes, runs, sft
from evoxtral.model import adapter_digest, check_adapter, shape_of
from evoxtral.params import Raft
from evoxtral.pipeline import Setup
from evoxtral.raft.curation import Curated, curate
from evoxtral.raft.recipes import RaftRecipe
from evoxtral.raft.sampling import Sampling, sample
from evoxtral.raft.scoring import score
from evoxtral.raft.selection import best_of, drop_flat, random_of
from evoxtral.raft.targets import completion_targets, control_references, mix_untagged
from evoxtral.sft.tracking import log_outcome, tracker
from evoxtral.train import ADAPTER, Examples, Tuned, finetune, read_log

TARGETS = "targets.jsonl"
_CODE = (*sft.TUNING_CODE, "evoxtral.raft.run")


@dataclass(frozen=True, eq=False)
class Round:
    """One pass of RAFT.

    Attributes:
        scored: every completion with its reward (`raft.score`).
        chosen: the selected completion of each clip.
        curated: of those, what curation kept.
        targets: what was learnt: `clip | text | source`.
        tuned: the adapter and its log.
    """

    scored: pd.DataFrame
    chosen: pd.DataFrame
    curated: Curated
    targets: pd.DataFrame
    tuned: Tuned


@dataclass(frozen=True, eq=False)
class Refined:
    """A finished run of RAFT; its rounds in order."""

    rounds: tuple[Round, ...]

    @property
    def adapter(self) -> Path:
        """Folder of the last round's adapter."""
        return self.rounds[-1].tuned.adapter


def start_adapter(cfg: Raft, setup: Setup) -> Path:
    """The SFT adapter to start from: the one named, or that of 02 in this profile.

    Raises:
        UserError: the folder named holds no adapter.
    """
    if cfg.adapter:
        return check_adapter(runs.named(cfg.adapter))
    return sft.adapter(sft.parameters_of(cfg.profile), setup).adapter


def refine(cfg: Raft, setup: Setup, start: Path, recipe: RaftRecipe, name: str) -> Refined:
    """Run all rounds of a recipe; each stage of it is reused if it is there.

    Args:
        cfg: hyperparameters of the last step.
        setup: clips and base.
        start: SFT adapter.
        recipe: how the training set is made.
        name: named in the progress bar.

    Raises:
        UserError: there is nothing to learn from: all rewards tie, or the data lacks a split.
    """
    ids = [clip.id for clip in setup.clips(recipe.prompts)][: recipe.clips]
    done: list[Round] = []
    adapter = start
    for number in range(recipe.rounds):
        done.append(_round(cfg, setup, adapter, recipe, name, number, ids[number :: recipe.rounds]))
        adapter = done[-1].tuned.adapter
    return Refined(tuple(done))


def _round(
    cfg: Raft,
    setup: Setup,
    adapter: Path,
    recipe: RaftRecipe,
    name: str,
    number: int,
    ids: list[str],
) -> Round:
    references = {c.id: c.tagged_text for c in setup.clips(recipe.prompts) if c.id in set(ids)}
    how = Sampling(recipe.k, recipe.temperature, recipe.top_p, cfg.sample_batch, cfg.seed + number)
    completions = sample(setup, recipe.prompts, ids, adapter, how)
    scored = score(completions, references, recipe.weights, convention=recipe.convention)
    chosen, curated = select(scored, recipe, cfg.seed + number)
    targets = training_set(curated, references, recipe, cfg.seed + number)
    tuned = _tune(cfg, setup, adapter, targets, recipe, name)
    return Round(scored, chosen, curated, targets, tuned)


def select(scored: pd.DataFrame, recipe: RaftRecipe, seed: int) -> tuple[pd.DataFrame, Curated]:
    """One completion per clip, and of those what curation keeps."""
    if recipe.drop_flat:
        scored = drop_flat(scored)
    by_reward = best_of(scored)
    chosen = random_of(scored, seed) if recipe.select == "random" else by_reward
    kept = curate(by_reward, recipe.curation, share=recipe.drop_share)
    if recipe.select != "random":
        return chosen, kept
    rows = chosen[chosen["clip"].isin(set(kept.rows["clip"]))].reset_index(drop=True)
    return chosen, replace(kept, rows=rows, mean_after=float(rows["reward"].mean()))


def training_set(
    curated: Curated, references: Mapping[str, str], recipe: RaftRecipe, seed: int
) -> pd.DataFrame:
    """What the last step learns: `clip | text | source`."""
    targets = completion_targets(curated.rows)
    if recipe.untagged:
        targets = mix_untagged(targets, references, recipe.untagged, seed=seed)
    if recipe.select == "reference":
        targets = control_references(targets, references)
    return targets


def _tune(
    cfg: Raft,
    setup: Setup,
    adapter: Path,
    targets: pd.DataFrame,
    recipe: RaftRecipe,
    name: str,
) -> Tuned:
    excluded = set(asdict(recipe)) | {
        "accuracy_weight", "tag_weight", "hallucination_weight", "adapter", "checkpointing",
        "compare", "decode_batch", "device", "micro_batch", "profile", "sample_batch", "shown",
        "tracker",
    }  # fmt: skip
    rows = targets[["clip", "text"]].to_dict("records")
    made = runs.stage(
        "raft",
        cfg.profile,
        {
            **cfg.model_dump(exclude=excluded),
            "precision": sft.precision(cfg),
            "targets": runs.digest(rows),
        },
        lambda folder: _train(folder, cfg, setup, adapter, targets, recipe.prompts, name),
        inputs={"base": setup.base.digest, "adapter": adapter_digest(adapter)},
        code=_CODE,
        together=True,
    )
    return read_log(made.path)


def _train(
    folder: Path,
    cfg: Raft,
    setup: Setup,
    adapter: Path,
    targets: pd.DataFrame,
    split: str,
    name: str,
) -> None:
    if processes.is_main():
        runs.write_jsonl(folder / TARGETS, targets.to_dict("records"))
    setup = setup.hearing(encoder_learns=shape_of(adapter).encoder_lora)
    texts = dict(zip(targets["clip"], targets["text"], strict=True))
    clips = setup.clips(split)
    rows = [i for i, clip in enumerate(clips) if clip.id in texts]
    if len(rows) != len(texts):
        raise UserError(
            f"a completion belongs to no clip of {split}: delete {folder} and run again"
        )
    training = Examples(
        setup.heard(split),
        [texts.get(clip.id, "") for clip in clips],
        rows,
        setup.prompter,
        [1.0] * len(clips),
    )
    with tracker(cfg, folder, name) as tracked:
        finetune(
            folder,
            setup.fresh(),
            cfg,
            adapter,
            training,
            sft.validation_examples(setup),
            sft.watched(setup),
            what=name,
            report_to="none" if tracked is None else "wandb",
        )
        log_outcome(tracked, setup, sft.VALIDATION, folder / ADAPTER, "rl-adapter")
