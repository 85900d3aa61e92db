"""Tables of the data, of fine-tuning and of rejection sampling print what their frames hold."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from evoxtral import bench, figures, metrics, paper, tables
from evoxtral.bench import Split
from evoxtral.mix import balance, chapter, composition
from evoxtral.mix.three_stage import plan_six
from evoxtral.raft import curate
from helpers import examples

TEXTS = ["plain", "other words", "[sad] a b", "[excited] c [pause] D E", "[laughs] d [sad] e"]
ITEMS = examples(*TEXTS)
SETS = {"own": composition.judge(ITEMS), "released": composition.read_released_composition()}
SIX = plan_six(0)


@pytest.mark.parametrize("name", SETS["own"]["table"].unique())
def test_composition_prints_each_unit_as_it_is(name: str) -> None:
    table = tables.composition(SETS, name)
    assert list(table.headers.values()) == ["Row", "Target", "Own", "Released"]
    assert len(table.cells()) == len(table.frame)
    verdicts = table.frame[["own: pass", "released: pass"]]
    assert verdicts.isin(["yes", "no", "not known"]).all(axis=None)
    for text in (tables.to_markdown(table), tables.to_latex(table, "t"), tables.to_html(table)):
        assert "nan" not in text.lower()


def test_shares_are_percentages_and_counts_are_counts() -> None:
    density = tables.composition(SETS, "density")
    assert density.cells()[0] == ["none (0 tags)", "30–35 %", "40.0% (no)", "24.6% (no)"]
    assert density.notes == ["Rows that pass, of 10: own 2, released 2."]
    assert tables.composition(SETS, "examples").cells()[10][2:] == ["2 (no)", "86 (yes)"]
    # What a set lacks is not known.
    other = SETS["own"][SETS["own"]["row"] != "none (0 tags)"]
    table = tables.composition({"own": SETS["own"], "other": other}, "density")
    assert table.cells()[0][3:] == ["— (not known)"]


def test_targets_count_what_is_met() -> None:
    _, frame = balance.rebalance(ITEMS, 0)
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    [note] = tables.targets(frame, "All.").notes
    assert note == f"Of {len(frame)} targets shown, {met} are met before and {reached} after."


def test_a_set_without_tags_has_tables_and_figures_of_none() -> None:
    plain = metrics.evaluate(["some words", "more"], ["some words", "less"])
    table = tables.tag_scores({"base": plain, "SFT": plain})
    assert {*map(tuple, (row[2:] for row in table.cells()))} == {("0", "—", "—")}
    assert tables.learnt(table.frame, "SFT").cells() == []
    assert figures.tag_f1(table.frame, {"sad": 0.9}).get_label().endswith("base: ; sft:")
    judged = composition.judge(examples("some words", "more"))
    assert "[" not in figures.tag_shares({"own": judged, "released": SETS["released"]}).get_label()
    checks = tables.composition({"own": judged}, "checklist").cells()
    assert checks[0][2] == "1 of 4 strata; no text tagged (no)"
    assert "nan" not in str(checks)


def test_audibility_says_when_there_is_nothing_to_compare() -> None:
    columns = ["tag", "group", "auc", "se", "clips", "low", "high", "pass"]
    row = ("calm", "emotion", 0.7, 0.05, 80, 0.6, 0.85, "yes")
    table = tables.audibility(pd.DataFrame([row], columns=columns))
    assert table.cells() == [["[calm]", "emotion", "0.700", "±0.050", "0.6–0.85", "yes", "80"]]
    empty = tables.audibility(pd.DataFrame(columns=columns))
    assert empty.cells() == []
    assert "no clips" in empty.notes[0]
    assert "tabular" in tables.to_latex(empty, "t")


def test_the_six_datasets_say_which_squad_it_is() -> None:
    assert (
        "training rows of SQuAD 1.1; 2.0 has 130,319"
        in tables.of("six_splits", SIX["splits"]).notes[1]
    )


def test_near_duplicates_show_the_most_alike() -> None:
    pairs = pd.DataFrame({"score": 0.9, "first": "a", "second": "c", "kept": [False] * 12})
    table = tables.near_duplicates(pairs, total=1010, kept=993, threshold=0.7)
    assert table.cells() == [["0.900", "a", "c", "one"]] * 10
    assert table.caption.startswith("993 of 1,010 training texts stay")
    assert table.notes[0] == "10 of 12 pairs shown."


@pytest.mark.parametrize(
    ("name", "frame", "row"),
    [
        ("six_splits", SIX["splits"], ["gsm8k", "math", "7,473", "6,227", "1,246", "6,250"]),
        ("six_mixes", SIX["mixes"], ["sum", "train", "64,043", "48,032", "48,032", "160,107"]),
        ("six_draws", SIX["draws"], ["gsm8k", "math", "6,227", "32,022", "3,977", "5.14", "36"]),
        ("ratios", chapter.own_ratios(ITEMS, 0), ["1:1", "2", "2", "4", "50.0%", "80.0%"]),
        ("class_weights", chapter.class_weights(ITEMS, 0.5), ["excited", "1", "1.0"]),
        ("factors", composition.factors(ITEMS, ITEMS)[1:],
         ["[sad]", "1x", "1.00x", "1.00x", "yes", "yes", "2", "1", "—"]),
        ("contexts", composition.contexts(ITEMS), ["laughs", "1", "0", "excited 0, sad 1, angry 0, "
         "nervous 0, calm 0, frustrated 0, confused 0, scared 0"]),
    ],
)  # fmt: skip
def test_each_table_prints_its_facts(name: str, frame: pd.DataFrame, row: list[str]) -> None:
    table = tables.of(name, frame, beta=0.5)
    assert table.cells()[0][: len(row)] == row
    assert "nan" not in tables.to_markdown(table).lower()


REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z"]
SAID = {
    "SFT": ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z"],
    "RL": ["[sad] a b c", "a b c", "[calm] a [pause] b", "x y z"],
    "random of 4": ["a b c", "a b c", "a b", "[sad] x y z"],
}
SCORED = {name: metrics.evaluate(REFERENCES, texts) for name, texts in SAID.items()}


def test_recipe_sets_three_sources_side_by_side(numbers: paper.Published) -> None:
    run = {"learning rate": 5e-5, "LoRA rank": 16, "LoRA dropout": 0.05, "Hardware": "CPU"}
    table = tables.recipe("recipe", run, numbers.hyperparameters, numbers.sft_advice)
    rows = {row[0]: row[1:] for row in table.cells()}
    assert rows["Learning rate"] == ["2×10⁻⁴", "1×10⁻⁵ to 5×10⁻⁵", "5×10⁻⁵"]
    assert rows["LoRA rank"] == ["64", "8, 16, 32 or 64: to be swept", "16"]
    assert rows["Label masking"] == ["—", "loss on output tokens only", "—"]
    assert rows["LoRA dropout"][2] == "0.05"
    names = list(numbers.hyperparameters["hyperparameter"])
    assert list(rows)[: len(names)] == names
    rows = tables.recipe("rl_recipe", {"Ours": "only"}, numbers.rl_settings).cells()
    assert rows[-1] == ["Ours", "—", "only"]


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
    assert list(table.headers.values()) == ["Epoch", "Validation loss", "WER (paper)", ""]
    assert table.cells()[0] == ["0", "9.000", "100.0%", ""], "before training"
    assert table.cells()[1:] == [["1", "0.500", "50.0%", "kept"], ["2", "0.600", "0.0%", ""]]


def test_what_was_learnt_stands_by_group_the_best_first() -> None:
    frame = tables.tag_scores(SCORED).frame
    rows = tables.learnt(frame, "SFT").frame.set_index("group")
    assert list(rows.index) == ["emotion", "pause"], "what does not occur has no F1"
    known = frame.dropna(subset="SFT").set_index("tag")
    for tag, (group, value) in known[["group", "SFT"]].iterrows():
        assert (
            f"[{tag}]\u00a0{value:.2f}"
            in rows.loc[group, "learnt" if value >= 0.5 else "not_learnt"]
        )


def test_scores_say_what_their_intervals_cover() -> None:
    once = tables.scores(SCORED, "strict")
    assert once.notes[0].endswith("how much another seed would change is not in them.")
    other = metrics.evaluate(REFERENCES, REFERENCES)
    both = replace(SCORED["RL"], repeats=(other,))
    twice = tables.scores(SCORED | {"RL": both}, "strict")
    assert "2 trainings each" in twice.notes[0]
    row = twice.frame.set_index("key").loc["tag_f1"]
    values = [own.table("strict")["tag_f1"].value for own in (SCORED["RL"], other)]
    assert row["RL"] == pytest.approx(sum(values) / 2)
    assert row["RL_seed_sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert row["shown_RL"].endswith(f"±{100 * row['RL_seed_sd']:.1f}")


def test_curation_stands_under_the_reports(numbers: paper.Published) -> None:
    best = pd.DataFrame({"clip": list("abcdefghij"), "reward": [0.1, 0.1, *[0.9] * 8]})
    curated = {rule: curate(best, rule, 0.1) for rule in ("report", "exact")}
    facts = {"learnt_completions": 6, "curated_clips": 9, "kept_rule": "R > 0.1 and 1 at 0.1",
             "mean_reward": 0.9, "learnt_references": 1, "set_aside": 3}  # fmt: skip
    table = tables.curation(curated | {"none": "no reward is higher"}, numbers, facts)
    rows = table.cells()
    assert rows[0] == ["Report", "808", "727", "90.0%", "0.954", "—", "0.980"]
    assert rows[1] == ["report", "10", "8", "80.0%", "0.100", "0.740", "0.900"]
    assert rows[3][1:] == ["—"] * 6
    assert table.caption.endswith("By none: no reward is higher.")
    assert table.notes[1:] == [
        "Learnt are 6 of the 9 completions that this run's own rule keeps (R > 0.1 and 1 at 0.1), "
        "of mean reward 0.900, and 1 references of untagged clips instead of the other 3."
    ]


def test_grid_has_a_row_for_each_recipe_and_says_what_intervals_cover() -> None:
    scores = bench.headline(Split("", SCORED))
    table = tables.grid(scores, "RL", 1)
    assert [*table.headers.values()][:3] == ["Recipe", "WER\u00a0↓", "Tag F1\u00a0↑"]
    assert [row[0] for row in table.cells()] == list(SAID)
    frame = table.frame.set_index("system")
    assert set(frame["protocol"]) == {bench.STRICT}
    own = scores.set_index(["system", "metric"]).loc[("RL", "wer_untagged")]
    assert frame.loc["RL", "wer_untagged"] == own["value"] == 1 / 7
    assert frame.loc["RL", "wer_untagged_high"] == own["high"]
    one, chosen = table.notes
    assert one.startswith("In brackets 95%")
    assert "another seed" in one
    assert chosen.endswith("by the mean strict reward: RL.")
    assert "5 trainings" in tables.grid(scores, "RL", 5).notes[0]


def test_takeaways_say_what_is_better_what_is_worse_and_what_is_not_shown() -> None:
    rows = [
        ("SFT", "wer", -0.02, -0.03, -0.01),
        ("SFT", "emphasis_f1", -0.053, -0.09, -0.016),
        ("SFT", "tag_f1", 0.03, 0.01, 0.05),
        ("SFT", "wer_untagged", 0.008, -0.005, 0.02),
        ("random of k", "hallucinated_per_untagged", 0.02, 0.01, 0.03),
    ]
    paired = pd.DataFrame(rows, columns=["reference", "metric", "difference", "low", "high"])
    paired = paired.assign(system="RL", protocol=bench.STRICT, seed_sd=math.nan)
    spreads = pd.Series([0.0, 0.5, 0.1, 0.0])
    table = tables.takeaways(paired, spreads, "report's recipe", 1)
    first, second = ([cell.replace("\u00a0", " ") for cell in row] for row in table.cells())
    assert first == [
        "RL − SFT",
        "WER −2.00 [−3.00, −1.00]; Tag F1 +3.0 [+1.0, +5.0]",
        "Emphasis F1 −5.3 [−9.0, −1.6]",
        "WER, untagged clips +0.80 [−0.50, +2.00]",
    ]
    assert second[2] == "Tags per untagged clip +0.020 [+0.010, +0.030]"
    assert second[1] == second[3] == "—"
    assert "50.0% of 4 clips" in table.notes[1]
    assert "another seed" in table.notes[2]
    several = tables.takeaways(paired.assign(seed_sd=0.01), spreads, "RL", 5)
    assert several.cells()[0][2].endswith("[−9.0,\u00a0−1.6]\u00a0±1.0")
    assert table.notes[3].endswith("report's recipe.")
