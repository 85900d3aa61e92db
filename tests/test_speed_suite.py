"""Everything that is measured: parts that go on where a stopped run was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evoxtral import UserError
from evoxtral.__main__ import main
from evoxtral.speed import suite
from evoxtral.speed.machine import machine
from evoxtral.speed.measure import Comparison
from evoxtral.speed.suite import DEPTHS, PARTS, growth_points, measure_parts

ROUNDS = pd.DataFrame({"way": ["slow", "ours"], "round": [1, 1], "seconds": [2.0, 1.0]})
POINTS = pd.DataFrame(
    {
        "curve": "size",
        "work": "encode",
        "way": "ours",
        "size": [1, 2, 4],
        "seconds": [1.0, 2.0, 4.0],
        "peak": [5.0, 5.0, 5.0],
    }
)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that were measured, in order; nothing else is."""
    names: list[str] = []
    where = {"machine": machine(), "commit": "one"}

    def fake(name: str) -> Any:
        def measure(profile: str, depth: suite.Depth) -> list[Comparison]:
            names.append(f"{name} {profile} {depth.clips}")
            return [Comparison(name, "clip", 1, ROUNDS, ("slow",), ("ours",), None, {})]

        return measure

    def grow(profile: str, depth: suite.Depth) -> pd.DataFrame:
        names.append(f"growth {profile} {depth.clips}")
        return POINTS

    def conditions(profile: str, depth: str) -> dict[str, Any]:
        ceilings = {"flops": {"float32": 1.0}, "bandwidth": {"8": 1.0}}
        said = dict(where, machine=dict(where["machine"], load=9.9))
        return {"profile": profile, "depth": depth, "ceilings": ceilings, **said}

    monkeypatch.setattr(suite, "PARTS", {name: fake(name) for name in ("encode", "mix")})
    monkeypatch.setattr(suite, "_growth", grow)
    monkeypatch.setattr(suite, "conditions", conditions)
    monkeypatch.setattr(suite, "commit", lambda: {"commit": where["commit"]})
    return names


def test_a_part_is_measured_once(measured: list[str], tmp_path: Path) -> None:
    first = list(measure_parts(tmp_path, "smoke", "quick"))
    assert first == [("encode", True), ("mix", True), ("growth", True)]
    assert measured == ["encode smoke 8", "mix smoke 8", "growth smoke 8"]
    assert all(not now for _, now in measure_parts(tmp_path, "smoke", "quick"))
    (tmp_path / "mix_smoke.json").unlink()
    assert dict(measure_parts(tmp_path, "smoke", "quick"))["mix"]
    assert measured[3:] == ["mix smoke 8"]


def test_a_stopped_run_keeps_its_parts(measured: list[str], tmp_path: Path) -> None:
    assert next(iter(measure_parts(tmp_path, "smoke", "quick"))) == ("encode", True)
    assert dict(measure_parts(tmp_path, "smoke", "quick")) == {
        "encode": False, "mix": True, "growth": True
    }  # fmt: skip


def test_another_commit_depth_or_wish_measures_again(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(measure_parts(tmp_path, "smoke", "quick"))
    assert dict(measure_parts(tmp_path, "smoke", "full", ["mix"])) == {"mix": True}
    assert dict(measure_parts(tmp_path, "smoke", "full", ["mix"], again=True)) == {"mix": True}
    monkeypatch.setattr(suite, "commit", lambda: {"commit": "two"})
    assert dict(measure_parts(tmp_path, "smoke", "quick", ["encode"])) == {"encode": True}


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no part 'sfd': choose of encode, sft, raft"):
        list(measure_parts(tmp_path, "smoke", "quick", ["sfd"]))


@pytest.fixture
def reports(measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command leaves what it measured."""
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path))
    return tmp_path


def test_the_command_says_what_it_did(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["speed", "all", "--quick", "--profile", "smoke", "--only", "encode", "mix"]
    for said in ("encode: measured\n", "encode: measured before\n"):
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert said in err
        assert "| encode | slow | ours |" in out
    said = json.loads((reports / "speed" / "encode_smoke.json").read_text())
    assert said["units"] == {"encode": [1, "clip"]}


@pytest.mark.usefixtures("reports")
def test_growth_alone_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "all", "--quick", "--profile", "smoke", "--only", "growth"]) == 0
    assert "| encode | ours | 1 to 4 | 3 | 1.00 |" in capsys.readouterr().out


def test_curves_have_points_enough_for_a_slope() -> None:
    for depth in DEPTHS.values():
        curves = growth_points(depth, batch=8)
        for curve, points in curves.items():
            ways = {(p.work, p.way) for p in points}
            for work, way in ways:
                own = [p for p in points if (p.work, p.way) == (work, way)]
                assert len({getattr(p, curve) for p in own}) == len(own) >= 3, (curve, work, way)
        assert all(p.size % 8 == 0 for p in curves["size"] if p.work == "SFT")
        assert all(8 % p.batch == 0 for p in curves["batch"] if p.work == "SFT")
    assert max(p.size for p in curves["size"] if p.work == "three-stage mix") == 192_129
    assert set(PARTS) == {
        "encode", "sft", "raft", "evaluate", "near_duplicates", "mix", "synthesis"
    }  # fmt: skip
