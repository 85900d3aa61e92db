"""Files of measurements read back, and what the notebook shows of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evoxtral import UserError, figures, params, tables
from evoxtral.speed import reading, results, suite, views
from evoxtral.speed.measure import Comparison
from evoxtral.speed.reading import Found
from evoxtral.speed.roofline import Need

ROUNDS = pd.DataFrame(
    [("slow", 1, 8.0), ("ours", 1, 2.0), ("slow", 2, 10.0), ("ours", 2, 1.0), ("slow", 3, 6.0),
     ("ours", 3, 4.0)],
    columns=["way", "round", "seconds"],
)  # fmt: skip
NEEDS = {"slow": [Need(150.0, 0.0, 8.0), Need(0.0, 100.0, 8.0)], "ours": [Need(100.0, 0.0, 8.0)]}
MADE = Comparison("evaluation", "clip", 4, ROUNDS, ("slow",), ("ours",), 3.0, {}, NEEDS)
MIX = replace(MADE, work="three-stage mix", needs={})
SAID: dict[str, Any] = {
    "profile": "tiny", "depth": "full", "measured": "2026-01-02", "commit": "0123456789abc",
    "uncommitted_changes": False,
    "machine": {"processor": "Some CPU", "gpu": None, "cores": 2, "threads": 2, "load": 0.5,
                "torch": "2.13.0"},
    "ceilings": {"flops": {"float32": 100.0, "bfloat16": 90.0}, "bandwidth": {"8": 50.0}},
}  # fmt: skip


def points() -> pd.DataFrame:
    """Growth with every curve."""
    sizes = [
        {"curve": "size", "work": work, "way": way, "size": n, "batch": 16, "k": 1,
         "seconds": 0.1 * n, "peak": 500 + n / 10, "before": 400, "prefilled": 100.0 * n}
        for work, way in (("evaluation", "ours"), ("three-stage mix", "ours"),
                          ("three-stage mix", "plain"))
        for n in (1000, 2000, 4000, 24_000)
    ]  # fmt: skip
    batches = [dict(sizes[0], curve="batch", batch=n, peak=500 + n) for n in (1, 4, 16)]
    ks = [
        dict(sizes[0], curve="k", work="sampling", way=way, k=k, size=2,
             prefilled=200.0 * (1 if way == "ours" else k))
        for way in ("ours", "plain") for k in (1, 4)
    ]  # fmt: skip
    return pd.DataFrame([*sizes, *batches, *ks])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results.write(tmp_path, "mix_tiny", [MIX], SAID)
    results.write(tmp_path, "evaluate_tiny", [MADE], SAID)
    results.write_growth(tmp_path, "growth_tiny", points(), SAID)
    return tmp_path


@pytest.fixture
def found(folder: Path) -> Found:
    return reading.read(reading.find([folder], "tiny"))


def test_files_are_found_in_order_and_later_folders_win(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    results.write(own, "mix_tiny", [MIX], SAID)
    results.write(own, "mix_smoke", [MIX], SAID)
    names = ["evaluate_tiny.json", "mix_tiny.json", "growth_tiny.json"]
    paths = reading.find([folder, own], "tiny")
    assert [path.name for path in paths] == names
    assert [path.parent for path in paths] == [folder, own, folder]
    assert reading.find([folder], "paper") == []


def test_ratios_read_back(found: Found) -> None:
    wanted = results.ratios([MADE, MIX])
    pd.testing.assert_frame_equal(found.ratios, wanted, check_dtype=False)


def test_a_way_has_its_floor(found: Found) -> None:
    rows = found.ways.set_index(["work", "way"])
    slow, ours = rows.loc[("evaluation", "slow")], rows.loc[("evaluation", "ours")]
    assert (slow["seconds"], slow["low"], slow["high"]) == (2.0, 1.5, 2.5)
    assert slow["floor"] == (1.5 + 2.0) / 4
    assert slow["bound"] == "bytes"
    assert (ours["floor"], ours["share"], ours["bound"]) == (0.25, 0.5, "arithmetic")
    assert rows.loc["three-stage mix", "floor"].isna().all()


def test_growth_and_conditions_read_back(found: Found) -> None:
    pd.testing.assert_frame_equal(found.growth, points(), check_dtype=False)
    assert found.conditions["part"].tolist() == ["evaluate", "mix", "growth"]
    assert found.conditions["memory"].tolist() == [50.0] * 3
    assert not found.empty


def test_everything_is_shown(found: Found) -> None:
    made = {
        name: one
        for view in (views.conditions, views.goals, views.speed_ups, views.floors, views.sizes,
                     views.k, views.memory)
        for name, one in view(found).items()
    }  # fmt: skip
    drawn = {name for name, one in made.items() if not isinstance(one, tables.Table)}
    assert drawn == {"speed_ups", "floors", "growth", "k", "memory"}
    assert set(made) - drawn == {
        "conditions", "goals", "speed_up_table", "floor_table", "growth_table"
    }  # fmt: skip
    cells = made["conditions"].cells()
    assert cells[0][:2] == ["evaluate", "Some CPU, 2 cores"]
    assert cells[0][-1] == "012345678"
    floors = made["floor_table"].cells()
    assert floors[0][3:7] == ["2,000.00", "0.50", "875.000", "43.8%"]
    assert floors[2][5:] == ["—", "—", "—"]
    assert ["evaluation, over slow", "≥ 3×", "4.0× (1.5 to 10.0)", "yes"] in made["goals"].cells()
    assert made["growth_table"].cells()[0][2:5] == ["1,000 to 24,000", "4", "1.00"]


def test_nothing_is_shown_of_nothing() -> None:
    nothing = reading.read([])
    assert nothing.empty
    for view in (views.conditions, views.goals, views.speed_ups, views.floors, views.sizes,
                 views.k, views.memory):  # fmt: skip
        assert view(nothing) == {}
    with pytest.raises(UserError, match="no floor is known"):
        figures.floor_distances(nothing.ways)


def test_figures_draw_what_was_measured(found: Found) -> None:
    floors = figures.floor_distances(found.ways)
    assert [text.get_text() for text in floors.axes[0].texts] == ["50%"]
    assert "evaluation (ours) 2.0" in floors.get_label()
    drawn = views.sizes(found)["growth"]
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["evaluation", "three-stage mix"]
    assert [line.get_ydata()[0] for line in drawn.axes[0].lines] == [100.0, 100.0]
    assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == [
        "1k", "2k", "4k", "24k"
    ]  # fmt: skip
    k = views.k(found)["k"]
    prefilled = {line.get_label(): list(line.get_ydata()) for line in k.axes[0].lines}
    assert prefilled == {"ours": [100, 100], "straightforward": [100, 400]}
    memory = views.memory(found)["memory"]
    assert [list(ax.lines[0].get_ydata()) for ax in memory.axes] == [
        [600, 700, 900, 2900], [501, 504, 516]
    ]  # fmt: skip


def test_only_what_is_asked_for_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[object, ...]] = []

    def measure_parts(*options: object) -> list[tuple[str, bool]]:
        asked.append(options)
        return [("mix", True)]

    monkeypatch.setattr(suite, "measure_parts", measure_parts)
    monkeypatch.setattr(views, "folders", lambda: [folder, tmp_path])
    cfg = params.profile("05_speed", "smoke")
    assert isinstance(cfg, params.Speed)
    assert len(views.measured(cfg).ratios) == 2
    assert asked == []
    views.measured(cfg.model_copy(update={"measure": "quick"}))
    assert asked == [(tmp_path, "smoke", "quick")]


def test_the_long_curve_is_the_committed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = views.near_duplicates()
    assert "160000 texts" in shown["near_duplicates"].get_label()
    monkeypatch.setattr(views, "folders", list)
    assert views.near_duplicates() == {}


def test_a_gpu_alone_is_shown_too(tmp_path: Path) -> None:
    alone = replace(MADE, rounds=ROUNDS[ROUNDS["way"] == "ours"], plain=(), target=None)
    results.write(tmp_path, "gpu_real", [alone], SAID)
    found = reading.read(reading.find([tmp_path], "real"))
    assert found.ratios.empty
    assert set(views.floors(found)) == {"floors", "floor_table"}
    assert views.goals(found)["goals"].cells()[0][-1] == "no"
    assert views.speed_ups(found) == {}
