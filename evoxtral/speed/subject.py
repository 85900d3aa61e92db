"""What is measured on: some clips of a split, a base, an adapter, and a cache built anew."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from transformers import VoxtralForConditionalGeneration

from evoxtral import UserError
from evoxtral.clips import Clip
from evoxtral.forecast import Shapes
from evoxtral.model import Features, cache_features, load, merge, read_cached
from evoxtral.pipeline import Setup
from evoxtral.speed.roofline import Precision

__all__ = [
    "CACHE",
    "Subject",
    "cached",
    "disagree",
    "precision",
    "rebuilt",
    "request",
    "shapes",
    "spread",
]

CACHE = "speed"
"""Folder below `runs/` for features that are built to be timed."""


def spread(clips: Sequence[Clip], wanted: int) -> list[Clip]:
    """So many clips, at even distances over a split, whose order may follow its making.

    Raises:
        UserError: none is wanted, or more than there are.
    """
    if not 1 <= wanted <= len(clips):
        raise UserError(f"{wanted} clips were asked for: the split has {len(clips)}")
    return [clips[i * len(clips) // wanted] for i in range(wanted)]


@dataclass(frozen=True, eq=False)
class Subject:
    """Clips and the models that hear them.

    Attributes:
        setup: base, prompter, audio.
        clips: those that are heard.
        adapter: folder of the adapter under test.
    """

    setup: Setup
    clips: Sequence[Clip]
    adapter: Path

    @property
    def seconds(self) -> list[float]:
        """Durations."""
        return [clip.seconds or 0.0 for clip in self.clips]

    @property
    def exact(self) -> bool:
        """Whether both ways must write the same: weights are float32, nothing is rounded away."""
        return precision(self.setup) == "float32"

    @cached_property
    def plain(self) -> torch.nn.Module:
        """The model as loaded: encoder inside, adapter beside the weights."""
        return load(self.setup.fresh().model, self.adapter).eval()

    @cached_property
    def ours(self) -> VoxtralForConditionalGeneration:
        """The model that reads cached features, adapter merged."""
        return merge(read_cached(self.setup.fresh().model), self.adapter)

    def first(self, clips: int) -> Subject:
        """The first clips, with the models that are loaded."""
        other = replace(self, clips=self.clips[:clips])
        loaded = {"plain", "ours"} & set(vars(self))
        vars(other).update({name: vars(self)[name] for name in loaded})
        return other

    def cached(self) -> Features:
        """The encoder's features of the clips."""
        return cached(self.setup, self.clips)

    def rebuilt(self) -> Features:
        """The same, built anew."""
        return rebuilt(self.setup, self.clips)


def shapes(setup: Setup, rank: int = 64) -> Shapes:
    """Sizes of the base, with adapters of this rank."""
    return Shapes(setup.base.model.config, rank)


def request(setup: Setup) -> int:
    """Positions of the prompt of a clip of one window that are not audio."""
    return len(setup.prompter.prompt(1)) - setup.prompter.tokens_per_window


def precision(setup: Setup) -> Precision:
    """Of the base's weights.

    Raises:
        UserError: it is another than those that are measured.
    """
    dtype = next(setup.base.model.parameters()).dtype
    if dtype == torch.float32:
        return "float32"
    if dtype == torch.bfloat16:
        return "bfloat16"
    raise UserError(f"the base's weights are {dtype}: speed is measured in float32 or bfloat16")


def cached(setup: Setup, clips: Sequence[Clip]) -> Features:
    """The encoder's features of clips, in a cache of their own; built where it is missing."""
    return cache_features(setup.base, clips, setup.sounds, CACHE, "the clips")


def rebuilt(setup: Setup, clips: Sequence[Clip]) -> Features:
    """The same, built anew whether or not it is there."""
    shutil.rmtree(cached(setup, clips).folder)
    return cached(setup, clips)


def disagree(plain: Sequence[str], ours: Sequence[str]) -> list[tuple[str, str]]:
    """Texts that are not the same, in pairs."""
    return [(a, b) for a, b in zip(plain, ours, strict=True) if a != b]
