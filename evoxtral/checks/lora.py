"""How many parameters LoRA trains on Voxtral, from layer shapes alone.

A LoRA pair on a linear map of `n` inputs and `m` outputs has `rank * (n + m)` weights (Hu et al.
2022, section 4.1). The report adapts q/k/v/o_proj, gate/up/down_proj and the projector (Table 1)
and calls the encoder frozen (section 3.1). Its bare names `q_proj`, `k_proj`, `v_proj` also match
the encoder's attention; the encoder's output map is `out_proj` and its feed-forward `fc1`, `fc2`,
which no name matches.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shapes:
    """Sizes from a Voxtral configuration.

    Attributes:
        layers: decoder layers of the language model.
        hidden: its width.
        feed_forward: width of its gated feed-forward.
        heads: query heads.
        kv_heads: key and value heads.
        head_dim: width of a head.
        encoder_layers: layers of the audio encoder.
        encoder_hidden: its width.
        stacked: encoder frames joined into one audio token.
    """

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    encoder_layers: int
    encoder_hidden: int
    stacked: int


VOXTRAL_MINI = Shapes(
    layers=30,
    hidden=3072,
    feed_forward=8192,
    heads=32,
    kv_heads=8,
    head_dim=128,
    encoder_layers=32,
    encoder_hidden=1280,
    stacked=4,
)
"""Voxtral-Mini-3B-2507."""


def adapted_maps(shapes: Shapes, *, encoder: bool) -> list[tuple[str, int, int, int]]:
    """The linear maps that receive a LoRA pair.

    Args:
        shapes: the model.
        encoder: whether the encoder's q, k and v are adapted too, as the bare names do.

    Returns:
        Rows of (name, how many of them, inputs, outputs).
    """
    hidden, wide = shapes.hidden, shapes.feed_forward
    query, key = shapes.heads * shapes.head_dim, shapes.kv_heads * shapes.head_dim
    language = [
        ("language_model q_proj", hidden, query),
        ("language_model k_proj", hidden, key),
        ("language_model v_proj", hidden, key),
        ("language_model o_proj", query, hidden),
        ("language_model gate_proj", hidden, wide),
        ("language_model up_proj", hidden, wide),
        ("language_model down_proj", wide, hidden),
    ]
    audio = shapes.encoder_hidden
    rows = [(name, shapes.layers, n, m) for name, n, m in language]
    rows.append(("multi_modal_projector linear_1", 1, audio * shapes.stacked, hidden))
    rows.append(("multi_modal_projector linear_2", 1, hidden, hidden))
    if encoder:
        names = ("q_proj", "k_proj", "v_proj")
        rows += [(f"audio_tower {name}", shapes.encoder_layers, audio, audio) for name in names]
    return rows


def lora_parameter_count(rank: int, *, encoder: bool, shapes: Shapes = VOXTRAL_MINI) -> int:
    """Trainable parameters of a LoRA adapter with the report's target names.

    Args:
        rank: of every pair.
        encoder: whether the encoder's q, k and v are adapted too.
        shapes: the model.

    >>> lora_parameter_count(64, encoder=True)
    124780544
    >>> lora_parameter_count(64, encoder=False)
    109051904
    """
    return sum(count * rank * (n + m) for _, count, n, m in adapted_maps(shapes, encoder=encoder))
