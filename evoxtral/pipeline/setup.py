"""What every notebook from 02 on starts from: clips, a base model, and features it has heard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from evoxtral import UserError, datamix, params
from evoxtral.clips import Clip, Dataset
from evoxtral.datamix import Source
from evoxtral.model import Features, Listened, LogMels, Prompter, Voxtral, cache_features, open_base
from evoxtral.params import DataMix, FineTuning

TOKEN_MARGIN = 1.5
"""A transcript may be this much longer, in tokens, than the longest one of the training split."""

HEADLINE = ("natural", "test")
"""Splits for the headline numbers: the first that the data has."""


@dataclass(frozen=True, eq=False)
class Setup:
    """Clips and the base model.

    Attributes:
        cfg: of the notebook: base, device, profile.
        mix_cfg: of `01_data_mix.ipynb` in the same profile.
        source: its clips.
        encoder_learns: adapters reach into the encoder, so its features cannot be cached.
    """

    cfg: FineTuning
    mix_cfg: DataMix
    source: Source
    encoder_learns: bool = False

    @property
    def sounds(self) -> Dataset:
        """The dataset that reads the clips' audio."""
        assert self.source.clips is not None
        return self.source.clips

    def hearing(self, *, encoder_learns: bool) -> Setup:
        """The same clips and base for adapters that reach into the encoder, or do not."""
        if encoder_learns == self.encoder_learns:
            return self
        other = replace(self, encoder_learns=encoder_learns)
        vars(other).update(base=self.base)
        return other

    @cached_property
    def base(self) -> Voxtral:
        """The base model, loaded once, never changed; only its encoder listens.

        The rest of it waits in main memory: a GPU holds one language model, the one in use.
        """
        opened = self.fresh()
        opened.model.model.language_model.to("cpu")
        opened.model.lm_head.to("cpu")
        return opened

    def fresh(self) -> Voxtral:
        """The base model, loaded anew: merging or detaching the encoder changes a model."""
        return open_base(self.cfg.base, self.cfg.device)

    @cached_property
    def prompter(self) -> Prompter:
        """Makes the base's inputs."""
        return Prompter(self.base)

    def clips(self, split: str) -> Sequence[Clip]:
        """Clips of a split.

        Raises:
            UserError: the data has no such split.
        """
        if not self.source.splits.get(split):
            found = ", ".join(self.source.splits)
            raise UserError(f"the data has no split {split!r}: it has {found}")
        return self.source.splits[split]

    def has(self, split: str) -> bool:
        """Whether the data has such a split."""
        return bool(self.source.splits.get(split))

    @property
    def headline(self) -> str:
        """The split for the headline numbers.

        Raises:
            UserError: there is no test split.
        """
        found = [name for name in HEADLINE if self.has(name)]
        if not found:
            raise UserError(f"the data has no test split: name one {' or '.join(HEADLINE)}")
        return found[0]

    @property
    def balanced(self) -> str:
        """The split in which rare tags can be judged; the headline split where there is none."""
        return "balanced" if self.has("balanced") else self.headline

    def features(self, split: str) -> Features:
        """What the base's encoder hears in a split, from the cache."""
        return cache_features(self.base, self.clips(split), self.sounds, self.cfg.profile, split)

    def heard(self, split: str) -> Listened:
        """What fine-tuning reads of a split: cached features, or log-mels if the encoder learns."""
        if not self.encoder_learns:
            return self.features(split)
        return LogMels(self.sounds, self.clips(split), self.prompter)

    @cached_property
    def max_new_tokens(self) -> int:
        """Most tokens of a transcript: the longest of the training split, with a margin."""
        longest = max(len(self.prompter.target(clip.tagged_text)) for clip in self.clips("train"))
        return math.ceil(TOKEN_MARGIN * longest)


def open_setup(cfg: FineTuning, *, encoder_learns: bool = False) -> Setup:
    """Build or reuse the clips of the profile.

    Args:
        cfg: of the notebook.
        encoder_learns: adapters reach into the encoder.

    Raises:
        UserError: the profile's data has no sound, or the base cannot be loaded.
    """
    mix_cfg = params.profile(DataMix.notebook, cfg.profile)
    assert isinstance(mix_cfg, DataMix)
    return Setup(cfg, mix_cfg, datamix.open_clips(mix_cfg), encoder_learns)
