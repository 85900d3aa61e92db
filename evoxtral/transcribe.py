"""Use a model: recordings of any length in; text with times, as JSON, plain text or subtitles.

A recording is cut at its pauses into chunks that a model's window holds, and decoded in batches
over all files. What is quiet is judged by the recording's own levels. A cut inside speech is made
only where speech goes on without a pause for longer than the window, and then at its quietest
moment.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from transformers import VoxtralForConditionalGeneration

from evoxtral import runs, tags
from evoxtral.clips import SAMPLE_RATE, BadAudioError, decode
from evoxtral.decode import transcribe
from evoxtral.model import LogMels, Prompter, merge, open_base
from evoxtral.processes import progress

TOKENS_PER_SECOND = 16
"""Most tokens written for a second of sound; fast English speech with a tag per word has ten."""

_AT_ONCE = 64  # chunks read before they are decoded: as much sound as is held in memory


class Failure(NamedTuple):
    """A recording that cannot be transcribed, and why."""

    path: Path
    reason: str


class _Read(NamedTuple):
    """A recording cut into chunks."""

    path: Path
    samples: npt.NDArray[np.float32]
    spans: list[Span]
    repairs: tuple[str, ...]


def transcribe_files(
    paths: Iterable[Path | str],
    adapter: Path | str | None = None,
    base: str = "tiny",
    *,
    device: str = "auto",
    batch: int = 16,
    shown: bool = False,
) -> list[Transcript | Failure]:
    """Transcribe WAV, FLAC, MP3 or OGG files of any length.

    Args:
        paths: the recordings.
        adapter: folder of a LoRA adapter, merged into the base; None takes the base alone.
        base: `tiny`, a folder, or the id of a Voxtral on the hub.
        device: `auto`, `cpu` or `cuda`.
        batch: chunks decoded at once.
        shown: whether a progress bar is drawn.

    Returns:
        One result per path, in order; a bad file is a `Failure` and stops no other.

    Raises:
        UserError: the base or the adapter cannot be loaded, or they do not belong together.
    """
    opened = open_base(base, device)
    prompter = Prompter(opened)
    model = merge(opened.model, Path(adapter)) if adapter else opened.model
    files = [Path(path) for path in paths]
    results: list[Transcript | Failure] = []
    with progress(len(files), "recordings", unit="file", shown=shown) as bar:
        for group in _groups(files, prompter.window):
            results += _transcribed(group, model, prompter, batch)
            bar.update(len(group))
    return results


def _groups(files: Iterable[Path], window: int) -> Iterator[list[_Read | Failure]]:
    """Files read, in groups of enough chunks to fill batches."""
    group: list[_Read | Failure] = []
    chunks = 0
    for path in files:
        try:
            samples, repairs = decode(path)
        except BadAudioError as error:
            group.append(Failure(path, str(error)))
            continue
        spans = plan_chunks(samples, window)
        group.append(_Read(path, samples, spans, repairs))
        chunks += len(spans)
        if chunks >= _AT_ONCE:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _transcribed(
    group: Sequence[_Read | Failure],
    model: VoxtralForConditionalGeneration,
    prompter: Prompter,
    batch: int,
) -> Iterator[Transcript | Failure]:
    spans = [(one, span) for one in group if isinstance(one, _Read) for span in one.spans]
    sounds = [one.samples[span.start : span.end] for one, span in spans]
    limit = TOKENS_PER_SECOND * prompter.window // SAMPLE_RATE
    seconds = [len(sound) / SAMPLE_RATE for sound in sounds]
    heard = LogMels(sounds.__getitem__, len(sounds), prompter)
    made = iter(transcribe(model, prompter, heard, seconds, limit, batch))
    for one in group:
        if isinstance(one, Failure):
            yield one
            continue
        chunks = tuple(
            Chunk(start / SAMPLE_RATE, end / SAMPLE_RATE, prompter.text(text.ids), text.finished)
            for (start, end), text in zip(one.spans, made, strict=False)
        )
        yield Transcript(one.path, len(one.samples) / SAMPLE_RATE, chunks, one.repairs)


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
    """Disjoint chunks of speech of 16 kHz mono audio, in order, none longer than the window.

    Neighbouring stretches of speech share a chunk as far as they fit; silences of two seconds and
    more belong to none. The window, in samples, is a second or more.

    Raises:
        ValueError: the window is shorter than a second.
    """
    if window < SAMPLE_RATE:
        raise ValueError(f"a window of {window} samples is shorter than a second")
    levels = _levels(audio)
    frames = window // FRAME
    parts = [part for run in _speech(levels) for part in _split(run, levels, frames)]
    return [
        Span(start * FRAME, min(end * FRAME, len(audio))) for start, end in _packed(parts, frames)
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
    groups = np.split(sounding, np.flatnonzero(np.diff(sounding) > _PAUSE) + 1)
    return [
        Span(max(0, int(group[0]) - _MARGIN), min(len(levels), int(group[-1]) + 1 + _MARGIN))
        for group in groups
        if len(group)
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


class Chunk(NamedTuple):
    """What was said between two pauses, its times in seconds from the start of the recording.

    It is not `finished` if the model ran into the limit of tokens: the text breaks off.
    """

    start: float
    end: float
    text: str
    finished: bool


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording: chunks in order, none if nothing was loud enough to be speech.

    `repairs` are what was changed to read it: channels mixed, rate converted.
    """

    path: Path
    seconds: float
    chunks: tuple[Chunk, ...]
    repairs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole tagged transcript."""
        return " ".join(chunk.text for chunk in self.chunks if chunk.text)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable value; times are rounded to milliseconds."""
        return {
            "file": self.path.name,
            "seconds": round(self.seconds, 3),
            "text": self.text,
            "plain_text": tags.plain_text(self.text),
            "repairs": list(self.repairs),
            "chunks": [
                {
                    **chunk._asdict(),
                    "start": round(chunk.start, 3),
                    "end": round(chunk.end, 3),
                    "tags": tags.find_tags(chunk.text),
                }
                for chunk in self.chunks
            ],
        }


def _line(text: str) -> str:
    return " ".join(text.split())


def _caption(text: str) -> str:
    r"""Text that a player shows as it is: no markup, no line that ends the caption.

    Players read `<i>` and `{\an8}` as formatting, and an arrow or an empty line as structure.

    >>> _caption("[calm] a <b>\n\n{\\an8} --> & b")
    '[calm] a &lt;b&gt; {an8} --&gt; &amp; b'
    """
    return re.sub(r"\{\\+", "{", html.escape(_line(text), quote=False))


def _clock(seconds: float) -> str:
    """Time as SRT writes it.

    >>> _clock(3661.0015)
    '01:01:01,002'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


FORMATS = ("json", "text", "srt")


def render(transcript: Transcript, form: str) -> str:
    """A transcript in one of `FORMATS`, ended by a newline unless it is empty."""
    if form == "json":
        return runs.json_text(transcript.to_dict())
    spoken = [chunk for chunk in transcript.chunks if _line(chunk.text)]
    if form == "text":
        return "".join(f"{_line(chunk.text)}\n" for chunk in spoken)
    return "\n".join(
        f"{number}\n{_clock(chunk.start)} --> {_clock(chunk.end)}\n{_caption(chunk.text)}\n"
        for number, chunk in enumerate(spoken, start=1)
    )
