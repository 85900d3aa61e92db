"""How well a base model hears: word errors, linear probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import (
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
)

from evoxtral import metrics, tags
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.model import (
    SPECIAL_TOKENS,
    Architecture,
    build_model,
    transcribe,
    windows,
)
from evoxtral.world.speech.audibility import linear_probe


@torch.inference_mode()
def pooled_features(
    model: VoxtralForConditionalGeneration, rows: Utterances, shape: Architecture
) -> NDArray[np.float32]:
    """Frozen-encoder features of each clip: mean, deviation and maximum over its frames.

    Returns:
        Shape (n, 3 * encoder width).
    """
    pooled = []
    for mels, lengths in windows(rows, shape.mel_bins, 2 * shape.frames, model.device):
        features = model.model.audio_tower(mels).last_hidden_state.float()
        for clip, length in zip(features, lengths, strict=True):
            heard = clip[: max(2, length // 2)]
            parts = [heard.mean(0), heard.std(0), heard.amax(0)]
            pooled.append(torch.cat(parts).cpu().numpy())
    return np.stack(pooled)


TEST_SETS = {
    "test": "neutral, training voices",
    "test_voices": "neutral, held-out voices",
    "expressive_test": "expressive, all voices",
}


def transcription_scores(
    model: VoxtralForConditionalGeneration,
    processor: VoxtralProcessor,
    kinds: dict[str, Utterances],
    shape: Architecture,
) -> pd.DataFrame:
    """Corpus word error rate on each test set, with 95 % bootstrap intervals over clips.

    Returns:
        One row per test set: `clips`, `wer` (text as written), `wer_normalised` (standard English
        normaliser) with `low` and `high`, and `tagged`: transcripts that hold any bracket.
    """
    normalise = metrics.english_normaliser()
    rows = []
    for kind, label in TEST_SETS.items():
        heard = transcribe(model, processor.tokenizer, kinds[kind], shape)
        spoken = [tags.plain_text(text) for text in kinds[kind].texts]
        scores = metrics.evaluate(spoken, heard, normalise=normalise)
        interval = scores.intervals("strict")["wer_normalised"]
        rows.append(
            {
                "set": label,
                "clips": len(heard),
                "wer": scores.strict()["wer"].value,
                "wer_normalised": interval.value,
                "low": interval.low,
                "high": interval.high,
                "tagged": sum("[" in text for text in heard),
            }
        )
    return pd.DataFrame(rows)


def probe_scores(
    model: VoxtralForConditionalGeneration, kinds: dict[str, Utterances], shape: Architecture
) -> pd.DataFrame:
    """How well a line through the frozen encoder's features tells each tag from plain speech.

    Logistic regression on pooled features, trained on clips of the same sentences and voices with
    and without the tag, tested on other sentences in held-out voices. What a frozen encoder does
    not hold, fine-tuning the language model cannot learn: this is its ceiling.

    Returns:
        One row per tag: `tag`, `group`, `auc` (area under the ROC curve, chance 0.5), `clips`.
    """

    def pooled(kind: str) -> NDArray[np.float32]:
        return pooled_features(model, kinds[kind], shape)

    plain_train, plain_test = pooled("probe_train:plain"), pooled("probe_test:plain")
    rows = []
    for tag in tags.TAGS:
        train, test = pooled(f"probe_train:{tag}"), pooled(f"probe_test:{tag}")
        auc = linear_probe((train, plain_train), (test, plain_test), 0.05)
        clips = len(test) + len(plain_test)
        rows.append({"tag": tag, "group": tags.group_of(tag), "auc": auc, "clips": clips})
    return pd.DataFrame(rows)


_PARTS = {
    "audio encoder": "model.audio_tower.",
    "projector": "model.multi_modal_projector.",
    "language model": "model.language_model.",
    "output layer": "lm_head.",
}


def _sizes(model: VoxtralForConditionalGeneration) -> dict[str, int]:
    named = list(model.named_parameters())
    sizes = {
        part: sum(p.numel() for name, p in named if name.startswith(prefix))
        for part, prefix in _PARTS.items()
    }
    return {**sizes, "all parameters": sum(p.numel() for _, p in named)}


def architecture_sizes(shape: Architecture, merges: int) -> pd.DataFrame:
    """Parameters of every part, beside those of Voxtral-Mini-3B (built without memory)."""
    config = VoxtralConfig()
    with torch.device("meta"):
        tiny = _sizes(build_model(shape, 256 + merges + len(SPECIAL_TOKENS)))
        mini = _sizes(VoxtralForConditionalGeneration(config))
    rows = [{"part": part, "tiny": tiny[part], "mini": mini[part]} for part in tiny]
    rows.append(
        {
            "part": "audio positions per window",
            "tiny": shape.audio_tokens,
            "mini": config.audio_config.max_source_positions // 4,
        }
    )
    return pd.DataFrame(rows)


def _hours(rows: Utterances) -> float:
    return sum(len(mel) for mel in rows.mels) / 100 / 3600


def _grouped(kinds: dict[str, Utterances]) -> dict[str, list[Utterances]]:
    groups: dict[str, list[Utterances]] = {}
    for kind, rows in kinds.items():
        groups.setdefault(kind.split(":")[0], []).append(rows)
    return groups


def corpus_sizes(kinds: dict[str, Utterances]) -> pd.DataFrame:
    """Clips, hours, voices and distinct texts of each part of the corpus."""
    rows = [
        {
            "part": name,
            "clips": sum(map(len, group)),
            "hours": sum(map(_hours, group)),
            "voices": len({voice for member in group for voice in member.voices}),
            "texts": len({text for member in group for text in member.texts}),
        }
        for name, group in _grouped(kinds).items()
    ]
    return pd.DataFrame(rows)


def results(
    kinds: dict[str, Utterances], words: pd.DataFrame, audible: pd.DataFrame
) -> dict[str, Any]:
    """What `results.json` of the base notebook holds."""
    return {
        "clips": {name: sum(map(len, group)) for name, group in _grouped(kinds).items()},
        "transcription": words.set_index("set").to_dict("index"),
        "probe_auc": dict(zip(audible["tag"], audible["auc"], strict=True)),
    }
