"""Class balance and task : plain mixes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.mix.items import Item
from evoxtral.mix.weights import class_balanced_weights, clip_weights, mix_items, mix_ratio

COUNTS = st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10_000), min_size=1)


def clip(name: str, text: str) -> Item:
    return Item(name, text, text, "d", "s")


@pytest.mark.parametrize(
    ("n", "beta", "expected"),
    [(1, 0.9, 1.0), (2, 0.5, 2 / 3), (3, 0.5, 4 / 7), (10, 0.0, 1.0), (2, 0.9, 0.1 / 0.19)],
)
def test_known_weights(n: int, beta: float, expected: float) -> None:
    assert class_balanced_weights({"a": n}, beta, normalise=False)["a"] == pytest.approx(expected)


@settings(deadline=None)
@given(COUNTS, st.sampled_from([0.0, 0.9, 0.99, 0.999]))
def test_rarer_classes_never_weigh_less_and_weights_add_up(
    counts: dict[str, int], beta: float
) -> None:
    weights = class_balanced_weights(counts, beta)
    assert math.fsum(weights.values()) == pytest.approx(len(counts))
    ordered = [weights[name] for name in sorted(counts, key=counts.__getitem__)]
    assert all(a >= b - 1e-12 for a, b in pairwise(ordered))


def test_beta_near_one_is_inverse_frequency() -> None:
    weights = class_balanced_weights({"a": 10, "b": 40}, beta=1 - 1e-9)
    assert weights["a"] / weights["b"] == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize("beta", [1.0, -0.1, 1.5])
def test_beta_out_of_range_is_refused(beta: float) -> None:
    with pytest.raises(UserError, match="beta"):
        class_balanced_weights({"a": 1}, beta)


def test_a_class_without_samples_is_refused() -> None:
    with pytest.raises(UserError, match="'b' has no samples"):
        class_balanced_weights({"a": 1, "b": 0})


def many() -> list[Item]:
    plain = [clip(f"p{k}", "x") for k in range(300)]
    sad = [clip(f"s{k}", "[sad] x") for k in range(200)]
    return [*plain, *sad, clip("g", "[gasps] x"), clip("gs", "[gasps] [gasps] [sad] x")]


def test_weighted_clips_have_mean_one_and_the_mean_of_their_classes() -> None:
    weights = clip_weights(many(), "weighted", beta=0.999)
    assert weights.mean() == pytest.approx(1)
    assert weights[-2] > weights[-1] > weights[300] > weights[0] > 0
    assert weights[-1] == pytest.approx((weights[-2] + weights[300]) / 2)


def test_oversampling_repeats_rare_clips_up_to_five_times() -> None:
    draws = clip_weights(many(), "oversample")
    assert draws[-1] == draws[-2] == 5
    assert set(draws[:-2]) == {1}
    assert np.array_equal(clip_weights(many()), np.ones(502))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match="oversample"):
        clip_weights(many(), "balanced")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ratio", "tagged", "plain"),
    [((1, 1), 100, 100), ((3, 1), 300, 100), ((7, 1), 599, 86), ((15, 1), 600, 40),
     ((1, 0), 600, 0), ((0, 1), 0, 100)],
)  # fmt: skip
def test_task_to_plain_ratios(ratio: tuple[int, int], tagged: int, plain: int) -> None:
    pools = [clip(f"t{k}", "[sad] x") for k in range(600)], [clip(f"p{k}", "x") for k in range(100)]
    mixed = mix_ratio(*pools, ratio, seed=4)
    assert len({item.id for item in mixed}) == len(mixed)
    assert sum("[" in item.tagged_text for item in mixed) == tagged
    assert len(mixed) - tagged == plain
    assert mixed == mix_ratio(*pools, ratio, seed=4)


@pytest.mark.parametrize("ratio", [(0, 0), (-1, 2)])
def test_ratios_without_a_positive_part_are_refused(ratio: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="ratio"):
        mix_ratio([clip("a", "[sad] x")], [clip("b", "x")], ratio)


def test_sum_keeps_the_size_and_repeats_the_scarce_stratum() -> None:
    strata = {"real": [clip("r0", "x"), clip("r1", "x")],
              "synthetic": [clip(f"s{k}", "x") for k in range(8)]}  # fmt: skip
    mixed = mix_items(strata, {"synthetic": 1, "real": 1}, "sum")
    ids = [item.id for item in mixed]
    assert sorted(ids.count(name) for name in ("r0", "r1")) == [2, 3]
    assert len(mixed) == 10
    with pytest.raises(UserError, match="make them equal"):
        mix_items(strata, {"synthetic": 1, "plain": 1})
