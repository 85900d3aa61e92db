"""ROUGE-L against a plain dynamic program, and the search against all pairs."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.mix import duplicates
from evoxtral.mix.duplicates import (
    keep_first,
    near_duplicates,
    near_duplicates_between,
    rouge_l,
    words,
)
from evoxtral.world.scripts import read_released, split_released

TEXT = st.lists(st.sampled_from("abcde"), max_size=10).map(" ".join)
TEXTS = st.lists(TEXT, max_size=12)
PROPERTY = settings(deadline=None)
THRESHOLDS = st.sampled_from([0.3, 0.5, 0.6, 2 / 3, 0.7, 0.8, 1.0])


def lcs(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook table."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, j in product(range(len(first)), range(len(second))):
        same = first[i] == second[j]
        table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@PROPERTY
@given(TEXT, TEXT)
def test_rouge_l_is_twice_the_lcs_over_the_lengths(first: str, second: str) -> None:
    a, b = words(first), words(second)
    expected = 2 * lcs(a, b) / (len(a) + len(b)) if a or b else 1.0
    assert rouge_l(first, second) == pytest.approx(expected, abs=1e-12)


def test_words_are_lowercased_runs_of_ascii_letters_and_digits() -> None:
    assert words("[clears throat] Well...") == ["clears", "throat", "well"]
    assert words("CAN'T stop-go 3.5") == ["can", "t", "stop", "go", "3", "5"]
    assert words("naïve ...!") == ["na", "ve"]


def brute(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    pairs = combinations(range(len(texts)), 2)
    scores = {(i, j): rouge_l(texts[i], texts[j]) for i, j in pairs}
    return {pair: score for pair, score in scores.items() if score >= threshold - 1e-9}


@PROPERTY
@given(TEXTS, THRESHOLDS, st.sampled_from([3, 256]))
def test_the_search_is_the_full_comparison(texts: list[str], threshold: float, rows: int) -> None:
    near = brute(texts, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_ROWS", rows)
        frame = near_duplicates(texts, threshold, workers=1)
        kept = keep_first(texts, threshold, workers=1)
    assert list(zip(frame["first"], frame["second"], strict=True)) == sorted(near)
    assert frame["rouge_l"].tolist() == pytest.approx([near[pair] for pair in sorted(near)])
    greedy: list[int] = []
    for i in range(len(texts)):
        greedy += [i] * (not any((k, i) in near for k in greedy))
    assert kept == greedy


def test_released_scripts(released_path: Path) -> None:
    scripts = read_released(released_path)
    tagged = [script.tagged_text for script in scripts]
    assert len(near_duplicates(tagged)) == 22
    assert len(keep_first(tagged)) == 993
    parts = split_released(scripts)
    train, test = ([row.plain_text for row in parts[name]] for name in ("train", "test"))
    found = near_duplicates_between(train, test)
    joined = near_duplicates([*train, *test])
    across = joined[(joined["first"] < len(train)) & (joined["second"] >= len(train))]
    assert found["first"].tolist() == across["first"].tolist()
    assert (found["second"] + len(train)).tolist() == across["second"].tolist()
