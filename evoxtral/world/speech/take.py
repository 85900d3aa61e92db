"""A piece of audio together with the marks that say what sounds where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000

Audio = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """What sounds from sample `start` up to `end`."""

    start: int
    end: int
    kind: Literal["phoneme", "word", "event", "style"]
    label: str


@dataclass(frozen=True, slots=True)
class Take:
    """Audio at 16 kHz, shape (n,), and its marks."""

    audio: Audio
    marks: tuple[Mark, ...] = ()

    def cut(self, start: int, end: int) -> Take:
        """The part from sample `start` up to `end`, marks trimmed to it."""
        kept = (
            replace(mark, start=max(mark.start, start) - start, end=min(mark.end, end) - start)
            for mark in self.marks
            if mark.start < end and mark.end > start
        )
        return Take(self.audio[start:end], tuple(kept))


def join(takes: Iterable[Take]) -> Take:
    """Takes one after the other."""
    pieces, marks, offset = [np.zeros(0)], [], 0
    for take in takes:
        pieces.append(take.audio)
        marks += [
            replace(mark, start=mark.start + offset, end=mark.end + offset) for mark in take.marks
        ]
        offset += len(take.audio)
    return Take(np.concatenate(pieces), tuple(marks))


def seconds(duration: float) -> int:
    """Samples in so many seconds."""
    return round(duration * SAMPLE_RATE)


def silence(duration: float) -> Take:
    """So many seconds of nothing."""
    return Take(np.zeros(seconds(duration)))
