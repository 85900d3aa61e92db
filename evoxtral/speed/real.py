"""The method's steps at real size on random weights: what a GPU takes, without a download.

The model has Voxtral-Mini's shapes. Nothing that is timed depends on the values of weights, except
where a transcript ends; its length is therefore given: drawn from the lengths that the released
transcripts have in Voxtral's tokens (`reports/speed/target_lengths.csv`, their ends included).
Batches are sorted by length, as they are in use by the clips' durations, and each batch decodes to
its longest row, without the rows that end earlier being dropped: a little more than is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral.decode import Decoding, decode, plan_batches
from evoxtral.forecast import Shapes, Workload
from evoxtral.model import LoraShape, Prompter, attach, encode, read_cached
from evoxtral.speed import floors
from evoxtral.speed.measure import Comparison, Timed, alternate, clocked
from evoxtral.speed.roofline import Need, Precision
from evoxtral.speed.steps import steps_from_cache
from evoxtral.train import Examples, Recipe

__all__ = ["OURS", "Real", "draw_lengths", "real_speed"]

OURS = "ours"
_POOL = 16  # different features, which clips share
_AT_ONCE = 16  # windows in the encoder
_WORD = 5  # a token id like any other


def draw_lengths(path: Path, clips: int, seed: int = 0) -> list[int]:
    """Lengths of transcripts in tokens, their ends included, drawn from a table of counts.

    Args:
        path: CSV with columns `tokens` and `clips`.
        clips: lengths wanted.
        seed: same seed, same lengths.
    """
    table = pd.read_csv(path)
    rng = np.random.default_rng(seed)
    shares = table["clips"] / table["clips"].sum()
    return rng.choice(table["tokens"].to_numpy(), clips, p=shares).tolist()


@dataclass(frozen=True)
class _Lengths:
    """Stands where a `Prompter` stands; a text is its number of tokens."""

    config: VoxtralConfig
    request: int
    eos: int = -1  # no token: completions end by their given length
    pad: int = 0

    def prompt(self, windows: int) -> list[int]:
        audio = self.config.audio_config.max_source_positions // 4 * windows
        return [_WORD] * self.request + [self.config.audio_token_id] * audio

    def target(self, text: str) -> list[int]:
        return [_WORD] * int(text)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Random features: a few, shared by all clips."""

    pool: Sequence[Tensor]
    clips: int

    @property
    def windows(self) -> tuple[int, ...]:
        return (1,) * self.clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, clip: int) -> Tensor:
        return self.pool[clip % len(self.pool)]


