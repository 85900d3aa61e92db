"""Draws: goals reached or named with their shortfall; class balance; the mix as a stage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import params, tags
from evoxtral.mix import balance, chapter, composition
from evoxtral.mix.balance import class_balanced_weights, clip_weights, rebalance
from evoxtral.mix.composition import MAX_DRAWS, goals
from evoxtral.mix.source import Source
from evoxtral.params import DataMix
from evoxtral.tags import text_key
from evoxtral.world import scripts
from evoxtral.world.scripts import read_released
from helpers import examples


def shortfalls(table: pd.DataFrame) -> dict[str, str]:
    rows = table[table["reached"] != "yes"]
    return dict(zip(rows["table"] + " " + rows["row"], rows["shortfall"], strict=True))


def skewed() -> pd.DataFrame:
    """Too few plain texts, four sad ones, none confused, nearly everything in capitals."""
    rng = np.random.default_rng(0)
    names = [tag for tag in tags.TAGS if tag not in {"sad", "confused"}]
    texts = []
    for k in range(400):
        words = [f"w{k}x{j}" for j in range(24)] + (["LOUD"] if k % 10 else [])
        chosen = list(rng.choice(names, (0, 1, 2, 3, 4, 5, 7, 8)[k % 8] if k > 40 else 0))
        for name in chosen + ["sad"] * (60 <= k < 64):
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        texts.append(" ".join(words))
    return examples(*texts)


def audit(items: pd.DataFrame, drawn: pd.DataFrame, table: pd.DataFrame, size: int) -> None:
    """What the table says is what was drawn, and no text is drawn more than five times."""
    assert len(drawn) == size
    assert drawn["id"].isin(items["id"]).all()
    assert drawn["plain_text"].map(text_key).value_counts().max() <= MAX_DRAWS
    for column, verdict, rows in (("before", "met", items), ("after", "reached", drawn)):
        again = goals(rows)
        again = again.take(np.flatnonzero(again.rows["priority"]))
        assert table[column].tolist() == pytest.approx(again.measured(), nan_ok=True)
        assert table[verdict].tolist() == again.verdicts().tolist()
    assert (table["shortfall"] == "").equals(table["reached"] == "yes")


def test_released_scripts_reach_all_goals_but_those_two_tags_forbid(released_path: Path) -> None:
    released = composition.examples(read_released(released_path))
    drawn, table = rebalance(released, 0)
    audit(released, drawn, table, 1010)
    assert shortfalls(table) == {
        "tags [confused]": "at most 0.8 % within the density bands: 1 distinct text, 5 draws each",
        "tags [scared]": "at most 3.0 % within the density bands: 4 distinct texts, 5 draws each",
        "examples [confused]": "at most 5 within the density bands: 1 distinct text, 5 draws each",
        "examples [scared]": "at most 20 within the density bands: 4 distinct texts, 5 draws each",
    }
    assert set(balance.missed(table)["row"]) >= {"[confused]", "[scared]", "none (0 tags)"}


def test_a_skewed_set_names_what_it_lacks() -> None:
    items = skewed()
    drawn, table = rebalance(items, seed=3)
    audit(items, drawn, table, 400)
    reasons = shortfalls(table)
    assert reasons["tags [confused]"] == "no example has it"
    assert reasons["tags [sad]"].endswith("4 distinct texts, 5 draws each")
    assert (table["reached"] == "yes").sum() > (table["met"] == "yes").sum()


def test_goals_that_fight_each_other_say_so() -> None:
    texts = [f"plain {k}" for k in range(40)] + [f"[sad] s{k}" for k in range(40)]
    texts += [f"[sad] [pause] LOUD l{k}" for k in range(60)]
    _, table = rebalance(examples(*texts), 0)
    assert "in conflict" in " ".join(shortfalls(table).values())


@settings(deadline=None)
@given(st.integers(1, 10_000), st.sampled_from([0.0, 0.9, 0.99, 0.999]))
def test_weights_are_of_effective_numbers(n: int, beta: float) -> None:
    weights = class_balanced_weights({"a": n}, beta)
    assert 1 / weights["a"] == pytest.approx(math.fsum(beta**k for k in range(n)))


def test_weighted_clips_have_mean_one_and_the_mean_of_their_classes() -> None:
    texts = [*["x"] * 300, *["[sad] x"] * 200, "[gasps] x", "[gasps] [gasps] [sad] x"]
    weights = clip_weights(examples(*texts), beta=0.999)
    assert weights.mean() == pytest.approx(1)
    assert weights[-2] > weights[-1] > weights[300] > weights[0] > 0
    assert weights[-1] == pytest.approx((weights[-2] + weights[300]) / 2)


@pytest.fixture
def source(own_runs: None) -> Source:
    return Source("made", {"train": scripts.generate(120, 5)}, window_seconds=8.0)


def config(**changes: object) -> DataMix:
    return params.profile(DataMix, "smoke", changes)


@pytest.mark.parametrize("mix", ["written", "targets", "3:1"])
def test_the_mix_is_a_stage_of_draws(mix: str, source: Source) -> None:
    made = balance.training_mix(config(mix=mix), source)
    drawn = balance.read_mix(made.path)
    assert drawn["draws"].between(1, 5).all()
    assert (drawn["weight"] == 1).all()
    assert drawn["id"].tolist() == sorted(set(drawn["id"]))
    assert not balance.training_mix(config(mix=mix), source).executed
    text = source.items.set_index("id")["tagged_text"][drawn["id"]]
    plain = drawn["draws"][~text.str.contains("[", regex=False).to_numpy()].sum()
    total = drawn["draws"].sum()
    if mix == "targets":
        assert 0.30 <= plain / total <= 0.35
        assert total == len(source.items)
    elif ":" in mix:
        assert plain == pytest.approx(total / (int(mix.split(":")[0]) + 1), abs=1)
        assert set(drawn["draws"]) == {1}
    trained = balance.read_drawn(made.path, source.items)
    assert trained["id"].value_counts().to_dict() == dict(drawn[["id", "draws"]].to_numpy())
    summary = chapter.mix_summary(made.path)
    assert list(summary.columns) == ["draws", "clips", "share", "weight"]
    assert summary["clips"].sum() == len(drawn)
    assert (summary["share"] * total).tolist() == pytest.approx(summary["draws"] * summary["clips"])


def test_class_balance_draws_or_weighs_rare_tags_more(source: Source) -> None:
    mixes = {
        name: balance.read_mix(balance.training_mix(config(class_balance=name), source).path)
        for name in ("none", "oversample", "weighted")
    }
    draws = {name: mix["draws"].sum() for name, mix in mixes.items()}
    assert draws["none"] == draws["weighted"] < draws["oversample"]
    weighted = mixes["weighted"]
    assert np.average(weighted["weight"], weights=weighted["draws"]) == pytest.approx(1, abs=1e-5)
    assert weighted["weight"].nunique() > 5
    assert mixes["oversample"]["draws"].max() <= MAX_DRAWS
