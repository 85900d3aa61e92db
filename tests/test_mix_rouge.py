"""ROUGE-L against a plain dynamic program, and the bound the fast search rests on."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.mix.rouge import BUCKETS, encode, rouge_l, words

TEXTS = st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join)

PROPERTY = settings(deadline=None)


def lcs(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook table."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, j in product(range(len(first)), range(len(second))):
        same = first[i] == second[j]
        table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@PROPERTY
@given(TEXTS, TEXTS)
def test_rouge_l_is_twice_the_lcs_over_the_lengths(first: str, second: str) -> None:
    a, b = words(first), words(second)
    expected = 2 * lcs(a, b) / (len(a) + len(b)) if a or b else 1.0
    assert rouge_l(first, second) == pytest.approx(expected, abs=1e-12)


@PROPERTY
@given(st.lists(TEXTS, min_size=2, max_size=6))
def test_bucket_dot_product_never_undercuts_the_lcs(texts: list[str]) -> None:
    coded = encode(texts)
    counts = coded.counts.astype(int)
    for i, j in product(range(len(texts)), repeat=2):
        assert counts[i] @ counts[j] >= lcs(words(texts[i]), words(texts[j]))


def test_bucket_bound_holds_where_buckets_are_shared() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 4 * BUCKETS, 60))) for _ in range(12)]
    counts = encode(texts).counts.astype(int)
    for i, j in product(range(12), repeat=2):
        assert counts[i] @ counts[j] >= lcs(words(texts[i]), words(texts[j]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[clears throat] Well...", ["clears", "throat", "well"]),
        ("CAN'T stop-go 3.5", ["can", "t", "stop", "go", "3", "5"]),
        ("...!", []),
        ("naïve", ["na", "ve"]),
    ],
)
def test_words_are_lowercased_runs_of_ascii_letters_and_digits(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def test_codes_keep_equality_of_words_across_texts() -> None:
    coded = encode(["a b a", "b a b"])
    assert coded.codes[0][0] == coded.codes[0][2] == coded.codes[1][1]
    assert coded.lengths.tolist() == [3, 3]
    assert coded.counts.sum(axis=1).tolist() == [3, 3]


def test_counts_are_wide_enough_for_one_word_repeated() -> None:
    coded = encode(["a " * 70_000])
    assert int(coded.counts.sum()) == 70_000
