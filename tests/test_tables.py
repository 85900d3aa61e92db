"""Printing rules, the computed best, and the three renderings."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import analyses, bench, claims, events, metrics, paper, tables
from evoxtral.bench import Split
from evoxtral.tables import Format, Table

NAN = float("nan")


REFERENCES = ["[sad] oh no", "well then", "[laughs] and so", "[sad] it IS so", "fine"]
PREDICTIONS = ["[calm] oh no", "[pause] well then", "[laughs] and", "[sad] it IS so", "fine"]
SPLIT = Split("test", {
    "base": metrics.evaluate(REFERENCES, ["oh no", "well", "and so", "it is so", "fine"]),
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
})  # fmt: skip
SCORES = bench.score_frame(SPLIT)
ON = {"on": SPLIT}


@pytest.fixture(scope="module")
def made(numbers: paper.Published) -> dict[str, Table]:
    steps = bench.paired_frame(SPLIT.only("base", "SFT"), "base")
    core = paper.core_compared(numbers, SCORES, "tiny")
    per_tag = paper.per_tag_compared(numbers, SCORES, "tiny")
    chosen = analyses.choose(SPLIT)
    placed = bench.score_frame(SPLIT, events.PROTOCOLS)
    names = events.coverage(SPLIT)
    counted = analyses.confusion(SPLIT.evaluations["SFT"])
    noise = analyses.noise_curve(SPLIT, (0.0, 0.5))
    return {
        "table1": tables.of("table1", numbers.hyperparameters),
        "core": tables.core(numbers.core),
        "table3": tables.of("table3", numbers.per_tag),
        "per_tag_changes": tables.of("per_tag_changes", claims.deltas(numbers.per_tag)),
        "claims": tables.of("claims", claims.claims(numbers)),
        "tag_f1_errors": tables.of("tag_f1_errors", claims.tag_f1_errors(numbers)),
        "scores": tables.of("scores", bench.overall(SCORES), **ON),
        "events": tables.of("events", placed, **ON),
        "confused": tables.confused(counted, system="SFT", **ON),
        "tag_bias": tables.of("tag_bias", analyses.count_bias(SPLIT), **ON),
        "counterparts": tables.of("counterparts", events.mapping(), names),
        "label_noise": tables.of("label_noise", noise, **ON),
        "compared": tables.of("compared", core, number=2, **ON),
        "compared_tags": tables.of("compared", per_tag, number=3, **ON),
        "changes": tables.of("changes", paper.changes(numbers, steps, "tiny"), **ON),
        "choices": tables.of("choices", chosen, chosen["text"], **ON),
    }


@pytest.mark.parametrize("render", [tables.to_markdown, tables.to_html])
def test_every_rendering_is_complete(made: dict[str, Table], render: Callable) -> None:
    for table in made.values():
        assert len(table.cells()) == len(table.frame) > 0
        text = render(table)
        assert "nan" not in text.lower()
        assert "None" not in text


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (Format(), "a|b", "a|b"),
        (Format(), None, "—"),
        (Format("count"), 1010, "1,010"),
        (Format("count"), pd.NA, "—"),
        (Format("number", 3), 0.9, "0.900"),
        (Format("number", 1), NAN, "—"),
        (Format("percent", 2), 0.0664, "6.64%"),
        (Format("percent", 1, signed=True), 0.125, "+12.5%"),
        (Format("percent", 1, signed=True), -0.0528, "−5.3%"),
        (Format("points", 1, signed=True, suffix=" pp"), 0.022, "+2.2 pp"),
        (Format("points", 1, prefix="±"), 0.0424, "±4.2"),
    ],
)
def test_format(rule: Format, value: object, expected: str) -> None:
    assert rule(value) == expected


def test_core_bolds_what_is_best_and_says_where_the_report_differs(made: dict[str, Table]) -> None:
    core = made["core"]
    best = ["sft", "sft", "rl", "rl", "rl", "rl", "base"]
    assert core.bold == set(enumerate(best))
    assert list(core.frame["best_printed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "SFT"]
    assert list(core.frame["best_computed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "Base"]
    assert core.notes == ["The printed best of Tag Hallucination is not the best of its row."]


def test_per_tag_bolds_no_tie(made: dict[str, Table]) -> None:
    bold = made["table3"].bold
    assert (0, "sft") not in bold
    assert (0, "rl") not in bold
    assert len(bold) == 8 + 3
    assert sum(column == "rl" for _, column in bold) == 8


def test_csv_keeps_full_precision(made: dict[str, Table]) -> None:
    core = made["core"]
    back = pd.read_csv(io.StringIO(tables.to_csv(core)))
    assert back["sft"].tolist() == core.frame["sft"].tolist()
    deltas = made["per_tag_changes"].frame
    back = pd.read_csv(io.StringIO(tables.to_csv(made["per_tag_changes"])))
    assert back["relative"].dropna().tolist() == deltas["relative"].dropna().tolist()
    assert "\r" not in tables.to_csv(core)


def test_markdown_of_a_small_table() -> None:
    table = Table(
        pd.DataFrame({"n": ["a|b", "c"], "x": [0.1, 0.2], "y": [0.3, 0.2], "hidden": [1, 2]}),
        {"n": "Name", "x": "X", "y": "Y"},
        "A *small* table",
        {"x": Format("percent", 1), "y": Format("percent", 1)},
        frozenset({(0, "x")}),
        ("One note.",),
    )
    assert tables.to_markdown(table) == (
        "**A \\*small\\* table**\n"
        "\n"
        "| Name | X | Y |\n"
        "| --- | ---: | ---: |\n"
        "| a\\|b | **10.0%** | 30.0% |\n"
        "| c | 20.0% | 20.0% |\n"
        "\n*One note.*\n"
    )


def test_latex_is_booktabs_and_plain_ascii(made: dict[str, Table]) -> None:
    for name in ("table1", "core", "table3", "per_tag_changes", "claims", "tag_f1_errors"):
        table = made[name]
        text = tables.to_latex(table, f"tab:{name}")
        assert text.isascii(), sorted({c for c in text if not c.isascii()})
        assert rf"\label{{tab:{name}}}" in text
        rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
        assert len(rows) == len(table.frame)
        columns = {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows}
        assert columns == {len(table.headers)}
        assert all(row.endswith(r" \\") for row in rows)
        assert not re.search(r"(?<!\\)[%#_]", text.replace(f"tab:{name}", ""))
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
    table = Table(pd.DataFrame({"a": [text]}), {"a": "A"}, "C")
    assert f"{expected} \\\\" in tables.to_latex(table, "t")


class _Cells(HTMLParser):
    """Collects the text of each cell; nothing but a table's own tags may occur."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.strong: list[str] = []
        self.tags: set[str] = set()
        self._stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._stack.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self._stack:
            self.cells[-1] += data
        if "strong" in self._stack:
            self.strong.append(data)


