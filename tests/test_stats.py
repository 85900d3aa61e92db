"""Bootstrap intervals: known values, coverage, pairing, degenerate samples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evoxtral.stats import (
    Interval,
    Ratio,
    bootstrap_intervals,
    paired_differences,
)

PROPERTY = settings(deadline=None, max_examples=50)
COUNTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12).map(
    lambda rows: Ratio(*np.array([(min(a, b), b) for a, b in rows], float).T)
)


def bootstrap_interval(ratio: Ratio, **options) -> Interval:
    return bootstrap_intervals({"": ratio}, **options)[""]


def paired_difference(first: Ratio, second: Ratio) -> Interval:
    return paired_differences({"": first}, {"": second})[""]


def mean_of(values: np.ndarray) -> Ratio:
    return Ratio(values, np.ones(len(values)))


@pytest.mark.parametrize(
    ("numerator", "denominator", "value", "n"),
    [
        ([1, 2], [4, 4], 3 / 8, 2),
        ([1, 0], [4, 0], 1 / 4, 1),
        ([0, 0], [0, 0], math.nan, 0),
        ([[1, 0], [0, 0]], [[2, 0], [0, 4]], (1 / 2 + 0) / 2, 2),
        ([[1, 0], [1, 0]], [[2, 0], [2, 0]], 1 / 2, 2),
        (np.zeros((2, 0)), np.zeros((2, 0)), math.nan, 0),
        ([], [], math.nan, 0),
    ],
)
def test_value_is_the_mean_over_groups_of_sum_over_sum(numerator, denominator, value, n):
    ratio = Ratio(np.array(numerator), np.array(denominator))
    assert ratio.value == pytest.approx(value, nan_ok=True)
    assert ratio.n == n


def test_interval_agrees_with_scipy_on_a_mean():
    values = np.random.default_rng(0).beta(2, 1, size=60)
    expected = scipy_stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    interval = bootstrap_interval(mean_of(values), seed=7)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.value == pytest.approx(values.mean())
    assert interval.n == 60


def test_interval_of_a_ratio_of_sums_agrees_with_scipy():
    rng = np.random.default_rng(1)
    size = rng.integers(1, 30, size=40).astype(float)
    errors = rng.binomial(size.astype(int), 0.2).astype(float)
    expected = scipy_stats.bootstrap(
        (errors, size),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    interval = bootstrap_interval(Ratio(errors, size), seed=3)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = (rng.random((200, 80)) < 0.3).astype(float)
    found = [bootstrap_interval(mean_of(s), resamples=499, seed=i) for i, s in enumerate(samples)]
    covered = np.mean([i.low <= 0.3 <= i.high for i in found])
    assert 0.90 <= covered <= 0.99


def test_together_and_one_by_one_are_equal():
    rng = np.random.default_rng(0)
    ratios = {name: mean_of(rng.random(30)) for name in "ab"}
    together = bootstrap_intervals(ratios, resamples=200)
    assert together == {n: bootstrap_interval(r, resamples=200) for n, r in ratios.items()}


def test_the_seed_decides():
    ratio = mean_of(np.random.default_rng(0).random(30))
    assert bootstrap_interval(ratio, seed=1) == bootstrap_interval(ratio, seed=1)
    assert bootstrap_interval(ratio, seed=1) != bootstrap_interval(ratio, seed=2)


def test_pairing_removes_the_spread_of_the_clips():
    rng = np.random.default_rng(0)
    difficulty = rng.random(100)
    better = mean_of(difficulty + 0.05 + rng.normal(0, 0.01, 100))
    worse = mean_of(difficulty)
    difference = paired_difference(better, worse)
    assert difference.value == pytest.approx(0.05, abs=0.005)
    assert 0 < difference.low < difference.high < 0.06
    alone = bootstrap_interval(better)
    assert difference.high - difference.low < (alone.high - alone.low) / 10
    assert paired_difference(worse, better).low == pytest.approx(-difference.high)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_sample_has_a_point_interval(value):
    interval = bootstrap_interval(mean_of(np.full(7, value)))
    assert interval == Interval(value, value, pytest.approx(value), 7)
    same = paired_difference(mean_of(np.full(7, value)), mean_of(np.full(7, value)))
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_one_clip_has_a_value_and_no_interval():
    interval = bootstrap_interval(mean_of(np.array([0.5])))
    assert interval.value == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_no_denominator_no_value():
    interval = bootstrap_interval(Ratio(np.zeros(4), np.zeros(4)))
    assert interval.n == 0
    assert all(math.isnan(x) for x in (interval.low, interval.value, interval.high))


def test_resamples_without_a_value_are_left_out():
    # One clip of ten has the tag: a third of all resamples lack it.
    numerator, denominator = np.zeros((2, 10))
    numerator[3] = denominator[3] = 1
    assert bootstrap_interval(Ratio(numerator, denominator)) == Interval(1.0, 1.0, 1.0, 1)


@PROPERTY
@given(COUNTS)
def test_intervals_stay_in_the_range_of_the_statistic(ratio):
    interval = bootstrap_interval(ratio, resamples=50)
    for end in (interval.low, interval.value, interval.high):
        assert math.isnan(end) or 0 <= end <= 1
    assert math.isnan(interval.low) or interval.low <= interval.high


@pytest.mark.parametrize(("numerator", "denominator"), [(np.nan, 1), (1, np.inf)])
def test_counts_must_be_finite(numerator, denominator):
    with pytest.raises(ValueError, match="finite"):
        Ratio(np.array([numerator]), np.array([denominator]))


def test_statistics_must_share_their_clips():
    with pytest.raises(ValueError, match=r"\[2, 3\] clips"):
        bootstrap_intervals({"a": mean_of(np.ones(2)), "b": mean_of(np.ones(3))})


def test_trainings_are_averaged_and_resampled_beside_clips():
    rng = np.random.default_rng(2)
    clips, shifts = rng.normal(size=200), np.array([0.0, 1.0, 2.0])
    first, *others = (mean_of(clips + shift) for shift in shifts)
    ratio = replace(first, repeats=tuple(others))
    found, one = bootstrap_interval(ratio), bootstrap_interval(first)
    assert found.value == pytest.approx(clips.mean() + 1)
    assert found.seed_sd == pytest.approx(1)
    assert (found.n, math.isnan(one.seed_sd)) == (200, True)
    # Clips and three resampled trainings vary independently here, so variances add up.
    spread = (found.high - found.low) / 3.92
    assert spread == pytest.approx(math.hypot(clips.std() / 200**0.5, shifts.std() / 3**0.5), 0.15)
    assert found.high - found.low > 5 * (one.high - one.low)


def test_the_same_trainings_are_drawn_of_both_systems():
    clips, shifts = np.arange(50.0), (0.0, 5.0, 10.0)
    ours, theirs = (
        replace(
            mean_of(clips + gain),
            repeats=tuple(mean_of(clips + gain + shift) for shift in shifts[1:]),
        )
        for gain in (1.0, 0.0)
    )
    apart = paired_difference(ours, theirs)
    assert (apart.low, apart.value, apart.high, apart.seed_sd) == (1, 1, 1, 0)
    alone = paired_difference(ours, mean_of(clips))
    assert alone.value == pytest.approx(6)
    assert alone.seed_sd == pytest.approx(5)
    assert alone.high > 9
    silent = replace(ours, repeats=(ours.repeats[0], Ratio(np.zeros(50), np.zeros(50))))
    apart = paired_difference(silent, theirs)
    assert apart.value == silent.value - theirs.value == -1.5, "as the scores shown beside it"


def test_statistics_must_share_their_trainings():
    one = mean_of(np.ones(3))
    two, three = (replace(one, repeats=(one,) * more) for more in (1, 2))
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        bootstrap_intervals({"a": two, "b": three})