@dataclass(frozen=True, eq=False)
class Real:
    """A model with random weights, and lengths of transcripts.

    Attributes:
        config: shapes; `VoxtralConfig()` is Voxtral-Mini.
        lengths: tokens of each clip's transcript.
        device: where everything runs.
        dtype: of weights and features.
        work: sizes of the method: batch, k, test clips, request.
        at_once: clips decoded together.
        seed: of weights, features and samples.
    """

    config: VoxtralConfig
    lengths: Sequence[int]
    device: torch.device
    dtype: torch.dtype = torch.bfloat16
    work: Workload = field(default_factory=Workload)
    at_once: int = 256
    seed: int = 0

    @cached_property
    def model(self) -> VoxtralForConditionalGeneration:
        """The model with its encoder."""
        torch.manual_seed(self.seed)
        default = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with self.device:
                made = VoxtralForConditionalGeneration(self.config)
        finally:
            torch.set_default_dtype(default)
        return made.requires_grad_(False).eval()

    @property
    def prompter(self) -> Prompter:
        """Makes ids of the given lengths."""
        return cast(Prompter, _Lengths(self.config, self.work.request))

    @property
    def precision(self) -> Precision:
        """Of weights and features."""
        return "bfloat16" if self.dtype == torch.bfloat16 else "float32"

    @cached_property
    def features(self) -> _Drawn:
        """What an encoder would have heard."""
        audio = self.config.audio_config
        shape = (1, audio.max_source_positions, audio.hidden_size)
        pool = [torch.randn(shape, dtype=self.dtype) for _ in range(min(_POOL, len(self.lengths)))]
        return _Drawn(pool, len(self.lengths))

    def hear(self) -> None:
        """Encoder features of all clips."""
        audio = self.config.audio_config
        shape = (_AT_ONCE, audio.num_mel_bins, 2 * audio.max_source_positions)
        mels = torch.zeros(shape, dtype=self.dtype, device=self.device)
        for first in range(0, len(self.lengths), _AT_ONCE):
            encode(self.model, mels[: len(self.lengths) - first]).cpu()

    def write(self, clips: int, k: int, temperature: float) -> int:
        """Completions of the first clips, of the given lengths; returns the tokens computed."""
        prompt, tokens = self.prompter.prompt(1), 0
        lengths = self.lengths[:clips]
        for rows in plan_batches([1] * clips, [float(n) for n in lengths], self.at_once):
            longest = max(lengths[i] for i in rows)
            heard = torch.cat([self.features[i] for i in rows])
            seeds = [[(self.seed, i, index) for index in range(k)] for i in rows]
            how = Decoding(longest, temperature, 0.9 if temperature else 1.0)
            made = decode(self.model, prompt, heard, how, self.prompter.eos, seeds, k)
            tokens += sum(len(one.ids) for group in made for one in group)
        self._wait()
        return tokens

    def train(self, recipe: Recipe) -> Timed:
        """One epoch of optimiser steps over all clips."""
        adapted = attach(self.model, recipe.lora, self.seed)
        texts = [str(n) for n in self.lengths]
        examples = Examples(
            cast(Any, self.features), texts, range(len(texts)), self.prompter, [1.0] * len(texts)
        )
        try:
            return steps_from_cache(adapted, examples, recipe)
        finally:
            adapted.unload()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def real_speed(real: Real, repeats: int) -> list[Comparison]:
    """Encode, optimiser steps, sampling and evaluation, each beside its floor.

    Args:
        real: model and lengths; as many clips as whole optimiser steps take.
        repeats: rounds that count.
    """
    shapes, work, lengths = Shapes(real.config), real.work, real.lengths
    recipe = Recipe(LoraShape(shapes.rank, 2 * shapes.rank, 0.0), 1e-4, 1, work.batch, work.batch,
                    precision=real.precision)  # fmt: skip
    heard = [floors.encoding(shapes, len(lengths), real.precision)]
    made = [_alone("encode", "clip", len(lengths), clocked(lambda _: real.hear()), heard, repeats)]
    read_cached(real.model)
    trained = [floors.training(shapes, work.request, lengths, work.batch, real.precision)]
    steps = len(lengths) / work.batch
    unit = f"step of {work.batch}"
    made.append(_alone("SFT", unit, steps, lambda _: real.train(recipe), trained, repeats))
    for name, clips, k, temperature in (
        (f"sampling, k = {work.k}", len(lengths), work.k, 0.7),
        ("evaluation", min(work.test, len(lengths)), 1, 0.0),
    ):
        groups = [[n] * k for n in lengths[:clips]]
        needs = floors.decoding(shapes, work.request, groups, real.precision)
        way = clocked(lambda _, n=clips, k=k, t=temperature: real.write(n, k, t))
        unit = "completion" if k > 1 else "clip"
        made.append(_alone(name, unit, clips * k, way, needs, repeats))
    return made


def _alone(
    work: str,
    unit: str,
    units: float,
    way: Callable[[int], Timed],
    needs: Sequence[Need],
    repeats: int,
) -> Comparison:
    """Ours without another way beside it."""
    rounds, _ = alternate({OURS: way}, repeats)
    return Comparison(work, unit, units, rounds, (), (OURS,), None, {}, {OURS: needs})
