"""The folder of a notebook's results: whole, locked, repeatable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from IPython.display import HTML, Image
from matplotlib.figure import Figure

from evoxtral import UserError, params, runs, tables
from evoxtral.params import REPORT_NOTEBOOKS
from evoxtral.report import Report

CFG = params.profile(params.Benchmark, "smoke")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(runs, "_used", {})
    return tmp_path / "reports" / "smoke" / CFG.notebook


def table() -> tables.Table:
    return tables.Table(pd.DataFrame({"tag": ["a_b"], "f1": [1 / 3]}), {"tag": "Tag"}, "One row.")


def figure() -> Figure:
    drawn = Figure()
    drawn.subplots().plot([0, 1], [1, 0])
    drawn.set_label("A falling line")
    return drawn


def write() -> None:
    report = Report(CFG)
    assert isinstance(report.table("scores", table()), HTML)
    shown = report.figure("line", figure())
    assert isinstance(shown, Image)
    assert shown.alt == "A falling line"
    assert "8 files in" in report.finish(f1=1 / 3)


def test_everything_is_written_in_every_format(folder: Path) -> None:
    write()
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *(f"tables/scores.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"figures/line.{suffix}" for suffix in ("svg", "png", "pdf")),
        "results.json",
        "provenance.json",
    }
    assert repr(1 / 3) in (folder / "tables/scores.csv").read_text(), "full precision"
    assert r"\label{tab:scores}" in (folder / "tables/scores.tex").read_text()


def test_two_runs_give_the_same_bytes_but_for_provenance(folder: Path) -> None:
    write()
    first = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    write()
    second = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert first.keys() == second.keys()
    assert {p.name for p in first if first[p] != second[p]} <= {"provenance.json"}


def test_provenance_says_where_it_came_from(folder: Path) -> None:
    write()
    said = json.loads((folder / "provenance.json").read_text())
    assert said["parameters"] == CFG.model_dump()
    assert said["parameters_sha256"] == CFG.digest()
    assert said["code_sha256"] == runs.code_digest(["evoxtral"])
    assert said["versions"]["numpy"]
    assert said["started"] <= said["finished"]


def test_files_of_an_earlier_run_are_dropped_at_the_end(folder: Path) -> None:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures/old.png").touch()
    report = Report(CFG)
    report.table("scores", table())
    assert (folder / "figures/old.png").exists(), "nothing is lost before the end"
    report.finish()
    assert not (folder / "figures/old.png").exists()


def test_results_are_plain_and_rounded(folder: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.123456789, float("nan")]})
    Report(CFG).finish(frame=frame, deep={"x": (np.int64(3), None, "t", True)})
    assert json.loads((folder / "results.json").read_text()) == {
        "frame": [{"a": 1, "b": 0.123457}, {"a": 2, "b": None}],
        "deep": {"x": [3, None, "t", True]},
    }


def test_a_finished_report_takes_nothing_more() -> None:
    report = Report(CFG)
    report.finish()
    with pytest.raises(UserError, match="is finished: run it again"):
        report.table("scores", table())


def test_a_name_is_used_once() -> None:
    report = Report(CFG)
    report.table("scores", table())
    with pytest.raises(ValueError, match="written twice"):
        report.table("scores", table())


def test_a_cell_run_again_starts_over(folder: Path) -> None:
    Report(CFG).table("other", table())
    Report(CFG).table("scores", table())
    again = Report(CFG)
    again.table("scores", table())
    again.finish()
    assert {file.stem for file in (folder / "tables").iterdir()} == {"scores"}


def test_another_process_is_refused_while_a_report_is_open(folder: Path) -> None:
    script = (
        "from evoxtral import params; from evoxtral.report import Report\n"
        "Report(params.profile(params.Benchmark, 'smoke'))\n"
    )
    report = Report(CFG)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "04_benchmark is being written by process" in done.stderr
    report.finish()
    assert folder not in Report._open


def test_the_report_runs_every_notebook_but_the_base_and_the_clock() -> None:
    apart = {"00_tiny_base", "05_speed"}
    assert [*REPORT_NOTEBOOKS] == [name for name in params.NOTEBOOKS if name not in apart]
