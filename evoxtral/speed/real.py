"""The method's steps at real size on random weights: what a GPU takes, without a download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import UserError, cost, params, runs
from evoxtral.decode import Decoding, decode, plan_batches
from evoxtral.model import LoraShape, attach, encode, read_cached
from evoxtral.params import Sft
from evoxtral.speed import OURS, ROUNDS, alternate, compared
from evoxtral.speed.ways import conditions, steps_from_cache
from evoxtral.train import Examples

_WORD = 5  # a token id like any other


class _Lengths:
    """Stands where a `Prompter` stands; a text is its number of tokens."""

    eos, pad = -1, 0  # no token ends a completion: its length is given

    def __init__(self, config: VoxtralConfig, request: int) -> None:
        audio = config.audio_config.max_source_positions // 4
        self._prompt = [_WORD] * request + [config.audio_token_id] * audio

    def prompt(self, windows: int) -> list[int]:
        return self._prompt

    def target(self, text: str) -> list[int]:
        return [_WORD] * int(text)


class _Drawn:
    """Random features: a few, shared by all clips."""

    def __init__(self, config: VoxtralConfig, clips: int, dtype: torch.dtype) -> None:
        audio = config.audio_config
        shape = (1, audio.max_source_positions, audio.hidden_size)
        self.pool = [torch.randn(shape, dtype=dtype) for _ in range(min(16, clips))]
        self.windows = [1] * clips

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, clip: int) -> Tensor:
        return self.pool[clip % len(self.pool)]


class _Real:
    """A model with random weights, and what the method's steps do with it."""

    def __init__(
        self,
        config: VoxtralConfig,
        lengths: Sequence[int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        torch.manual_seed(0)
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with device:
                made = VoxtralForConditionalGeneration(config)
        finally:
            torch.set_default_dtype(default)
        self.model = made.requires_grad_(False).eval()
        self.lengths, self.device, self.dtype = lengths, device, dtype
        mean = round(sum(lengths) / len(lengths))
        self.sizes = cost.Recipe(config, cost.Workload(clips=len(lengths), transcript=mean))
        self.prompter = _Lengths(config, self.sizes.work.request)
        self.features = _Drawn(config, len(lengths), dtype)

    def hear(self, _: int) -> None:
        """Encoder features of all clips."""
        shape = (16, self.sizes.audio.num_mel_bins, 2 * self.sizes.frames)
        mels = torch.zeros(shape, dtype=self.dtype, device=self.device)
        for first in range(0, len(self.lengths), len(mels)):
            encode(self.model, mels[: len(self.lengths) - first]).cpu()

    def write(self, k: int, temperature: float, at_once: int) -> None:
        """Completions of all clips, of the given lengths."""
        seconds = [float(n) for n in self.lengths]
        for rows in plan_batches(self.features.windows, seconds, at_once):
            longest = max(self.lengths[i] for i in rows)
            how = Decoding(longest, temperature, 0.9 if temperature else 1.0)
            seeds = [[(0, i, index) for index in range(k)] for i in rows]
            heard = torch.cat([self.features[i] for i in rows])
            prompt = self.prompter.prompt(1)
            decode(self.model, prompt, heard, how, self.prompter.eos, seeds, k)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def train(self, _: int) -> float:
        """One epoch of optimiser steps over all clips; returns its seconds."""
        batch, clips = self.sizes.work.batch, len(self.lengths)
        precision = "bfloat16" if self.dtype == torch.bfloat16 else "float32"
        cfg = params.profile(Sft, "paper").model_copy(
            update={"micro_batch": batch, "batch": batch, "precision": precision}
        )
        adapted = attach(self.model, LoraShape(self.sizes.rank, 2 * self.sizes.rank, 0.0), 0)
        texts = [str(n) for n in self.lengths]
        examples = Examples(self.features, texts, range(clips), self.prompter, [1.0] * clips)
        try:
            return steps_from_cache(adapted, cfg, examples)[0]
        finally:
            adapted.unload()


def real_size(
    config: VoxtralConfig,
    lengths: Sequence[int],
    device: torch.device,
    dtype: torch.dtype = torch.bfloat16,
    rounds: int = ROUNDS,
    at_once: int = 256,
) -> pd.DataFrame:
    """The method's steps at real size on random weights.

    Nothing timed depends on the values of weights, except where a transcript ends; its length is
    therefore given. Floors are arithmetic over what a matrix product reached just before.

    Args:
        config: shapes; `VoxtralConfig()` is Voxtral-Mini-3B.
        lengths: tokens of each clip's transcript; as many as whole optimiser steps take.
        device: where everything runs.
        dtype: of weights and features.
        rounds: that count.
        at_once: clips decoded together.

    Returns:
        `work | way | round | seconds | floor`, seconds of the whole work.
    """
    real = _Real(config, lengths, device, dtype)
    sizes, clips, tokens = real.sizes, len(lengths), sum(lengths)
    per_token = 2.0 * (sizes.language_weights + sizes.head_weights)
    prefill = clips * (sizes.language_flops(sizes.prompt) + sizes.project_flops())
    peak, k = _peak(device, dtype), sizes.work.k
    plan: list[tuple[str, Callable[[int], Any], float]] = [
        ("encode", real.hear, clips * sizes.encode_flops()),
        ("SFT", real.train, clips * sizes.train_flops(checkpointing=False)),
        (
            f"sampling, k = {k}",
            lambda _: real.write(k, 0.7, at_once),
            prefill + k * tokens * per_token,
        ),
        ("evaluation", lambda _: real.write(1, 0.0, at_once), prefill + tokens * per_token),
    ]
    made = []
    for name, way, flops in plan:
        if name == "SFT":
            read_cached(real.model)
        made.append(compared(name, {OURS: way}, rounds).assign(floor=flops / peak))
    return pd.concat(made, ignore_index=True)


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product, the best of five."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))

    def product(_: int) -> None:
        (a @ b).sum().item()  # waits for the device

    return 2.0 * side**3 / alternate({OURS: product}, 5)["seconds"].min()


def measure_real(clips: int) -> pd.DataFrame:
    """Measure Voxtral-Mini-3B's size on the GPU; leaves `reports/speed/real_paper.{csv,json}`.

    Transcripts are as long as the released ones are in Voxtral's tokens
    (`reports/speed/target_lengths.csv`, their ends included).

    Raises:
        UserError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("the real size needs a GPU of 48 GB or more: measure the tiny one instead")
    table = pd.read_csv(runs.root() / "reports" / "speed" / "target_lengths.csv")
    shares = table["clips"] / table["clips"].sum()
    lengths = np.random.default_rng(0).choice(table["tokens"].to_numpy(), clips, p=shares).tolist()
    made = real_size(VoxtralConfig(), lengths, torch.device("cuda"))
    file = runs.reports_dir() / "speed" / "real_paper"
    runs.write_text(file.with_suffix(".csv"), made.round(6).to_csv(index=False))
    runs.write_json(file.with_suffix(".json"), {"conditions": conditions("paper", "full")})
    return made
