"""The embedded model's shape: every class of Voxtral, a thousandth of its size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import AutoProcessor, VoxtralProcessor

from evoxtral.model import quiet

if TYPE_CHECKING:
    from evoxtral.world.base.corpus import Utterances

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    MistralCommonBackend,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
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


SHAPE = Architecture()
"""Of the base that ships."""


def window_arguments(shape: Architecture) -> dict[str, int]:
    """The `audio_kwargs` that tell Voxtral's processor of a window other than 30 s."""
    return {
        "pad_to_multiple_of": shape.window_seconds * SAMPLE_RATE,
        "max_source_positions": 2 * shape.frames,
    }


_NAMED = {
    **dict(enumerate(["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]"])),
    **dict(enumerate(["[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"], start=6)),
    **dict(enumerate(["[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"], start=9)),
    **dict(enumerate(["[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]"], start=14)),
    **dict(enumerate(["[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"], start=18)),
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    34: "[TRANSCRIBE]",
}
SPECIAL_TOKENS = tuple(_NAMED.get(rank, f"<SPECIAL_{rank}>") for rank in range(40))
"""Control tokens; the named ones have the ids of Voxtral-Mini-3B-2507."""


def _byte_of_character() -> dict[str, int]:
    """Inverse of the printable alphabet in which byte-level BPE writes raw bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    hidden = (byte for byte in range(256) if byte not in set(printable))
    table.update({chr(256 + offset): byte for offset, byte in enumerate(hidden)})
    return table


def _tekken_pattern() -> str:
    """The pre-tokenisation pattern of Mistral's released tekken tokenizers."""
    released = files("mistral_common") / "data" / "tekken_240911.json"
    return json.loads(released.read_text(encoding="utf-8"))["config"]["pattern"]


def train_tokenizer(texts: Iterable[str], merges: int, shape: Architecture) -> dict[str, Any]:
    """Learn a byte-level BPE and describe it in the tekken format.

    Args:
        texts: training text.
        merges: merges to learn; the vocabulary is 40 control tokens + 256 bytes + merges.
        shape: gives the `audio` section its window length.

    Returns:
        The content of a `tekken.json`, as `mistral_common` reads it.
    """
    pattern = _tekken_pattern()
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    raw_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, raw_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    byte_of = _byte_of_character()
    learnt = sorted(bpe.get_vocab().items(), key=lambda item: item[1])
    pieces = [bytes(byte_of[character] for character in text) for text, _ in learnt]
    tokens = [bytes([byte]) for byte in range(256)] + [p for p in pieces if len(p) > 1]
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
            "audio_encoding_config": {
                "num_mel_bins": shape.mel_bins,
                "hop_length": 160,
                "window_size": 400,
            },
            "chunk_length_s": float(shape.window_seconds),
        },
    }


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


def load_model(folder: Path) -> tuple[VoxtralForConditionalGeneration, VoxtralProcessor]:
    """Model (fp32, evaluation mode) and processor of a checkpoint folder; no network."""
    with quiet():
        model = VoxtralForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(folder)


BATCH = 64


def windows(
    rows: Utterances, bands: int, full: int, device: torch.device
) -> Iterator[tuple[Tensor, list[int]]]:
    """Batches of full windows, shape (batch, bands, mel frames), and the clips' mel frames."""
    for start in range(0, len(rows), BATCH):
        chosen = range(start, min(start + BATCH, len(rows)))
        mels = np.empty((len(chosen), full, bands), np.float32)
        for row, i in enumerate(chosen):
            n = len(rows.mels[i])
            mels[row, :n], mels[row, n:] = rows.mels[i], rows.floors[i]
        lengths = [len(rows.mels[i]) for i in chosen]
        yield torch.from_numpy(mels).transpose(1, 2).to(device), lengths


@torch.inference_mode()
def transcribe(
    model: VoxtralForConditionalGeneration,
    tokenizer: MistralCommonBackend,
    rows: Utterances,
    shape: Architecture,
    *,
    max_new_tokens: int = 48,
) -> list[str]:
    """Greedy transcripts of all utterances, through Voxtral's own `generate`."""
    prompt = torch.tensor(prompt_ids(tokenizer, shape.audio_tokens), device=model.device)
    texts = []
    for mels, _ in windows(rows, shape.mel_bins, 2 * shape.frames, model.device):
        ids = prompt.expand(len(mels), -1)
        out = model.generate(
            input_ids=ids,
            input_features=mels,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )
        texts += [tokenizer.decode(row, skip_special_tokens=True) for row in out[:, len(prompt) :]]
    return texts
