"""Memory and time of the method's steps on a GPU: floors from shapes, and what to expect.

A floor is arithmetic over the GPU's peak, or bytes over its bandwidth, whichever takes longer. What
to expect stands on four assumptions, none of them measured with this project: `EFFICIENCY` of the
peak is reached in training (the original implementation's two training times both give 0.40),
`BANDWIDTH_SHARE` of the bandwidth in decoding, and no layer takes less than `DECODE_LAUNCH` per
decoding step or `TRAIN_LAUNCH` per micro-batch, the time a processor needs to start its kernels
(published rates of models of 1.8 to 7 billion weights under transformers on an A100).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from evoxtral.forecast.shapes import BF16, FP32, Shapes

__all__ = ["GPUS", "Gpu", "Workload", "decode_floor", "forecast", "memory", "train_flops"]

EFFICIENCY, BANDWIDTH_SHARE = 0.4, 0.6
DECODE_LAUNCH, TRAIN_LAUNCH = 0.76e-3, 5e-3  # seconds per layer
RESERVED = 1e9
"""Bytes for the driver, workspaces and fragmentation."""

_LOGITS = 3  # float32 logits, their softmax and their gradient


@dataclass(frozen=True)
class Gpu:
    """A graphics card.

    Attributes:
        name: what it is called.
        memory: bytes.
        flops: dense bfloat16 operations per second, the maker's peak or the measured one.
        bandwidth: bytes per second.
    """

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
    """How much there is to do: the report's recipe on its data.

    Attributes:
        clips: training clips, each of one window.
        epochs: of SFT.
        k: completions per clip.
        curated: completions that RAFT learns from.
        test: clips of an evaluation.
        batch: examples per optimiser step.
        request: prompt positions that are not audio.
        transcript: mean tokens of a transcript, its end included.
        long: tokens of a long one (the 95th percentile): so long a batch decodes.
        limit: most tokens written.
    """

    clips: int = 808
    epochs: int = 3
    k: int = 4
    curated: int = 727
    test: int = 50
    batch: int = 16
    request: int = 9
    transcript: int = 49
    long: int = 81
    limit: int = 147


def train_flops(
    shapes: Shapes,
    work: Workload,
    *,
    checkpointing: bool,
    cached: bool = True,
    encoder_lora: bool = False,
    label_head: bool = True,
) -> float:
    """Operations of one training example.

    Frozen weights need two passes (forward, and the gradient of their inputs), adapters three;
    checkpointing repeats the forward pass of both.

    Args:
        shapes: of the model.
        work: gives the lengths.
        checkpointing: activations are recomputed.
        cached: the encoder's features come from the cache.
        encoder_lora: adapters reach into the encoder, which is then never cached.
        label_head: the output layer runs on the transcript only.
    """
    positions = shapes.audio_tokens + work.request + work.transcript
    again = int(checkpointing)
    adapters = shapes.language_adapters * positions + shapes.projector_adapters * (
        shapes.audio_tokens
    )
    total = (2 + again) * (shapes.language_flops(positions) + shapes.project_flops())
    total += 2 * shapes.head_flops(work.transcript if label_head else positions)
    total += (3 + again) * 2.0 * adapters
    if encoder_lora:
        total += (2 + again) * shapes.encode_flops()
        total += (3 + again) * 2.0 * shapes.encoder_adapters * shapes.frames
    elif not cached:
        total += shapes.encode_flops()
    return total


def memory(
    shapes: Shapes, work: Workload, *, at_once: int, checkpointing: bool, dropout: bool = True
) -> float:
    """Bytes that fine-tuning on cached features takes with so many examples at a time.

    Weights in bfloat16 without the encoder, the encoder that listened, adapters with gradient
    and Adam's two moments in float32, what the backward pass needs, and the logits.
    """
    positions = shapes.audio_tokens + work.request + work.transcript
    text = shapes.config.text_config
    adapters = 4 * FP32 * (shapes.language_adapters + shapes.projector_adapters)
    kept = shapes.kept_bytes(dropout=dropout) * positions
    if checkpointing:
        kept += text.num_hidden_layers * positions * text.hidden_size * BF16
    else:
        kept *= text.num_hidden_layers
    logits = _LOGITS * FP32 * work.transcript * text.vocab_size
    return RESERVED + BF16 * shapes.weights + adapters + at_once * (kept + logits)


def _sampling_memory(shapes: Shapes, work: Workload, rows: int) -> float:
    positions = shapes.audio_tokens + work.request + work.limit
    return RESERVED + BF16 * shapes.weights + rows * positions * shapes.cache_bytes


def decode_floor(shapes: Shapes, work: Workload, gpu: Gpu, completions: int, rows: int) -> float:
    """Seconds below which so many completions cannot be decoded, so many rows at a time."""
    positions = shapes.audio_tokens + work.request + work.transcript
    read = shapes.step_bytes + rows * positions * shapes.cache_bytes
    computed = rows * shapes.step_bytes  # two bytes and two operations per weight
    step = max(read / gpu.bandwidth, computed / gpu.flops)
    return completions / rows * work.transcript * step


def forecast(shapes: Shapes, gpu: Gpu, work: Workload | None = None) -> pd.DataFrame:
    """What the steps of the method take on a GPU, each with the setting that is quickest there.

    Returns:
        One row per step: `gpu | step | setting | gigabytes | floor | expected`, the last two in
        seconds.
    """
    work = work or Workload()
    rows = [
        _features(shapes, gpu, work),
        _tuning(shapes, gpu, work, "SFT", work.epochs * work.clips),
        _decoding(shapes, gpu, work, "sampling", work.clips, work.k),
        _tuning(shapes, gpu, work, "RAFT fine-tuning", work.curated),
        _decoding(shapes, gpu, work, "evaluation", work.test, 1),
    ]
    frame = pd.DataFrame(rows, columns=["step", "setting", "gigabytes", "floor", "expected"])
    frame.insert(0, "gpu", gpu.name)
    return frame


_Row = tuple[str, str, float, float, float]


def _features(shapes: Shapes, gpu: Gpu, work: Workload) -> _Row:
    floor = work.clips * shapes.encode_flops() / gpu.flops
    held = (RESERVED + BF16 * shapes.weights) / 1e9
    return "features", f"{work.clips} windows, once", held, floor, floor / EFFICIENCY


def _tuning(shapes: Shapes, gpu: Gpu, work: Workload, name: str, examples: int) -> _Row:
    made = []
    for checkpointing in (False, True):
        fits = [
            n
            for n in range(1, work.batch + 1)
            if work.batch % n == 0
            and memory(shapes, work, at_once=n, checkpointing=checkpointing) <= gpu.memory
        ]
        if not fits:
            continue
        at_once = max(fits)
        floor = examples * train_flops(shapes, work, checkpointing=checkpointing) / gpu.flops
        started = examples / at_once * shapes.config.text_config.num_hidden_layers * TRAIN_LAUNCH
        held = memory(shapes, work, at_once=at_once, checkpointing=checkpointing) / 1e9
        setting = f"{at_once} at a time" + (", checkpointing" if checkpointing else "")
        made.append((name, setting, held, floor, max(floor / EFFICIENCY, started)))
    if not made:
        return name, "does not fit", math.nan, math.nan, math.nan
    return min(made, key=lambda row: row[4])


def _decoding(shapes: Shapes, gpu: Gpu, work: Workload, name: str, clips: int, k: int) -> _Row:
    fixed = _sampling_memory(shapes, work, 0)
    per_clip = k * (_sampling_memory(shapes, work, 1) - fixed)
    at_once = min(clips, int((gpu.memory - fixed) // per_clip))
    if at_once < 1:
        return name, "does not fit", math.nan, math.nan, math.nan
    batches = math.ceil(clips / at_once)
    at_once = math.ceil(clips / batches)
    prompt = shapes.language_flops(shapes.audio_tokens + work.request) + shapes.project_flops()
    prefill = clips * prompt / gpu.flops
    floor = prefill + decode_floor(shapes, work, gpu, clips * k, at_once * k)
    steps = batches * work.long
    launched = steps * shapes.config.text_config.num_hidden_layers * DECODE_LAUNCH
    decoding = (floor - prefill) / BANDWIDTH_SHARE * work.long / work.transcript
    held = _sampling_memory(shapes, work, at_once * k) / 1e9
    setting = f"{at_once} clips" + (f" of {k}" if k > 1 else "") + " at a time"
    return name, setting, held, floor, prefill / EFFICIENCY + max(launched, decoding)
