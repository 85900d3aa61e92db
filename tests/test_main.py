"""The command line."""

from __future__ import annotations

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


@pytest.mark.parametrize("arguments", [[], ["nope"], ["report", "--profile", "huge"]])
def test_wrong_use_exits_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: evoxtral" in capsys.readouterr().err
