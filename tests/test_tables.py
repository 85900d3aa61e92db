"""Printing rules, the computed best, and the three renderings."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, checks, paper, tables
from evoxtral.tables import Best, Format, Table, best_in_row

NAN = float("nan")


@pytest.fixture(scope="module")
def made(numbers: paper.Published) -> dict[str, Table]:
    errors = checks.standard_errors({"sft": 0.672}, 50, 11, checks.ASSUMED_SD)
    return {
        "hyperparameters": tables.settings(numbers.hyperparameters, "SFT"),
        "core": tables.core(numbers.core, "Core"),
        "per_tag": tables.per_tag(numbers.per_tag, "Per tag"),
        "rl": tables.settings(numbers.rl_settings, "RL"),
        "deltas": tables.deltas(checks.deltas(numbers.per_tag), "Changes"),
        "claims": tables.claims(checks.claims(numbers), "Claims"),
        "uncertainty": tables.uncertainty(errors, "Spread"),
    }


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


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ({"a": 1.0, "b": 2.0}, "lower", ("a",)),
        ({"a": 1.0, "b": 2.0}, "higher", ("b",)),
        ({"a": 2.0, "b": 2.0, "c": 1.0}, "higher", ("a", "b")),
        ({"a": 2.0, "b": 2.0}, "higher", ()),
        ({"a": NAN, "b": 2.0, "c": 1.0}, "lower", ("c",)),
        ({"a": NAN, "b": 2.0}, "lower", ()),
        ({}, "lower", ()),
    ],
)
def test_best_in_row(values: dict[str, float], direction: str, expected: tuple[str, ...]) -> None:
    assert best_in_row(values, direction) == expected


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=2))
def test_the_best_beats_every_other(values: dict[str, float]) -> None:
    best = best_in_row(values, "higher")
    assert best_in_row({k: -v for k, v in values.items()}, "lower") == best
    others = [v for k, v in values.items() if k not in best]
    assert all(values[b] > other for b in best for other in others)


def test_core_bolds_what_is_best_and_says_where_the_report_differs(made: dict[str, Table]) -> None:
    core = made["core"]
    assert core.bold() == {
        (0, "sft"),
        (1, "sft"),
        (2, "rl"),
        (3, "rl"),
        (4, "rl"),
        (5, "rl"),
        (6, "base"),
    }
    assert list(core.frame["best_printed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "SFT"]
    assert list(core.frame["best_computed"]) == ["SFT", "SFT", "RL", "RL", "RL", "RL", "Base"]
    assert core.notes == ("The printed best of Tag Hallucination is not the best of its row.",)


def test_core_prints_the_reports_digits(made: dict[str, Table]) -> None:
    cells = made["core"].cells()
    assert cells[0] == ["WER ↓", "6.64%", "4.47%", "5.12%", "SFT", "SFT"]
    assert cells[6] == ["Tag Hallucination ↓", "0.0%", "19.3%", "20.2%", "SFT", "Base"]


def test_core_takes_other_systems_and_needs_no_printed_best() -> None:
    frame = pd.DataFrame(
        {"key": ["wer"], "metric": ["WER"], "direction": ["lower"], "a": [0.5], "b": [0.25]}
    )
    table = tables.core(frame, "Two", {"a": "System A", "b": "System B"})
    assert list(table.headers.values()) == ["Metric", "System A", "System B", "Best, computed"]
    assert table.cells() == [["WER ↓", "50.00%", "25.00%", "b"]]


def test_per_tag_bolds_no_tie(made: dict[str, Table]) -> None:
    bold = made["per_tag"].bold()
    assert (0, "sft") not in bold
    assert (0, "rl") not in bold
    assert len(bold) == 8 + 3
    assert sum(column == "rl" for _, column in bold) == 8


def test_csv_keeps_full_precision(made: dict[str, Table]) -> None:
    core = made["core"]
    back = pd.read_csv(io.StringIO(tables.to_csv(core)))
    assert back["sft"].tolist() == core.frame["sft"].tolist()
    deltas = made["deltas"].frame
    back = pd.read_csv(io.StringIO(tables.to_csv(made["deltas"])))
    assert back["relative"].dropna().tolist() == deltas["relative"].dropna().tolist()
    assert "\r" not in tables.to_csv(core)


def test_markdown_of_a_small_table() -> None:
    table = Table(
        pd.DataFrame({"n": ["a|b", "c"], "x": [0.1, 0.2], "y": [0.3, 0.2], "hidden": [1, 2]}),
        {"n": "Name", "x": "X", "y": "Y"},
        "A *small* table",
        {"x": Format("percent", 1), "y": Format("percent", 1)},
        Best(("x", "y"), ("lower", "lower")),
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
    for name, table in made.items():
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


def test_latex_wraps_long_text_only(made: dict[str, Table]) -> None:
    assert r"\begin{tabular}{lrrrll}" in tables.to_latex(made["core"])
    wrapped = r"p{0.3\linewidth}"
    assert rf"\begin{{tabular}}{{{wrapped}rrl{wrapped}}}" in tables.to_latex(made["claims"])


def test_per_tag_needs_no_printed_change(numbers: paper.Published) -> None:
    table = tables.per_tag(numbers.per_tag.drop(columns="delta"), "Measured")
    assert list(table.headers.values()) == ["Tag", "SFT F1", "RL F1", "Support"]


def test_latex_label_may_be_absent(made: dict[str, Table]) -> None:
    assert r"\label" not in tables.to_latex(made["core"])


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
    assert f"{expected} \\\\" in tables.to_latex(table)


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


_HTML_TAGS = {
    "div",
    "style",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "strong",
    "p",
}


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


def test_html_makes_no_request_and_bolds(made: dict[str, Table]) -> None:
    text = tables.to_html(made["core"])
    assert "http" not in text
    assert "url(" not in text
    parser = _Cells()
    parser.feed(text)
    assert parser.strong == ["4.47%", "1.23%", "69.4%", "68.5%", "72.7%", "86.0%", "0.0%"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"headers": {"z": "Z"}}, "no column 'z'"),
        ({"formats": {"z": tables.TEXT}}, "no column 'z'"),
        ({"formats": {"a": [tables.TEXT]}}, "2 rows: give one rule for each"),
        ({"best": Best(("a",), ("lower",))}, "2 rows: give one rule for each"),
        ({"best": Best(("z",), ("lower", "lower"))}, "no column 'z'"),
    ],
)
def test_rules_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    parts = {"frame": pd.DataFrame({"a": [1, 2]}), "headers": {"a": "A"}, "caption": "C"} | changes
    with pytest.raises(UserError, match=message):
        Table(**parts)
