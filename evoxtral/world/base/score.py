"""How well a base model hears: word errors on unseen speech, and linear probes for each tag."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import VoxtralForConditionalGeneration, VoxtralProcessor

from evoxtral import metrics, tags
from evoxtral.world.base import listen
from evoxtral.world.base.architecture import Architecture
from evoxtral.world.base.corpus import Utterances

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
        heard = listen.transcribe(model, processor.tokenizer, kinds[kind], shape)
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
        return listen.pooled_features(model, kinds[kind], shape)

    plain_train, plain_test = pooled("probe_train:plain"), pooled("probe_test:plain")
    rows = []
    for tag in tags.TAGS:
        train, test = pooled(f"probe_train:{tag}"), pooled(f"probe_test:{tag}")
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
        probe.fit(np.concatenate([train, plain_train]), _labels(train, plain_train))
        score = probe.decision_function(np.concatenate([test, plain_test]))
        auc = roc_auc_score(_labels(test, plain_test), score)
        group = tags.group_of(tag)
        rows.append({"tag": tag, "group": group, "auc": float(auc), "clips": len(score)})
    return pd.DataFrame(rows)


def _labels(tagged: NDArray[np.float32], plain: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.repeat([1, 0], [len(tagged), len(plain)])
