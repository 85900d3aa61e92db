"""The commands: one light module each, all listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoxtral import cli
from evoxtral.__main__ import main
from helpers import fresh_python

NAMES = [module.__name__.rpartition(".")[2] for module in cli.COMMANDS]


def test_every_module_of_the_package_is_a_command() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert files - {"__init__", "kinds"} == set(NAMES)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    listed = {line.split()[0] for line in printed.splitlines() if line.startswith("    ")}
    assert set(NAMES) <= listed


def test_no_command_loads_anything_heavy_to_say_its_help() -> None:
    script = (
        "import contextlib, io, sys; from evoxtral.__main__ import main\n"
        f"for name in {NAMES}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main([name, '--help'])\n"
        "print({'papermill', 'nbformat', 'scipy', 'torch', 'pandas'} & set(sys.modules))\n"
    )
    assert fresh_python(script) == "set()\n"
