"""The near-duplicate benchmark, at a size where it takes a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq

from evoxtral.mix.neardup import keep_first
from evoxtral.mix.rouge import words
from evoxtral.speed import near_duplicates
from evoxtral.speed.near_duplicates import (
    filtering,
    keep_first_by_table,
    longest_common,
    near_duplicate_curve,
    swap_words,
)

TEXTS = ["one two three four five six", "seven eight nine ten eleven twelve"]


def test_swapped_texts_keep_originals_lengths_and_words() -> None:
    grown = swap_words(TEXTS, 50)
    assert grown[:2] == TEXTS
    assert {len(words(text)) for text in grown} == {6}
    assert {word for text in grown for word in words(text)} <= set(" ".join(TEXTS).split())
    assert grown == swap_words(TEXTS, 50)
    assert grown != swap_words(TEXTS, 50, seed=1)
    assert swap_words(TEXTS, 1) == TEXTS[:1]


def test_curve_has_a_row_per_method_and_size() -> None:
    curve = near_duplicate_curve(TEXTS, sizes=(2, 30), workers=1, methods=("keep_first",))
    assert curve["texts"].tolist() == [2, 30]
    assert curve["found"].iloc[0] == 0
    assert (curve["seconds"] > 0).all()
    assert (curve["peak MiB"] > 10).all()


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_table_finds_the_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    assert longest_common(a, b) == LCSseq.similarity(a, b)


def test_both_filters_keep_the_same() -> None:
    texts = [*swap_words(TEXTS, 40, share=0.2), "", "..."]
    kept = keep_first_by_table(texts)
    assert kept == list(keep_first(texts))
    assert 2 <= len(kept) < len(texts)
    made = filtering(texts, 1)
    assert made.facts == {"texts": 42, "pairs": 861, "kept": len(kept)}
    assert made.units == 0.861


def test_filters_that_differ_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "keep_first", lambda texts: [0])
    with pytest.raises(RuntimeError, match="speed of wrong results"):
        filtering(TEXTS, 1)
