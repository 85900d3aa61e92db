"""The embedded model's shape: every class of Voxtral, a thousandth of its size."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml
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


Shape = dict[str, Any]
"""What `VoxtralConfig` takes, but for the size of the vocabulary."""

SHAPE: Shape = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
"""That of the base that ships."""


def window_seconds(shape: Shape) -> int:
    """Length of the audio window."""
    return shape["audio_config"]["max_source_positions"] // FRAME_RATE


def build_model(shape: Shape, vocabulary: int) -> VoxtralForConditionalGeneration:
    """A randomly initialised Voxtral of this shape; seed torch before calling."""
    text = shape["text_config"] | {"vocab_size": vocabulary}
    model = VoxtralForConditionalGeneration(VoxtralConfig(**shape | {"text_config": text}))
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():  # Whisper's fixed sinusoids; Voxtral's class leaves them random
        positions.copy_(sinusoids(*positions.shape))
    return model


def build_extractor(shape: Shape) -> WhisperFeatureExtractor:
    """The log-mel features of this shape."""
    bands = shape["audio_config"]["num_mel_bins"]
    return WhisperFeatureExtractor(feature_size=bands, chunk_length=window_seconds(shape))


def build_processor(tekken: Path, shape: Shape) -> VoxtralProcessor:
    """The processor of this shape around a tekken tokenizer file."""
    return VoxtralProcessor(
        build_extractor(shape), MistralCommonBackend(tokenizer_path=str(tekken))
    )


def window_arguments(shape: Shape) -> dict[str, int]:
    """The `audio_kwargs` that tell Voxtral's processor of a window other than 30 s."""
    return {
        "pad_to_multiple_of": window_seconds(shape) * SAMPLE_RATE,
        "max_source_positions": 2 * shape["audio_config"]["max_source_positions"],
    }


_NAMED = {token["rank"]: token["token_str"].value for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS}
_NAMED |= {AUDIO: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
SPECIAL_TOKENS = tuple(_NAMED.get(rank, f"<SPECIAL_{rank}>") for rank in range(40))
"""Control tokens; the named ones have the ids of Voxtral-Mini-3B-2507."""


def train_tokenizer(texts: Iterable[str], merges: int, shape: Shape) -> dict[str, Any]:
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
    bands = shape["audio_config"]["num_mel_bins"]
    spectrogram = {"num_mel_bins": bands, "hop_length": 160, "window_size": 400}
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
            "chunk_length_s": float(window_seconds(shape)),
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
