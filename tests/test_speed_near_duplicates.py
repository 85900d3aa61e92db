"""The near-duplicate benchmark, at a size where it takes a second."""

from __future__ import annotations

from evoxtral.mix.rouge import words
from evoxtral.speed.near_duplicates import near_duplicate_curve, swap_words

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
