"""What the embedded model reads: the ids of its request, and features of windows of any length."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import MistralCommonBackend, VoxtralForConditionalGeneration

AUDIO, EOS, PAD = 24, 2, 11
"""Voxtral's ids."""


def prompt_ids(tokenizer: MistralCommonBackend, audio_tokens: int) -> list[int]:
    """The transcription request Voxtral's processor writes, for a given number of audio tokens."""
    language = tokenizer("lang:en", add_special_tokens=False)["input_ids"]
    return [1, 3, 25, *[AUDIO] * audio_tokens, 4, *language, 34]


def encode(model: VoxtralForConditionalGeneration, mels: Tensor) -> Tensor:
    """Encoder features for windows of any length.

    Voxtral's own forward insists on the full window; this is the same computation with as many
    position embeddings as there are frames.

    Args:
        model: a Voxtral model.
        mels: log-mel features, shape (batch, bands, mel frames).

    Returns:
        Shape (batch, mel frames / 2, encoder width).
    """
    tower = model.model.audio_tower
    hidden = nn.functional.gelu(tower.conv1(mels))
    hidden = nn.functional.gelu(tower.conv2(hidden)).transpose(1, 2)
    hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
    for layer in tower.layers:
        hidden = layer(hidden, attention_mask=None)
    return tower.layer_norm(hidden)
