"""The command line: every command listed, none slow to say its help, errors in one sentence."""

from __future__ import annotations

import pytest

from evoxtral import __version__
from evoxtral.cli import main
from helpers import fresh_python

NAMES = ("report", "status", "card", "example", "run", "transcribe")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    listed = {line.split()[0] for line in printed.splitlines() if line.startswith("    ")}
    assert set(NAMES) <= listed


def test_no_command_loads_anything_heavy_to_say_its_help() -> None:
    script = (
        "import contextlib, io, sys; from evoxtral.cli import main\n"
        f"for name in {[[name, '--help'] for name in NAMES]}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(name)\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print({'papermill', 'nbformat', 'scipy', 'torch', 'pandas'} & set(sys.modules))\n"
    )
    assert fresh_python(script).splitlines() == [__version__, "set()"]


@pytest.mark.parametrize("arguments", [[], ["nope"], ["report", "--profile", "huge"]])
def test_wrong_use_exits_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: evoxtral" in capsys.readouterr().err
