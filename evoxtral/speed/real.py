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


def real_size(
    config: VoxtralConfig,
    lengths: Sequence[int],
    device: torch.device,
    dtype: torch.dtype = torch.bfloat16,
    rounds: int = ROUNDS,
    at_once: int = 256,
) -> pd.DataFrame:
    """The method's steps at real size on random weights: what a GPU takes, without a download.

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
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = VoxtralForConditionalGeneration(config).requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(default)
    clips, tokens = len(lengths), sum(lengths)
    work = cost.Workload(clips=clips, transcript=round(tokens / clips))
    sizes = cost.Recipe(config, work)
    prompter, features = _Lengths(config, work.request), _Drawn(config, clips, dtype)
    precision = "bfloat16" if dtype == torch.bfloat16 else "float32"

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def hear(_: int) -> None:
        shape = (16, config.audio_config.num_mel_bins, 2 * sizes.frames)
        mels = torch.zeros(shape, dtype=dtype, device=device)
        for first in range(0, clips, len(mels)):
            encode(model, mels[: clips - first]).cpu()

    def write(k: int, temperature: float) -> None:
        for rows in plan_batches(features.windows, [float(n) for n in lengths], at_once):
            longest = max(lengths[i] for i in rows)
            how = Decoding(longest, temperature, 0.9 if temperature else 1.0)
            seeds = [[(0, i, index) for index in range(k)] for i in rows]
            heard = torch.cat([features[i] for i in rows])
            decode(model, prompter.prompt(1), heard, how, prompter.eos, seeds, k)
        wait()

    def train(_: int) -> float:
        cfg = params.profile(Sft, "paper").model_copy(
            update={"micro_batch": work.batch, "batch": work.batch, "precision": precision}
        )
        shape = LoraShape(sizes.rank, 2 * sizes.rank, 0.0)
        adapted = attach(model, shape, 0)
        texts = [str(n) for n in lengths]
        examples = Examples(features, texts, range(clips), prompter, [1.0] * clips)
        try:
            return steps_from_cache(adapted, cfg, examples)[0]
        finally:
            adapted.unload()

    per_token = 2.0 * (sizes.language_weights + sizes.head_weights)
    prefill = clips * (sizes.language_flops(sizes.prompt) + sizes.project_flops())
    peak = _peak(device, dtype)
    plan: list[tuple[str, Callable[[int], Any], float]] = [
        ("encode", hear, clips * sizes.encode_flops()),
        ("SFT", train, clips * sizes.train_flops(checkpointing=False)),
        (f"sampling, k = {work.k}", lambda _: write(work.k, 0.7),
         prefill + work.k * tokens * per_token),
        ("evaluation", lambda _: write(1, 0.0), prefill + tokens * per_token),
    ]  # fmt: skip
    made = []
    for name, way, flops in plan:
        if name == "SFT":
            read_cached(model)
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
