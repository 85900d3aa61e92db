"""A small tekken tokenizer: byte-level BPE with Voxtral's special tokens at Voxtral's ids."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from evoxtral.world.base.architecture import SAMPLE_RATE, Architecture

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
