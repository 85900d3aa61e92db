"""The embedded model's shape: every class of Voxtral, a thousandth of its size."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    MistralCommonBackend,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
    WhisperFeatureExtractor,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.whisper.modeling_whisper import sinusoids

from evoxtral.model import quiet

SAMPLE_RATE = 16_000
FRAME_RATE = 50  # of the encoder: a 10 ms mel hop and one convolution of stride 2
BOS, EOS, PAD, AUDIO = 1, 2, 11, 24  # Voxtral's token ids


@dataclass(frozen=True)
class Architecture:
    """Sizes of the embedded model; beside them those of Voxtral-Mini."""

    window_seconds: int = 8  # 30
    mel_bins: int = 80  # 128
    encoder_width: int = 144  # 1280
    encoder_layers: int = 4  # 32
    encoder_heads: int = 4  # 20
    lm_width: int = 192  # 3072
    lm_layers: int = 4  # 30
    lm_heads: int = 4  # 32
    lm_kv_heads: int = 2  # 8

    @property
    def frames(self) -> int:
        """Encoder frames in a window (`max_source_positions`)."""
        return self.window_seconds * FRAME_RATE


SHAPE = Architecture()  # of the base that ships


def build_model(shape: Architecture, vocabulary: int) -> VoxtralForConditionalGeneration:
    """A randomly initialised Voxtral of this shape; seed torch before calling."""
    audio = {
        "model_type": "voxtral_encoder",
        "hidden_size": shape.encoder_width,
        "intermediate_size": 4 * shape.encoder_width,  # the projector reads four stacked frames
        "num_hidden_layers": shape.encoder_layers,
        "num_attention_heads": shape.encoder_heads,
        "num_mel_bins": shape.mel_bins,
        "max_source_positions": shape.frames,
    }
    text = {
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
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    }
    config = VoxtralConfig(audio_config=audio, text_config=text, audio_token_id=AUDIO)
    model = VoxtralForConditionalGeneration(config)
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():  # Whisper's fixed sinusoids; Voxtral's class leaves them random
        positions.copy_(sinusoids(*positions.shape))
    return model


def build_processor(tekken: Path, shape: Architecture) -> VoxtralProcessor:
    """The processor of this shape around a tekken tokenizer file."""
    return VoxtralProcessor(
        WhisperFeatureExtractor(feature_size=shape.mel_bins, chunk_length=shape.window_seconds),
        MistralCommonBackend(tokenizer_path=str(tekken)),
    )


def window_arguments(shape: Architecture) -> dict[str, int]:
    """The `audio_kwargs` that tell Voxtral's processor of a window other than 30 s."""
    return {
        "pad_to_multiple_of": shape.window_seconds * SAMPLE_RATE,
        "max_source_positions": 2 * shape.frames,
    }


_NAMED = {token["rank"]: token["token_str"].value for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS}
_NAMED |= {AUDIO: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
SPECIAL_TOKENS = tuple(_NAMED.get(rank, f"<SPECIAL_{rank}>") for rank in range(40))
"""Control tokens; the named ones have the ids of Voxtral-Mini-3B-2507."""


def train_tokenizer(texts: Iterable[str], merges: int, shape: Architecture) -> dict[str, Any]:
    """Learn a byte-level BPE; returns the content of a `tekken.json` for `mistral_common`.

    40 control tokens, 256 bytes and the merges; text is split as by Mistral's tokenizers.
    """
    released = files("mistral_common") / "data" / "tekken_240911.json"
    pattern = json.loads(released.read_text(encoding="utf-8"))["config"]["pattern"]
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    raw_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, raw_bytes])
    letters = {"initial_alphabet": raw_bytes.alphabet(), "show_progress": False}
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=256 + merges, **letters))
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    learnt = sorted(bpe.get_vocab(), key=bpe.token_to_id)
    pieces = [bytes(byte_of[character] for character in text) for text in learnt]
    tokens = [bytes([byte]) for byte in range(256)] + [p for p in pieces if len(p) > 1]
    spectrogram = {"num_mel_bins": shape.mel_bins, "hop_length": 160, "window_size": 400}
    return {
        "config": {
            "pattern": pattern,
            "num_vocab_tokens": len(tokens),
            "default_vocab_size": len(tokens) + len(SPECIAL_TOKENS),
            "default_num_special_tokens": len(SPECIAL_TOKENS),
            "version": "v7",
        },
        "vocab": [
            {
                "rank": rank,
                "token_bytes": base64.b64encode(token).decode("ascii"),
                "token_str": token.decode("utf-8", "ignore") or None,
            }
            for rank, token in enumerate(tokens)
        ],
        "special_tokens": [
            {"rank": rank, "token_str": text, "is_control": True}
            for rank, text in enumerate(SPECIAL_TOKENS)
        ],
        "audio": {
            "sampling_rate": SAMPLE_RATE,
            "frame_rate": 12.5,
            "audio_encoding_config": spectrogram,
            "chunk_length_s": float(shape.window_seconds),
        },
    }


def prompt_ids(tokenizer: MistralCommonBackend, audio_tokens: int) -> list[int]:
    """The transcription request Voxtral's processor writes, for a given number of audio tokens."""
    language = tokenizer("lang:en", add_special_tokens=False)["input_ids"]
    return [BOS, 3, 25, *[AUDIO] * audio_tokens, 4, *language, 34]


def encode(model: VoxtralForConditionalGeneration, mels: Tensor) -> Tensor:
    """Encoder features, shape (batch, frames / 2, width), of `mels`, shape (batch, bands, frames).

    Voxtral's own forward insists on the full window; this one does not.
    """
    tower = model.model.audio_tower
    hidden = nn.functional.gelu(tower.conv1(mels))
    hidden = nn.functional.gelu(tower.conv2(hidden)).transpose(1, 2)
    hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
    for layer in tower.layers:
        hidden = layer(hidden, attention_mask=None)
    return tower.layer_norm(hidden)


def load_model(folder: Path) -> tuple[VoxtralForConditionalGeneration, VoxtralProcessor]:
    """Model (fp32, evaluation mode) and processor of a checkpoint folder; no network."""
    with quiet():
        model = VoxtralForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), VoxtralProcessor.from_pretrained(folder)
