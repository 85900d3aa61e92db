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


def test_density_strata() -> None:
    for n_tags, stratum in ((0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (9, 3)):
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


def test_draws_weigh_hits_and_base() -> None:
    goal = Goal("t", "r", np.array([1.0, 0.0]), np.ones(2), 0.3, 0.35)
    for draws, share, verdict in ((None, 0.5, "no"), ([1, 2], 1 / 3, "yes"), ([0, 0], None, "no")):
        weights = None if draws is None else np.array(draws, dtype=float)
        found = goal.measured(weights)
        assert np.isnan(found) if share is None else found == pytest.approx(share)
        assert goal.verdict(weights) == verdict


def test_valence_is_the_sign_of_the_sum() -> None:
    texts = {"[sad] and [excited]": "neutral", "[crying] [sad] [laughs]": "negative",
             "[excited] one [pause]": "positive"}  # fmt: skip
    for text, valence in texts.items():
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


def test_positions_and_spacing() -> None:
    texts = {"[sad] one two [pause] three FOUR [laughs]": [1, 1, 1], "[sighs] [laughs]": [2, 0, 0]}
    for text, thirds in texts.items():
        hits = [goal.hits[0] for goal in goals(items(text)) if goal.table == "position"]
        assert hits == thirds
    gaps = {"a b c": [1, 0], "a b c d": [0, 0], "a b c d e f g h": [0, 1],
            "a b c d e f g [pause] h": [1 / 2, 0]}  # fmt: skip
    for words, spacing in gaps.items():
        shares = measured(items(f"[sad] {words} [pause]"), "spacing")
        assert list(shares.values()) == spacing


def test_items_come_from_anything_with_the_attributes() -> None:
    row = SimpleNamespace(id="c", tagged_text="[sad] a", plain_text="a", domain="d", seconds=2.5)
    assert Item.of(row) == Item("c", "[sad] a", "a", "d", seconds=2.5)
    with pytest.raises(UserError, match="no examples"):
        goals([])
