"""A step of fine-tuning: the plain Trainer with the encoder inside, against cached features.

Both run the Hugging Face Trainer on the same examples in the same order, from the same adapters,
with the same recipe. The plain one reads the audio file, makes log-mels, runs the frozen encoder
and computes logits at every position, in every step. It is measured with the report's micro-batch
of 2, and with the whole batch at once, which is what one gains without a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from peft import PeftModel

from evoxtral import UserError
from evoxtral.clips import Clip
from evoxtral.model import Features, attach, read_cached
from evoxtral.pipeline import Setup
from evoxtral.speed import floors, plain
from evoxtral.speed.measure import Comparison, Timed, alternate, clocked
from evoxtral.speed.roofline import Need
from evoxtral.speed.steps import plain_steps, steps_from_cache
from evoxtral.speed.subject import cached, precision, rebuilt, request, shapes
from evoxtral.train import Examples, Recipe
from evoxtral.train.trainer import LengthSampler

__all__ = ["CACHE", "Tuning", "finetuning"]

OURS = "ours"
CACHE = "the cache, built once"
REPORT_MICRO_BATCH = 2
TARGET = 2.0
_CLOSE, _CLOSE_ROUNDED = 1e-3, 5e-2  # relative, of losses: float32 weights, and rounded ones


@dataclass(frozen=True, eq=False)
class Tuning:
    """What is trained on: examples of whole steps, in the order in which ours takes them.

    Attributes:
        setup: base, prompter, audio.
        clips: as many as whole steps take.
        recipe: of ours.
    """

    setup: Setup
    clips: Sequence[Clip]
    recipe: Recipe

    def __post_init__(self) -> None:
        batch = self.recipe.batch
        if batch % REPORT_MICRO_BATCH:
            raise UserError(f"batch is {batch}: it must be even to be accumulated from pairs")
        if not self.clips or len(self.clips) % batch:
            raise UserError(
                f"{len(self.clips)} clips make no whole steps of {batch}: give a multiple of it"
            )

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return len(self.clips) // self.recipe.batch

    def examples(self, features: Features) -> Examples:
        """Every clip once, from the cache."""
        texts = [clip.tagged_text for clip in self.clips]
        ones = [1.0] * len(texts)
        return Examples(features, texts, range(len(texts)), self.setup.prompter, ones)

    def samples(self, features: Features) -> plain.Samples:
        """The same clips in the order in which ours takes them; none of the features is read."""
        lengths = self.examples(features).lengths
        order = LengthSampler(lengths, self.recipe.batch, self.recipe.seed)
        return plain.Samples(self.setup.sounds, [self.clips[i] for i in order])

    def theirs(self, features: Features, micro_batch: int) -> Timed:
        """An epoch by the plain Trainer; of the cache it takes the order of examples only."""
        recipe = replace(self.recipe, micro_batch=micro_batch)
        collator = plain.Collator(self.setup.prompter, self.setup.base.name)
        return plain_steps(self.plain_model, self.samples(features), collator, recipe)

    def ours(self, features: Features) -> Timed:
        """An epoch by ours."""
        return steps_from_cache(self.our_model, self.examples(features), self.recipe)

    @cached_property
    def plain_model(self) -> PeftModel:
        """The model with its encoder and fresh adapters."""
        return attach(self.setup.fresh().model, self.recipe.lora, self.recipe.seed)

    @cached_property
    def our_model(self) -> PeftModel:
        """The model that reads the cache, with the same adapters."""
        bare = read_cached(self.setup.fresh().model)
        return attach(bare, self.recipe.lora, self.recipe.seed)


def finetuning(tuning: Tuning, repeats: int) -> Comparison:
    """Measure optimiser steps, and what the cache costs.

    Args:
        tuning: examples, models, recipe.
        repeats: rounds that count.

    Returns:
        Its facts hold the cost of the cache per clip, and after how many epochs it has paid,
        beside the plain Trainer with small micro-batches and with large ones.

    Raises:
        RuntimeError: losses or gradients of the two ways differ.
    """
    features = cached(tuning.setup, tuning.clips)
    apart = _check(tuning, features)
    small, large = _name(REPORT_MICRO_BATCH), _name(tuning.recipe.batch)
    ways = {
        small: lambda _: tuning.theirs(features, REPORT_MICRO_BATCH),
        large: lambda _: tuning.theirs(features, tuning.recipe.batch),
        OURS: lambda _: tuning.ours(features),
        CACHE: clocked(lambda _: rebuilt(tuning.setup, tuning.clips)),
    }
    rounds, _ = alternate(ways, repeats)
    seconds = rounds.groupby("way")["seconds"].median().to_dict()
    facts = {
        "batch": tuning.recipe.batch,
        "micro_batch": tuning.recipe.micro_batch,
        "precision": tuning.recipe.precision,
        "largest_relative_difference": apart,
        "cache_seconds_per_clip": seconds[CACHE] / len(tuning.clips),
        "epochs_until_cache_pays": _epochs(seconds[CACHE], seconds[small] - seconds[OURS]),
        "epochs_until_cache_pays_large": _epochs(seconds[CACHE], seconds[large] - seconds[OURS]),
    }
    unit = f"step of {tuning.recipe.batch}"
    needs = _needs(tuning, features, (small, large))
    return Comparison(
        "SFT", unit, tuning.steps, rounds, (small, large), (OURS,), TARGET, facts, needs
    )


def _needs(tuning: Tuning, features: Features, names: Sequence[str]) -> dict[str, list[Need]]:
    """What each way takes at least: the plain ones have no cache. Only for clips of one window."""
    if set(features.windows) != {1}:
        return {}
    setup, recipe = tuning.setup, tuning.recipe
    sizes = shapes(setup, recipe.lora.rank)
    targets = [len(setup.prompter.target(clip.tagged_text)) for clip in tuning.clips]
    trained = floors.training(sizes, request(setup), targets, recipe.batch, recipe.precision)
    heard = floors.encoding(sizes, len(tuning.clips), precision(setup))
    return {**{name: [heard, trained] for name in names}, OURS: [trained]}


def _name(micro_batch: int) -> str:
    return f"plain Trainer, micro-batch {micro_batch}"


def _epochs(cost: float, saved: float) -> float | None:
    """Epochs after which a cost is saved; None if nothing is."""
    return cost / saved if saved > 0 else None


def _check(tuning: Tuning, features: Features) -> float:
    """Train a little both ways without rounding and noise; the largest relative difference."""
    recipe = tuning.recipe
    bare = replace(
        recipe, precision="float32", neftune_alpha=0.0, lora=replace(recipe.lora, dropout=0.0)
    )
    exact = replace(tuning, recipe=bare)
    ours, theirs = exact.ours(features).made, exact.theirs(features, REPORT_MICRO_BATCH).made
    found = np.array([ours.losses, ours.norms])
    wanted = np.array([theirs.losses, theirs.norms])
    apart = float(np.abs(found / wanted - 1).max())
    rounded = precision(tuning.setup) != "float32"
    if not apart < (_CLOSE_ROUNDED if rounded else _CLOSE):
        raise RuntimeError(
            f"losses or gradients of the two ways are {apart:.2g} apart: the speed of wrong "
            "results says nothing"
        )
    return apart
