"""Track 1 of the NVVSpeech challenge: hand-made cases, and exhaustive search as an oracle."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.bench import nvv
from evoxtral.bench.nvv import COLLAR, nvv_counts, nvv_metrics

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


def test_the_score_weighs_three_rates() -> None:
    clips = [nvv_counts(r, p, MAPPING) for r, p, *_ in CASES]
    found = {name: metric.value for name, metric in nvv_metrics(clips).items()}
    hits = sum(c.events.tp for c in clips)
    items = sum(c.events.predicted + c.events.support for c in clips)
    distances = [c.distance for c in clips if not math.isnan(c.distance)]
    assert found["f1"] == pytest.approx(2 * hits / items)
    assert found["distance"] == pytest.approx(np.mean(distances))
    rate = sum(c.errors for c in clips) / sum(c.length for c in clips)
    assert found["tagged_wer"] == pytest.approx(rate)
    terms = 0.7 * found["f1"] + 0.2 * (1 - found["distance"]) + 0.1 * (1 - rate)
    assert found["score"] == pytest.approx(terms)


def test_more_errors_than_words_cost_no_more_than_all_of_them() -> None:
    score = nvv_metrics([nvv_counts("oh", "a b c d", MAPPING)])["score"]
    assert score.value == pytest.approx(0.2)  # no event anywhere: F1 0, distance 0


LINES = st.lists(
    st.sampled_from(["a", "b", "c", "[laughs]", "[sighs]", "[crying]", "[pause]"]), max_size=9
).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(LINES, LINES)
def test_bounds_and_perfection(reference: str, prediction: str) -> None:
    counts = nvv_counts(reference, prediction, MAPPING)
    assert math.isnan(counts.distance) or 0 <= counts.distance <= 1
    assert 0 <= nvv_metrics([counts])["score"].value <= 1
    same = nvv_counts(reference, reference, MAPPING)
    assert same.errors == same.events.fp == same.events.fn == 0
    if same.events.support:
        assert nvv_metrics([same])["score"].value == pytest.approx(1)


PLACES = st.lists(st.integers(0, 9), max_size=5).map(sorted)


@settings(max_examples=100, deadline=None)
@given(PLACES, PLACES)
def test_hits_are_a_largest_matching(wanted: list[int], got: list[int]) -> None:
    few, many = sorted([wanted, got], key=len)
    best = max(
        sum(abs(a - b) <= COLLAR for a, b in zip(few, order, strict=True))
        for order in itertools.permutations(many, len(few))
    )
    events = ([("laugh", place) for place in side] for side in (wanted, got))
    assert nvv._hits("laugh", *events) == best
