"""Selection within groups: what wins, what breaks ties, what the order of rows cannot change."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.raft import best_of, drop_flat, random_of, ranked

PROPERTY = settings(deadline=None, max_examples=60)

REWARDS = st.sampled_from([0.0, 0.2, 0.6, 1.0])  # few values: ties are the rule
GROUP = st.lists(st.tuples(REWARDS, st.integers(0, 3), st.booleans()), min_size=1, max_size=4)


def table(groups: dict[str, list[tuple[float, int, bool]]]) -> pd.DataFrame:
    rows = [
        (clip, i, f"{clip}{i}", tokens, finished, earned)
        for clip, group in groups.items()
        for i, (earned, tokens, finished) in enumerate(group)
    ]
    return pd.DataFrame(rows, columns=["clip", "index", "text", "tokens", "finished", "reward"])


SCORED = st.dictionaries(st.sampled_from("dbca"), GROUP, min_size=1).map(table)


@PROPERTY
@given(SCORED, st.randoms(use_true_random=False), st.sampled_from(["shortest", "first"]))
def test_the_order_of_rows_changes_nothing(scored, random, tie):
    order = list(range(len(scored)))
    random.shuffle(order)
    shuffled = scored.iloc[order]
    pd.testing.assert_frame_equal(best_of(scored, tie), best_of(shuffled, tie))
    pd.testing.assert_frame_equal(random_of(scored, 3), random_of(shuffled, 3))


@PROPERTY
@given(SCORED)
def test_the_best_is_the_best_of_each_clip_by_the_rule(scored):
    for tie, key in {
        "first": lambda row: (-row["reward"], row["index"]),
        "shortest": lambda row: (
            -row["reward"],
            not row["finished"],
            row["tokens"],
            row["index"],
        ),
    }.items():
        best = best_of(scored, tie)
        assert best.columns.tolist() == scored.columns.tolist()
        assert best["clip"].tolist() == sorted(set(scored["clip"]))
        for row in best.to_dict("records"):
            group = scored[scored["clip"] == row["clip"]].to_dict("records")
            assert row == min(group, key=key)


@PROPERTY
@given(SCORED)
def test_ranking_keeps_every_row_and_its_input(scored):
    before = scored.copy()
    order = ranked(scored)
    pd.testing.assert_frame_equal(scored, before)
    assert sorted(order["text"]) == sorted(scored["text"])


def test_the_report_takes_the_first_among_equals():
    """Its code replaces the best only by a strictly higher reward."""
    scored = table({"a": [(0.5, 9, False), (0.7, 9, False), (0.7, 2, True)]})
    assert best_of(scored, "first")["index"].tolist() == [1]
    assert best_of(scored, "shortest")["index"].tolist() == [2]


def test_an_unknown_tie_rule_is_refused():
    with pytest.raises(UserError, match="shortest or first"):
        best_of(table({"a": [(1.0, 1, True)]}), "longest")


def many(clips: int, k: int) -> pd.DataFrame:
    return table({f"c{i:04}": [(i / clips, j, True) for j in range(k)] for i in range(clips)})


def test_random_draws_are_even_and_depend_on_seed_and_clip_alone():
    scored = many(2000, 4)
    drawn = random_of(scored, 0)
    counts = np.bincount(drawn["index"], minlength=4)
    assert counts.sum() == 2000
    assert (np.abs(counts - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)).all()
    assert not drawn.equals(random_of(scored, 1))
    fewer = scored[scored["clip"] < "c0100"]
    pd.testing.assert_frame_equal(random_of(fewer, 0), drawn.head(100))


def test_random_draws_ignore_the_reward():
    scored = many(50, 4)
    other = scored.assign(reward=scored["reward"].to_numpy()[::-1])
    assert random_of(scored, 0)["index"].tolist() == random_of(other, 0)["index"].tolist()


def test_flat_groups_are_dropped():
    scored = table(
        {
            "wide": [(0.2, 1, True), (0.8, 1, True)],
            "flat": [(0.5, 1, True), (0.5, 2, True)],
            "lone": [(0.9, 1, True)],
            "narrow": [(0.5, 1, True), (0.6, 1, True)],
        }
    )
    assert drop_flat(scored)["text"].tolist() == ["narrow0", "narrow1", "wide0", "wide1"]
    assert set(drop_flat(scored, 0.1)["clip"]) == {"wide"}


def test_dropping_all_is_refused():
    flat = table({"a": [(0.5, 1, True), (0.5, 1, True)]})
    with pytest.raises(UserError, match="raise the temperature or k"):
        drop_flat(flat)


@pytest.mark.parametrize("spread", [-0.1, 1.0, float("nan")])
def test_a_spread_that_is_none_is_refused(spread):
    with pytest.raises(UserError, match=r"number in \[0, 1\)"):
        drop_flat(many(2, 2), spread)
