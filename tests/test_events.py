"""Vocal events: the mapping, hand-made cases, and scores of whole systems."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from evoxtral import bench, events, metrics, tags
from evoxtral.bench import Split
from evoxtral.events import COUNTERPARTS, NVV, SCHEMES, WESR, nvv_counts

MAPPING = {"laughs": "laugh", "sighs": "sigh", "crying": "cry"}
NAN = float("nan")

# reference, prediction, (tp, fp, fn), distance, edits, reference length
CASES = [
    ("so it is", "so it is", (0, 0, 0), NAN, 0, 3),
    ("so it is", "[laughs] so it is", (0, 1, 0), NAN, 1, 3),
    ("[laughs] so it is", "so it is", (0, 0, 1), 1, 1, 4),
    ("[laughs] so it is", "[laughs] so it is", (1, 0, 0), 0, 0, 4),
    ("[laughs] so it is", "[sighs] so it is", (0, 1, 1), 1, 1, 4),
    ("[laughs] so it is", "so it [laughs] is", (1, 0, 0), Fraction(2, 3), 2, 4),
    ("[laughs] so it is", "so it is [laughs]", (0, 1, 1), 1, 2, 4),
    # Tags without a counterpart are not there; case and punctuation neither.
    ("[laughs] [sad] So, it IS!", "[laughs] so it is [pause]", (1, 0, 0), 0, 0, 4),
    # A repeated event: one pair, one extra, over the larger number.
    ("[laughs] so it is", "[laughs] [laughs] so it is", (1, 1, 0), Fraction(1, 2), 1, 4),
    # Swapped events at one place: both count as hits, yet only one keeps the order.
    ("[laughs] [sighs] so", "[sighs] [laughs] so", (2, 0, 0), 1, 2, 3),
    # A place that corresponds to several takes the first.
    ("a b c [laughs] d", "a [laughs] d", (1, 0, 0), Fraction(2, 4), 2, 5),
    ("a b c d [laughs] e", "a [laughs] e", (0, 1, 1), Fraction(3, 5), 3, 6),
    ("[laughs]", "[laughs]", (1, 0, 0), 0, 0, 1),
    ("[laughs]", "", (0, 0, 1), 1, 1, 1),
    # Apostrophes are one character, underscores none.
    ("[laughs] can’t a_b", "[laughs] can't a b", (1, 0, 0), 0, 0, 4),
]


@pytest.mark.parametrize(("reference", "prediction", "events", "distance", "edits", "n"), CASES)
def test_cases(
    reference: str, prediction: str, events: tuple, distance: float, edits: int, n: int
) -> None:
    counts = nvv_counts(reference, prediction, MAPPING)
    assert (counts.events.tp, counts.events.fp, counts.events.fn) == events
    assert counts.distance == pytest.approx(float(distance), nan_ok=True)
    assert (counts.errors, counts.length) == (edits, n)


def _scores(references: list[str], **wrote: list[str]) -> pd.Series:
    systems = {name: metrics.evaluate(references, own) for name, own in wrote.items()}
    frame = bench.score_frame(Split("test", systems), events.PROTOCOLS)
    return frame.set_index(["system", "protocol", "metric"])["value"]


def test_the_score_weighs_three_rates() -> None:
    references, wrote = ([case[side] for case in CASES] for side in (0, 1))
    found = _scores(references, x=wrote)["x"][NVV]
    known = COUNTERPARTS["nvv16"]
    clips = [nvv_counts(r, p, known) for r, p in zip(references, wrote, strict=True)]
    hits = sum(c.events.tp for c in clips)
    items = sum(c.events.predicted + c.events.support for c in clips)
    assert found["f1"] == pytest.approx(2 * hits / items)
    assert found["distance"] == pytest.approx(np.nanmean([c.distance for c in clips]))
    rate = sum(c.errors for c in clips) / sum(c.length for c in clips)
    assert found["tagged_wer"] == pytest.approx(rate)
    terms = 0.7 * found["f1"] + 0.2 * (1 - found["distance"]) + 0.1 * (1 - rate)
    assert found["score"] == pytest.approx(terms)


# The types of two public schemes, copied from their pages.
NVV16 = {
    "breath", "sniff", "laugh", "cry", "cough", "throat clearing", "sneeze", "sigh", "gasp",
    "snore", "yawn", "hum", "moan", "hiss", "lipsmack", "burp",
}  # fmt: skip
WESR21 = {
    "inhale", "cough", "laughs", "crowd_laughter", "chuckle", "shout", "sobbing", "cry", "giggle",
    "exhale", "sigh", "clear_throat", "roar", "scream", "breathing", "crying", "laughing",
    "panting", "shouting", "singing", "whispering",
}  # fmt: skip


def test_every_tag_has_a_row_and_every_name_exists() -> None:
    frame = events.mapping()
    assert sorted(frame["tag"]) == sorted(tags.TAGS)
    assert list(frame.columns) == ["tag", "group", *SCHEMES]
    assert set(COUNTERPARTS["nvv16"].values()) <= NVV16
    assert set(COUNTERPARTS["wesr"].values()) <= WESR21
    unmapped = frame[frame[list(SCHEMES)].isna().all(axis=1)]
    assert set(unmapped["tag"]) == {"stammers", "pause", *tags.GROUPS["emotion"]}


def test_coverage_counts_occurrences() -> None:
    def said(*texts: str) -> list[str]:
        return events.coverage(Split("test", {"x": metrics.evaluate(texts, texts)}))

    lines = said("[laughs] a [pause] b", "[whispers] c [sniffs]")
    assert lines[0].endswith("; 5 of 17 tags, 25.0% of 4 occurrences.")
    assert lines[1].endswith("; 6 of 17 tags, 50.0% of 4 occurrences.")
    assert said("a")[0].endswith("— of 0 occurrences.")


def test_scores_of_a_perfect_a_silent_and_a_late_system() -> None:
    references = ["[laughs] so it is", "[whispers] quiet now", "plain words", "[sad] oh"]
    silent = [tags.plain_text(text) for text in references]
    late = ["so [laughs] it is", *references[1:]]
    found = _scores(references, perfect=references, silent=silent, late=late)
    assert list(found["perfect"]) == pytest.approx([1, 0, 0, 1, 1, 1])
    assert found["silent", NVV, "f1"] == found["silent", WESR, "f1_macro"] == 0
    assert found["silent", NVV, "score"] == pytest.approx(0.1 * (1 - 1 / 9))
    # WESR wants the exact place.
    assert found["late", NVV, "f1"] == 1
    assert found["late", WESR, "f1"] == found["late", WESR, "f1_macro"] == pytest.approx(1 / 2)
