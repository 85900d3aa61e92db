"""What the report's recipe takes on a GPU: predicted from shapes, and measured at the real size.

A multiplication with its addition counts as two operations; what is below one percent is left out:
norms, activations, softmax, the encoder's convolutions, the projector. A floor is arithmetic over
the GPU's peak or bytes over its bandwidth, whichever takes longer. Expected times rest on four
assumptions, none measured with this project: `EFFICIENCY` of the peak in training (both training
times of the original implementation give 0.40), `BANDWIDTH_SHARE` of the bandwidth in decoding, and
at least `DECODE_LAUNCH` per layer and decoding step and `TRAIN_LAUNCH` per layer and micro-batch,
in which a processor starts the kernels (published rates of models of 1.8 to 7 billion weights under
transformers on an A100).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import UserError, model, params, runs, speed
from evoxtral.decode import Decoding, decode
from evoxtral.examples import Examples
from evoxtral.model import LoraShape, attach, count_parameters, read_cached
from evoxtral.params import Sft

EFFICIENCY, BANDWIDTH_SHARE = 0.4, 0.6
DECODE_LAUNCH, TRAIN_LAUNCH = 0.76e-3, 5e-3  # seconds per layer
RESERVED = 1e9  # bytes for the driver, workspaces and fragmentation
ADAPTERS = LoraShape()

_BF16, _FP32 = 2, 4  # bytes of a number
_LOGITS = 3  # float32 logits, their softmax and their gradient
_ADAPTED = 7  # matrices of a layer of the language model


class Gpu(NamedTuple):
    """A graphics card: bytes of memory, dense bfloat16 operations and bytes per second."""

    name: str
    memory: float
    flops: float
    bandwidth: float


GPUS = (
    Gpu("A10G, 24 GB", 24e9, 70e12, 0.6e12),
    Gpu("A100, 80 GB", 80e9, 312e12, 2.0e12),
    Gpu("H200, 141 GB", 141e9, 790e12, 4.3e12),
)


@dataclass(frozen=True)
class Workload:
    """How much there is to do: the report's recipe on its data."""

    clips: int = 808  # for training, each of one window
    epochs: int = 3  # of SFT
    k: int = 4  # completions per clip
    curated: int = 727  # completions that RAFT learns from
    test: int = 50  # clips of an evaluation
    batch: int = 16  # examples per optimiser step
    request: int = 9  # prompt positions that are not audio
    transcript: int = 49  # mean tokens, the end included
    long: int = 81  # tokens of a long transcript (95th percentile): so long a batch decodes
    limit: int = 147  # most tokens written


