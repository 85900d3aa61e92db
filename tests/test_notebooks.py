"""Every notebook: thin, parameterised like its files, the same from any runner and folder."""

from __future__ import annotations

import ast
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml

from evoxtral import params, runs

NOTEBOOKS = sorted((runs.root() / "notebooks").glob("*.ipynb"))
MOST_LINES, MEDIAN_LINES = 15, 5
STAGES = {
    "00_tiny_base": 3,
    "01_data_mix": 3,
    "02_sft": 12,
    "03_raft": 17,
    "04_benchmark": 19,
    "05_speed": 0,
}
"""Stages each notebook must execute with an empty `runs/`."""

TRAINING = {"02_sft", "03_raft", "04_benchmark"}
"""Notebooks whose runner matrix is left to `make check`; `test_report_smoke` runs them once."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
training_in_check = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.check] if path.stem in TRAINING else [])
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_a_notebook_for_every_model_of_parameters() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(params.NOTEBOOKS)


@each_notebook
def test_a_notebook_is_thin(path: Path) -> None:
    sizes = []
    for number, cell in enumerate(code_cells(path)):
        tree = ast.parse(cell.source)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, kinds) for node in ast.walk(tree)), f"cell {number}"
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(lines) <= MOST_LINES, f"cell {number}"
            sizes.append(len(lines))
    assert statistics.median(sizes) <= MEDIAN_LINES


@each_notebook
def test_a_notebook_is_stored_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
    text = path.read_text(encoding="utf-8")
    assert str(Path.home()) + "/" not in text


@each_notebook
def test_every_code_cell_is_introduced(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    work = False
    for before, cell in pairwise(cells):
        if work and cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.source
        work = work or "params.load(" in cell.source


@each_notebook
def test_the_parameters_cell_equals_the_tiny_file(path: Path) -> None:
    inferred = papermill.inspect_notebook(path)
    cell = {name: ast.literal_eval(facts["default"]) for name, facts in inferred.items()}
    assert cell == yaml.safe_load(
        (runs.root() / "params" / "tiny" / f"{path.stem}.yaml").read_text()
    )
    assert all(facts["help"] for facts in inferred.values()), "each parameter has a help comment"
    assert all(facts["inferred_type_name"] != "None" for facts in inferred.values())
    assert set(cell) == set(params.NOTEBOOKS[path.stem].model_fields)
    for file in (runs.root() / "params").glob(f"*/{path.stem}.yaml"):
        assert set(yaml.safe_load(file.read_text())) <= set(cell), file


@dataclass(frozen=True)
class Place:
    """An isolated place to run a notebook: its own copy, runs and reports."""

    notebook: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "EVOXTRAL_RUNS": str(self.folder / "runs"),
            "EVOXTRAL_REPORTS": str(self.folder / "reports"),
            "EVOXTRAL_ROOT": str(runs.root()),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }

    def run(self, *command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def results(self) -> bytes:
        """`results.json`, after checking that this run built what it needed."""
        name = self.notebook.stem
        folder = self.folder / "reports" / "smoke" / name
        stages = json.loads((folder / "provenance.json").read_text())["stages"]
        assert sum(stage["executed"] for stage in stages) == STAGES[name]
        return (folder / "results.json").read_bytes()


def smoke_copy(path: Path, folder: Path) -> Place:
    """The notebook with the smoke parameters injected, as nbval and nbconvert can run it."""
    folder.mkdir(parents=True)
    copy = folder / path.name
    values = params.profile(params.NOTEBOOKS[path.stem], "smoke").model_dump()
    papermill.execute_notebook(path, copy, parameters=values, prepare_only=True)
    return Place(copy, folder)


def execute(place: Place, runner: str, cwd: Path) -> bytes:
    copy = str(place.notebook)
    if runner == "papermill":
        place.run("papermill", copy, str(place.folder / "out.ipynb"), "-k", "python3", cwd=cwd)
    elif runner == "nbconvert":
        options = ("--to", "notebook", "--execute", "--output", "out.ipynb")
        place.run("jupyter", "nbconvert", *options, copy, cwd=cwd)
    else:
        options = ("-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "-q")
        place.run("pytest", *options, "--rootdir", str(place.folder), copy, cwd=cwd)
    return place.results()


RUNNERS = ("papermill", "nbconvert", "nbval")


@pytest.mark.slow
@training_in_check
def test_every_runner_gives_the_same_results(path: Path, repo: Path, tmp_path: Path) -> None:
    """Each runner from another folder; `make check` crosses them all."""
    folders = (repo, repo / "notebooks", tmp_path)
    results = {
        execute(smoke_copy(path, tmp_path / runner), runner, cwd)
        for runner, cwd in zip(RUNNERS, folders, strict=True)
    }
    assert len(results) == 1


@pytest.mark.check
@each_notebook
@pytest.mark.parametrize("runner", RUNNERS)
def test_the_folder_makes_no_difference(
    path: Path, runner: str, repo: Path, tmp_path: Path
) -> None:
    folders = {
        "root": repo,
        "notebooks": repo / "notebooks",
        "elsewhere": tmp_path,
        "top": Path("/"),
    }
    results = {
        execute(smoke_copy(path, tmp_path / name), runner, cwd) for name, cwd in folders.items()
    }
    assert len(results) == 1


@pytest.mark.slow
@each_notebook
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("prfile", "smoke", "unknown parameter 'prfile'"),
        ("profile", "nope", "parameter 'profile' of"),
    ],
)
def test_a_wrong_parameter_stops_before_any_work(
    path: Path, name: str, value: str, sentence: str, tmp_path: Path
) -> None:
    place = Place(tmp_path / path.name, tmp_path)
    shutil.copyfile(path, place.notebook)
    command = ("papermill", str(place.notebook), str(tmp_path / "out.ipynb"), "-p", name, value)
    done = place.run(*command, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "reports").exists()
