"""The MinHash prefilter: a subset of the truth, mostly all of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.mix import lsh
from evoxtral.mix.lsh import near_duplicates_lsh, recall
from evoxtral.mix.neardup import near_duplicates
from evoxtral.speed.near_duplicates import swap_words
from evoxtral.world.scripts import read_released


def random_texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    base = [" ".join(map(str, rng.integers(0, 400, 30))) for _ in range(n // 4)]
    return swap_words(base, n, share=0.15)


def test_reports_true_pairs_only_and_nearly_all_of_them() -> None:
    texts = random_texts(400)
    exact, fast = near_duplicates(texts), near_duplicates_lsh(texts)
    assert len(exact) > 200
    merged = fast.merge(exact, on=["first", "second", "rouge_l"])
    assert len(merged) == len(fast) >= 0.97 * len(exact)


def test_equal_texts_are_always_found() -> None:
    frame = near_duplicates_lsh(["a b c", "x", "a b c", "", "a b c"])
    assert {*zip(frame["first"], frame["second"], strict=True)} == {(0, 2), (0, 4), (2, 4)}


def test_same_seed_same_pairs_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = random_texts(200)
    expected = near_duplicates_lsh(texts, seed=3)
    monkeypatch.setattr(lsh, "CHUNK", 5)
    assert near_duplicates_lsh(texts, seed=3).equals(expected)


def test_recall_on_the_released_scripts(released_path: Path) -> None:
    texts = [script.tagged_text for script in read_released(released_path)]
    assert recall(texts, sample=2_000) >= 20 / 22


def test_recall_without_any_pair_is_not_a_number() -> None:
    assert math.isnan(recall(["a b", "c d"], sample=2))


def test_a_threshold_below_the_bands_layout_is_refused() -> None:
    with pytest.raises(UserError, match="exact search"):
        near_duplicates_lsh(["a"], threshold=0.5)
