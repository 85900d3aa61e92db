"""How well a base model hears: word errors, linear probes; and how large it and its corpus are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import VoxtralConfig, VoxtralForConditionalGeneration, VoxtralProcessor

from evoxtral import metrics, tags
from evoxtral.world.base.corpus import Clip, Kinds
from evoxtral.world.base.model import SHAPE, SPECIAL_TOKENS, build_model, transcribe, windows
from evoxtral.world.speech.audibility import linear_probe

TEST_SETS = {
    "test": "neutral, training voices",
    "test_voices": "neutral, held-out voices",
    "expressive_test": "expressive, all voices",
}


def transcription_scores(
    model: VoxtralForConditionalGeneration, processor: VoxtralProcessor, kinds: Kinds
) -> pd.DataFrame:
    """Corpus word error rate on each test set, with 95 % bootstrap intervals over clips.

    Returns:
        One row per test set: `clips`, `wer` (text as written), `wer_normalised` (standard English
        normaliser) with `low` and `high`, and `tagged`: transcripts that hold any bracket.
    """
    normalise = metrics.english_normaliser()
    rows = []
    for kind, label in TEST_SETS.items():
        heard = transcribe(model, processor.tokenizer, kinds[kind])
        spoken = [tags.plain_text(clip.text) for clip in kinds[kind]]
        scores = metrics.evaluate(spoken, heard, normalise=normalise)
        interval = scores.intervals("strict")["wer_normalised"]
        wer = scores.table("strict")["wer"].value
        tagged = sum("[" in text for text in heard)
        rows.append((label, len(heard), wer, interval.value, interval.low, interval.high, tagged))
    columns = ["set", "clips", "wer", "wer_normalised", "low", "high", "tagged"]
    return pd.DataFrame(rows, columns=columns)


def probe_scores(model: VoxtralForConditionalGeneration, kinds: Kinds) -> pd.DataFrame:
    """How well a line through the frozen encoder's features tells each tag from plain speech.

    Logistic regression on pooled features, trained on clips of the same sentences and voices with
    and without the tag, tested on other sentences in held-out voices. What a frozen encoder does
    not hold, fine-tuning the language model cannot learn: this is its ceiling.

    Returns:
        One row per tag: `tag`, `group`, `auc` (area under the ROC curve, chance 0.5), `clips`.
    """
    rows = []
    parts = ("probe_train", "probe_test")
    plain = [_pooled(model, kinds[f"{part}:plain"]) for part in parts]
    for tag in tags.TAGS:
        tagged = [_pooled(model, kinds[f"{part}:{tag}"]) for part in parts]
        train, test = zip(tagged, plain, strict=True)
        auc = linear_probe(train, test, 0.05)
        rows.append((tag, tags.group_of(tag), auc, sum(map(len, test))))
    return pd.DataFrame(rows, columns=["tag", "group", "auc", "clips"])


@torch.inference_mode()
def _pooled(model: VoxtralForConditionalGeneration, clips: Sequence[Clip]) -> NDArray[np.float32]:
    """Mean, deviation and maximum of each clip's encoder features, shape (n, 3 * width)."""
    pooled = []
    for mels, lengths in windows(model, clips):
        features = model.model.audio_tower(mels).last_hidden_state.float()
        for frames, length in zip(features, lengths, strict=True):
            heard = frames[: max(2, length // 2)]
            parts = [heard.mean(0), heard.std(0), heard.amax(0)]
            pooled.append(torch.cat(parts).cpu().numpy())
    return np.stack(pooled)


_PARTS = {
    "audio encoder": "model.audio_tower.",
    "projector": "model.multi_modal_projector.",
    "language model": "model.language_model.",
    "output layer": "lm_head.",
    "all parameters": "",
}


def architecture_sizes(merges: int) -> pd.DataFrame:
    """Parameters of every part, beside those of Voxtral-Mini-3B (built without memory)."""
    with torch.device("meta"):
        models = {
            "tiny": build_model(SHAPE, 256 + merges + len(SPECIAL_TOKENS)),
            "mini": VoxtralForConditionalGeneration(VoxtralConfig()),
        }
    sizes = {"part": [*_PARTS, "audio positions per window"]}
    for name, model in models.items():
        sizes[name] = [
            sum(p.numel() for owner, p in model.named_parameters() if owner.startswith(prefix))
            for prefix in _PARTS.values()
        ]
        sizes[name].append(model.config.audio_config.max_source_positions // 4)
    return pd.DataFrame(sizes)


def corpus_sizes(kinds: Kinds) -> pd.DataFrame:
    """Clips, hours, voices and distinct texts of each part of the corpus."""
    rows = []
    for part, group in groupby(kinds, lambda kind: kind.split(":")[0]):
        members = [kinds[kind] for kind in group]
        hours = sum(sum(len(clip.mel) for clip in member) / 100 / 3600 for member in members)
        clips = list(chain.from_iterable(members))
        voices, texts = {clip.voice for clip in clips}, {clip.text for clip in clips}
        rows.append((part, len(clips), hours, len(voices), len(texts)))
    return pd.DataFrame(rows, columns=["part", "clips", "hours", "voices", "texts"])


def results(kinds: Kinds, words: pd.DataFrame, audible: pd.DataFrame) -> dict[str, Any]:
    """What `results.json` of the base notebook holds."""
    return {
        "clips": corpus_sizes(kinds).set_index("part")["clips"].to_dict(),
        "transcription": words.set_index("set").to_dict("index"),
        "probe_auc": audible.set_index("tag")["auc"].to_dict(),
    }
