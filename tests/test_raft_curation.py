"""Curation: the report's rule as its code has it, and the rule that keeps an exact number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.raft import curate

PROPERTY = settings(deadline=None, max_examples=60)
REWARDS = st.lists(st.sampled_from([0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=40)


def best(rewards) -> pd.DataFrame:
    """Clips whose ids are not in the order of their rows."""
    ids = [f"c{(i * 7) % 1009:04}" for i in range(len(rewards))]
    return pd.DataFrame({"clip": ids, "reward": np.asarray(rewards, float)})


def test_of_808_clips_the_report_keeps_727_and_exact_728():
    rows = best(np.random.default_rng(0).permutation(808) / 808)
    report, exact = curate(rows, "report"), curate(rows, "exact")
    assert (report.kept, report.dropped) == (727, 81)
    assert (exact.kept, exact.dropped) == (728, 80)
    assert report.threshold == 80 / 808  # the 81st lowest, itself dropped
    assert exact.threshold == 79 / 808
    assert report.rows["reward"].min() == 81 / 808


def test_the_report_rule_is_that_of_its_code_on_500_inputs():
    rng = np.random.default_rng(1)
    emptied = 0
    for _ in range(500):
        n, levels = rng.integers(1, 60), rng.integers(1, 12)
        rewards = (rng.integers(0, levels, n) / levels).tolist()
        threshold = sorted(rewards)[len(rewards) // 10]
        expected = sorted(r for r in rewards if r > threshold)
        rows = best(rewards)
        if not expected:
            emptied += 1
            with pytest.raises(UserError, match="use the rule 'exact'"):
                curate(rows, "report")
            continue
        curated = curate(rows, "report")
        assert sorted(curated.rows["reward"]) == expected
        assert curated.threshold == threshold
        assert curated.kept + curated.dropped == n
    assert 20 < emptied < 250


@PROPERTY
@given(REWARDS, st.integers(0, 99))
def test_exact_keeps_the_exact_number_of_the_best_under_any_ties(rewards, percent):
    rows = best(rewards)
    curated = curate(rows, "exact", share=percent / 100)
    cut = int(len(rewards) * Fraction(percent, 100))
    assert curated.kept == len(rewards) - cut
    assert curated.dropped == cut
    kept = set(curated.rows["clip"])
    order = sorted(rows.to_dict("records"), key=lambda row: (-row["reward"], row["clip"]))
    assert kept == {row["clip"] for row in order[: len(order) - cut]}
    if cut:
        assert curated.threshold == max(row["reward"] for row in order[len(order) - cut :])
        assert curated.threshold <= curated.rows["reward"].min()
    else:
        assert curated.threshold is None


@PROPERTY
@given(REWARDS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rewards, random):
    rows = best(rewards)
    order = list(range(len(rows)))
    random.shuffle(order)
    one, other = (curate(frame, "exact") for frame in (rows, rows.iloc[order]))
    pd.testing.assert_frame_equal(one.rows, other.rows)
    assert one.rows["clip"].is_monotonic_increasing


def test_all_tied_is_one_sentence_for_the_report_and_no_matter_for_exact():
    rows = best([0.98] * 30)
    with pytest.raises(UserError, match=r"threshold 0\.980") as caught:
        curate(rows, "report")
    assert "\n" not in str(caught.value)
    assert "use the rule 'exact', or raise the temperature or k" in str(caught.value)
    exact = curate(rows, "exact")
    assert exact.kept == 27
    assert exact.rows["clip"].tolist() == sorted(rows["clip"])[:27]


def test_means_before_and_after():
    curated = curate(best([0.0, 0.5, 1.0, 0.5]), "exact", share=0.25)
    assert curated.mean_before == 0.5
    assert curated.mean_after == pytest.approx(2 / 3)


def test_a_share_is_the_decimal_it_is_written_as():
    """0.29 * 100 is 28.999… in floating point."""
    assert curate(best(np.arange(100)), "exact", share=0.29).dropped == 29


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="share to drop"):
        curate(best([0.5]), "exact", share=share)


def test_what_cannot_be_curated_is_refused():
    with pytest.raises(UserError, match="report or exact"):
        curate(best([0.5]), "bottom")
    with pytest.raises(UserError, match="no completions"):
        curate(best([]), "exact")
    with pytest.raises(ValueError, match="one completion per clip"):
        curate(pd.DataFrame({"clip": ["a", "a"], "reward": [0.1, 0.2]}), "exact")
