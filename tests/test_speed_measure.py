"""Taking turns, ratios and their spread, files, table and figure; no model, no clock."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import pandas as pd
import pytest

from evoxtral import UserError, figures, tables
from evoxtral.__main__ import main
from evoxtral.speed import reading, results, run
from evoxtral.speed.machine import conditions, machine
from evoxtral.speed.measure import Comparison, Timed, alternate, clocked, compare
from evoxtral.speed.roofline import Ceilings

ROUNDS = pd.DataFrame(
    [("slow", 1, 8.0), ("fast", 1, 2.0), ("slow", 2, 9.0), ("fast", 2, 1.0), ("slow", 3, 6.0),
     ("fast", 3, 1.0), ("odd", 1, 4.0), ("odd", 2, 4.0), ("odd", 3, 4.0)],
    columns=["way", "round", "seconds"],
)  # fmt: skip
MADE = Comparison("work", "clip", 4, ROUNDS, ("slow",), ("fast", "odd"), 5.0, {"same": 4, "x": 0.5})


@pytest.fixture
def _ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings that take no time."""
    made = Ceilings({"float32": 1.0}, {8: 1.0})
    monkeypatch.setattr("evoxtral.speed.machine.measure_ceilings", lambda _: made)


def test_ways_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[tuple[str, int]] = []
    seen: list[dict[str, int]] = []

    def way(name: str):
        def run_once(number: int) -> Timed:
            order.append((name, number))
            return Timed(10.0 * number, number)

        return run_once

    rounds, made = alternate({"a": way("a"), "b": way("b")}, 2, check=seen.append)
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert rounds.to_numpy().tolist() == [["a", 1, 10], ["b", 1, 10], ["a", 2, 20], ["b", 2, 20]]
    assert made == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert seen == [{"a": 0, "b": 0}]


def test_a_failed_check_stops_before_anything_is_measured() -> None:
    calls: list[int] = []

    def refuse(_: object) -> None:
        raise RuntimeError("different")

    with pytest.raises(RuntimeError, match="different"):
        alternate({"a": clocked(calls.append)}, 5, check=refuse)
    assert calls == [0]
    with pytest.raises(UserError, match="at least once"):
        alternate({"a": clocked(calls.append)}, 0)


def test_a_clocked_way_keeps_what_was_made() -> None:
    def way(number: int) -> int:
        time.sleep(0.02)
        return number + 1

    done = clocked(way)(4)
    assert done.made == 5
    assert done.seconds >= 0.02


def test_speed_ups_are_taken_within_rounds() -> None:
    row = compare(ROUNDS, ["slow"], ["fast"]).iloc[0]
    assert (row["ratio"], row["low"], row["high"]) == (6, 4, 9)
    assert (row["plain_seconds"], row["ours_seconds"], row["rounds"]) == (8, 1, 3)


def test_seconds_are_per_unit_and_the_target_is_of_the_first_pair() -> None:
    rows = MADE.ratios
    assert rows["plain_seconds"].tolist() == [2, 2]
    assert rows["ours_seconds"].tolist() == [0.25, 1]
    assert rows["target"].tolist()[0] == 5
    assert rows["target"].isna().tolist() == [False, True]


@pytest.mark.usefixtures("_ceilings")
def test_files_hold_every_round_and_read_back(tmp_path: Path) -> None:
    results.write(tmp_path, "mix_tiny", [MADE], conditions("tiny", "full"))
    csv = pd.read_csv(tmp_path / "mix_tiny.csv")
    assert csv.drop(columns="work").to_numpy().tolist() == ROUNDS.to_numpy().tolist()
    found = reading.read(reading.find([tmp_path], "tiny"))
    pd.testing.assert_frame_equal(found.ratios, MADE.ratios)
    said = json.loads((tmp_path / "mix_tiny.json").read_text())
    assert {"measured", "commit", "machine", "ceilings"} < set(said["conditions"])
    assert said["facts"] == {"work": {"same": 4, "x": 0.5}}


def test_the_machine_is_described_and_not_named() -> None:
    facts = machine()
    assert facts["threads"] >= 1
    assert facts["cores"] >= 1
    assert {"torch", "transformers", "peft"} <= set(facts)
    assert platform.node() not in json.dumps(facts).split('"')


def test_the_table_says_which_targets_are_met() -> None:
    cells = tables.speed_ups(MADE.ratios).cells()
    assert cells[0] == [
        "work", "slow", "fast", "clip", "2,000.0", "250.0", "6.0×", "4.0 to 9.0", "5.0×", "yes"
    ]  # fmt: skip
    assert cells[1][-2:] == ["—", "—"]
    slower = MADE.ratios.assign(target=7.0)
    assert [row[-1] for row in tables.speed_ups(slower).cells()] == ["no", "no"]
    with pytest.raises(UserError, match="no speed was measured"):
        tables.speed_ups(MADE.ratios.iloc[:0])


def test_the_figure_draws_bars_ranges_and_targets() -> None:
    figure = figures.speed_ups(MADE.ratios)
    ax = figure.axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(1, 5), (1, 1)]
    drawn = [line.get_xdata() for line in ax.lines]
    assert [list(x) for x in drawn[:3]] == [[4, 9], [5, 5], [1.5, 2.25]]
    assert [text.get_text() for text in ax.texts] == ["6.0×", "2.0×"]
    assert figures.save_figure(figure) == figures.save_figure(figures.speed_ups(MADE.ratios))
    with pytest.raises(UserError, match="no speed was measured"):
        figures.speed_ups(MADE.ratios.iloc[:0])


@pytest.mark.usefixtures("_ceilings")
def test_the_command_writes_files_and_shows_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, ...]] = []

    def measure(*options: object) -> list[Comparison]:
        asked.append(options)
        return [MADE]

    for name in ("sft_speed", "evaluation_speed", "raft_speed"):
        monkeypatch.setattr(run, name, measure)
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path))
    assert main(["speed", "sft", "--profile", "smoke", "--clips", "8"]) == 0
    assert main(["speed", "evaluate", "--adapter", "there", "--repeats", "1"]) == 0
    assert main(["speed", "raft", "-k", "1", "4"]) == 0
    there = Path("there")
    assert asked == [
        ("smoke", 3, 8), ("tiny", 1, None, there), ("tiny", 3, None, None, [1, 4])
    ]  # fmt: skip
    shown = capsys.readouterr().out
    assert "| work | slow | fast |" in shown
    assert "  same: 4" in shown
    assert {path.name for path in (tmp_path / "speed").iterdir()} == {
        f"{name}.{kind}" for name in ("sft_smoke", "evaluate_tiny", "raft_tiny")
        for kind in ("csv", "json")
    }  # fmt: skip


@pytest.mark.parametrize("option", [["--clips", "0"], ["--repeats", "-1"], ["--clips", "x"]])
def test_counts_are_positive(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed", "sft", *option])
    assert f"argument {option[0]}" in capsys.readouterr().err
