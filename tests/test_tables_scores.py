"""Tables of scores: every cell from its source, nothing hidden."""

from __future__ import annotations

import math

import pytest

from evoxtral import UserError, metrics, tables, tags
from evoxtral.tables.bench import difference, with_interval

REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z", "[sad] NOT a"]
SAID = {
    "no tags": [tags.strip_tags(text) for text in REFERENCES],
    "base": ["a b", "a b c c", "a b", "x y z", "not a"],
    "SFT": ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z", "[sad] NOT a"],
}
SCORED = {name: metrics.evaluate(REFERENCES, texts) for name, texts in SAID.items()}


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


def test_scores_refuse_what_cannot_be_compared() -> None:
    fewer = metrics.evaluate(REFERENCES[:2], REFERENCES[:2])
    with pytest.raises(UserError, match="same clips"):
        tables.scores({"SFT": SCORED["SFT"], "RL": fewer})


def test_every_metric_has_a_name() -> None:
    plain = metrics.evaluate(REFERENCES, REFERENCES, normalise=str.lower)
    assert set(tables.MEASURES) >= set(plain.table("paper")) | set(plain.table("strict"))


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
