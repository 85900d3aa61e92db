"""Tables of the training data print what their frames hold."""

from __future__ import annotations

import pandas as pd
import pytest

from evoxtral import tables
from evoxtral.mix import balance, chapter, composition
from evoxtral.mix.three_stage import plan_six
from helpers import examples

TEXTS = ["plain", "other words", "[sad] a b", "[excited] c [pause] D E", "[laughs] d [sad] e"]
ITEMS = examples(*TEXTS)
SETS = {"own": composition.judge(ITEMS), "released": composition.read_released_composition()}
SIX = plan_six(0)


@pytest.mark.parametrize("name", SETS["own"]["table"].unique())
def test_composition_prints_each_unit_as_it_is(name: str) -> None:
    table = tables.composition(SETS, name)
    assert list(table.headers.values()) == ["Row", "Target", "Own", "Pass", "Released", "Pass"]
    assert len(table.cells()) == len(table.frame)
    verdicts = table.frame[["own: pass", "released: pass"]]
    assert verdicts.isin(["yes", "no", "not known"]).all(axis=None)
    for text in (tables.to_markdown(table), tables.to_latex(table, "t"), tables.to_html(table)):
        assert "nan" not in text.lower()


def test_rows_that_a_set_lacks_are_not_known() -> None:
    other = SETS["own"][SETS["own"]["row"] != "none (0 tags)"]
    table = tables.composition({"own": SETS["own"], "other": other}, "density")
    assert table.cells()[0] == ["none (0 tags)", "30–35 %", "40.0%", "no", "—", "not known"]


def test_shares_are_percentages_and_counts_are_counts() -> None:
    density = tables.composition(SETS, "density")
    assert density.cells()[0] == ["none (0 tags)", "30–35 %", "40.0%", "no", "24.6%", "no"]
    assert density.notes == ("Rows that pass, of 4: own 0, released 1.",)
    assert tables.composition(SETS, "examples").cells()[10][2:] == ["2", "no", "86", "yes"]


def test_targets_count_what_is_met() -> None:
    _, frame = balance.rebalance(ITEMS, 0)
    table = tables.targets(frame, "All.")
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    assert table.notes == (
        f"Of {len(frame)} targets shown, {met} are met before and {reached} after.",
    )
    assert table.cells()[0][3] == "40.0%"


def test_audibility_says_when_there_is_nothing_to_compare() -> None:
    columns = ["tag", "group", "auc", "se", "clips", "low", "high", "pass"]
    row = ("calm", "emotion", 0.7, 0.05, 80, 0.6, 0.85, "yes")
    table = tables.audibility(pd.DataFrame([row], columns=columns))
    assert table.cells() == [["[calm]", "emotion", "0.700", "±0.050", "0.6–0.85", "yes", "80"]]
    empty = tables.audibility(pd.DataFrame(columns=columns))
    assert empty.cells() == []
    assert "no clips" in empty.notes[0]


def test_near_duplicates_show_the_most_alike() -> None:
    pairs = pd.DataFrame({"score": 0.9, "first": "a", "second": "c", "kept": [False] * 12})
    table = tables.near_duplicates(pairs, total=1010, kept=993, threshold=0.7)
    assert table.cells() == [["0.900", "a", "c", "one"]] * 10
    assert table.caption.startswith("993 of 1,010 training texts stay")
    assert table.notes[0] == "10 of 12 pairs shown."


WEIGHTS = chapter.class_weights(ITEMS, 0.5)
LEAKS = pd.DataFrame({"split": ["test"], "texts": 8, "pairs": 3, "alike": 2, "share": 0.25,
                      "heard": 1})  # fmt: skip
FOUND = pd.DataFrame({"kind": ["reject"], "rows": 2, "share": 0.05, "examples": "x"})
SPLITS = pd.DataFrame({"split": ["train"], "clips": 2000, "hours": 1.234, "voices": 5, "texts": 9,
                       "held_out": 0.5, "tagged": 0.25, "tags": 7, "least": 1})  # fmt: skip
MIX = pd.DataFrame({"draws": [2], "clips": [3], "share": [1.0], "weight": [1.0]})


@pytest.mark.parametrize(
    ("name", "frame", "row"),
    [
        ("splits", SPLITS, ["train", "2,000", "1.23", "5", "9", "50.0%", "25.0%", "7", "1"]),
        ("findings", FOUND, ["reject", "2", "5.0%", "x"]),
        ("leakage", LEAKS, ["test", "8", "3", "2", "25.0%", "1"]),
        ("six_splits", SIX["splits"], ["gsm8k", "math", "7,473", "6,227", "1,246", "6,250"]),
        ("six_mixes", SIX["mixes"], ["sum", "train", "64,043", "48,032", "48,032", "160,107"]),
        ("six_draws", SIX["draws"], ["gsm8k", "math", "6,227", "32,022", "3,977", "5.14", "36"]),
        ("ratios", chapter.own_ratios(ITEMS, 0), ["1:1", "2", "2", "4", "50.0%", "80.0%"]),
        ("class_weights", WEIGHTS, ["excited", "1", "1.0"]),
        ("factors", composition.factors(ITEMS, ITEMS)[1:],
         ["[sad]", "high", "1x", "1.00x", "1.00x", "2", "1", "—"]),
        ("training_mix", MIX, ["2", "3", "100.0%", "1.000"]),
    ],
)  # fmt: skip
def test_each_table_prints_its_facts(name: str, frame: pd.DataFrame, row: list[str]) -> None:
    facts = {"threshold": 0.7, "beta": 0.5, "mix": "1:1", "class_balance": "none"}
    table = tables.of(name, frame, **facts)
    assert table.cells()[0][: len(row)] == row
    assert "{" not in table.caption + "".join([*table.headers.values(), *table.notes])
