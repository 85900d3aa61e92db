"""Tables of fine-tuning and of rejection sampling: every cell from its source, nothing hidden."""

from __future__ import annotations

import math

import pandas as pd

from evoxtral import metrics, paper, tables
from evoxtral.raft import curate

REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z"]
SAID = {
    "SFT": ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z"],
    "RL": ["[sad] a b c", "a b c", "[calm] a [pause] b", "x y z"],
    "random of 4": ["a b c", "a b c", "a b", "[sad] x y z"],
}
SCORED = {name: metrics.evaluate(REFERENCES, texts) for name, texts in SAID.items()}


def test_recipe_sets_three_sources_side_by_side(numbers: paper.Published) -> None:
    run = {"learning rate": 5e-5, "LoRA rank": 16, "LoRA dropout": 0.05, "Hardware": "CPU"}
    rows = {row[0]: row[1:] for row in tables.recipe(run, numbers).cells()}
    assert rows["Learning rate"] == ["2×10⁻⁴", "1×10⁻⁵ to 5×10⁻⁵", "5×10⁻⁵"]
    assert rows["LoRA rank"] == ["64", "8, 16, 32 or 64: to be swept", "16"]
    assert rows["Label masking"] == ["—", "loss on output tokens only", "—"]
    assert rows["Epochs"] == ["3", "1 to 2", "—"]
    assert rows["LoRA dropout"][2] == "0.05"
    assert list(rows)[: len(numbers.hyperparameters)] == list(
        numbers.hyperparameters["hyperparameter"]
    )


def test_parameter_counts_stand_beside_the_published(numbers: paper.Published) -> None:
    frame = pd.DataFrame({"part": ["encoder", "decoder"], "total": [10, 40], "trainable": [0, 4]})
    cells = tables.parameter_counts(frame, numbers).cells()
    assert cells[:2] == [["encoder", "10", "0", "0.0%"], ["decoder", "40", "4", "10.0%"]]
    assert cells[2][1:] == ["4,800,000,000", "124,800,000", "2.6%"]
    assert [row[2] for row in cells[3:]] == ["124,780,544", "109,051,904"]


def test_epochs_leave_out_what_was_not_measured() -> None:
    epochs = pd.DataFrame(
        {"step": [0, 4, 8], "epoch": [0, 0.99, 2.0], "validation_loss": [9, 0.5, 0.6],
         "validation_wer": [1, 0.5, 0.0], "plain_wer": math.nan}
    )  # fmt: skip
    table = tables.epochs(epochs, 1)
    assert list(table.headers.values()) == ["Epoch", "Validation loss", "WER", ""]
    assert table.cells() == [["1", "0.500", "50.0%", "kept"], ["2", "0.600", "0.0%", ""]]


def test_curation_stands_under_the_reports(numbers: paper.Published) -> None:
    best = pd.DataFrame({"clip": list("abcdefghij"), "reward": [0.1, 0.1, *[0.9] * 8]})
    curated = {rule: curate(best, rule, 0.1) for rule in ("report", "exact")}
    curated |= {"all": curate(best, "exact", 0.0), "none": "no reward is higher"}
    table = tables.curation(curated, numbers)
    rows = table.cells()
    assert rows[0] == ["Report", "808", "727", "90.0%", "0.954", "—", "0.980"]
    assert rows[1] == ["report", "10", "8", "80.0%", "0.100", "0.740", "0.900"]
    assert rows[2][:4] == ["exact", "10", "9", "90.0%"]
    assert rows[3][2:5] == ["10", "100.0%", "—"]
    assert rows[4][1:] == ["—"] * 6
    assert table.caption.endswith("By none: no reward is higher.")


def test_grid_compares_every_recipe_to_sft() -> None:
    table = tables.grid(SCORED, "RL")
    assert list(table.headers.values()) == [
        "Recipe", "WER", "Δ WER", "Tag F1", "Δ Tag F1",
        "Tags per untagged clip", "Δ Tags per untagged clip",
    ]  # fmt: skip
    frame = table.frame.set_index("recipe")
    assert list(frame.index) == list(SAID)
    paired = metrics.compare(SCORED["RL"], SCORED["SFT"], "strict")
    assert frame.loc["RL", "tag_f1_difference"] == paired["tag_f1"].value
    assert frame.loc["RL", "tag_f1_difference_low"] == paired["tag_f1"].low
    assert frame.loc["SFT", "wer"] == SCORED["SFT"].table("strict")["wer"].value
    assert table.cells()[0][2] == "—"
    assert table.notes[-1] == "Chosen on validation: RL."
    assert "nan" not in tables.to_html(table)
    assert "Δ Tag hallucination" in tables.grid(SCORED, "RL", "paper").headers.values()


def test_takeaways_say_what_is_resolved() -> None:
    row = {"metric": "WER", "key": "wer", "SFT": 0.1, "RL": 0.08, "RL_difference": -0.02}
    answers = []
    for high in (-0.01, 0.01):
        frame = pd.DataFrame([row | {"RL_difference_low": -0.03, "RL_difference_high": high}])
        groups = pd.DataFrame({"spread": [0.0, 0.5, 0.1, 0.0]})
        table = tables.takeaways(frame, groups, "RL")
        answers.append(table.cells()[0][1])
    assert answers[0] == "10.00% to 8.00%: −2.00 (−3.00 to −1.00), better"
    assert answers[1].endswith("no difference shown")
    assert [cells[1] for cells in table.cells()[1:]] == ["50.0% of 4", "RL"]
