"""Use a model: recordings of any length in; text with times, as JSON, plain text or subtitles.

A recording is cut at its pauses, judged by its own levels, into chunks that a model's window holds.
Only where speech goes on for longer than the window it is cut inside, at its quietest moment.
"""

from __future__ import annotations

import html
import os
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
SILENT = -60.0  # dB of full scale; below it nothing is taken for speech

_BATCH = 16  # chunks decoded at once
_ABOVE_FLOOR = 6.0  # dB above the recording's quietest frames
_BELOW_SPEECH = 20.0  # dB below its loudest, where a floor is not to be seen
_PAUSE = 15  # frames, 0.3 s: shorter ones belong to the word
_SILENCE = 100  # frames, 2 s: longer ones are left out
_MARGIN = 5  # frames, 0.1 s, kept on both sides: a word fades in and out
_SMOOTH = 5  # frames over which the quietest moment is sought

_LINE = 42  # characters; of a caption two, as broadcasters have it
_SHORTEST, _LONGEST = 1000, 7000  # milliseconds on the screen
_UNBROKEN = "\N{NO-BREAK SPACE}"  # inside a tag
_SENTENCE = re.compile(r"([.!?…][\"'”’)]*|\[pause\])$")  # its end, where captions end best
_CLAUSE = re.compile(r"[,;:—–][\"'”’)]*$")
# SRT has no escapes, and players take `<i>` and `{\an8}` for formatting.
_SRT = str.maketrans("<>{}", "‹›()")


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
    paths: Iterable[Path],
    adapter: Path | str = "",
    base: str = "tiny",
    *,
    language: str = "en",
    shown: bool = False,
) -> Iterator[Transcript | ClipError]:
    """Transcribe recordings of any length (`audio.decode`), one after the other.

    The base is `tiny`, a folder, or an id on the hub. Into it an adapter is merged, a folder or an
    id, if there is one. `language` is a code of two letters. With `shown` each recording has a
    progress bar.

    Yields:
        One result per path; a bad file gives the error that says why, and stops no other.

    Raises:
        UserError: base or adapter cannot be loaded, or do not belong together.
    """
    opened = open_base(base, "auto")
    prompter = Prompter(opened, language)
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
            text = " ".join(pieces(prompter.text(one.ids)))
            found = tags.find_tags(text)
            chunks.append(Chunk(round(start, 3), round(end, 3), text, one.finished, found))
        text = " ".join(chunk.text for chunk in chunks if chunk.text)
        length = round(len(samples) / SAMPLE_RATE, 3)
        # a locale without UTF-8 decodes names to surrogates, which no file can hold
        file = os.fsencode(path.name).decode("utf-8", "replace")
        said = (text, tags.plain_text(text))
        yield Transcript(file, length, sound.repairs, sound.damage, *said, chunks)


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
    pauses = [after.start - before.end for before, after in pairwise(parts)] + [_SILENCE]
    chunks = []
    while parts:
        start, fits = parts[0].start, 1
        while pauses[fits - 1] < _SILENCE and parts[fits].end - start <= most:
            fits += 1
        if pauses[fits - 1] < _SILENCE:  # more follows: end at a long pause
            late = [i for i in range(fits) if parts[i].end - start >= most // 2]
            fits = 1 + max(late or [fits - 1], key=lambda i: (pauses[i], i))
        chunks.append(Span(start, parts[fits - 1].end))
        parts, pauses = parts[fits:], pauses[fits:]
    return [Span(start * FRAME, min(end * FRAME, len(audio))) for start, end in chunks]


def _speech(levels: npt.NDArray[np.float32]) -> list[Span]:
    """Stretches of speech between pauses, in frames, with their margins."""
    floor, loud = np.percentile(levels, (5, 95)) if len(levels) else (0.0, 0.0)
    threshold = max(SILENT, min(floor + _ABOVE_FLOOR, loud - _BELOW_SPEECH))
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


def pieces(text: str, keep_tags: bool = True) -> list[str]:
    """Words and tags of a text in order, its broken brackets repaired; without tags on request."""
    read = tags.parse(text)
    made = list(read.words)
    for tag in reversed(read.tags) if keep_tags else ():
        made.insert(tag.word_index, f"[{tag.name}]")
    return made


class Caption(NamedTuple):
    """What stands on the screen, in one or two lines, and from when to when in milliseconds."""

    start: int
    end: int
    text: str


def captions(transcript: Transcript, keep_tags: bool = True) -> list[Caption]:
    """Subtitles: at most two lines of 42 characters, 1 to 7 s long, none over another.

    They end with a chunk, and inside it rather at punctuation or `[pause]`; there, times are in
    proportion to characters. Where speech is too dense for the limits they run late.
    """
    made: list[Caption] = []
    free = 0  # from when on the screen is
    for chunk in transcript.chunks:
        parts = [piece.replace(" ", _UNBROKEN) for piece in pieces(chunk.text, keep_tags)]
        words = [word[i : i + _LINE] for word in parts for i in range(0, len(word), _LINE)]
        pace = 1000 * (chunk.end - chunk.start) / max(1, len(" ".join(words)))
        at = 1000 * chunk.start
        for text in _cut(words, pace):
            start = max(round(at), free)
            free = max(start + _SHORTEST, min(round(at + len(text) * pace), start + _LONGEST))
            made.append(Caption(start, free, "\n".join(_lines(text)).replace(_UNBROKEN, " ")))
            at += (len(text) + 1) * pace
    return made


def _cut(words: list[str], pace: float) -> list[str]:
    """Texts of few captions that end well and are not short, at milliseconds per character."""
    best: list[tuple[float, list[str]]] = [(0.0, [])]  # of the first words
    for end in range(1, len(words) + 1):
        ways = []
        for first in reversed(range(end)):
            text = " ".join(words[first:end])
            too_long = len(text) * pace > _LONGEST or max(map(len, _lines(text))) > _LINE
            if ways and too_long:
                break
            cost, before = best[first]
            if not _SENTENCE.search(text):
                cost += 0.5 if _CLAUSE.search(text) else 1.5
            cost += 1 + max(0.0, 1 - len(text) * pace / _SHORTEST)
            ways.append((cost, [*before, text]))
        best.append(min(ways))
    return best[-1][1]


def _lines(text: str) -> tuple[str, ...]:
    """A text in one line, or in two of lengths as equal as can be."""
    halves = [(text[:i], text[i + 1 :]) for i, mark in enumerate(text) if mark == " "]
    if len(text) <= _LINE or not halves:
        return (text,)
    return min(halves, key=lambda pair: max(map(len, pair)))


def render(transcript: Transcript, form: str, keep_tags: bool = True) -> str:
    """A transcript as `json`, `text`, `srt` or `vtt`; text and SRT are empty where no words are."""
    if form == "json":
        return runs.json_text(asdict(transcript))
    if form == "text":
        lines = (" ".join(pieces(chunk.text, keep_tags)) for chunk in transcript.chunks)
        return "".join(f"{line}\n" for line in lines if line)
    blocks = ["WEBVTT\n"] if form == "vtt" else []
    for number, one in enumerate(captions(transcript, keep_tags), start=1):
        times = f"{_clock(one.start)} --> {_clock(one.end)}"
        if form == "vtt":
            blocks.append(f"{times.replace(',', '.')}\n{html.escape(one.text, quote=False)}\n")
        else:
            blocks.append(f"{number}\n{times}\n{one.text.translate(_SRT)}\n")
    return "\n".join(blocks)


def _clock(milliseconds: int) -> str:
    """Time as SRT writes it, `01:01:01,002`."""
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
