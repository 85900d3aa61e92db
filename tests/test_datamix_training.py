"""Near-duplicates out, targets met, weights, and the mix that fine-tuning reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evoxtral import UserError, datamix, params, runs, tags
from evoxtral.datamix import training
from evoxtral.datamix.source import Source
from evoxtral.mix.goals import RARE
from evoxtral.mix.items import Item
from evoxtral.params import DataMix
from evoxtral.world import scripts

ROWS = scripts.generate(160, 5)
NO_FINDINGS = pd.DataFrame(columns=["kind", "file", "line", "reason"])


pytestmark = pytest.mark.usefixtures("own_runs")


def source() -> Source:
    return Source("made", {"train": ROWS[:120], "test": ROWS[120:]}, None, None, 8.0, NO_FINDINGS)


def config(**changes: object) -> DataMix:
    return DataMix(**{**params.profile("01_data_mix", "smoke").model_dump(), **changes})


def items(texts: list[str]) -> list[Item]:
    return [Item(str(k), t, tags.plain_text(t), "d", "s") for k, t in enumerate(texts)]


def test_of_two_texts_alike_the_earlier_stays() -> None:
    texts = ["a b c d e f g h i j", "x y z", "a b c d e f g h i k", "[sad] x y z"]
    filtered = training.filter_alike(items(texts), 0.7)
    assert [item.id for item in filtered.items] == ["0", "1"]
    assert filtered.pairs["score"].tolist() == pytest.approx([0.9, 6 / 7])
    assert filtered.pairs.loc[0, ["first", "second"]].tolist() == [texts[0], texts[2]]
    assert not filtered.pairs["kept"].any()
    assert len(training.filter_alike(items(texts), 0.95).items) == 4


def test_leakage_counts_texts_not_pairs() -> None:
    rows = {
        "train": items(["a b c d e", "a b c d f"]),
        "test": items(["a b c d g", "nothing like it"]),
    }
    found = training.leakage(Source("s", rows, None, None, None, NO_FINDINGS), 0.7)
    expected = {"split": "test", "texts": 2, "pairs": 2, "alike": 1, "heard": 0}
    assert found.to_dict("records") == [expected]


def test_targets_are_met_and_their_verdicts_agree_with_the_numbers() -> None:
    drawn = source().items
    balanced = training.meet_targets(drawn, 0, None)
    table = training.target_table(drawn, balanced, None)
    again = training.meet_targets(drawn, 0, None)
    assert balanced.draws == again.draws
    density = table[table["table"] == "density"]
    assert (density["reached"] == "yes").all()
    assert len(balanced.items) == len(drawn)
    unchanged = table[(table["before"] == table["after"])]
    assert (unchanged["met"] == unchanged["reached"]).all()
    shown = training.missed(table)
    assert ((shown["met"] != "yes") | (shown["reached"] != "yes")).all()
    assert len(shown) < len(table)


def test_skewing_takes_plain_and_rare_texts_away() -> None:
    drawn = source().items
    bad = training.skewed(drawn, 0)
    scarce = {i.id for i in drawn if not (t := set(tags.find_tags(i.tagged_text))) or t & set(RARE)}
    left = {item.id for item in bad}
    assert {item.id for item in drawn} - scarce <= left
    assert len(left & scarce) < 0.4 * len(scarce)
    assert training.skewed(drawn, 0) == bad
    assert training.skewed(drawn, 0, keep=1.0) == drawn


def test_weights_of_the_notes_betas_and_ours() -> None:
    frame = training.class_weights(items(["[sad] a", "[sad] b", "[calm] c", "plain"]), 0.5)
    assert list(frame.columns) == ["class", "clips", "effective", "0.5", "0.9", "0.99", "0.999"]
    assert frame["class"].tolist() == ["calm", "plain", "sad"]
    assert frame["effective"].tolist() == pytest.approx([1, 1, 1.5])
    assert frame["0.5"].sum() == pytest.approx(3)


def test_ratios_are_whole_and_repeat_nothing() -> None:
    texts = [f"[sad] t{k}" for k in range(30)] + [f"p{k}" for k in range(10)]
    frame = training.own_ratios(items(texts), 0).set_index("ratio")
    assert frame.loc["1:1", ["tagged", "plain"]].tolist() == [10, 10]
    assert frame.loc["3:1", ["tagged", "plain"]].tolist() == [30, 10]
    assert frame.loc["15:1", ["tagged", "plain"]].tolist() == [30, 2]
    assert frame.loc["3:1", "share"] == 0.25


@pytest.mark.parametrize("mix", ["written", "targets", "1:1", "3:1", "7:1", "15:1"])
def test_the_mix_is_a_stage_of_draws(mix: str) -> None:
    data = source()
    made = datamix.training_mix(config(mix=mix), data)
    drawn = datamix.read_mix(made.path)
    ids = {item.id for item in data.items}
    assert {row.id for row in drawn} <= ids
    assert all(1 <= row.draws <= 5 and row.weight == 1 for row in drawn)
    assert not datamix.training_mix(config(mix=mix), data).executed
    text = {item.id: item.tagged_text for item in data.items}
    plain = sum(row.draws for row in drawn if not tags.find_tags(text[row.id]))
    total = sum(row.draws for row in drawn)
    if mix == "targets":
        assert 0.30 <= plain / total <= 0.35
        assert total == len(data.items)
    elif ":" in mix:
        task = int(mix.split(":")[0])
        assert plain == pytest.approx(total / (task + 1), abs=1)
    summary = datamix.mix_summary(made.path)
    assert (summary["draws"] * summary["clips"]).sum() == total
    assert summary["share"].sum() == pytest.approx(1)


def test_class_balance_draws_or_weighs_rare_tags_more() -> None:
    data = source()
    mixes = {
        name: datamix.read_mix(datamix.training_mix(config(class_balance=name), data).path)
        for name in ("none", "oversample", "weighted")
    }
    draws = {name: sum(row.draws for row in rows) for name, rows in mixes.items()}
    assert draws["none"] == draws["weighted"] <= draws["oversample"]
    weights = np.array([row.weight for row in mixes["weighted"]])
    times = np.array([row.draws for row in mixes["weighted"]])
    assert (weights @ times) / times.sum() == pytest.approx(1, abs=1e-5)
    assert len(set(weights)) > 5


def test_a_broken_mix_file_is_named(tmp_path: Path) -> None:
    runs.write_jsonl(tmp_path / training.MIX_FILE, [{"id": "a", "draws": 0, "weight": 1.0}])
    with pytest.raises(UserError, match="line 1: expected id, draws and weight"):
        datamix.read_mix(tmp_path)