_HTML_TAGS = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "p"}


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=20), min_size=1))
def test_html_shows_any_text_as_text(values: list[str]) -> None:
    parser = _Cells()
    parser.feed(tables.to_html(Table(pd.DataFrame({"a": values}), {"a": "A"}, "<i>C</i>")))
    parser.close()
    assert parser.cells == values
    assert parser.tags <= _HTML_TAGS


@given(st.lists(st.text("ab|\\*_[]<`~ ", max_size=12), min_size=1))
def test_markdown_keeps_its_columns_whatever_the_text(values: list[str]) -> None:
    table = Table(pd.DataFrame({"a": values, "b": "x"}), {"a": "A", "b": "B"}, "C")
    for line in tables.to_markdown(table).splitlines()[4:]:
        bars = re.findall(r"(?<!\\)(?:\\\\)*\|", line)
        assert len(bars) == 3


def _rows(table: Table) -> list[list[str]]:
    return [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in table.cells()]


def test_scores_print_rates_counts_and_intervals(made: dict[str, Table]) -> None:
    rows = {tuple(row[:3]): row[3:] for row in _rows(made["scores"])}
    assert rows["RL", bench.PAPER, "WER"] == ["0.00%", "[0.00, 0.00]", "5"]
    assert rows["SFT", bench.STRICT, "Tags per untagged clip"][0] == "0.500"
    # Precision of a system that predicts no tag has no value and no interval.
    assert rows["base", bench.STRICT, "Tag precision"] == ["—", "—", "5"]


def test_paper_beside_measured(made: dict[str, Table]) -> None:
    heads = list(made["compared"].headers.values())
    assert heads[2:] == [
        "Paper", "Measured", "Delta", "95% interval", "n, paper", "n", "Verdict",
    ]  # fmt: skip
    row = next(row for row in _rows(made["compared"]) if row[:2] == ["RL", "Tag F1"])
    assert row[2:5] == ["69.4%", "100.0%", "+30.6"]
    assert row[6:] == ["50", "5", "same method, tiny world"]
    row = next(row for row in _rows(made["compared_tags"]) if row[:2] == ["SFT", "F1 [sad]"])
    assert (row[2], row[3], row[4]) == ("0.667", "0.667", "−0.000")
    row = next(row for row in _rows(made["compared_tags"]) if row[1] == "F1 [calm]")
    assert row[3:6] == ["—", "—", "—"]
    assert row[-1] == "not measured"


def test_errors_are_ordered_and_limited() -> None:
    counted = analyses.confusion(SPLIT.evaluations["SFT"])
    table = tables.confused(counted, most=1, system="SFT", **ON)
    assert table.cells() == [["sad", "calm", "1", "50.0%"]]
    assert table.notes[0] == "1 of 2 kinds of error shown."
    assert table.caption == "SFT: most frequent confusions, 5 clips of test."
