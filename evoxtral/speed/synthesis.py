"""Corpus synthesis: scripts to spoken clips on disk, by one process and by several."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from evoxtral.clips import CorpusSizes, build_corpus, load
from evoxtral.speed.measure import Comparison, alternate, clocked

__all__ = ["processes_tried", "synthesis", "way"]


def processes_tried(cores: int | None = None) -> tuple[int, ...]:
    """Numbers of processes to compare: one, two, and all cores where there are more.

    >>> processes_tried(1), processes_tried(2), processes_tried(16)
    ((1, 2), (1, 2), (1, 2, 16))
    """
    return tuple(sorted({1, 2, cores or os.cpu_count() or 1}))


def way(processes: int) -> str:
    """Name of the way that takes so many processes."""
    return "one process" if processes == 1 else f"{processes} processes"


def synthesis(clips: int, repeats: int, processes: Sequence[int] | None = None) -> Comparison:
    """Measure building a corpus, its plan and files included.

    Args:
        clips: of it.
        repeats: rounds that count.
        processes: numbers of them to compare, the first being the straightforward one.

    Raises:
        RuntimeError: the corpora are not the same, byte for byte.
    """
    tried = tuple(processes or processes_tried())
    seconds: list[float] = []

    def build(count: int) -> str:
        with tempfile.TemporaryDirectory() as folder:
            made = build_corpus(Path(folder), CorpusSizes(clips, 0, 0, 0, 0, 0, 0, 0), 0, count)
            if not seconds:
                seconds.append(sum(clip.seconds or 0.0 for clip in load(Path(folder)).clips))
            return made.digest

    ways = {way(count): clocked(lambda _, count=count: build(count)) for count in tried}
    rounds, _ = alternate(ways, repeats, _check)
    first, *others = ways
    facts = {"audio_seconds": round(seconds[0], 1)}
    return Comparison(
        "corpus synthesis", "clip", clips, rounds, (first,), tuple(others), None, facts
    )


def _check(made: Mapping[str, str]) -> None:
    if len(set(made.values())) != 1:
        raise RuntimeError(
            "corpora built by different numbers of processes differ: the speed of wrong results "
            "says nothing"
        )
