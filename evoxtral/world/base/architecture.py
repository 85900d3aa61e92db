"""The embedded model's shape: every class of Voxtral, a thousandth of its size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    MistralCommonBackend,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import sinusoids

SAMPLE_RATE = 16_000
FRAME_RATE = 50
"""Encoder frames per second: a 10 ms mel hop and one convolution of stride 2."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the embedded model.

    Attributes:
        window_seconds: length of the audio window; Voxtral-Mini has 30 s.
        mel_bins: mel bands of the feature extractor; Voxtral-Mini has 128.
        encoder_width: model dimension of the Whisper encoder (1280 in Voxtral-Mini).
        encoder_layers: its layers (32 in Voxtral-Mini).
        encoder_heads: its attention heads (20 in Voxtral-Mini).
        lm_width: hidden size of the Llama language model (3072 in Voxtral-Mini).
        lm_layers: its layers (30 in Voxtral-Mini).
        lm_heads: its query heads (32 in Voxtral-Mini).
        lm_kv_heads: its key and value heads (8 in Voxtral-Mini).
    """

    window_seconds: int = 8
    mel_bins: int = 80
    encoder_width: int = 144
    encoder_layers: int = 4
    encoder_heads: int = 4
    lm_width: int = 192
    lm_layers: int = 4
    lm_heads: int = 4
    lm_kv_heads: int = 2

    @property
    def frames(self) -> int:
        """Encoder frames in a window (`max_source_positions`)."""
        return self.window_seconds * FRAME_RATE

    @property
    def audio_tokens(self) -> int:
        """Audio positions the language model sees per window: four frames make one."""
        return self.frames // 4


def build_model(shape: Architecture, vocabulary: int) -> VoxtralForConditionalGeneration:
    """A randomly initialised Voxtral of this shape; seed torch before calling.

    The projector reads four stacked encoder frames, so Voxtral ties the encoder's feed-forward
    width to four times its model dimension.
    """
    config = VoxtralConfig(
        audio_config={
            "model_type": "voxtral_encoder",
            "hidden_size": shape.encoder_width,
            "intermediate_size": 4 * shape.encoder_width,
            "num_hidden_layers": shape.encoder_layers,
            "num_attention_heads": shape.encoder_heads,
            "num_mel_bins": shape.mel_bins,
            "max_source_positions": shape.frames,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": vocabulary,
            "hidden_size": shape.lm_width,
            "intermediate_size": 3 * shape.lm_width,
            "num_hidden_layers": shape.lm_layers,
            "num_attention_heads": shape.lm_heads,
            "num_key_value_heads": shape.lm_kv_heads,
            "head_dim": shape.lm_width // shape.lm_heads,
            "max_position_embeddings": 1024,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 11,
        },
        audio_token_id=24,
    )
    model = VoxtralForConditionalGeneration(config)
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():  # Whisper's fixed sinusoids; Voxtral's class leaves them random
        positions.copy_(sinusoids(*positions.shape))
    model.generation_config.bos_token_id = 1
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 11
    return model


def build_processor(tekken: Path, shape: Architecture) -> VoxtralProcessor:
    """The processor of this shape around a tekken tokenizer file."""
    return VoxtralProcessor(
        WhisperFeatureExtractor(feature_size=shape.mel_bins, chunk_length=shape.window_seconds),
        MistralCommonBackend(tokenizer_path=str(tekken)),
    )
