"""A wrong parameter stops a notebook in one sentence; a parameter file is never code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evoxtral import UserError, params, runs

GOOD = {
    "profile": "tiny",
    "source": "paper",
    "seed": 0,
    "seeds": 1,
    "split": "",
    "adapter": "",
    "predictions": "",
    "tracker": "disabled",
}


def cell(**changes: Any) -> dict[str, Any]:
    """A notebook's namespace after its parameters cell."""
    return {**GOOD, "params": params, "In": [""], "Out": {}, "_i1": "import this"} | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x = 1; open(1)": 1}, "unknown parameter 'x = 1; open"),
        ({"sorce": "paper"}, "unknown parameter 'sorce' of 04_benchmark: did you mean 'source'?"),
        ({"zzz": 1}, "unknown parameter 'zzz' of 04_benchmark: known: adapter, predictions"),
        ({"profile": "nope"}, r"parameter 'profile' of 04_benchmark is 'nope': Input should be"),
        ({"seed": -1}, "parameter 'seed' of 04_benchmark is -1"),
        ({"seed": float("nan")}, "should be a finite number"),
        ({"seed": [1]}, r"parameter 'seed' of 04_benchmark is \[1\]"),
        ({"source": 7}, "parameter 'source' of 04_benchmark is 7"),
    ],
)
def test_wrong_parameters_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        params.load("04_benchmark", cell(**changes))
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"UserError: {caught.value}"]


def test_the_cell_can_run_again_with_other_variables_about() -> None:
    namespace = cell(seed="0")  # papermill's texts are read as numbers
    assert params.load("04_benchmark", namespace) == params.Benchmark(**GOOD)
    namespace |= {"rows": 3, "seed": 5}
    assert params.load("04_benchmark", namespace).seed == 5
    namespace = cell()
    del namespace["seed"]
    with pytest.raises(UserError, match="parameter 'seed' of 04_benchmark is missing"):
        params.load("04_benchmark", namespace)


def test_digest_depends_on_values_alone() -> None:
    one = params.Benchmark(**GOOD)
    assert one.digest() == params.Benchmark(**dict(reversed(GOOD.items()))).digest()
    assert one.digest() != params.Benchmark(**GOOD | {"seed": 1}).digest()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a: !!python/object/apply:os.system ['true']", "is not plain YAML"),
        (b"\xff\xfe\x00a", "is not plain YAML"),
        (b"- 1", "must hold `name: value` lines"),
    ],
)
def test_a_parameter_file_is_data(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "p.yaml"
    with pytest.raises(UserError, match="does not exist"):
        params.read_yaml(path)
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        params.read_yaml(path)


@pytest.mark.parametrize("path", sorted((runs.root() / "params").glob("*/*.yaml")), ids=str)
def test_every_parameter_file_is_valid(path: Path) -> None:
    cfg = params.profile(params.NOTEBOOKS[path.stem], path.parent.name)
    assert cfg.profile == path.parent.name
    assert cfg._repr_markdown_().count("|\n") == len(cfg.model_dump()) + 1, "each with its meaning"
