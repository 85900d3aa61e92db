"""Corpora by one process and by several are the same, or their speed is not compared."""

from __future__ import annotations

import pytest

from evoxtral.speed import synthesis


def test_processes_build_the_same_corpus() -> None:
    made = synthesis.synthesis(2, 1, (1, 2))
    assert made.plain == ("one process",)
    assert made.ours == ("2 processes",)
    assert made.units == 2
    assert made.facts["audio_seconds"] > 1


def test_different_corpora_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        def __init__(self, digest: str) -> None:
            self.digest = digest

    class Empty:
        clips = ()

    monkeypatch.setattr(synthesis, "build_corpus", lambda *options: Made(str(options[-1])))
    monkeypatch.setattr(synthesis, "load", lambda _: Empty)
    with pytest.raises(RuntimeError, match="speed of wrong results"):
        synthesis.synthesis(2, 1, (1, 2))
