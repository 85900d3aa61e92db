"""Goals of the composition note: bands, edges and measured values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from evoxtral import UserError, tags
from evoxtral.mix.goals import Goal, Item, goals, known


def items(*texts: str, seconds: list[float] | None = None, genders: str = "") -> list[Item]:
    full = {"m": "male", "f": "female", "n": "neutral"}
    return [
        Item(str(k), text, tags.plain_text(text), "podcast",
             gender=full[genders[k]] if genders else None, seconds=seconds[k] if seconds else None)
        for k, text in enumerate(texts)
    ]  # fmt: skip


def measured(rows: list[Item], table: str, window: float | None = None) -> dict[str, float]:
    return {goal.row: goal.measured() for goal in goals(rows, window) if goal.table == table}


@pytest.mark.parametrize(
    ("n_tags", "stratum"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (9, 3)]
)
def test_density_strata(n_tags: int, stratum: int) -> None:
    shares = measured(items("[sad] " * n_tags + "words"), "density")
    assert list(shares.values()) == [float(k == stratum) for k in range(4)]


def test_bands_are_those_of_the_note() -> None:
    made = goals(items("a"))
    density = [goal.target for goal in made if goal.table == "density"]
    assert density == ["30–35 %", "25–30 %", "25–30 %", "10–15 %"]
    shares = {goal.row for goal in made if goal.table == "tags"}
    assert shares == {f"[{tag}]" for tag in tags.TAGS} | {"CAPS"}


def test_tag_shares_are_of_tagged_examples() -> None:
    texts = ("[sad] a [sad]", "[WHISPERS] [pause] B C", "[slams DOOR] x", "PLAIN caps", "plain")
    shares = measured(items(*texts), "tags")
    found = {name: share for name, share in shares.items() if share}
    assert found == {"[sad]": 1 / 3, "[whispers]": 1 / 3, "[pause]": 1 / 3}
    assert measured(items("[sad] I DO"), "tags")["CAPS"] == 1


def test_counts_judge_against_forty() -> None:
    made = goals(items(*["[sad] a"] * 40, *["[angry] a"] * 39))
    verdicts = {goal.row: goal.verdict() for goal in made if goal.table == "examples"}
    assert (verdicts["[sad]"], verdicts["[angry]"]) == ("yes", "no")


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


@pytest.mark.parametrize(
    ("text", "valence"),
    [("plain", "neutral"), ("[sad] and [excited]", "neutral"), ("[crying] [sad] [laughs]",
     "negative"), ("[excited] one [pause]", "positive"), ("[slams door] x", "neutral")],
)  # fmt: skip
def test_valence_is_the_sign_of_the_sum(text: str, valence: str) -> None:
    assert measured(items(text), "valence")[valence] == 1


def test_length_strata_in_seconds_and_in_fractions_of_the_window() -> None:
    clips = items("a", "b", "c", "d", seconds=[2.0, 5.0, 7.0, 31.0])
    assert measured(clips, "length") == {
        "short (< 10 s)": 0.75, "medium (10–30 s)": 0, "long (≥ 30 s)": 0.25,
    }  # fmt: skip
    assert measured(clips, "length", window=8.0) == {
        "short (< 2.67 s)": 0.25, "medium (2.67–5.33 s)": 0.25, "long (≥ 5.33 s)": 0.5,
    }  # fmt: skip


def test_axes_that_are_not_known_have_no_goal() -> None:
    half = [*items("a", seconds=[1.0]), *items("b")]
    assert known(half, "seconds") is None
    assert {goal.table for goal in goals(half)}.isdisjoint({"length", "gender"})
    known_genders = measured(items("a", "b", "c", genders="mff"), "gender")
    assert known_genders == {"male": 1 / 3, "female": 2 / 3, "neutral": 0}


def test_categories_of_an_axis_add_up_to_one() -> None:
    rows = items("[sad] a b c [laughs]", "[excited] [angry] d", "e", seconds=[1, 2, 3],
                 genders="mfn")  # fmt: skip
    for axis in ("density", "emotion", "non-verbal", "valence", "length", "gender", "position"):
        assert sum(measured(rows, axis).values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "thirds"),
    [("[sad] one two [pause] three FOUR [laughs]", [1, 1, 1]), ("[sighs] [laughs]", [2, 0, 0])],
)
def test_positions(text: str, thirds: list[int]) -> None:
    hits = [goal.hits[0] for goal in goals(items(text)) if goal.table == "position"]
    assert hits == thirds


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
    assert list(measured(items(text), "spacing").values()) == [close, wide]


def test_items_come_from_anything_with_the_attributes() -> None:
    row = SimpleNamespace(id="c", tagged_text="[sad] a", plain_text="a", domain="d", seconds=2.5)
    assert Item.of(row) == Item("c", "[sad] a", "a", "d", seconds=2.5)
    with pytest.raises(UserError, match="no examples"):
        goals([])
