"""The composition note's tables side by side, and the stored counts of the released scripts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evoxtral import UserError, paper, tags
from evoxtral.datamix import judged
from evoxtral.mix.items import Item


def items(texts: list[str]) -> list[Item]:
    return [Item(str(k), t, tags.plain_text(t), "d", "s") for k, t in enumerate(texts)]


OWN = judged.judge(items(["plain", "[sad] a", "[excited] b [pause] C D", "[laughs] d [sad] e"]))


def test_the_stored_counts_are_counted_from_the_scripts(repo: Path, released_path: Path) -> None:
    stored = (repo / "reports" / "paper" / judged.FILE).read_text()
    assert judged.count_released(released_path).to_csv(index=False) == stored


def test_the_released_scripts_miss_the_targets_as_known() -> None:
    released = judged.read_released_composition()
    values = released.set_index(["table", "row"])
    assert values.loc[("density", "none (0 tags)"), "measured"] == pytest.approx(
        248 / 1010, abs=1e-6
    )
    assert values.loc[("density", "heavy (6+ tags)"), "measured"] == pytest.approx(0.163366)
    assert values.loc[("tags", "CAPS"), "measured"] == pytest.approx(635 / 762, abs=1e-6)
    assert values.loc[("duplicates", "texts kept, tagged text"), "measured"] == 993
    assert values.loc[("duplicates", "texts kept, plain text"), "measured"] == 992
    assert values.loc[("density", "none (0 tags)"), "pass"] == "no"


@pytest.mark.parametrize("table", [*judged.TABLES, "checklist"])
def test_every_table_stands_beside_the_released_one(table: str) -> None:
    sets = {"own": OWN, "released": judged.read_released_composition()}
    shown = judged.side_by_side(sets, table)
    assert list(shown.columns[:3]) == ["row", "target", "unit"]
    assert shown["row"].is_unique
    assert shown["own: pass"].isin(["yes", "no", "not known"]).all()
    assert shown["released: pass"].isin(["yes", "no", "not known"]).all()


def test_rows_that_a_set_lacks_are_not_known() -> None:
    other = OWN[OWN["row"] != "none (0 tags)"]
    shown = judged.side_by_side({"own": OWN, "other": other}, "density").set_index("row")
    assert pd.isna(shown.loc["none (0 tags)", "other"])
    assert shown.loc["none (0 tags)", "other: pass"] == "not known"


def test_measured_values_are_those_of_the_texts() -> None:
    values = OWN.set_index(["table", "row"])["measured"]
    assert values["density", "none (0 tags)"] == 0.25
    assert values["tags", "[sad]"] == pytest.approx(2 / 3)
    assert values["examples", "[sad]"] == 2
    assert pd.isna(values["speakers", "distinct voices"])


def test_figures_get_the_columns_they_draw() -> None:
    assert list(judged.as_table(OWN, "density")) == ["density", "measured"]
    assert list(judged.as_table(OWN, "tags")) == ["tag", "measured"]
    axes = judged.as_table(OWN, "axes")
    assert set(axes["axis"]) >= {"emotion", "valence"}
    assert list(judged.as_table(OWN, "checklist")) == ["check", "pass"]
    assert list(judged.for_figures({"a": OWN}, "tags")) == ["a"]


def test_factors_compare_shares_and_count_surroundings() -> None:
    before = items(["[sad] a", "[calm] b", "[calm] c", "[calm] d"])
    table = judged.factors(before, [before[0], before[0], before[1], before[2]]).set_index("tag")
    assert table.loc["[sad]", "drawn"] == pytest.approx(2)
    assert table.loc["[calm]", "drawn"] == pytest.approx(2 / 3)
    assert table.loc["[sad]", ["needed", "texts", "domains"]].to_list() == [1, 1, 1]
    assert table.loc["[angry]", "needed"] == float("inf")
    assert pd.isna(table.loc["[angry]", "drawn"])
    assert pd.isna(table.loc["CAPS", "texts"])


def test_writing_gives_what_is_read(released_path: Path, tmp_path: Path) -> None:
    judged.write_released_composition(released_path, tmp_path)
    again = judged.read_released_composition(tmp_path)
    pd.testing.assert_frame_equal(again, judged.read_released_composition())


def test_a_missing_or_strange_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="restore it with git checkout"):
        judged.read_released_composition(tmp_path)
    (tmp_path / judged.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="must have the columns table, row, measured, pass"):
        judged.read_released_composition(tmp_path)
    with pytest.raises(UserError, match="no table 'nope': choose one of density"):
        judged.part(OWN, "nope")


def test_the_file_is_among_the_published_sources() -> None:
    assert judged.FILE in set(paper.load().sources["file"])
