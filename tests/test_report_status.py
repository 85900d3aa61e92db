"""Fresh, stale or missing, and the reason in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evoxtral import params, runs
from evoxtral.cli import main
from evoxtral.report import Report
from evoxtral.report import provenance as status

NAME = "04_benchmark"


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished notebook that used one stage; returns its provenance."""
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(runs, "_used", {})
    runs.stage("made", "smoke", {"k": 1}, lambda folder: _write(folder))
    report = Report(params.profile(params.NOTEBOOKS[NAME], "smoke"))
    report.finish()
    return report.folder / "provenance.json"


def _write(folder: Path) -> None:
    runs.write_text(folder / "file.txt", "content")


def _notebook() -> status.Status:
    [found] = status.notebook_statuses("smoke", [NAME])
    return found


def _stages() -> dict[str, tuple[str, str]]:
    found = status.stage_statuses("smoke", [_notebook()])
    return {one.name.partition("-")[0]: (one.state, one.why) for one in found}


def _edit(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_what_was_just_made_is_fresh() -> None:
    assert (_notebook().state, _notebook().why) == ("fresh", "")
    assert _stages() == {"made": ("fresh", "")}


def test_what_was_not_run_is_missing() -> None:
    [found] = status.notebook_statuses("smoke", ["02_sft"])
    assert (found.state, found.why) == ("missing", "not run yet")


def test_each_cause_is_named(run: Path) -> None:
    said = json.loads(run.read_text())
    modules = said["modules"] | {"evoxtral.tags": "0" * 64, "evoxtral.gone": "0" * 64}
    _edit(run, modules=modules, parameters=said["parameters"] | {"seed": 5}, cells_sha256="")
    found = _notebook()
    assert found.state == "stale"
    assert "parameters changed: seed was 5, is 0" in found.why
    assert "its code cells changed" in found.why
    assert "code changed: evoxtral.gone, evoxtral.tags" in found.why


def test_a_damaged_stage_makes_its_notebook_stale(tmp_path: Path) -> None:
    [file] = (tmp_path / "runs").rglob("file.txt")
    file.unlink()
    assert "stages missing or damaged: made-" in _notebook().why
    assert _stages() == {"made": ("missing", "file.txt is missing")}


def test_stages_that_nothing_uses_and_unfinished_ones(tmp_path: Path) -> None:
    runs.stage("idle", "smoke", {}, lambda folder: _write(folder))
    (tmp_path / "runs" / "smoke" / "torn-0123.partial").mkdir()
    found = _stages()
    assert found["idle"] == ("stale", "no report uses it")
    assert found["torn"][0] == "missing"
    assert "resumes it" in found["torn"][1]


def test_a_stale_notebook_keeps_its_stage_from_being_fresh(run: Path) -> None:
    _edit(run, cells_sha256="")
    assert _stages() == {"made": ("stale", f"only used by {NAME}")}


def test_provenance_of_an_earlier_version_is_stale(run: Path) -> None:
    said = json.loads(run.read_text())
    del said["modules"]
    run.write_text(json.dumps(said))
    assert _notebook().why == "run by an earlier version"


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "missing  02_sft" in printed
    assert "fresh    04_benchmark" in printed
