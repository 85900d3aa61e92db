"""Every notebook as it is stored: thin, clean, parameterised like its files."""

from __future__ import annotations

import ast
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml

from evoxtral import params, runs

NOTEBOOKS = sorted(runs.named("notebooks").glob("*.ipynb"))
MOST_LINES, MEDIAN_LINES = 15, 5

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


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
    assert str(Path.home()) + "/" not in path.read_text(encoding="utf-8")


@each_notebook
def test_parameters_are_read_before_any_work_and_work_is_introduced(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    [loads] = [n for n, cell in enumerate(cells) if "params.load(" in cell.source]
    assert f'cfg = params.load("{path.stem}", globals())' in cells[loads].source
    imports, parameters = code_cells(path)[:2]
    kinds = (ast.Import, ast.ImportFrom)
    assert all(isinstance(node, kinds) for node in ast.parse(imports.source).body)
    assert parameters.metadata.tags == ["parameters"]
    assert code_cells(path)[2].source == cells[loads].source
    for before, cell in pairwise(cells[loads:]):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.source


@each_notebook
def test_the_parameters_cell_equals_the_tiny_file(path: Path) -> None:
    inferred = papermill.inspect_notebook(path)
    cell = {name: ast.literal_eval(facts["default"]) for name, facts in inferred.items()}
    assert cell == yaml.safe_load(runs.named(f"params/tiny/{path.stem}.yaml").read_text())
    assert all(facts["help"] for facts in inferred.values()), "each parameter has a help comment"
    assert all(facts["inferred_type_name"] != "None" for facts in inferred.values())
    assert set(cell) == set(params.NOTEBOOKS[path.stem].model_fields)
    for file in runs.named("params").glob(f"*/{path.stem}.yaml"):
        assert set(yaml.safe_load(file.read_text())) <= set(cell), file
