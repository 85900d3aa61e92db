"""What the steps of the method need, counted from the model's shapes and the real lengths.

Only what no implementation can leave out is counted: each weight is read once per pass, keys and
values once per token, nothing is padded, nothing computed twice. Clips take one window each.
"""

from __future__ import annotations

from collections.abc import Sequence

from evoxtral.forecast import Shapes, Workload, train_flops
from evoxtral.forecast.shapes import BF16, FP32
from evoxtral.speed.roofline import Need, Precision

__all__ = ["BYTES", "decoding", "encoding", "training"]

BYTES: dict[Precision, int] = {"float32": FP32, "bfloat16": BF16}
"""Of a number."""

_ADAM = 4 * 2 * FP32  # weight, gradient and two moments, each read and written in a step


def encoding(shapes: Shapes, clips: int, precision: Precision) -> Need:
    """Encoder features of clips, from log-mels, written once."""
    audio = shapes.config.audio_config
    number = BYTES[precision]
    weights = shapes.encoder_weights * number
    read = clips * 2 * shapes.frames * audio.num_mel_bins * number
    written = clips * shapes.frames * audio.hidden_size * number
    return Need(clips * shapes.encode_flops(), weights + read + written, weights, precision)


def training(
    shapes: Shapes, request: int, targets: Sequence[int], batch: int, precision: Precision
) -> Need:
    """One pass over examples with cached features: forward, backward, and the optimiser.

    Args:
        shapes: of the model, with the rank of its adapters.
        request: prompt positions that are not audio.
        targets: tokens of each transcript, its end included.
        batch: examples per optimiser step.
        precision: of the arithmetic.
    """
    work = [Workload(request=request, transcript=tokens) for tokens in targets]
    flops = sum(train_flops(shapes, one, checkpointing=False) for one in work)
    weights = BYTES[precision] * (
        shapes.language_weights + shapes.head_weights + shapes.projector_weights
    )
    adapters = shapes.language_adapters + shapes.projector_adapters
    steps = len(targets) / batch
    return Need(flops, steps * (2 * weights + _ADAM * adapters), weights, precision)


def decoding(
    shapes: Shapes, request: int, lengths: Sequence[Sequence[int]], precision: Precision
) -> list[Need]:
    """Completions of clips with cached features: each prompt once, then token by token.

    Args:
        shapes: of the model, adapters merged.
        request: prompt positions that are not audio.
        lengths: tokens of each clip's completions, their ends included.
        precision: of weights, keys and values.

    Returns:
        The prefill, and the steps after it. The first token of each completion comes from the
        prefill. All rows take their steps together, so that weights are read as often as the
        longest completion has tokens.
    """
    number = BYTES[precision] / BF16
    prompt = shapes.audio_tokens + request
    weights = shapes.step_bytes * number
    per_clip = shapes.language_flops(prompt) + shapes.project_flops() + shapes.head_flops(1)
    kept = prompt * shapes.cache_bytes * number
    prefill = Need(
        len(lengths) * per_clip,
        weights + shapes.projector_weights * BYTES[precision] + len(lengths) * kept,
        weights,
        precision,
    )
    return [prefill, _steps(shapes, prompt, [n for own in lengths for n in own], precision)]


def _steps(shapes: Shapes, prompt: int, lengths: Sequence[int], precision: Precision) -> Need:
    """All tokens but the first of each completion."""
    text = shapes.config.text_config
    number = BYTES[precision] / BF16
    tokens = sum(n - 1 for n in lengths)
    # A completion's i-th step attends to prompt + i positions, i = 1 .. n - 1.
    seen = sum((n - 1) * prompt + n * (n - 1) // 2 for n in lengths)
    attention = 4.0 * text.num_hidden_layers * text.num_attention_heads * text.head_dim * seen
    flops = 2.0 * (shapes.language_weights + shapes.head_weights) * tokens + attention
    weights = shapes.step_bytes * number
    read = max((n - 1 for n in lengths), default=0) * weights + seen * shapes.cache_bytes * number
    longest = max(lengths, default=0)
    resident = weights + len(lengths) * (prompt + longest) * shapes.cache_bytes * number
    return Need(flops, read, resident, precision)
