"""Tables of rejection sampling."""

from __future__ import annotations

import pandas as pd
import pytest

from evoxtral import UserError, metrics, paper, raft, tables

REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z"]
SAID = {
    "SFT": ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z"],
    "RL": ["[sad] a b c", "a b c", "[calm] a [pause] b", "x y z"],
    "random of 4": ["a b c", "a b c", "a b", "[sad] x y z"],
}
SCORED = {name: metrics.evaluate(REFERENCES, texts) for name, texts in SAID.items()}


def test_curation_stands_under_the_reports(numbers: paper.Published) -> None:
    best = pd.DataFrame({"clip": list("abcdefghij"), "reward": [0.1, 0.1, *[0.9] * 8]})
    curated = {rule: raft.curate(best, rule) for rule in ("report", "exact")}
    rows = tables.curation(curated, numbers).cells()
    assert rows[0] == ["Report", "808", "727", "90.0%", "0.954", "—", "0.980"]
    assert rows[1] == ["report", "10", "8", "80.0%", "0.100", "0.740", "0.900"]
    assert rows[2][:4] == ["exact", "10", "9", "90.0%"]


def test_curation_that_drops_nothing_has_no_threshold(numbers: paper.Published) -> None:
    best = pd.DataFrame({"clip": ["a", "b"], "reward": [0.5, 0.7]})
    rows = tables.curation({"exact": raft.curate(best, "exact")}, numbers).cells()
    assert rows[1][2:5] == ["2", "100.0%", "—"]
    with pytest.raises(UserError, match="curate the best"):
        tables.curation({}, numbers)


def test_grid_compares_every_recipe_to_sft() -> None:
    table = tables.grid(SCORED, chosen="RL")
    assert list(table.headers.values()) == [
        "Recipe", "WER", "Δ WER", "Tag F1", "Δ Tag F1",
        "Tags per untagged clip", "Δ Tags per untagged clip",
    ]  # fmt: skip
    frame = table.frame.set_index("recipe")
    assert list(frame.index) == list(SAID)
    paired = metrics.compare(SCORED["RL"], SCORED["SFT"], "strict")
    assert frame.loc["RL", "tag_f1_difference"] == paired["tag_f1"].value
    assert frame.loc["RL", "tag_f1_difference_low"] == paired["tag_f1"].low
    assert frame.loc["SFT", "wer"] == SCORED["SFT"].strict()["wer"].value
    assert table.cells()[0][2] == "—"
    assert table.notes[-1] == "Chosen on validation: RL."
    assert "nan" not in tables.to_html(table)


def test_grid_by_the_reports_protocol() -> None:
    table = tables.grid(SCORED, protocol="paper", reference="RL")
    assert "Δ Tag hallucination" in table.headers.values()
    assert table.cells()[1][2] == "—"
    assert tables.grid(SCORED, ("cer",)).headers.keys() == {"recipe", "cer_shown", "cer_change"}


def test_grid_refuses_unknown_names() -> None:
    with pytest.raises(UserError, match="'none' was not evaluated"):
        tables.grid(SCORED, chosen="none")
    with pytest.raises(UserError, match="'SFT' was not evaluated"):
        tables.grid({"RL": SCORED["RL"]})
    with pytest.raises(UserError, match="evaluate at least one"):
        tables.grid({})
