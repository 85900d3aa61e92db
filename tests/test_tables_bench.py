"""Tables of the benchmark print what their frames hold."""

from __future__ import annotations

import pytest

from evoxtral import bench, metrics, paper, tables

REFERENCES = ["[sad] oh no", "well then", "[laughs] and so", "[sad] it IS so", "fine"]
PREDICTIONS = ["[calm] oh no", "[pause] well then", "[laughs] and", "[sad] it IS so", "fine"]
EVALUATIONS = {
    "base": metrics.evaluate(REFERENCES, ["oh no", "well", "and so", "it is so", "fine"]),
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
}
SCORES = bench.score(EVALUATIONS)
PAPER = paper.load()
SOURCES = {name: scheme.source for name, scheme in bench.SCHEMES.items()}


def _tables() -> dict[str, tables.Table]:
    noise = bench.noise_curve(EVALUATIONS, (0.0, 0.5))
    return {
        "scores": tables.bench_scores(SCORES.metrics, "Scores."),
        "position": tables.bench_scores(bench.position_scores(EVALUATIONS), "By position."),
        "per_tag": tables.bench_per_tag(SCORES.per_tag, "Tags."),
        "confused": tables.confused(bench.confusion(EVALUATIONS["SFT"]), "Errors."),
        "bias": tables.tag_bias(bench.count_bias(EVALUATIONS), "Bias."),
        "mapping": tables.counterparts(bench.mapping(), bench.coverage(REFERENCES), SOURCES),
        "noise": tables.label_noise(noise, "Noise."),
        "core": tables.against_paper(bench.core_comparison(PAPER, SCORES, "tiny"), "Core."),
        "tags": tables.against_paper(bench.per_tag_comparison(PAPER, SCORES, "tiny"), "Tags."),
        "changes": tables.stage_changes(bench.changes(PAPER, EVALUATIONS, "tiny"), "Steps."),
        "choices": tables.choices(bench.choose(EVALUATIONS), "Choice."),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, tables.Table]:
    return _tables()


@pytest.mark.parametrize("name", _tables())
def test_every_rendering_is_complete(made: dict[str, tables.Table], name: str) -> None:
    table = made[name]
    assert len(table.cells()) == len(table.frame) > 0
    for text in (tables.to_markdown(table), tables.to_latex(table), tables.to_html(table)):
        assert "nan" not in text.lower()
        assert "None" not in text
    assert len(tables.to_csv(table).splitlines()) == len(table.frame) + 1


def _rows(table: tables.Table) -> list[list[str]]:
    return [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in table.cells()]


def test_scores_print_rates_counts_and_intervals(made: dict[str, tables.Table]) -> None:
    rows = {tuple(row[:3]): row[3:] for row in _rows(made["scores"])}
    assert rows["RL", bench.PAPER, "WER"] == ["0.00%", "[0.00, 0.00]", "5"]
    assert rows["SFT", bench.STRICT, "Tags per untagged clip"][0] == "0.500"
    # Precision of a system that predicts no tag has no value and no interval.
    assert rows["base", bench.STRICT, "Tag precision"] == ["—", "—", "5"]


def test_paper_beside_measured(made: dict[str, tables.Table]) -> None:
    heads = list(made["core"].headers.values())
    assert heads[2:] == [
        "Paper", "Measured", "Delta", "95% interval", "n, paper", "n", "Verdict",
    ]  # fmt: skip
    row = next(row for row in _rows(made["core"]) if row[:2] == ["RL", "Tag F1"])
    assert row[2:5] == ["69.4%", "100.0%", "+30.6"]
    assert row[6:] == ["50", "5", "same method, tiny world"]
    row = next(row for row in _rows(made["tags"]) if row[:2] == ["SFT", "F1 [sad]"])
    assert (row[2], row[3], row[4]) == ("0.667", "0.667", "−0.000")
    row = next(row for row in _rows(made["tags"]) if row[1] == "F1 [calm]")
    assert row[3:6] == ["—", "—", "—"]
    assert row[-1] == "not measured"


def test_errors_are_ordered_and_limited() -> None:
    frame = bench.confusion(EVALUATIONS["SFT"])
    table = tables.confused(frame, "Errors.", most=1)
    assert table.cells() == [["sad", "calm", "1", "50.0%"]]
    assert table.notes[0] == "1 of 2 kinds of error shown."


def test_mapping_names_what_is_unmapped_and_how_much_is_covered(
    made: dict[str, tables.Table],
) -> None:
    rows = {row[0]: row for row in made["mapping"].cells()}
    assert len(rows) == 17
    assert rows["[clears throat]"][2:] == ["throat clearing", "clear_throat", "throat clearing"]
    assert rows["[pause]"][2:] == ["—", "—", "—"]
    assert "5 of 17 tags, 33.3% of 3 occurrences" in made["mapping"].notes[0]


def test_choices_carry_their_sentences(made: dict[str, tables.Table]) -> None:
    assert made["choices"].notes == tuple(bench.choose(EVALUATIONS)["text"])
