"""Exact near-duplicate search: against all pairs, and on the released scripts."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.mix import neardup
from evoxtral.mix.neardup import keep_first, near_duplicates, near_duplicates_between
from evoxtral.mix.rouge import rouge_l
from evoxtral.world.scripts import read_released, split_released

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=10).map(" ".join), max_size=12)
PROPERTY = settings(deadline=None)
THRESHOLDS = st.sampled_from([0.3, 0.5, 2 / 3, 0.7, 0.8, 1.0])


def brute(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    pairs = combinations(range(len(texts)), 2)
    return {(i, j) for i, j in pairs if rouge_l(texts[i], texts[j]) >= threshold - 1e-9}


def found(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    frame = near_duplicates(texts, threshold, workers=1)
    return set(zip(frame["first"], frame["second"], strict=True))


@PROPERTY
@given(TEXTS, THRESHOLDS)
def test_finds_exactly_the_pairs_of_the_full_comparison(texts: list[str], threshold: float) -> None:
    assert found(texts, threshold) == brute(texts, threshold)


@PROPERTY
@given(TEXTS, THRESHOLDS)
def test_keep_first_is_the_greedy_rule(texts: list[str], threshold: float) -> None:
    kept: list[int] = []
    near = brute(texts, threshold)
    for i in range(len(texts)):
        if not any((k, i) in near for k in kept):
            kept.append(i)
    assert keep_first(texts, threshold, workers=1) == kept


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("dense_share", [0.0, 1.0])
def test_tiles_workers_and_dense_verification_change_nothing(
    monkeypatch: pytest.MonkeyPatch, workers: int, dense_share: float
) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(list("abcdef"), rng.integers(0, 9))) for _ in range(60)]
    expected, kept = near_duplicates(texts), keep_first(texts)
    monkeypatch.setattr(neardup, "TILE_ROWS", 7)
    monkeypatch.setattr(neardup, "TILE_COLUMNS", 11)
    monkeypatch.setattr(neardup, "DENSE_SHARE", dense_share)
    assert near_duplicates(texts, workers=workers).equals(expected)
    assert keep_first(texts, workers=workers) == kept
    assert {*zip(expected["first"], expected["second"], strict=True)} == brute(texts, 0.7)


def test_a_score_of_exactly_the_threshold_counts() -> None:
    first, second = "a b c d e f g x y z", "a b c d e f g u v w"
    assert rouge_l(first, second) == pytest.approx(0.7)
    assert found([first, second], 0.7) == {(0, 1)}


@PROPERTY
@given(TEXTS, TEXTS)
def test_between_two_sets(first: list[str], second: list[str]) -> None:
    frame = near_duplicates_between(first, second, workers=1)
    expected = {
        (i, j)
        for i, j in product(range(len(first)), range(len(second)))
        if rouge_l(first[i], second[j]) >= 0.7 - 1e-9
    }
    assert {*zip(frame["first"], frame["second"], strict=True)} == expected


def test_scores_are_the_rouge_l_of_the_pair() -> None:
    texts = ["a b c d", "a b c e", "", "..."]
    frame = near_duplicates(texts)
    scores = [
        rouge_l(texts[i], texts[j]) for i, j in zip(frame["first"], frame["second"], strict=True)
    ]
    assert frame["rouge_l"].tolist() == pytest.approx(scores)
    assert found(texts, 0.7) == {(0, 1), (2, 3)}


@pytest.mark.parametrize(("threshold", "workers"), [(0.0, 1), (1.1, 1), (0.7, 0)])
def test_arguments_out_of_range_are_refused(threshold: float, workers: int) -> None:
    for search in (near_duplicates, keep_first):
        with pytest.raises(UserError, match="give"):
            search(["a"], threshold, workers)


def test_released_scripts(released_path: Path) -> None:
    scripts = read_released(released_path)
    tagged, plain = [s.tagged_text for s in scripts], [s.plain_text for s in scripts]
    assert len(near_duplicates(tagged)) == 22
    assert len(near_duplicates(plain)) == 21
    assert len(keep_first(tagged)) == 993
    assert len(keep_first(plain)) == 992


def test_leakage_in_the_split_of_the_report(released_path: Path) -> None:
    split = split_released(read_released(released_path))
    train, test = ([script.tagged_text for script in split[name]] for name in ("train", "test"))
    leaked = near_duplicates_between(train, test)["second"].unique()
    assert len(leaked) == 4
    assert (leaked < 50).sum() == 2


def test_most_pairs_never_reach_an_lcs(
    released_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    verify = neardup.verify

    def counting(coded, left, right, threshold):
        looked_at.append(len(left))
        return verify(coded, left, right, threshold)

    monkeypatch.setattr(neardup, "verify", counting)
    near_duplicates([script.tagged_text for script in read_released(released_path)])
    assert sum(looked_at) < 0.001 * 1010 * 1009 / 2


def test_a_set_of_copies_needs_no_pair_list() -> None:
    assert keep_first(["a b c d e"] * 5_000, workers=1) == [0]