class Recipe:
    """Operations, bytes and times of the method's steps on one Voxtral.

    Attributes:
        language, head: weights of the language model's layers and of the output layer.
        held: bytes of a GPU that holds all weights in bfloat16, without adapters.
        adapters: weights of the adapters.
        audio_tokens: audio positions of a window.
        cache_bytes: of keys and values per position, in bfloat16.
        encode, prefill, train: operations of the encoder for a window, of a request, and of
            training on an example with cached features.
    """

    def __init__(self, config: VoxtralConfig, work: Workload) -> None:
        self.work, self.text, audio = work, config.text_config, config.audio_config
        counted = count_parameters(config, ADAPTERS).set_index("part")
        frozen = (counted["total"] - counted["trainable"]).to_dict()
        self.head = frozen["output layer"]
        self.language = frozen["language model"] - self.head
        self.held = RESERVED + _BF16 * frozen["all"]
        self.adapters = counted["trainable"]["all"]
        self.query = self.text.num_attention_heads * self.text.head_dim
        self.key = self.text.num_key_value_heads * self.text.head_dim
        self.cache_bytes = 2 * _BF16 * self.text.num_hidden_layers * self.key

        width, frames = audio.hidden_size, audio.max_source_positions
        self.audio_tokens = frames // 4
        self.prompt = self.audio_tokens + work.request
        self.positions = self.prompt + work.transcript
        matrices = 4 * width**2 + 2 * width * audio.intermediate_size
        attention = 2 * frames**2 * width
        self.encode = 2.0 * audio.num_hidden_layers * (matrices * frames + attention)
        self.prefill = self.layers(self.prompt)
        # Frozen weights take two passes (forward, and the gradient of their inputs), adapters
        # three; the output layer runs on the transcript.
        forward = self.layers(self.positions) + 2.0 * self.head * work.transcript
        self.train = 2 * forward + 3 * 2.0 * self.adapters * self.positions

    def layers(self, positions: int) -> float:
        """Operations of the language model's layers for so many positions, from the first on."""
        attention = self.text.num_hidden_layers * positions**2 * self.query  # half of all pairs
        return 2.0 * (self.language * positions + attention)

    def train_bytes(self, at_once: int) -> float:
        """Bytes of fine-tuning on cached features with so many examples at a time.

        Besides the weights: adapters, their gradients and Adam's two moments in float32; logits;
        and, per position and layer, inputs of both norms (and in float32), queries, keys and values
        before and after rotation, the attention's output, four stages of the feed-forward; of each
        adapter its input in float32, again with its dropout mask, and its inner state.
        """
        width, wide, query = self.text.hidden_size, self.text.intermediate_size, self.query
        kept = _BF16 * (2 * width + 2 * (query + 2 * self.key) + query + 4 * wide)
        kept += _FP32 * 2 * width + (2 * _FP32 + 1) * (5 * width + query + wide)
        kept += _FP32 * ADAPTERS.rank * _ADAPTED
        kept *= self.positions * self.text.num_hidden_layers
        logits = _LOGITS * _FP32 * self.work.transcript * self.text.vocab_size
        return self.held + 4 * _FP32 * self.adapters + at_once * (kept + logits)

    def tuning(self, gpu: Gpu, examples: int) -> tuple[str, float, float, float]:
        """Setting, bytes, floor and expected seconds with as many examples at a time as fit."""
        sizes = (n for n in range(self.work.batch, 0, -1) if self.work.batch % n == 0)
        at_once = next(n for n in sizes if self.train_bytes(n) <= gpu.memory)
        floor = examples * self.train / gpu.flops
        launched = examples / at_once * self.text.num_hidden_layers * TRAIN_LAUNCH
        expected = max(floor / EFFICIENCY, launched)
        return f"{at_once} at a time", self.train_bytes(at_once), floor, expected

    def decoding(self, gpu: Gpu, clips: int, k: int) -> tuple[str, float, float, float]:
        """The same of decoding, as many clips at a time as fit, in batches of one size."""
        work = self.work
        per_clip = k * (self.prompt + work.limit) * self.cache_bytes
        batches = math.ceil(clips / min(clips, int((gpu.memory - self.held) // per_clip)))
        at_once = math.ceil(clips / batches)
        prefill = clips * self.prefill / gpu.flops
        read = _BF16 * (self.language + self.head)  # two bytes, two operations each
        kept = at_once * k * self.positions * self.cache_bytes
        step = max((read + kept) / gpu.bandwidth, at_once * k * read / gpu.flops)
        decoding = clips / at_once * work.transcript * step
        launched = batches * work.long * self.text.num_hidden_layers * DECODE_LAUNCH
        slowest = decoding / BANDWIDTH_SHARE * work.long / work.transcript
        setting = f"{at_once} clips" + (f" of {k}" if k > 1 else "") + " at a time"
        expected = prefill / EFFICIENCY + max(launched, slowest)
        return setting, self.held + at_once * per_clip, prefill + decoding, expected


def forecasts() -> pd.DataFrame:
    """The report's recipe on Voxtral-Mini-3B, on each of `GPUS`.

    Returns:
        `gpu | step | setting | gigabytes | floor | expected`, the last two in seconds.
    """
    work = Workload()
    recipe, rows = Recipe(VoxtralConfig(), work), []
    for gpu in GPUS:
        once = work.clips * recipe.encode / gpu.flops
        steps = {
            "features": (f"{work.clips} windows, once", recipe.held, once, once / EFFICIENCY),
            "SFT": recipe.tuning(gpu, work.epochs * work.clips),
            "sampling": recipe.decoding(gpu, work.clips, work.k),
            "RAFT fine-tuning": recipe.tuning(gpu, work.curated),
            "evaluation": recipe.decoding(gpu, work.test, 1),
        }
        rows += [(gpu.name, step, *found) for step, found in steps.items()]
    columns = ["gpu", "step", "setting", "gigabytes", "floor", "expected"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(gigabytes=frame["gigabytes"] / 1e9)


# The real size on random weights: what a GPU takes, without a download


class _Drawn(list[Tensor]):
    """Stands for cached features: of each clip those of one window."""

    @property
    def windows(self) -> list[int]:
        return [1] * len(self)


def real_size(
    config: VoxtralConfig, lengths: Sequence[int], device: torch.device, rounds: int = speed.ROUNDS
) -> pd.DataFrame:
    """The method's steps at real size on random weights, in bfloat16 on a GPU.

    Nothing timed depends on the values of weights, except where a transcript ends; its length is
    therefore given: `lengths`, in tokens, of as many clips as whole optimiser steps take. Floors
    are arithmetic over what a matrix product reached just before.

    Returns:
        `work | way | round | seconds | floor`, seconds of the whole work.
    """
    precision = "bfloat16" if device.type == "cuda" else "float32"
    dtype = getattr(torch, precision)
    peak = _peak(device, dtype)
    torch.manual_seed(0)
    with device:
        system = VoxtralForConditionalGeneration._from_config(config, dtype=dtype)
    system.requires_grad_(False).eval()
    clips, audio = len(lengths), config.audio_config
    heard = torch.randn(1, audio.max_source_positions, audio.hidden_size, dtype=dtype)
    recipe = Recipe(config, Workload(transcript=round(np.mean(lengths))))
    work, made = recipe.work, []
    request = [5] * work.request + [config.audio_token_id] * recipe.audio_tokens
    prompter = SimpleNamespace(  # a text is its number of tokens, and none ends it
        eos=-1, pad=0, prompt=lambda _: request, target=lambda text: [5] * int(text)
    )
    texts, weights, drawn = [str(n) for n in lengths], [1.0] * clips, _Drawn([heard] * clips)
    examples = Examples(drawn, texts, range(clips), prompter, weights)
    known = {"precision": precision, "device": device.type}
    known |= speed.EPOCH | {"batch": work.batch, "micro_batch": work.batch}
    cfg = params.profile(Sft, "paper").model_copy(update=known)

    def encode(_: int) -> None:
        mels = torch.zeros(16, audio.num_mel_bins, 2 * audio.max_source_positions, device=device)
        for first in range(0, clips, len(mels)):
            model.encode(system, mels[: clips - first]).cpu()

    def write(k: int, *sampled: float) -> speed.Way:
        seeds = [[(i, index) for index in range(k)] for i in range(clips)]
        how = Decoding(max(lengths), *sampled)
        return lambda _: decode(system, prompter, drawn, range(clips), how, seeds)

    def add(name: str, operations: float, way: speed.Way) -> None:
        rows = speed.compared(name, {speed.OURS: way}, rounds)
        made.append(rows.assign(floor=clips * operations / peak))

    add("encode", recipe.encode, encode)
    adapted = attach(read_cached(system), ADAPTERS, 0)
    add("SFT", recipe.train, lambda _: speed.one_epoch(adapted, examples, cfg))
    adapted.unload()
    written = 2.0 * (recipe.language + recipe.head) * sum(lengths) / clips  # of one transcript
    add(f"sampling, k = {work.k}", recipe.prefill + work.k * written, write(work.k, 0.7, 0.9))
    add("evaluation", recipe.prefill + written, write(1))
    return pd.concat(made, ignore_index=True)


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product, the best of five."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    ways = {speed.OURS: lambda _: (a @ b).sum().item()}  # waits for the device
    return 2.0 * side**3 / speed.compared("product", ways, 5)["seconds"].min()


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
    way = partial(real_size, VoxtralConfig(), lengths, torch.device("cuda"))
    return speed.record("real", "paper", "full", way)
