"""The command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evoxtral import __version__
from evoxtral.__main__ import main
from helpers import fresh_python


def test_help_and_version_need_no_heavy_import() -> None:
    script = (
        "import sys; from evoxtral.__main__ import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print({'papermill', 'scipy', 'torch', 'pandas'} & set(sys.modules))\n"
    )
    assert fresh_python(script).splitlines() == [__version__, "set()"]


@pytest.mark.parametrize("arguments", [[], ["nope"], ["report", "--profile", "huge"], ["speed"]])
def test_wrong_use_exits_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: evoxtral" in capsys.readouterr().err


def test_an_error_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.json"
    assert main(["speed", "near-duplicates", "--scripts", str(missing)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("evoxtral: ")
    assert said.count("\n") == 1
    assert "none.json" in said


def test_the_near_duplicate_curve_is_written(
    released_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "curve.csv"
    options = ["--scripts", str(released_path), "--largest", "1010", "--csv", str(csv)]
    assert main(["speed", "near-duplicates", *options]) == 0
    curve = pd.read_csv(csv)
    assert curve[["texts", "found"]].to_numpy().tolist() == [[1010, 17]]
    assert "keep_first" in capsys.readouterr().out
