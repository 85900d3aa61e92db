"""Beside the published numbers: a tiny run is never called a reproduction."""

from __future__ import annotations

import math

import pytest

from evoxtral import UserError, bench, metrics, paper, params
from evoxtral.bench import compare_paper
from evoxtral.bench.compare_paper import NOT_MEASURED, TINY_WORLD, verdict
from evoxtral.stats import Interval

PAPER = paper.load()
TEXTS = ["[sad] oh no", "well then", "[pause] and so", "[sighs] it IS so", "[laughs] fine"]
SYSTEMS = {
    "base": ["oh no", "well than", "and", "it is so", "fine"],
    "SFT": ["[sad] oh no", "well then", "[pause] and so", "it IS so", "[sad] fine"],
    "RL": TEXTS,
}
EVALUATIONS = {name: metrics.evaluate(TEXTS, own) for name, own in SYSTEMS.items()}
SCORES = bench.score(EVALUATIONS)


def _frames(profile: str, scores: bench.Scores, evaluations: dict) -> list:
    return [
        bench.core_comparison(PAPER, scores, profile),
        bench.per_tag_comparison(PAPER, scores, profile),
        bench.changes(PAPER, evaluations, profile),
    ]


@pytest.mark.parametrize("profile", [name for name in params.PROFILES if name != "paper"])
def test_a_tiny_run_is_the_same_method_whatever_its_numbers(profile: str) -> None:
    for frame in _frames(profile, SCORES, EVALUATIONS):
        measured = frame["measured"].notna()
        assert measured.any()
        assert set(frame.loc[measured, "verdict"]) == {TINY_WORLD}
        assert set(frame.loc[~measured, "verdict"]) <= {NOT_MEASURED}


def test_a_tiny_run_with_the_published_numbers_themselves_reproduces_nothing() -> None:
    exact = SCORES.metrics.copy()
    printed = PAPER.core.set_index("key")
    for row in exact[exact["protocol"] == bench.PAPER].itertuples():
        value = printed.loc[row.metric, row.system.lower()]
        exact.loc[row.Index, ["value", "low", "high"]] = (value, value - 0.01, value + 0.01)
    scores = bench.Scores(exact, SCORES.per_tag)
    assert set(bench.core_comparison(PAPER, scores, "tiny")["verdict"]) == {TINY_WORLD}
    assert set(bench.core_comparison(PAPER, scores, "paper")["verdict"]) == {"within interval"}


def test_no_verdict_ever_says_reproduced() -> None:
    words = " ".join(
        str(value) for name in params.PROFILES for frame in _frames(name, SCORES, EVALUATIONS)
        for value in frame["verdict"]
    )  # fmt: skip
    assert "reproduc" not in words.lower()


@pytest.mark.parametrize(
    ("printed", "low", "high", "expected"),
    [
        (0.672, 0.60, 0.70, "within interval"),
        (0.672, 0.68, 0.70, "outside interval"),
        (0.672, 0.6724, 0.70, "within interval"),  # printed digits are rounded
        (0.672, 0.6726, 0.70, "outside interval"),
        (0.672, 0.60, 0.6716, "within interval"),
        (0.672, math.nan, math.nan, "no interval"),
    ],
)
def test_verdicts_of_the_real_experiment(
    printed: float, low: float, high: float, expected: str
) -> None:
    assert verdict("paper", printed, Interval(low, high, 0.66, 9), 0.0005) == expected


def test_what_was_not_measured_says_so_in_every_profile() -> None:
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    said = {verdict(name, 0.5, nothing, 0.0) for name in params.PROFILES}
    assert said == {NOT_MEASURED}
    with pytest.raises(UserError, match="choose one of"):
        verdict("big", 0.5, nothing, 0.0)


def test_core_rows() -> None:
    frame = bench.core_comparison(PAPER, SCORES, "tiny").set_index(["system", "key"])
    assert len(frame) == 3 * len(PAPER.core)
    row = frame.loc[("SFT", "tag_f1")]
    assert (row["paper"], row["n_paper"], row["n"]) == (0.672, 50, 5)
    assert row["measured"] == EVALUATIONS["SFT"].paper()["tag_f1"].value
    assert row["delta"] == pytest.approx(row["measured"] - 0.672)
    alone = bench.core_comparison(PAPER, bench.score({"RL": EVALUATIONS["RL"]}), "paper")
    absent = alone[alone["system"] != "RL"]
    assert set(absent["verdict"]) == {NOT_MEASURED}
    assert set(absent["n"]) == {0}


def test_per_tag_rows_count_occurrences() -> None:
    frame = bench.per_tag_comparison(PAPER, SCORES, "paper").set_index(["system", "key"])
    assert len(frame) == 2 * 17
    assert tuple(frame.loc[("RL", "sad"), ["paper", "measured", "n_paper", "n"]]) == (0.75, 1, 4, 1)
    # [calm] occurs in no reference: a score of nothing would not be a measurement.
    assert frame.loc[("RL", "calm"), "verdict"] == NOT_MEASURED


def test_changes_are_paired_and_have_a_direction() -> None:
    frame = bench.changes(PAPER, EVALUATIONS, "tiny").set_index(["step", "key"])
    step = frame.loc[("base → SFT", "tag_f1")]
    paired = metrics.compare(EVALUATIONS["SFT"], EVALUATIONS["base"], "paper")["tag_f1"]
    assert step["paper"] == pytest.approx(0.452)
    assert tuple(step[["measured", "low", "high"]]) == (paired.value, paired.low, paired.high)
    absent = bench.changes(PAPER, {"RL": EVALUATIONS["RL"]}, "tiny")
    assert set(absent["verdict"]) == set(absent["direction"]) == {NOT_MEASURED}


@pytest.mark.parametrize(
    ("printed", "low", "high", "expected"),
    [
        (0.02, 0.01, 0.03, "same"),
        (-0.02, 0.01, 0.03, "opposite"),
        (-0.02, -0.03, -0.01, "same"),
        (0.02, -0.01, 0.03, "not shown"),
        (0.02, 0.0, 0.03, "not shown"),
        (0.02, math.nan, math.nan, "not shown"),
    ],
)
def test_direction(printed: float, low: float, high: float, expected: str) -> None:
    assert compare_paper._direction(printed, Interval(low, high, 0.0, 5)) == expected
