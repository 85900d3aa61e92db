"""Tags matched by position, against an exhaustive matching."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from evoxtral.metrics.alignment import TOLERANCE_WORDS, aligned_matches, places_in_reference
from evoxtral.metrics.counts import MatchCounts
from evoxtral.tags import parse

PROPERTY = settings(deadline=None)
TEXTS = st.lists(
    st.sampled_from(["a", "b", "c", "d", "[sad]", "[pause]", "[pause]"]), max_size=12
).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "prediction", "places"),
    [
        ("", "", [(0, 0)]),
        ("a b", "", [(0, 2)]),
        ("", "a b", [(0, 0), (0, 0), (0, 0)]),
        ("a b", "a b", [(0, 0), (1, 1), (2, 2)]),
        ("a b", "x a b", [(0, 0), (0, 0), (1, 1), (2, 2)]),
        ("a b c", "a c", [(0, 0), (1, 2), (3, 3)]),
        ("a b c", "a x c", [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ("Oh, WELL! No.", "oh no", [(0, 0), (1, 2), (3, 3)]),
        ("a ... b", "a ... b", [(0, 0), (1, 1), (2, 2), (3, 3)]),
    ],
)
def test_places_follow_the_words(reference, prediction, places):
    assert places_in_reference(reference.split(), prediction.split()) == places


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        # ten words too many at the start shift nothing
        ("a b c d [pause]", "x y z u v w x y z u a b c d [pause]", (1, 0, 0)),
        # dropped words widen the place: the tag is right wherever it was among them
        ("a b c [pause] d", "a [pause] d", (1, 0, 0)),
        ("a b [pause] c d e", "[pause] a b c d e", (1, 0, 0)),
        ("a b c [pause] d e", "[pause] a b c d e", (0, 1, 1)),
        # each tag is used once
        ("[pause] a", "[pause] [pause] a", (1, 1, 0)),
        ("[pause] a [pause]", "a [pause]", (1, 0, 1)),
        # nearest first would pair the two inner tags and lose a match
        ("a [pause] b c d [pause] e", "a b c [pause] d e f [pause]", (2, 0, 0)),
        ("a [sad]", "a [calm]", (0, 1, 1)),
    ],
)
def test_matches_by_position(reference, prediction, expected):
    matches = aligned_matches(parse(reference), parse(prediction)).values()
    assert sum(matches, start=MatchCounts()) == MatchCounts(*expected)


@PROPERTY
@given(TEXTS, TEXTS, st.integers(0, 3))
def test_the_matching_is_a_largest_one(reference, prediction, tolerance):
    wanted, got = parse(reference), parse(prediction)
    places = places_in_reference(wanted.words, got.words)
    reach = np.zeros((len(wanted.tags), len(got.tags)), dtype=int)
    for i, tag in enumerate(wanted.tags):
        for j, other in enumerate(got.tags):
            low, high = places[other.word_index]
            near = low - tolerance <= tag.word_index <= high + tolerance
            reach[i, j] = near and tag.name == other.name
    largest = 0
    if reach.size:
        largest = int((maximum_bipartite_matching(csr_array(reach)) >= 0).sum())
    matches = aligned_matches(wanted, got, tolerance=tolerance)
    assert sum(c.tp for c in matches.values()) == largest


@PROPERTY
@given(TEXTS, TEXTS)
def test_places_never_decrease(reference, prediction):
    places = places_in_reference(reference.split(), prediction.split())
    assert len(places) == len(prediction.split()) + 1
    assert places[0][0] == 0
    assert places[-1][1] == len(reference.split())
    for (first, last), (next_first, next_last) in pairwise(places):
        assert first <= last
        assert (first, last) <= (next_first, next_last)
        assert last <= next_last


def test_the_tolerance_is_two_words():
    assert TOLERANCE_WORDS == 2
