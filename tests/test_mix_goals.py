"""Goals of the composition note: bands, edges and measured values."""

from __future__ import annotations

import numpy as np
import pytest

from evoxtral import tags
from evoxtral.mix import goals
from evoxtral.mix.goals import Goal
from evoxtral.mix.items import Features, Item


def features(*texts: str, seconds: list[float] | None = None, genders: str = "") -> Features:
    return Features.of(
        Item(str(k), text, tags.plain_text(text), "podcast", "light",
             gender={"m": "male", "f": "female", "n": "neutral"}[genders[k]] if genders else None,
             seconds=seconds[k] if seconds else None)
        for k, text in enumerate(texts)
    )  # fmt: skip


def measured(rows: list[Goal], table: str) -> dict[str, float]:
    return {goal.row: goal.measured() for goal in rows if goal.table == table}


@pytest.mark.parametrize(
    ("n_tags", "stratum"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (9, 3)]
)
def test_density_strata(n_tags: int, stratum: int) -> None:
    hits = [g.measured() for g in goals.density_goals(features("[sad] " * n_tags + "words"))]
    assert hits == [float(k == stratum) for k in range(4)]


def test_density_bands_are_those_of_section_6() -> None:
    targets = [goal.target for goal in goals.density_goals(features("a"))]
    assert targets == ["30–35 %", "25–30 %", "25–30 %", "10–15 %"]


def test_every_tag_has_one_share_goal_and_caps_too() -> None:
    rows = {goal.row for goal in goals.tag_share_goals(features("a"))}
    assert rows == {f"[{tag}]" for tag in tags.TAGS} | {"CAPS"}


def test_tag_shares_are_of_tagged_examples() -> None:
    rows = goals.tag_share_goals(features("[sad] a", "[sad] [pause] B C", "PLAIN caps", "plain"))
    shares = measured(rows, "tags")
    assert shares["[sad]"] == 1
    assert shares["[pause]"] == 1 / 2
    assert shares["CAPS"] == 0


def test_counts_judge_against_forty() -> None:
    texts = ["[sad] a"] * 40 + ["[angry] a"] * 39
    verdicts = {g.row: g.verdict() for g in goals.tag_count_goals(features(*texts))}
    assert verdicts["[sad]"] == "yes"
    assert verdicts["[angry]"] == "no"


@pytest.mark.parametrize(
    ("draws", "share", "verdict"),
    [(None, 0.5, "no"), ([1, 2], 1 / 3, "yes"), ([0, 0], float("nan"), "no")],
)
def test_draws_weigh_hits_and_base(draws: list[float] | None, share: float, verdict: str) -> None:
    goal = Goal("t", "r", np.array([1.0, 0.0]), np.ones(2), 0.3, 0.35)
    weights = None if draws is None else np.array(draws, dtype=float)
    assert goal.measured(weights) == pytest.approx(share, nan_ok=True)
    assert goal.verdict(weights) == verdict


@pytest.mark.parametrize(("low", "high"), [(0.25, 0.3), (0.2, 0.25)])
def test_the_edges_of_a_band_pass(low: float, high: float) -> None:
    assert Goal("t", "r", np.array([1.0, 0, 0, 0]), np.ones(4), low, high).verdict() == "yes"


def test_length_strata_in_seconds_and_in_fractions_of_the_window() -> None:
    clips = features("a", "b", "c", "d", seconds=[2.0, 5.0, 7.0, 31.0])
    real = measured(goals.axis_goals(clips), "length")
    tiny = measured(goals.axis_goals(clips, window_seconds=8.0), "length")
    assert list(real) == ["short (< 10 s)", "medium (10–30 s)", "long (≥ 30 s)"]
    assert list(real.values()) == [0.75, 0, 0.25]
    assert list(tiny) == ["short (< 2.67 s)", "medium (2.67–5.33 s)", "long (≥ 5.33 s)"]
    assert list(tiny.values()) == [0.25, 0.25, 0.5]


def test_axes_that_are_not_known_have_no_goal() -> None:
    assert {g.table for g in goals.axis_goals(features("a"))} == {
        "emotion", "non-verbal", "valence"
    }  # fmt: skip
    known = goals.axis_goals(features("a", "b", "c", genders="mff"))
    assert measured(known, "gender") == {"male": 1 / 3, "female": 2 / 3, "neutral": 0}


def test_categories_of_an_axis_add_up_to_one() -> None:
    rows = goals.all_goals(
        features("[sad] a b c [laughs]", "[excited] [angry] d", "e", seconds=[1, 2, 3],
                 genders="mfn")
    )  # fmt: skip
    for axis in ("density", "emotion", "non-verbal", "valence", "length", "gender", "position"):
        assert sum(measured(rows, axis).values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "close", "wide"),
    [
        ("[sad] a b c [pause]", 1, 0),
        ("[sad] a b c d [pause]", 0, 0),
        ("[sad] a b c d e f g h [pause]", 0, 1),
        ("[sad] a b c d e f g [pause] h [pause]", 1 / 2, 0),
    ],
)
def test_spacing(text: str, close: float, wide: float) -> None:
    spacing = measured(goals.position_goals(features(text)), "spacing")
    assert list(spacing.values()) == [close, wide]
