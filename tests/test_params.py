"""A wrong parameter stops a notebook in one sentence; a parameter file is never code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel
from nbconvert.filters import markdown2html
from papermill.translators import PythonTranslator

from evoxtral import UserError, params, runs

GOOD = {
    "profile": "tiny",
    "source": "paper",
    "seed": 0,
    "seeds": 1,
    "language": "en",
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
        ({"zzz": 1}, "unknown parameter 'zzz' of 04_benchmark: known: adapter, language, "),
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


def test_where_no_sources_are_kept_every_plain_value_counts() -> None:
    # papermill's texts are read as numbers
    assert params.load("04_benchmark", cell(seed="0")) == params.Benchmark(**GOOD)


CELLS = {
    "imports": "from pathlib import Path\nfrom evoxtral import params",
    "good": 'profile: str = "tiny"\nseed: int = 0\nmeasure: str = "none"\nresults: str = "tiny"',
    "load": 'print(params.load("05_speed", globals()).model_dump())',
}
CELLS["typo"] = CELLS["good"].replace("measure", "mesure")
CELLS["shorter"] = CELLS["good"].replace("seed: int = 0\n", "")
CELLS["other"] = CELLS["good"].replace("seed: int = 0", "seed: int = seed + 5")
CELLS["unfinished"] = CELLS["good"] + "\nseed: int ="
CELLS["injected"] = PythonTranslator.codify({"mesure": "none"})  # by papermill
CELLS["mended"] = PythonTranslator.codify({"seed": 9})
TYPO = "UserError: unknown parameter 'mesure' of 05_speed: did you mean 'measure'?"
NO_SEED = "UserError: parameter 'seed' of 05_speed is missing: run the cell that assigns it"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Callable[[str], str]]:
    """Runs a cell as JupyterLab does: what it prints, or the last line of its error."""
    manager, client = start_new_kernel(kernel_name="python3")

    def run(source: str) -> str:
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            said.extend(content.get("traceback", [content.get("text", "")])[-1:])

        client.execute_interactive(source, output_hook=hear, timeout=60)
        return "".join(said).strip()

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("load", "parameter 'measure' of 05_speed is missing"),
        ("good load load", "'seed': 0"),
        ("typo load", TYPO),
        ("typo load good load", "'seed': 0"),  # corrected
        ("good load typo load", TYPO),  # added on a rerun
        ("typo good | del mesure | load", "'seed': 0"),
        ("good typo | del mesure | load", "parameter 'measure' of 05_speed is missing"),
        ("good load shorter load", NO_SEED),  # its old value must not count
        ("good | del seed | load", NO_SEED),
        ("good other load", "'seed': 5"),
        ("good load unfinished load", "'seed': 0"),  # the cell did not run
        ("good | rows, seed = 3, 7 | load", "'seed': 7"),
        ("rows = 3 | good load", "'seed': 0"),
        ("good | class Later:\n    seed: int = 7 | load", "'seed': 0"),
        ("good injected load", TYPO),
        ("good injected load mended load", "'seed': 9"),
        ("good injected load good load", "'seed': 0"),
        ("typo mended load good load", "'seed': 0"),
        ("good | seed = Path() | load", "parameter 'seed' of 05_speed is PosixPath('.')"),
    ],
)
def test_cells_can_be_mended_and_run_again_in_any_order(kernel, order: str, said: str) -> None:
    kernel("%reset -f in out")
    steps = ["imports"]
    for part in order.split(" | "):  # names of cells, or the source of one
        steps += part.split() if set(part.split()) <= set(CELLS) else [part]
    *_, last = [kernel(CELLS.get(step, step)) for step in steps]
    assert said in last


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


def test_values_and_meanings_are_shown_as_they_are() -> None:
    cfg = params.profile(params.DataMix, "tiny", {"tag_names": "<laugh>:[laughs]"})
    shown = markdown2html(cfg._repr_markdown_())
    assert "<code>'&lt;laugh&gt;:[laughs]'</code>" in shown
    assert "as in &lt;laughter&gt;:[laughs]" in shown
