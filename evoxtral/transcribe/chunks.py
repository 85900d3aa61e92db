"""Cut a recording at its pauses into chunks that a model's window holds.

What is quiet is judged by the recording's own levels. A cut inside speech is made only where
speech goes on without a pause for longer than the window, and then at its quietest moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from evoxtral.clips.audio import SAMPLE_RATE

FRAME = SAMPLE_RATE // 50
"""Samples per level measured: 20 ms."""

_SILENT = -60.0  # dB of full scale; below it nothing is taken for speech
_ABOVE_FLOOR = 6.0  # dB above the recording's quietest frames
_BELOW_SPEECH = 20.0  # dB below its loudest, where a floor is not to be seen
_PAUSE = 15  # frames, 0.3 s: shorter ones belong to the word
_SILENCE = 100  # frames, 2 s: longer ones are left out
_MARGIN = 5  # frames, 0.1 s, kept on both sides: a word fades in and out
_SMOOTH = 5  # frames over which the quietest moment is sought


class Span(NamedTuple):
    """Part of a recording, in samples; the end is not in it."""

    start: int
    end: int


def plan_chunks(audio: npt.NDArray[np.float32], window: int) -> list[Span]:
    """Chunks of speech in order, none longer than the window.

    Neighbouring stretches of speech share a chunk as far as they fit; silences of two seconds and
    more belong to none.

    Args:
        audio: 16 kHz mono, shape (n,).
        window: samples that the model hears at once, one second or more.

    Returns:
        Disjoint spans, each shorter than or as long as the window; none if nothing is loud enough
        to be speech.

    Raises:
        ValueError: the window is shorter than a second.
    """
    if window < SAMPLE_RATE:
        raise ValueError(f"a window of {window} samples is shorter than a second")
    levels = _levels(audio)
    frames = window // FRAME
    runs = [part for run in _speech(levels) for part in _split(run, levels, frames)]
    return [
        Span(start * FRAME, min(end * FRAME, len(audio))) for start, end in _packed(runs, frames)
    ]


def _packed(runs: list[Span], most: int) -> Iterator[Span]:
    """Neighbouring runs together, each chunk ended at the longest pause in its second half."""
    first = 0
    while first < len(runs):
        start = runs[first].start
        last = first
        while (
            last + 1 < len(runs)
            and runs[last + 1].end - start <= most
            and runs[last + 1].start - runs[last].end < _SILENCE
        ):
            last += 1
        if last + 1 < len(runs) and runs[last + 1].start - runs[last].end < _SILENCE:
            late = [i for i in range(first, last + 1) if runs[i].end - start >= most // 2]
            last = max(late or [last], key=lambda i: (runs[i + 1].start - runs[i].end, i))
        yield Span(start, runs[last].end)
        first = last + 1


def _levels(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Level of each frame in dB of full scale; the last frame is filled with silence."""
    padded = np.pad(audio, (0, -len(audio) % FRAME)).reshape(-1, FRAME)
    power = np.einsum("ij,ij->i", padded, padded) / FRAME
    return 10 * np.log10(power + 1e-12)


def _speech(levels: npt.NDArray[np.float32]) -> list[Span]:
    """Stretches of speech between pauses, in frames, with their margins."""
    floor, loud = np.percentile(levels, (5, 95)) if len(levels) else (0.0, 0.0)
    threshold = max(_SILENT, min(floor + _ABOVE_FLOOR, loud - _BELOW_SPEECH))
    sounding = np.flatnonzero(levels > threshold)
    if not len(sounding):
        return []
    breaks = np.flatnonzero(np.diff(sounding) > _PAUSE) + 1
    groups = np.split(sounding, breaks)
    return [
        Span(max(0, int(group[0]) - _MARGIN), min(len(levels), int(group[-1]) + 1 + _MARGIN))
        for group in groups
    ]


def _split(run: Span, levels: npt.NDArray[np.float32], most: int) -> Iterator[Span]:
    """Cut a stretch longer than the window at its quietest moments."""
    smooth = uniform_filter1d(levels[run.start : run.end], _SMOOTH)
    cuts = [run.start]
    while run.end - cuts[-1] > most:
        earliest = cuts[-1] + most // 2 - run.start
        quietest = int(smooth[earliest : earliest + most - most // 2].argmin())
        cuts.append(run.start + earliest + quietest)
    yield from (Span(*ends) for ends in pairwise([*cuts, run.end]))
