"""Progress is shown on standard output, rarely where every line is kept."""

from __future__ import annotations

import pytest

from evoxtral.progress import progress


def test_a_finished_bar_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "synthesis", unit="clip", done=1) as bar:
        bar.update()
        bar.update()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "synthesis: 100%" in printed.out
    assert "3/3" in printed.out


def test_many_quick_steps_make_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10_000, "corpus", unit="clip") as bar:
        for _ in range(10_000):
            bar.update()
    assert capsys.readouterr().out.count("\r") <= 4
