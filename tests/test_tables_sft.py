"""Tables of fine-tuning and of scores: every cell from its source, nothing hidden."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest

from evoxtral import UserError, metrics, paper, tables, tags
from evoxtral.tables.scores import difference, with_interval

REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z", "[sad] NOT a"]
SAID = {
    "no tags": [tags.strip_tags(text) for text in REFERENCES],
    "base": ["a b", "a b c c", "a b", "x y z", "not a"],
    "SFT": ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z", "[sad] NOT a"],
}
SCORED = {name: metrics.evaluate(REFERENCES, texts) for name, texts in SAID.items()}


def test_recipe_sets_three_sources_side_by_side(numbers: paper.Published) -> None:
    run = {"learning rate": 5e-5, "LoRA rank": 16, "Class balance": True, "Epochs": None,
           "Target modules": ("q_proj", "v_proj"), "LoRA dropout": 0.05}  # fmt: skip
    rows = {row[0]: row[1:] for row in tables.recipe(run, numbers).cells()}
    assert rows["Learning rate"] == ["2×10⁻⁴", "1×10⁻⁵ to 5×10⁻⁵", "5×10⁻⁵"]
    assert rows["LoRA rank"] == ["64", "8, 16, 32 or 64: to be swept", "16"]
    assert rows["Label masking"] == ["—", "loss on output tokens only", "—"]
    assert rows["Class balance"] == ["—", "—", "yes"]
    assert rows["Epochs"] == ["3", "1 to 2", "—"]
    assert rows["Target modules"][2] == "q_proj, v_proj"
    assert rows["LoRA dropout"][2] == "0.05"
    assert list(rows)[: len(numbers.hyperparameters)] == list(
        numbers.hyperparameters["hyperparameter"]
    )


def test_recipe_refuses_a_setting_twice(numbers: paper.Published) -> None:
    with pytest.raises(UserError, match="name each setting once"):
        tables.recipe({"Epochs": 1, "epochs": 2}, numbers)


def test_the_notes_advice_stands_in_the_note(numbers: paper.Published, shared_dir: Path) -> None:
    note = (shared_dir / "sources" / "training-data-composition.md").read_text(encoding="utf-8")
    lines = re.findall(r"^- \*\*(.+)\*\*: (.+)$", note.partition("### Training Config")[2], re.M)
    quotes = dict(numbers.sft_advice[["hyperparameter", "quote"]].to_numpy())
    assert quotes == dict(lines)


def test_parameter_counts_stand_beside_the_published(numbers: paper.Published) -> None:
    frame = pd.DataFrame({"part": ["encoder", "decoder"], "total": [10, 40], "trainable": [0, 4]})
    cells = tables.parameter_counts(frame, numbers).cells()
    assert cells[:2] == [["encoder", "10", "0", "0.0%"], ["decoder", "40", "4", "10.0%"]]
    assert cells[2][1:] == ["4,800,000,000", "124,800,000", "2.6%"]
    assert [row[2] for row in cells[3:]] == ["124,780,544", "109,051,904"]
    with pytest.raises(UserError, match="at least one part"):
        tables.parameter_counts(frame.iloc[:0], numbers)


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_scores_are_the_metrics(protocol: metrics.Protocol) -> None:
    table = tables.scores(SCORED, protocol=protocol)
    frame = table.frame.set_index("key")
    for name, evaluation in SCORED.items():
        for key, found in evaluation.intervals(protocol).items():
            if not key.startswith("f1["):
                cells = frame.loc[key, [name, f"{name}_low", f"{name}_high"]].to_list()
                assert cells == pytest.approx([found.value, found.low, found.high], nan_ok=True)
    paired = metrics.compare(SCORED["SFT"], SCORED["no tags"], protocol)
    assert frame.loc["wer", "SFT_difference"] == paired["wer"].value
    assert frame.loc["tag_f1", "SFT_difference_high"] == paired["tag_f1"].high
    assert list(table.headers.values()) == ["Metric", "No tags", "Base", "SFT", "SFT − no tags"]
    assert len(frame) == len(SCORED["SFT"].table(protocol))


def test_reference_and_metrics_can_be_chosen() -> None:
    table = tables.scores(SCORED, ("tag_f1", "wer"), reference="base")
    assert table.frame["key"].to_list() == ["tag_f1", "wer"]
    assert list(table.headers.values())[-1] == "SFT − base"
    assert "base_difference" not in table.frame
    alone = tables.scores({"SFT": SCORED["SFT"]})
    assert list(alone.headers.values()) == ["Metric", "SFT"]


def test_cells_hold_value_interval_and_what_is_resolved() -> None:
    row = {"key": "wer", "direction": "lower", "SFT": 0.0447, "SFT_low": 0.04, "SFT_high": 0.05}
    assert with_interval(row, "SFT").split() == ["4.47%", "[4.00,", "5.00]"]
    gap = {"SFT_difference": -0.02, "SFT_difference_low": -0.03, "SFT_difference_high": -0.01}
    assert difference(row | gap, "SFT").split() == ["−2.00", "[−3.00,", "−1.00]", "better"]
    tags_up = {"key": "tag_f1", "direction": "higher"}
    assert difference(row | gap | tags_up, "SFT").endswith("worse")
    assert difference(row | gap | {"SFT_difference_high": 0.0}, "SFT").endswith("]")
    nothing = dict.fromkeys(gap, math.nan)
    assert difference(row | nothing, "SFT") == "—"
    assert difference(row, "SFT") is None


def test_a_rate_that_nobody_defines_is_a_dash() -> None:
    table = tables.scores(SCORED, ("tag_precision",))
    assert table.cells()[0][1:3] == ["—", "—"]
    assert table.cells()[0][4] == "—"
    assert "nan" not in tables.to_markdown(table) + tables.to_html(table)


def test_scores_refuse_what_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="evaluate at least one"):
        tables.scores({})
    with pytest.raises(UserError, match="strict has no metric 'cerr': use wer, "):
        tables.scores(SCORED, ("cerr",))
    with pytest.raises(UserError, match="'RL' was not evaluated: use one of no tags, base, SFT"):
        tables.scores(SCORED, reference="RL")
    fewer = metrics.evaluate(REFERENCES[:2], REFERENCES[:2])
    with pytest.raises(UserError, match="same clips"):
        tables.scores({"SFT": SCORED["SFT"], "RL": fewer})


def test_scores_are_escaped() -> None:
    table = tables.scores({"<b>a</b>": SCORED["base"], "x|_y": SCORED["SFT"]}, ("wer",))
    assert "<b>a</b>" not in tables.to_html(table)
    assert r"x\|\_y" in tables.to_markdown(table)


def test_every_metric_has_a_name() -> None:
    plain = metrics.evaluate(REFERENCES, REFERENCES, normalise=str.lower)
    assert set(tables.MEASURES) == set(plain.paper()) | set(plain.strict())


def test_tag_scores_hold_all_tags() -> None:
    table = tables.tag_scores({"base": SCORED["base"], "SFT": SCORED["SFT"]})
    frame = table.frame.set_index("tag")
    assert list(frame.index) == list(tags.TAGS)
    assert frame.loc["sad", ["support", "SFT"]].to_list() == [2, 0.8]
    assert frame.loc["sad", "base"] == 0.0
    assert math.isnan(frame.loc["shouts", "SFT"])
    assert frame.loc["shouts", "support"] == 0
    rows = {row[0]: row for row in table.cells()}
    assert rows["[shouts]"][2:] == ["0", "—", "—"]
    assert rows["[pause]"][4] == "0.00\xa0[0.00,\xa00.00]"
    with pytest.raises(UserError, match="evaluate at least one"):
        tables.tag_scores({})
