"""Exponents of growth, and the goals that are judged by them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.speed.growth import goals, limits, slope, slopes

SIZES = (16, 32, 64, 128)


def curve(work: str, exponent: float, peaks: tuple[float, ...], **other: object) -> pd.DataFrame:
    """Points of ours along sizes."""
    rows = {
        "curve": "size", "work": work, "way": "ours", "size": SIZES, "batch": 16, "k": 1,
        "seconds": [0.1 * n**exponent for n in SIZES], "peak": peaks, "prefilled": 1.0,
    }  # fmt: skip
    return pd.DataFrame(rows | other)


FLAT = (500.0, 510.0, 520.0, 521.0)
RATIOS = pd.DataFrame(
    [("SFT", "plain", 2.5, 2.4, 2.6, 2.0), ("SFT", "large", 1.5, 1.4, 1.6, None),
     ("sampling", "plain", 9.0, 8.0, 11.0, 10.0)],
    columns=["work", "plain", "ratio", "low", "high", "target"],
).astype({"target": float})  # fmt: skip


@given(st.floats(0.1, 3), st.floats(1e-3, 1e3))
def test_a_power_law_has_its_exponent(exponent: float, factor: float) -> None:
    found = slope(SIZES, [factor * n**exponent for n in SIZES])
    assert found.value == pytest.approx(exponent, abs=1e-6)
    assert found.low <= found.value + 1e-6
    assert found.high >= found.value - 1e-6
    assert found.points == 4


def test_scatter_widens_the_interval() -> None:
    exact, rough = slope(SIZES, [1, 2, 4, 8]), slope(SIZES, [1, 2.4, 3.6, 8])
    assert exact.high - exact.low < 1e-6
    assert rough.low < rough.value - 0.05
    assert rough.high > rough.value + 0.05


@pytest.mark.parametrize(
    ("sizes", "values", "sentence"),
    [([1, 2], [1, 2], "needs 3 sizes"), ([1, 2, 2], [1, 2, 2], "needs 3 sizes"),
     ([1, 2, 3], [1, 0, 2], "positive"), ([0, 2, 3], [1, 1, 2], "positive")],
)  # fmt: skip
def test_what_has_no_slope_is_refused(
    sizes: list[float], values: list[float], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        slope(sizes, values)


def test_slopes_are_by_work_and_way() -> None:
    two = curve("encode", 1.0, FLAT).iloc[:2]
    other = curve("sampling", 1.0, FLAT).assign(curve="k")
    found = slopes(
        pd.concat([curve("evaluation", 1.05, FLAT), curve("mix", 1.5, FLAT), two, other])
    )
    assert found["work"].tolist() == ["evaluation", "mix"]
    assert found["linear"].tolist() == [True, False]
    assert found["slope"].tolist() == pytest.approx([1.05, 1.5])
    assert (found["smallest"].iloc[0], found["largest"].iloc[0]) == (16, 128)
    assert (found["peak_slope"] < 0.03).all()


def test_goals_are_judged_by_the_numbers() -> None:
    by_k = pd.DataFrame(
        {"curve": "k", "work": "sampling", "way": "ours", "size": 32, "batch": 16, "k": [1, 4],
         "seconds": 1.0, "peak": 500.0, "prefilled": [3200.0, 3200.0]}
    )  # fmt: skip
    points = pd.concat(
        [curve("evaluation", 1.0, FLAT), curve("SFT", 1.3, (500, 600, 700, 900)), by_k]
    )
    found = {goal[0]: goal for goal in goals(RATIOS, points)}
    assert found["SFT, over plain"] == ("SFT, over plain", "≥ 2×", "2.5× (2.4 to 2.6)", True)
    assert found["sampling, over plain"][-1] is False
    assert len(found) == 2 + 2 + 1 + 2
    assert found["evaluation: exponent of time in size"][-1] is True
    assert found["SFT: exponent of time in size"][-1] is False
    prefill = found["sampling: positions prefilled per clip"]
    assert prefill[2:] == ("100 at k = 1, 100 at k = 4", True)
    assert found["evaluation: peak memory, 64 to 128 clips"][-1] is True
    assert found["SFT: peak memory, 64 to 128 clips"][2:] == ("1.29× (700 to 900 MiB)", False)
    repeated = pd.concat([points.iloc[:-1], points.iloc[-1:].assign(prefilled=12800.0)])
    again = {goal[0]: goal[-1] for goal in goals(RATIOS, repeated)}
    assert again["sampling: positions prefilled per clip"] is False
    assert goals(RATIOS.iloc[:0], points.iloc[:0]) == []


def test_limits_of_a_gpu_are_of_the_whole_work() -> None:
    ways = pd.DataFrame(
        [("SFT", 0.3, 0.5), ("evaluation", 0.2, 0.1), ("encode", 1.0, 0.2)],
        columns=["work", "seconds", "share"],
    )
    found = {goal[0]: goal[1:] for goal in limits(ways)}
    assert found == {
        "SFT, 3 × 808 clips": ("≤ 60 s", "45.4 s, 50% of it the floor", True),
        "RAFT fine-tuning, 727 clips": ("≤ 20 s", "13.6 s, 50% of it the floor", True),
        "evaluation, 50 clips": ("≤ 5 s", "10.0 s, 10% of it the floor", False),
    }
