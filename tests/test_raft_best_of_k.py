"""The best-of-j curve: equal to going through all subsets, with intervals over clips."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.raft import best_of, best_of_curve, best_of_weights
from evoxtral.stats import Ratio, bootstrap_intervals

PROPERTY = settings(deadline=None, max_examples=25)


def table(rewards: np.ndarray, wer: np.ndarray, tokens: np.ndarray) -> pd.DataFrame:
    clips, k = rewards.shape
    return pd.DataFrame(
        {
            "clip": [f"c{i:03}" for i in range(clips) for _ in range(k)],
            "index": list(range(k)) * clips,
            "tokens": tokens.ravel(),
            "finished": True,
            "reward": rewards.ravel(),
            "wer": wer.ravel(),
        }
    )


@st.composite
def scored_tables(draw) -> pd.DataFrame:
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    levels = draw(st.integers(1, 6))  # few levels: ties are the rule
    rewards = rng.integers(0, levels, shape) / levels
    return table(rewards, rng.random(shape), rng.integers(0, 3, shape))


def curve_of(scored: pd.DataFrame, column: str, tie: str = "shortest") -> list[float]:
    curve = best_of_curve(scored, ("reward", "wer"), tie=tie)
    return curve.loc[curve["column"] == column, "value"].tolist()


@PROPERTY
@given(scored_tables(), st.sampled_from(["shortest", "first"]))
def test_it_equals_selection_on_all_subsets(scored, tie):
    k = scored["index"].max() + 1
    for column in ("reward", "wer"):
        expected = [
            np.mean(
                [
                    best_of(scored[scored["index"].isin(subset)], tie)[column].mean()
                    for subset in combinations(range(k), j)
                ]
            )
            for j in range(1, k + 1)
        ]
        assert curve_of(scored, column, tie) == pytest.approx(expected)


@PROPERTY
@given(scored_tables())
def test_it_rises_from_the_mean_to_the_mean_of_the_best(scored):
    curve = curve_of(scored, "reward")
    assert (np.diff(curve) >= -1e-12).all()
    groups = scored.groupby("clip")["reward"]
    assert curve[0] == pytest.approx(groups.mean().mean())
    assert curve[-1] == pytest.approx(groups.max().mean())


def test_it_is_unbiased():
    """The best of j uniform draws is j / (j + 1) on average."""
    rewards = np.random.default_rng(0).random((4000, 4))
    curve = best_of_curve(table(rewards, rewards, np.ones((4000, 4))))
    assert curve["value"].tolist() == pytest.approx([1 / 2, 2 / 3, 3 / 4, 4 / 5], abs=0.01)


@pytest.mark.parametrize("k", [1, 4, 8, 16])
def test_weights_are_probabilities(k):
    weights = best_of_weights(k)
    assert weights.shape == (k, k)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights[0], 1 / k)
    assert weights[-1].tolist() == [1, *[0] * (k - 1)]


def test_intervals_are_those_of_the_clips():
    rng = np.random.default_rng(0)
    rewards = rng.random((30, 3))
    curve = best_of_curve(table(rewards, rng.random((30, 3)), np.ones((30, 3))), seed=5)
    expected = bootstrap_intervals({"": Ratio(rewards.max(axis=1), np.ones(30))}, seed=5)[""]
    last = curve.iloc[-1]
    assert (last["column"], last["j"], last["n"]) == ("reward", 3, 30)
    assert (last["value"], last["low"], last["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    narrow = best_of_curve(table(rewards, rewards, np.ones((30, 3))), confidence=0.5)
    assert (narrow["high"] - narrow["low"] < curve["high"] - curve["low"]).all()


def test_clips_must_share_one_k():
    scored = table(np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(UserError, match=r"clips have \[1, 2\] completions"):
        best_of_curve(scored.iloc[1:])
    with pytest.raises(UserError, match="finish sampling"):
        best_of_curve(scored.iloc[:0])
