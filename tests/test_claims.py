"""The report's claims recomputed: known values, and that other numbers give other verdicts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import claims, paper

CLAIMS = [
    ("The three splits hold all scripts", 1010, 1010, "holds"),
    ("Effective batch size", 16, 16, "holds"),
    ("Clips the filter keeps", 727, 727, "holds"),
    ("Trainable parameters, encoder frozen as stated", 124.8e6, 109_051_904, "differs"),
    ("Trainable parameters, encoder adapted too", 124.8e6, 124_780_544, "holds"),
    ("SFT lowers WER, relative", 0.33, 217 / 664, "holds"),
    ("SFT raises Tag F1", 0.45, 0.452, "holds"),
    ("RAFT raises Tag F1", 0.022, 0.022, "holds"),
    ("RAFT raises Tag Recall", 0.033, 0.033, "holds"),
    ("RAFT raises Emphasis F1", 0.02, 0.02, "holds"),
    ("SFT closes the headroom of Tag F1", None, 452 / 780, "not printed"),
    ("Card: RL gains Tag F1, percent", 0.022, 22 / 672, "explained"),
    ("Card: RL costs WER, percent", 0.0065, 65 / 447, "explained"),
    ("SFT Tag F1 from its precision and recall", 0.672, 2 * 674 * 694 / 1368e3, "differs"),
    ("Best Tag Hallucination", 0.193, 0.0, "differs"),
    ("Base Tag F1", 0.22, 11 / 50, "explained"),
    ("Base Emphasis F1", 0.42, 21 / 50, "explained"),
    ("SFT Tag F1 on the 39 tagged clips", None, 22.6 / 39, "not printed"),
    ("Tags improved after RAFT", 9, 8, "differs"),
    ("Tags stable after RAFT", 4, 6, "differs"),
    ("Tags regressed after RAFT", 3, 3, "holds"),
    ("Tags in all", 16, 17, "differs"),
    ("Printed Δ that are relative changes", 11, 11, "holds"),
    ("F1 scores that whole counts can give", 34, 34, "holds"),
    ("Supports that count samples", 17, 14, "differs"),
    ("Most events needed to explain a change", None, 2, "not printed"),
    (
        "Standard error of SFT Tag F1 if per-clip sd is 0.30",
        None,
        0.3 / math.sqrt(50),
        "not printed",
    ),
    ("RL beats SFT in Tag F1", 0.022, 0.022, "not resolved"),
    ("RL costs WER", 0.0065, 0.0065, "not resolved"),
]
"""Name, printed value if there is one, recomputed value, verdict."""


@pytest.fixture(scope="module")
def checked(numbers: paper.Published) -> pd.DataFrame:
    return claims.claims(numbers)


def test_every_claim(checked: pd.DataFrame) -> None:
    assert list(checked["claim"]) == [claim for claim, *_ in CLAIMS]
    assert list(checked["verdict"]) == [verdict for *_, verdict in CLAIMS]
    assert list(checked["recomputed"]) == pytest.approx([value for *_, value, _ in CLAIMS])
    printed = [math.nan if value is None else value for _, value, *_ in CLAIMS]
    assert list(checked["printed"]) == pytest.approx(printed, nan_ok=True)


def test_summary_names_every_claim_that_does_not_hold(checked: pd.DataFrame) -> None:
    text = claims.summary(checked)
    assert text.startswith("Of 25 printed numbers checked, **12 hold**. The others:\n")
    assert text.count("\n- ") == 13
    assert "*Tags improved after RAFT*: **differs**." in text


def test_notes_and_verdicts_follow_the_numbers(numbers: paper.Published) -> None:
    core = numbers.core.copy()
    core.loc[core["key"] == "tag_f1", "rl"] = 0.9
    released = numbers.released | {"clips without tags": 10, "clips without capitals": 20}
    other = dataclasses.replace(numbers, core=core, released=released)
    rows = claims.claims(other).set_index("claim")
    assert rows.loc["Base Tag F1", "verdict"] == "differs"
    assert rows.loc["Base Tag F1", "note"].startswith("10 of 50 clips")
    assert "SFT Tag F1 on the 40 tagged clips" in rows.index
    assert rows.loc["RAFT raises Tag F1", "verdict"] == "differs"
    assert rows.loc["RL beats SFT in Tag F1", "verdict"] == "holds"


@pytest.mark.parametrize(("n", "share", "kept"), [(808, 0.1, 727), (10, 0.1, 8), (9, 0.1, 8)])
def test_kept_strictly_above(n: int, share: float, kept: int) -> None:
    rewards = np.random.default_rng(0).permutation(n)
    threshold = np.sort(rewards)[int(share * n)]
    assert claims.kept_strictly_above(n, share) == kept == int((rewards > threshold).sum())


@pytest.mark.parametrize(
    ("tag", "delta", "relative", "events"),
    [
        ("sighs", "—", None, 0),
        ("clears throat", "+12.5%", 111 / 889, 2),
        ("pause", "+1.9%", 17 / 885, 1),
        ("stammers", "−5.3%", -47 / 889, 1),
        ("crying", "−23.9%", -179 / 750, 1),
        ("calm", "+100%", 1.0, 2),
        ("confused", "—", None, 0),
    ],
)
def test_deltas(
    numbers: paper.Published, tag: str, delta: str, relative: float | None, events: int
) -> None:
    row = claims.deltas(numbers.per_tag).set_index("tag").loc[tag]
    assert row["delta"] == delta
    assert row["fewest_events"] == events
    assert row["agrees"]
    if relative is None:
        assert math.isnan(row["relative"])
    else:
        assert row["relative"] == pytest.approx(relative)


def test_a_wrong_delta_is_noticed(numbers: paper.Published) -> None:
    wrong = numbers.per_tag.assign(delta=numbers.per_tag["delta"].replace({"+1.9%": "+1.7%"}))
    rows = claims.deltas(wrong).set_index("tag")
    assert list(rows.index[~rows["agrees"]]) == ["pause", "laughs"]


@given(st.integers(1, 30), st.data())
def test_printed_counts_are_among_the_attainable(support: int, data: st.DataObject) -> None:
    predicted = data.draw(st.integers(0, 3 * support))
    hits = data.draw(st.integers(0, min(support, predicted)))
    printed = round(2 * hits / (support + predicted), 3)
    found = claims.attainable_counts(printed, support)
    assert (hits, predicted) in found
    assert all(abs(2 * h / (support + p) - printed) <= 0.0005 + 1e-9 for h, p in found)


def test_standard_errors_of_fifty_clips(numbers: paper.Published) -> None:
    rows = claims.tag_f1_errors(numbers)
    assert list(rows["metric"]) == ["sft"] * 5 + ["rl"] * 5
    sft = rows[rows["metric"] == "sft"]
    assert [f"{100 * se:.1f}" for se in sft["se"]] == ["2.5", "3.5", "4.2", "4.9", "6.7"]
    assert list(sft["sd"]) == sorted(sft["sd"])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.lists(st.booleans(), max_size=10))
def test_bounds_hold_for_any_scores(scores: list[float], binary: list[bool]) -> None:
    values = np.array([*scores, *map(float, binary)])
    n, mean, sd = len(values), min(1.0, values.mean()), values.std(ddof=1)
    assert sd <= claims.largest_sd(mean, n) + 1e-9
    assert sd >= claims.smallest_sd(mean, n, len(binary)) - 1e-9


@pytest.mark.parametrize(("scores", "binary"), [([1.0] * 11 + [0.5] * 39, 11), ([0.4] * 7, 0)])
def test_the_smallest_spread_is_reached(scores: list[float], binary: int) -> None:
    values = np.array(scores)
    least = claims.smallest_sd(values.mean(), len(values), binary)
    assert least == pytest.approx(values.std(ddof=1), abs=1e-9)
