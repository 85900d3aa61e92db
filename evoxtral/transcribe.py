"""Use a model: recordings of any length in; text with times, as JSON, plain text or subtitles.

A recording is cut at its pauses, judged by its own levels, into chunks that a model's window holds.
Only where speech goes on for longer than the window it is cut inside, at its quietest moment.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from evoxtral import runs, tags
from evoxtral.clips.audio import SAMPLE_RATE, ClipError, decode
from evoxtral.decode import transcribe
from evoxtral.model import LogMels, Prompter, merge, open_base

TOKENS_PER_SECOND = 16  # at most; fast English speech with a tag per word has ten
FRAME = SAMPLE_RATE // 50  # samples per level measured: 20 ms

_BATCH = 16  # chunks decoded at once
_SILENT = -60.0  # dB of full scale; below it nothing is taken for speech
_ABOVE_FLOOR = 6.0  # dB above the recording's quietest frames
_BELOW_SPEECH = 20.0  # dB below its loudest, where a floor is not to be seen
_PAUSE = 15  # frames, 0.3 s: shorter ones belong to the word
_SILENCE = 100  # frames, 2 s: longer ones are left out
_MARGIN = 5  # frames, 0.1 s, kept on both sides: a word fades in and out
_SMOOTH = 5  # frames over which the quietest moment is sought


@dataclass(frozen=True)
class Chunk:
    """What was said between two pauses, its times in seconds, to milliseconds.

    It is not `finished` if the model ran into the limit of tokens: the text breaks off.
    """

    start: float
    end: float
    text: str
    finished: bool
    tags: list[str]


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording: chunks in order, none if nothing was loud enough to be speech.

    `repairs` are what was changed to read it, channels mixed, rate converted; `damage` says what
    of it is missing.
    """

    file: str
    seconds: float
    repairs: tuple[str, ...]
    damage: str
    text: str
    plain_text: str
    chunks: list[Chunk]


def transcribe_files(
    paths: Iterable[Path], adapter: Path | None = None, base: str = "tiny", *, shown: bool = False
) -> Iterator[Transcript | ClipError]:
    """Transcribe recordings of any length (`audio.decode`), one after the other.

    The base is `tiny`, a folder, or an id on the hub; an adapter's folder is merged into it. With
    `shown` each recording has a progress bar.

    Yields:
        One result per path; a bad file gives the error that says why, and stops no other.

    Raises:
        UserError: base or adapter cannot be loaded, or do not belong together.
    """
    opened = open_base(base, "auto")
    prompter = Prompter(opened)
    model = merge(opened.model, adapter) if adapter else opened.model
    limit = TOKENS_PER_SECOND * prompter.window // SAMPLE_RATE
    for path in paths:
        try:
            sound = decode(path)
        except ClipError as error:
            yield error
            continue
        samples = sound.samples
        spans = plan_chunks(samples, prompter.window)
        sounds = [samples[start:end] for start, end in spans]
        times = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in spans]
        seconds = [end - start for start, end in times]
        heard = LogMels(sounds.__getitem__, seconds, prompter)
        name = path.name if shown else None
        written = transcribe(model, prompter, heard, limit, _BATCH, name)
        chunks = []
        for (start, end), one in zip(times, written, strict=True):
            text = prompter.text(one.ids)
            found = tags.find_tags(text)
            chunks.append(Chunk(round(start, 3), round(end, 3), text, one.finished, found))
        text = " ".join(chunk.text for chunk in chunks if chunk.text)
        length = round(len(samples) / SAMPLE_RATE, 3)
        said = (text, tags.plain_text(text))
        yield Transcript(path.name, length, sound.repairs, sound.damage, *said, chunks)


class Span(NamedTuple):
    """Part of a recording, in samples or frames; the end is not in it."""

    start: int
    end: int


def plan_chunks(audio: npt.NDArray[np.float32], window: int) -> list[Span]:
    """Disjoint chunks of speech of 16 kHz mono audio, in order, none longer than the window.

    Neighbouring stretches of speech share a chunk as far as they fit, and it ends at the longest
    pause of its second half; silences of two seconds and more belong to none. The window, in
    samples, is a second or more.
    """
    framed = np.pad(audio, (0, -len(audio) % FRAME)).reshape(-1, FRAME)
    power = np.einsum("ij,ij->i", framed, framed) / FRAME
    levels = 10 * np.log10(power + 1e-12)  # dB of full scale
    most = window // FRAME
    parts = [part for run in _speech(levels) for part in _split(run, levels, most)]
    chunks = []
    while parts:
        start, fits = parts[0].start, 1
        while fits < len(parts) and parts[fits].end - start <= most and _joined(parts, fits - 1):
            fits += 1
        if fits < len(parts) and _joined(parts, fits - 1):  # more follows: end at a long pause
            late = [i for i in range(fits) if parts[i].end - start >= most // 2]
            pauses = {i: (parts[i + 1].start - parts[i].end, i) for i in late or [fits - 1]}
            fits = 1 + max(pauses, key=pauses.__getitem__)
        chunks.append(Span(start, parts[fits - 1].end))
        parts = parts[fits:]
    return [Span(start * FRAME, min(end * FRAME, len(audio))) for start, end in chunks]


def _joined(parts: list[Span], i: int) -> bool:
    """Whether the pause after a stretch is short enough to be kept inside a chunk."""
    return parts[i + 1].start - parts[i].end < _SILENCE


def _speech(levels: npt.NDArray[np.float32]) -> list[Span]:
    """Stretches of speech between pauses, in frames, with their margins."""
    floor, loud = np.percentile(levels, (5, 95)) if len(levels) else (0.0, 0.0)
    threshold = max(_SILENT, min(floor + _ABOVE_FLOOR, loud - _BELOW_SPEECH))
    sounding = np.flatnonzero(levels > threshold)
    groups = np.split(sounding, np.flatnonzero(np.diff(sounding) > _PAUSE) + 1)
    return [
        Span(max(0, int(group[0]) - _MARGIN), min(len(levels), int(group[-1]) + 1 + _MARGIN))
        for group in groups
        if len(group)
    ]


def _split(run: Span, levels: npt.NDArray[np.float32], most: int) -> list[Span]:
    """Cut a stretch longer than the window at its quietest moments."""
    smooth = uniform_filter1d(levels[run.start : run.end], _SMOOTH)
    cuts = [run.start]
    while run.end - cuts[-1] > most:
        earliest = cuts[-1] + most // 2 - run.start
        quietest = int(smooth[earliest : earliest + most - most // 2].argmin())
        cuts.append(run.start + earliest + quietest)
    return [Span(*ends) for ends in pairwise([*cuts, run.end])]


def render(transcript: Transcript, form: str) -> str:
    """A transcript as `json`, `text` or `srt`, ended by a newline unless it is empty."""
    if form == "json":
        return runs.json_text(asdict(transcript))
    spoken = [(chunk, " ".join(chunk.text.split())) for chunk in transcript.chunks]
    spoken = [(chunk, line) for chunk, line in spoken if line]
    if form == "text":
        return "".join(f"{line}\n" for _, line in spoken)
    captions = []
    for number, (chunk, line) in enumerate(spoken, start=1):
        # Players read `<i>` and `{\an8}` as formatting.
        caption = re.sub(r"\{\\+", "{", html.escape(line, quote=False))
        captions.append(f"{number}\n{_clock(chunk.start)} --> {_clock(chunk.end)}\n{caption}\n")
    return "\n".join(captions)


def _clock(seconds: float) -> str:
    """Time as SRT writes it.

    >>> _clock(3661.002)
    '01:01:01,002'
    """
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
