"""Printing rules, the three renderings, and tables of scores."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import analyses, bench, metrics, paper, tables, tags
from evoxtral.bench import STRICT, Split
from evoxtral.tables import Table

REFERENCES = ["[sad] oh no", "well then", "[laughs] and so", "[sad] it IS so", "fine"]
PREDICTIONS = ["[calm] oh no", "[pause] well then", "[laughs] and", "[sad] it IS so", "fine"]
SPLIT = Split("test", {
    "base": metrics.evaluate(REFERENCES, ["oh no", "well", "and so", "it is so", "fine"]),
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
})  # fmt: skip
SCORES = bench.score_frame(SPLIT)
ON = {"on": SPLIT}
NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def made(numbers: paper.Published) -> dict[str, Table]:
    steps = bench.paired_frame(SPLIT, [("base", "SFT")])
    core = paper.core_compared(numbers, SCORES, "tiny")
    per_tag = paper.per_tag_compared(numbers, SCORES, "tiny")
    frames = {
        "table1": numbers.hyperparameters,
        "table3": numbers.per_tag,
        "per_tag_changes": paper.deltas(numbers.per_tag),
        "claims": paper.claims(numbers),
        "tag_f1_errors": paper.tag_f1_errors(numbers),
        "tag_bias": analyses.count_bias(SPLIT),
        "label_noise": analyses.noise_curve(SPLIT, (0.0, 0.5)),
        "changes": paper.changes(numbers, steps),
    }
    return {name: tables.of(name, frame, **ON) for name, frame in frames.items()} | {
        "core": tables.core(numbers.core),
        "scores": tables.by_metric(bench.headline(SPLIT), "Scores", system="System"),
        "compared": tables.of("compared", core, number=2, **ON),
        "compared_tags": tables.of("compared", per_tag, number=3, **ON),
    }


@pytest.mark.parametrize("render", [tables.to_markdown, tables.to_html])
def test_every_rendering_is_complete(made: dict[str, Table], render: Callable) -> None:
    for table in made.values():
        assert len(table.cells()) == len(table.frame) > 0
        text = render(table)
        assert "nan" not in text.lower()
        assert "None" not in text


def test_core_bolds_what_is_best_and_says_where_the_report_differs(made: dict[str, Table]) -> None:
    core = made["core"]
    assert core.bold == set(enumerate(["sft", "sft", "rl", "rl", "rl", "rl", "base"]))
    assert list(core.frame["best_printed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "SFT"]
    assert list(core.frame["best_computed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "Base"]
    assert core.notes == ["The printed best of Tag Hallucination is not the best of its row."]
    # No tie is bold.
    assert sorted(column for _, column in made["table3"].bold) == ["rl"] * 8 + ["sft"] * 3
    assert (0, "rl") not in made["table3"].bold


def test_markdown_of_a_small_table() -> None:
    table = Table(
        pd.DataFrame({"n": ["a|b", "c"], "x": [0.1, 0.2], "y": [0.3, 0.2], "hidden": [1, 2]}),
        {"n": "Name", "x": "X", "y": "Y"},
        "A *small* table",
        {"x": "percent 1", "y": ["percent 1", "number 2"]},
        frozenset({(0, "x")}),
        ("One note.",),
    )
    assert tables.to_markdown(table) == (
        "**A \\*small\\* table**\n"
        "\n"
        "| Name | X | Y |\n"
        "| --- | ---: | ---: |\n"
        "| a\\|b | **10.0%** | 30.0% |\n"
        "| c | 20.0% | 0.20 |\n"
        "\n*One note.*\n"
    )


def test_latex_is_booktabs_and_plain_ascii(made: dict[str, Table]) -> None:
    for name in ("table1", "core", "table3", "per_tag_changes", "claims", "tag_f1_errors"):
        text = tables.to_latex(made[name], "tab:x")
        assert text.isascii(), sorted({c for c in text if not c.isascii()})
        rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
        assert len(rows) == len(made[name].frame)
        columns = {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows}
        assert columns == {len(made[name].headers)}
        assert all(row.endswith(r" \\") for row in rows)
        assert not re.search(r"(?<!\\)[%#_]", text)
        assert not re.search(r"\\\\\n\s*\[", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% & a_b #1 $x$", r"50\% \& a\_b \#1 \$x\$"),
        ("[calm] 2×10⁻⁴", r"{[}calm{]} 2$\times$10\textsuperscript{$-$}\textsuperscript{4}"),
        ("a\\b ~c^{d}", r"a\textbackslash{}b \textasciitilde{}c\textasciicircum{}\{d\}"),
    ],
)
def test_latex_escapes(text: str, expected: str) -> None:
    table = Table(pd.DataFrame({"a": [text]}), {"a": "A"}, "C", bold=frozenset({(0, "a")}))
    assert f"\\textbf{{{expected}}} \\\\" in tables.to_latex(table, "t")


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=20), min_size=1))
def test_html_shows_any_text_as_text(values: list[str]) -> None:
    text = tables.to_html(Table(pd.DataFrame({"a": values}), {"a": "A"}, "<i>C</i>"))
    cells = re.findall(r"<td>(.*?)</td>", text, re.DOTALL)
    assert [html.unescape(cell) for cell in cells] == values
    known = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"</?(\w+)", text)) == known


@given(st.lists(st.text("ab|\\*_[]<`~ ", max_size=12), min_size=1))
def test_markdown_keeps_its_columns_whatever_the_text(values: list[str]) -> None:
    table = Table(pd.DataFrame({"a": values, "b": "x"}), {"a": "A", "b": "B"}, "C")
    for line in tables.to_markdown(table).splitlines()[4:]:
        bars = re.findall(r"(?<!\\)(?:\\\\)*\|", line)
        assert len(bars) == 3


def _rows(table: Table) -> list[list[str]]:
    return [[cell.replace(NBSP, " ") for cell in row] for row in table.cells()]


def test_scores_print_rates_counts_and_intervals(made: dict[str, Table]) -> None:
    frame = made["scores"].frame.set_index(["system", "protocol"])
    assert frame.loc[("RL", STRICT), "wer_shown"].replace(NBSP, " ") == "0.00% [0.00, 0.00]"
    assert frame.loc[("SFT", STRICT), "hallucinated_per_untagged_shown"].startswith("0.500")
    assert list(made["scores"].headers.values())[:2] == ["System", f"WER{NBSP}↓"]


def test_paper_beside_measured(made: dict[str, Table]) -> None:
    rows = {tuple(row[:2]): row[2:] for row in _rows(made["compared"])}
    row = rows["RL", "Tag F1"]
    assert [*row[:2], row[3]] == ["69.4%", "100.0%", "+30.6"]
    assert row[4:] == ["50", "5"]
    rows = {tuple(row[:2]): row[2:] for row in _rows(made["compared_tags"])}
    own = rows["SFT", "F1 [sad]"]
    assert [*own[:2], own[3]] == ["0.667", "0.667", "−0.000"]
    assert rows["SFT", "F1 [calm]"][1:4] == ["—"] * 3


def test_every_metric_has_a_name() -> None:
    plain = metrics.evaluate(REFERENCES, REFERENCES, normalise=str.lower)
    for protocol in ("paper", "strict"):
        names = [key for key in tables.MEASURES if key in plain.table(protocol)]
        table = tables.scores({"base": plain, "SFT": plain}, protocol=protocol)
        assert list(table.frame["key"]) == names
        assert set(names) == set(plain.table(protocol))
        assert list(table.headers.values()) == ["Metric", "Base", "SFT", "SFT − base"]


def test_cells_hold_value_interval_and_what_is_resolved() -> None:
    many = REFERENCES * 8
    worse = [tags.plain_text(text) if k % 3 else f"{text} so" for k, text in enumerate(many)]
    texts = {"SFT": worse, "RL": many}
    found = {name: metrics.evaluate(many, own) for name, own in texts.items()}
    rows = {row[0]: row[1:] for row in _rows(tables.scores(found, "strict"))}
    assert re.fullmatch(r"\d+\.\d\d% \[\d+\.\d\d, \d+\.\d\d\]", rows["WER ↓"][0])
    assert re.fullmatch(r"−\d+\.\d\d \[−[\d.]+, −[\d.]+\] better", rows["WER ↓"][2])
    assert re.fullmatch(r"\+[\d.]+ \[\+[\d.]+, \+[\d.]+\] better", rows["Tag F1 ↑"][2])
    assert rows["Tag precision ↑"][2] == "+0.0 [+0.0, +0.0]"


def test_tag_scores_hold_all_tags() -> None:
    table = tables.tag_scores({name: SPLIT.evaluations[name] for name in ("base", "SFT")})
    frame = table.frame.set_index("tag")
    assert list(frame.index) == list(tags.TAGS)
    assert frame.loc["sad", ["support", "SFT", "base"]].to_list() == [2, 2 / 3, 0]
    assert math.isnan(frame.loc["shouts", "SFT"])
    rows = {row[0]: row for row in _rows(table)}
    assert rows["[shouts]"][2:] == ["0", "—", "—"]
    assert rows["[sad]"][3] == "0.00 [0.00, 0.00]"
