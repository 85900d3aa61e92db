"""Tables of the training data print what their frames hold."""

from __future__ import annotations

import pandas as pd
import pytest

from evoxtral import datamix, tables, tags
from evoxtral.datamix import training
from evoxtral.datamix.probes import COLUMNS
from evoxtral.mix.items import Item
from evoxtral.tables.mix import _CAPTIONS

TEXTS = ["plain", "other words", "[sad] a b", "[excited] c [pause] D E", "[laughs] d [sad] e"]
ITEMS = [Item(str(k), t, tags.plain_text(t), "d", "s") for k, t in enumerate(TEXTS)]
SETS = {"own": datamix.judge(ITEMS), "released": datamix.read_released_composition()}
SIX = datamix.plan_six(0)


@pytest.mark.parametrize("name", _CAPTIONS)
def test_composition_prints_each_unit_as_it_is(name: str) -> None:
    table = tables.composition(datamix.side_by_side(SETS, name), name)
    assert list(table.headers.values()) == ["Row", "Target", "Own", "Pass", "Released", "Pass"]
    assert len(table.cells()) == len(table.frame)
    for text in (tables.to_markdown(table), tables.to_latex(table), tables.to_html(table)):
        assert "nan" not in text.lower().replace("tenant", "")


def test_shares_are_percentages_and_counts_are_counts() -> None:
    density = tables.composition(datamix.side_by_side(SETS, "density"), "density")
    assert density.cells()[0] == ["none (0 tags)", "30–35 %", "40.0%", "no", "24.6%", "no"]
    assert density.notes == ("Rows that pass, of 4: own 0, released 1.",)
    examples = tables.composition(datamix.side_by_side(SETS, "examples"), "examples")
    assert examples.cells()[10][2:] == ["2", "no", "86", "yes"]


def test_targets_count_what_is_met() -> None:
    balanced = training.meet_targets(ITEMS, 0, None)
    frame = training.target_table(ITEMS, balanced, None)
    table = tables.targets(frame, "All.")
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    assert table.notes == (
        f"Of {len(frame)} targets shown, {met} are met before and {reached} after.",
    )
    assert table.cells()[0][3] == "40.0%"


def test_audibility_says_when_there_is_nothing_to_compare() -> None:
    row = ("calm", "emotion", 0.7, 0.05, 80, 0.6, 0.85, "yes")
    table = tables.audibility(pd.DataFrame([row], columns=COLUMNS))
    assert table.cells() == [["[calm]", "emotion", "0.700", "±0.050", "0.6–0.85", "yes", "80"]]
    empty = tables.audibility(pd.DataFrame(columns=COLUMNS))
    assert empty.cells() == []
    assert "no clips" in empty.notes[0]


def test_near_duplicates_show_the_most_alike() -> None:
    pairs = pd.DataFrame(
        {"score": [0.9, 0.8], "first": ["a", "b"], "second": ["c", "d"], "kept": [False, True]}
    )
    table = tables.near_duplicates(pairs, 1010, 993, 0.7, most=1)
    assert table.cells() == [["0.900", "a", "c", "one"]]
    assert table.caption.startswith("993 of 1,010 training texts stay")
    assert table.notes[0] == "1 of 2 pairs shown."


def test_six_datasets_as_the_note_prints_them() -> None:
    assert tables.dataset_splits(SIX.splits).cells()[0] == [
        "gsm8k", "math", "7,473", "6,227", "1,246", "6,250",
    ]  # fmt: skip
    assert tables.dataset_mixes(SIX.mixes).cells()[0][2:] == [
        "64,043",
        "48,032",
        "48,032",
        "160,107",
    ]
    assert "humaneval is drawn 175 times" in tables.dataset_draws(SIX.draws).notes[0]


def test_the_remaining_tables_have_a_column_for_each_fact() -> None:
    weights = tables.class_weights(training.class_weights(ITEMS, 0.5), 0.5)
    assert "Effective, β = 0.5" in weights.headers.values()
    ratios = tables.ratios(training.own_ratios(ITEMS, 0))
    assert ratios.cells()[0][:4] == ["1:1", "2", "2", "4"]
    leaks = pd.DataFrame(
        {"split": ["test"], "texts": [8], "pairs": [3], "alike": [2], "heard": [1]}
    )
    assert tables.leakage(leaks, 0.7).cells()[0] == ["test", "8", "3", "2", "25.0%", "1"]
    factors = tables.factors(datamix.factors(ITEMS, ITEMS))
    assert factors.cells()[1] == ["[sad]", "high", "1x", "1.00x", "1.00x", "2", "1", "—"]
    findings = pd.DataFrame({"kind": ["reject"], "rows": [2], "share": [0.05], "examples": ["x"]})
    assert tables.findings(findings).cells() == [["reject", "2", "5.0%", "x"]]
    mix = pd.DataFrame({"draws": [2], "clips": [3], "share": [1.0], "weight": [1.0]})
    assert tables.training_mix(mix, "Mix.").cells() == [["2", "3", "100.0%", "1.000"]]
