"""Draws: goals reached or named with their shortfall; class balance; the mix as a stage."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import params, tags
from evoxtral.mix import balance
from evoxtral.mix.balance import class_balanced_weights, clip_weights, rebalance
from evoxtral.mix.goals import MAX_DRAWS, Item, goals
from evoxtral.mix.source import Source
from evoxtral.params import DataMix
from evoxtral.tags import text_key
from evoxtral.world import scripts
from evoxtral.world.scripts import read_released


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Item]:
    return [Item.of(script) for script in read_released(released_path)]


def item(name: str, text: str) -> Item:
    return Item(name, text, tags.plain_text(text), "d")


def shortfalls(table: pd.DataFrame) -> dict[str, str]:
    rows = table[table["reached"] != "yes"]
    return dict(zip(rows["table"] + " " + rows["row"], rows["shortfall"], strict=True))


def skewed() -> list[Item]:
    """Too few plain texts, four sad ones, none confused, nearly everything in capitals."""
    rng = np.random.default_rng(0)
    names = [tag for tag in tags.TAGS if tag not in {"sad", "confused"}]
    items = []
    for k in range(400):
        words = [f"w{k}x{j}" for j in range(24)] + (["LOUD"] if k % 10 else [])
        chosen = list(rng.choice(names, (0, 1, 2, 3, 4, 5, 7, 8)[k % 8] if k > 40 else 0))
        for name in chosen + ["sad"] * (60 <= k < 64):
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        items.append(item(str(k), " ".join(words)))
    return items


def audit(items: list[Item], drawn: list[Item], table: pd.DataFrame, size: int) -> None:
    """What the table says is what was drawn, and no text is drawn more than five times."""
    assert len(drawn) == size
    assert set(drawn) <= set(items)
    assert max(Counter(text_key(row.plain_text) for row in drawn).values()) <= MAX_DRAWS
    for column, verdict, rows in (("before", "met", items), ("after", "reached", drawn)):
        again = goals(rows)
        measured = [goal.measured() for goal in again]
        assert table[column].tolist() == pytest.approx(measured, nan_ok=True)
        assert table[verdict].tolist() == [goal.verdict() for goal in again]
    assert (table["shortfall"] == "").equals(table["reached"] == "yes")


def test_released_scripts_reach_all_goals_but_those_two_tags_forbid(released: list[Item]) -> None:
    drawn, table = rebalance(released, 0)
    audit(released, drawn, table, 1010)
    assert shortfalls(table) == {
        "tags [confused]": "at most 0.8 % within the density bands: 1 distinct text, 5 draws each",
        "tags [scared]": "at most 3.0 % within the density bands: 4 distinct texts, 5 draws each",
        "examples [confused]": "at most 5 within the density bands: 1 distinct text, 5 draws each",
        "examples [scared]": "at most 20 within the density bands: 4 distinct texts, 5 draws each",
    }
    shown = balance.missed(table)
    assert ((shown["met"] != "yes") | (shown["reached"] != "yes")).all()
    assert set(shown["row"]) >= {"[confused]", "[scared]", "none (0 tags)"}


def test_a_skewed_set_names_what_it_lacks() -> None:
    items = skewed()
    drawn, table = rebalance(items, seed=3)
    audit(items, drawn, table, 400)
    reasons = shortfalls(table)
    assert reasons["tags [confused]"] == "no example has it"
    assert reasons["tags [sad]"].endswith("4 distinct texts, 5 draws each")
    assert (table["reached"] == "yes").sum() > (table["met"] == "yes").sum()


def test_goals_that_fight_each_other_say_so() -> None:
    plain = [item(f"p{k}", f"plain {k}") for k in range(40)]
    sad = [item(f"s{k}", f"[sad] s{k}") for k in range(40)]
    loud = [item(f"l{k}", f"[sad] [pause] LOUD l{k}") for k in range(60)]
    _, table = rebalance(plain + sad + loud, 0)
    assert "in conflict" in " ".join(shortfalls(table).values())


def test_known_weights() -> None:
    for n, beta, expected in ((1, 0.9, 1.0), (3, 0.5, 4 / 7), (10, 0.0, 1.0), (2, 0.9, 0.1 / 0.19)):
        made = class_balanced_weights({"a": n}, beta, normalise=False)
        assert made["a"] == pytest.approx(expected)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 10_000), min_size=1),
       st.sampled_from([0.0, 0.9, 0.99, 0.999]))  # fmt: skip
def test_rarer_classes_never_weigh_less_and_weights_add_up(
    counts: dict[str, int], beta: float
) -> None:
    weights = class_balanced_weights(counts, beta)
    assert math.fsum(weights.values()) == pytest.approx(len(counts))
    ordered = [weights[name] for name in sorted(counts, key=counts.__getitem__)]
    assert all(a >= b - 1e-12 for a, b in pairwise(ordered))


def test_weighted_clips_have_mean_one_and_the_mean_of_their_classes() -> None:
    texts = [*["x"] * 300, *["[sad] x"] * 200, "[gasps] x", "[gasps] [gasps] [sad] x"]
    weights = clip_weights([item(str(k), text) for k, text in enumerate(texts)], beta=0.999)
    assert weights.mean() == pytest.approx(1)
    assert weights[-2] > weights[-1] > weights[300] > weights[0] > 0
    assert weights[-1] == pytest.approx((weights[-2] + weights[300]) / 2)


@pytest.fixture
def source(own_runs: None) -> Source:
    rows = {"train": scripts.generate(120, 5)}
    return Source("made", rows, None, None, 8.0, pd.DataFrame())


def config(**changes: object) -> DataMix:
    return DataMix(**{**params.profile(params.DataMix, "smoke").model_dump(), **changes})


@pytest.mark.parametrize("mix", ["written", "targets", "3:1"])
def test_the_mix_is_a_stage_of_draws(mix: str, source: Source) -> None:
    made = balance.training_mix(config(mix=mix), source)
    drawn = balance.read_mix(made.path)
    assert all(1 <= row.draws <= 5 and row.weight == 1 for row in drawn)
    assert [row.id for row in drawn] == sorted({row.id for row in drawn})
    assert not balance.training_mix(config(mix=mix), source).executed
    text = {row.id: row.tagged_text for row in source.items}
    plain = sum(row.draws for row in drawn if not tags.find_tags(text[row.id]))
    total = sum(row.draws for row in drawn)
    if mix == "targets":
        assert 0.30 <= plain / total <= 0.35
        assert total == len(source.items)
    elif ":" in mix:
        assert plain == pytest.approx(total / (int(mix.split(":")[0]) + 1), abs=1)
        assert {row.draws for row in drawn} == {1}


def test_class_balance_draws_or_weighs_rare_tags_more(source: Source) -> None:
    mixes = {
        name: balance.read_mix(balance.training_mix(config(class_balance=name), source).path)
        for name in ("none", "oversample", "weighted")
    }
    draws = {name: sum(row.draws for row in rows) for name, rows in mixes.items()}
    assert draws["none"] == draws["weighted"] < draws["oversample"]
    weights = np.array([row.weight for row in mixes["weighted"]])
    times = np.array([row.draws for row in mixes["weighted"]])
    assert (weights @ times) / times.sum() == pytest.approx(1, abs=1e-5)
    assert len(set(weights)) > 5
