"""Tables of the composition note, on the released scripts and on small sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoxtral import tags
from evoxtral.mix import composition as tables
from evoxtral.mix.items import Features, Item
from evoxtral.world.scripts import read_released


def clips(texts: list[str], voices: list[str | None] | None = None) -> Features:
    spoken = voices or [None] * len(texts)
    return Features.of(
        Item(str(k), text, tags.plain_text(text), "podcast", "light", voice=voice)
        for k, (text, voice) in enumerate(zip(texts, spoken, strict=True))
    )


@pytest.fixture(scope="module")
def released(released_path: Path) -> Features:
    return Features.of(read_released(released_path))


def test_density_of_the_released_scripts(released: Features) -> None:
    table = tables.density_table(released)
    assert table["count"].tolist() == [248, 268, 329, 165]
    assert table["measured"].tolist() == [n / 1010 for n in (248, 268, 329, 165)]
    assert table["pass"].tolist() == ["no", "yes", "no", "no"]


def test_tag_minimums_of_the_released_scripts(released: Features) -> None:
    table = tables.tag_table(released).set_index("tag")
    missed = table.index[table["pass"] == "no"].tolist()
    assert missed == ["[sad]", "[angry]", "[confused]", "[scared]", "[pause]", "CAPS"]
    assert table.loc["CAPS", "measured"] == 635 / 762
    assert table.loc["CAPS", "factor needed"] == pytest.approx(0.6 / (635 / 762))
    assert table.loc["[sad]", "factor needed"] == pytest.approx(0.15 / (86 / 762))
    assert table.loc["[excited]", "factor needed"] == 1
    assert table.loc["[scared]", "count"] == 4


def test_every_range_for_plain_examples_is_listed(released: Features) -> None:
    table = tables.plain_table(released)
    assert table["pass"].tolist() == ["no", "no", "no", "no", "yes", "no", "no"]
    assert set(table["source"]) == {"section 1", "section 2", "section 4", "section 6"}
    assert table["measured"].iloc[-1] == 762 / 1010


def test_forty_examples_of_each_tag(released: Features) -> None:
    table = tables.example_table(released)
    assert table.loc[table["pass"] == "no", "row"].tolist() == ["[confused]", "[scared]"]


def test_what_scripts_cannot_tell_is_not_known(released: Features) -> None:
    axes = tables.axis_table(released)
    unknown = axes.loc[axes["pass"] == "not known", "axis"].tolist()
    assert unknown == ["length", "gender"]
    assert set(tables.speaker_table(released)["pass"]) == {"not known"}


def test_near_duplicates_of_the_released_scripts(released: Features) -> None:
    table = tables.duplicate_table(released)
    assert table["measured"].tolist() == [22, 21]
    assert table["kept"].tolist() == [993, 992]
    assert table["pass"].tolist() == ["no", "no"]


def test_drawing_an_example_twice_is_no_near_duplicate() -> None:
    once = Item("a", "one two three", "one two three", "d", "plain")
    assert tables.duplicate_table(Features.of([once, once]))["pass"].tolist() == ["yes", "yes"]


@pytest.mark.parametrize(
    ("voices", "verdicts"),
    [
        (list("abcdef"), ["yes", "yes"]),
        (list("aabbcc"), ["no", "yes"]),
        ([*"abcdef", None], ["yes", "not known"]),
        ([*"abc", None], ["not known", "not known"]),
        ([*"abcdef", *"aaaaaaa"], ["yes", "no"]),
    ],
)
def test_speakers(voices: list[str | None], verdicts: list[str]) -> None:
    features = clips([f"text {k}" for k in range(len(voices))], voices)
    assert tables.speaker_table(features)["pass"].tolist() == verdicts


def test_contexts_of_a_tag() -> None:
    features = clips(["[gasps] oh [excited] my", "[gasps] [scared] no", "[sad] x"], list("abb"))
    row = tables.context_table(features).set_index("tag").loc["[gasps]"]
    assert row["texts"] == 2
    assert row["domains"] == 1
    assert row["emotions beside it"] == 2
    assert row["voices"] == 2


def test_all_tables_have_targets_and_verdicts() -> None:
    made = tables.composition([Item("a", "[sad] one", "one", "d", "light")])
    for name, table in made.items():
        assert len(table), name
        if name != "contexts":
            assert set(table["pass"]) <= {"yes", "no", "not known"}, name
            assert {"target", "measured"} <= set(table.columns), name
