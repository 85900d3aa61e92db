"""Tagged text in, speech out: same text, voice and seed, same bytes.

The text becomes a score, one fork of espeak-ng speaks all its phrases, their sound is coloured by
their manner, vocal events and gaps go between them, and the whole is put into a room.
"""

from __future__ import annotations

import os
import traceback
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr
from scipy.ndimage import map_coordinates
from scipy.signal import butter, lfilter, oaconvolve

from evoxtral import UserError
from evoxtral.tags import Tag
from evoxtral.world.speech.espeak import Child, Spoken, requests, speak
from evoxtral.world.speech.score import (
    INTENSITY,
    MANNERS,
    Manner,
    Phrase,
    Voice,
    find_voice,
    read_score,
    utterance,
)
from evoxtral.world.speech.vocal import SAMPLE_RATE, Audio, seconds, vocalise

WINDOW_SECONDS = 8.0
"""What the embedded model hears at once."""

MAX_SECONDS = 7.8
"""Longest clip that is safe to put into the window."""

VARIES: dict[str, tuple[float, float]] = {
    "rate": (-0.12, 0.12),  # change of the speaker's rate
    "pitch": (-2.0, 2.0),  # semitones from the speaker's pitch
    "range": (-12.0, 12.0),  # steps of espeak-ng's pitch range
    "tract": (0.95, 1.05),  # factor on formants and pitch: a shorter or longer vocal tract
    "tilt": (-2.0, 2.0),  # dB above 1.5 kHz
    "breath": (0.0, 0.03),  # level of aspiration noise relative to the voice
    "phrase_gain": (-1.5, 1.5),  # dB, drawn for each phrase
    "level": (-30.0, -20.0),  # of neutral speech, dB relative to full scale
    "noise": (22.0, 45.0),  # signal-to-noise ratio in dB
    "lead": (0.05, 0.3),  # seconds of silence before the first sound
    "tail": (0.05, 0.3),  # and after the last
    "gap": (0.1, 0.25),  # seconds between sentences
    "ellipsis": (0.2, 0.33),  # after a sentence that trails off
    "joint": (0.02, 0.08),  # where the manner changes within a sentence
    "breath_gap": (0.04, 0.15),  # before and after a vocal event
    "pause": (0.5, 1.0),  # of a `[pause]`, instead of the gap
    "emphasis": (3.0, 6.0),  # dB, drawn for each emphasised word
}
"""How much clips vary: each range is drawn from once per clip, or for each gap or event."""

ROOM = 0.5
"""Chance of a reverberant room."""

_PEAK = 0.97
_RELEASE = seconds(0.02)
_VOWELS = "aeiouAEIOUVQ@03"
_THIN = butter(2, 350, "highpass", fs=SAMPLE_RATE)
_AHEAD = 4
_WORKER = f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))"

Span = tuple[float, float, str]


class Mark(NamedTuple):
    """What sounds from sample `start` up to `end`."""

    start: int
    end: int
    kind: Literal["phoneme", "word", "event", "style"]
    label: str


class Take(NamedTuple):
    """Audio at 16 kHz, shape (n,), and its marks."""

    audio: Audio
    marks: tuple[Mark, ...] = ()

    def kind(self, kind: str) -> list[Mark]:
        """The marks of a kind."""
        return [mark for mark in self.marks if mark.kind == kind]

    def cut(self, start: int, end: int) -> Take:
        """The part from sample `start` up to `end`, marks trimmed to it."""
        kept = (
            mark._replace(start=max(mark.start, start) - start, end=min(mark.end, end) - start)
            for mark in self.marks
            if mark.start < end and mark.end > start
        )
        return Take(self.audio[start:end], tuple(kept))


@dataclass(frozen=True)
class Rendered:
    """A clip: samples in [-1, 1], shape (n,), 16 kHz, and (start, end, label) in seconds, sorted.

    The samples lie on the 16-bit grid, so 16-bit files hold them exactly.
    """

    audio: npt.NDArray[np.float32]
    phonemes: tuple[Span, ...]  # espeak-ng's; what lies between them is not speech
    words: tuple[Span, ...]  # as spelt in the tagged text
    events: tuple[Span, ...]  # vocal events and pauses
    styles: tuple[Span, ...]  # emotions, deliveries, stammers and `emphasis`

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.audio) / SAMPLE_RATE


def render(tagged_text: str, voice: Voice, seed: int) -> Rendered:
    """Perform words, `[tags]` and CAPITALS; the seed, at least 0, decides all that is drawn."""
    rng = np.random.default_rng(seed)
    dry = _perform(read_score(tagged_text), voice, rng)
    take = _join([_silence(_draw("lead", rng)), dry, _silence(_draw("tail", rng))])
    audio = _record(take.audio, rng)
    spans = [
        tuple(sorted((m.start / SAMPLE_RATE, m.end / SAMPLE_RATE, m.label) for m in take.kind(k)))
        for k in ("phoneme", "word", "event", "style")
    ]
    return Rendered(audio, *spans)


def _draw(name: str, rng: np.random.Generator) -> float:
    return rng.uniform(*VARIES[name])


def _join(takes: Iterable[Take]) -> Take:
    """Takes one after the other."""
    pieces, marks, offset = [np.zeros(0)], [], 0
    for take in takes:
        pieces.append(take.audio)
        marks += [m._replace(start=m.start + offset, end=m.end + offset) for m in take.marks]
        offset += len(take.audio)
    return Take(np.concatenate(pieces), tuple(marks))


def _silence(duration: float) -> Take:
    return Take(np.zeros(seconds(duration)))


def _perform(score: Sequence[Phrase | str], voice: Voice, rng: np.random.Generator) -> Take:
    """Perform a score, dry and noiseless, neutral speech at RMS 1."""
    manners = _manners(score, rng)
    said = iter(_say(score, manners, voice, rng))
    takes = [next(said) if isinstance(i, Phrase) else _event(i, voice, rng) for i in score]
    gaps = [
        _silence(_gap(item, following, manner.linger, rng))
        for item, following, manner in zip(score, (*score, None)[1:], manners, strict=True)
    ]
    whole = _join(piece for pair in zip(takes, gaps, strict=True) for piece in pair)
    # From the first to the last phrase of each emotion and delivery.
    extents: dict[Tag, Mark] = {}
    cursor = 0
    for item, take, gap in zip(score, takes, gaps, strict=True):
        for style in item.styles if isinstance(item, Phrase) else ():
            start = extents[style].start if style in extents else cursor
            extents[style] = Mark(start, cursor + len(take.audio), "style", style.name)
        cursor += len(take.audio) + len(gap.audio)
    return Take(whole.audio, (*whole.marks, *extents.values()))


def _manners(score: Sequence[Phrase | str], rng: np.random.Generator) -> list[Manner]:
    """The manner of each item: the clip's own neutral voice plus the styles in force."""
    neutral = Manner(**{n: _draw(n, rng) for n in ("rate", "pitch", "range", "tilt", "breath")})
    intensities: dict[Tag, float] = {}
    manners = []
    for item in score:
        styles = item.styles if isinstance(item, Phrase) else ()
        for style in styles:
            intensities.setdefault(style, rng.uniform(*INTENSITY[style.name]))
        manner = replace(neutral, gain=_draw("phrase_gain", rng))
        for style in styles:
            manner = manner.plus(MANNERS[style.name], intensities[style])
        manners.append(manner)
    return manners


def _say(
    score: Sequence[Phrase | str],
    manners: Sequence[Manner],
    voice: Voice,
    rng: np.random.Generator,
) -> list[Take]:
    """The phrases of a score, spoken one after the other by one fork of espeak-ng."""
    cast = [(p, m) for p, m in zip(score, manners, strict=True) if isinstance(p, Phrase)]
    if not cast:
        return []
    asked = [utterance(phrase, voice, manner, rng) for phrase, manner in cast]
    spoken = speak([request for request, _ in asked], int(rng.integers(2**31)))
    tract = _draw("tract", rng)
    return [
        _coloured(phrase, _resampled(phrase, sound, positions, tract), manner, rng)
        for (phrase, manner), (_, positions), sound in zip(cast, asked, spoken, strict=True)
    ]


def _gap(
    item: Phrase | str, following: Phrase | str | None, linger: float, rng: np.random.Generator
) -> float:
    """Seconds of silence after an item; a pause brings its own."""
    if following is None or "pause" in (item, following):
        return 0.0
    if isinstance(item, str) or isinstance(following, str):
        return _draw("breath_gap", rng)
    if not item.closing:
        return _draw("joint", rng)
    return _draw("ellipsis" if item.closing == "..." else "gap", rng) * (1 + linger)


def _event(name: str, voice: Voice, rng: np.random.Generator) -> Take:
    if name == "pause":
        audio = np.zeros(seconds(_draw("pause", rng)))
    else:
        audio = _fade(vocalise(name, voice.f0, voice.gender, rng))
    return Take(audio, (Mark(0, len(audio), "event", name),))


def _resampled(phrase: Phrase, spoken: Spoken, positions: tuple[int, ...], tract: float) -> Take:
    """Speech at 16 kHz without espeak-ng's closing silence, phonemes and words marked.

    Played `tract` times as fast, which moves the formants as a shorter vocal tract would.
    """
    source_rate = spoken.sample_rate * tract
    ratio = SAMPLE_RATE / source_rate
    samples = np.frombuffer(spoken.pcm, dtype="<i2") / 32768
    last = spoken.phonemes[-1][1] if spoken.phonemes else len(samples)
    end = min(len(samples), last + round(_RELEASE / ratio))
    audio = soxr.resample(samples[:end], source_rate, SAMPLE_RATE)
    sounds = [
        Mark(round(start * ratio), round(stop * ratio), "phoneme", symbol)
        for start, stop, symbol in spoken.phonemes
    ]
    edges = [round(edge * ratio) for edge in _word_edges(spoken, positions, last)]
    words = [
        Mark(start, stop, "word", token.text)
        for token, (start, stop) in zip(phrase.tokens, pairwise(edges), strict=True)
    ]
    return Take(audio, (*sounds, *words))


def _word_edges(spoken: Spoken, positions: tuple[int, ...], end: int) -> list[float]:
    """Start of each word and the end of the last; espeak-ng runs some together (`of the`).

    A word without a start of its own shares the time of the word it was run into.
    """
    edges = np.full(len(positions) + 1, np.nan)
    edges[0], edges[-1] = 0.0, end
    for sample, position in spoken.words:
        token = bisect_right(positions, position) - 1
        if token > 0 and np.isnan(edges[token]):
            edges[token] = sample
    known = np.flatnonzero(~np.isnan(edges))
    return list(np.interp(np.arange(len(edges)), known, edges[known]))


def _coloured(phrase: Phrase, take: Take, manner: Manner, rng: np.random.Generator) -> Take:
    """A phrase with the sound of its manner, its emphasis and its stammers."""
    # espeak-ng's whisper keeps a rest of voice below the first formant.
    audio = _normalise(lfilter(*_THIN, take.audio) if phrase.whispered else take.audio)
    audio = _voice_effects(audio, manner, rng) * 10 ** (manner.gain / 20)
    marks = list(take.marks)
    for token, word in zip(phrase.tokens, take.kind("word"), strict=True):
        if token.emphasised:
            audio = _emphasise(audio, word, _draw("emphasis", rng))
            marks.append(word._replace(kind="style", label="emphasis"))
    coloured = Take(_fade(audio), tuple(marks))
    for index, token in enumerate(phrase.tokens):
        if token.stammered:
            coloured = _stammer(coloured, coloured.kind("word")[index], rng)
    return coloured


def _normalise(audio: Audio) -> Audio:
    """Scale to RMS 1 over the samples louder than 5 % of the peak."""
    level = np.abs(audio)
    active = audio[level > 0.05 * level.max(initial=0.0)]
    return audio / np.sqrt(np.mean(active**2)) if active.size else audio


def _fade(audio: Audio) -> Audio:
    """Take the edge off both ends, over 6 ms."""
    length = min(seconds(0.006), len(audio) // 2)
    ramp = np.linspace(0, 1, length, endpoint=False)
    faded = audio.copy()
    faded[:length] *= ramp
    faded[len(audio) - length :] *= ramp[::-1]
    return faded


def _voice_effects(audio: Audio, manner: Manner, rng: np.random.Generator) -> Audio:
    """Tremor, breath, tilt and soft clip of speech at RMS 1; its timing stays within 2 ms."""
    if manner.tremor > 0:
        audio = _tremor(audio, manner.tremor, rng)
    if manner.breath > 0:
        envelope = lfilter([0.01], [1, -0.99], np.abs(audio))
        noise = np.diff(rng.standard_normal(len(audio)), prepend=0.0)
        audio = audio + manner.breath * envelope * noise
    if manner.tilt:
        bright = lfilter([0.79, -0.79], [1, -0.58], audio)
        audio = audio + (10 ** (manner.tilt / 20) - 1) * bright
    if manner.drive > 0:
        audio = np.tanh(manner.drive * 0.35 * audio)
    return _normalise(audio)


def _tremor(audio: Audio, depth: float, rng: np.random.Generator) -> Audio:
    """Shake pitch (by up to 5 % at depth 1) and level, at an uneven 5 to 8 Hz."""
    count = len(audio)
    points = int(count / SAMPLE_RATE * 4) + 2
    speed = np.interp(
        np.linspace(0, points - 1, count), np.arange(points), rng.uniform(5, 8, points)
    )
    phase = 2 * np.pi * (np.cumsum(speed) / SAMPLE_RATE + rng.random())
    stretch = 0.05 * depth * SAMPLE_RATE / (2 * np.pi * 6.5)
    time = np.arange(count) + stretch * np.sin(phase)
    # A cubic spline keeps the high frequencies, whose loss would give the tremor away.
    shaken = map_coordinates(audio, [time], order=3, mode="nearest")
    return shaken * (1 - 0.35 * depth * (1 + np.cos(phase)))


def _emphasise(audio: Audio, word: Mark, gain: float) -> Audio:
    """Raise one word by `gain` dB, over ramps of 10 ms."""
    ramp = seconds(0.01)
    corners = [word.start - ramp, word.start, word.end, word.end + ramp]
    shape = np.interp(np.arange(len(audio)), corners, [0.0, gain, gain, 0.0])
    return audio * 10 ** (shape / 20)


def _stammer(take: Take, word: Mark, rng: np.random.Generator) -> Take:
    """Say the onset of a word two or three times before the word itself.

    The onset runs into the first vowel: `b-b-but`, `a-a-and`.
    """
    vowels = (
        mark.start
        for mark in take.kind("phoneme")
        if word.start <= mark.start < word.end and mark.label[0] in _VOWELS
    )
    first = next(vowels, word.start)
    pieces = [take.cut(0, word.start)]
    for _ in range(rng.integers(2, 4)):
        length = min(first + seconds(rng.uniform(0.04, 0.1)), word.end) - word.start
        onset = take.cut(word.start, word.start + max(length, seconds(0.06)))
        faded = _fade(onset.audio) * rng.uniform(0.75, 1.0)
        pieces.append(Take(faded, tuple(onset.kind("phoneme"))))
        pieces.append(_silence(rng.uniform(0.04, 0.13)))
    stammered = _join([*pieces, take.cut(word.start, len(take.audio))])
    end = len(stammered.audio) - (len(take.audio) - word.end)
    return Take(stammered.audio, (*stammered.marks, Mark(word.start, end, "style", "stammers")))


def _record(audio: Audio, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Room, noise and level, on the 16-bit grid."""
    if rng.random() < ROOM:
        audio = _reverberate(audio, rng)
    noise = 10 ** (-_draw("noise", rng) / 20)
    audio = audio + noise * _background(len(audio), rng)
    audio = audio * 10 ** (_draw("level", rng) / 20)
    audio = audio * min(1.0, _PEAK / max(np.abs(audio).max(), _PEAK))
    return (np.round(audio * 32767) / 32768).astype(np.float32)


def _reverberate(audio: Audio, rng: np.random.Generator) -> Audio:
    """A small furnished room: 80 to 250 ms of decay, 8 to 20 dB below the direct sound."""
    count = seconds(rng.uniform(0.08, 0.25))
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail = lfilter([0.5], [1, -0.5], tail)
    tail[: seconds(0.003)] = 0.0
    tail *= 10 ** (rng.uniform(-20, -8) / 20) / np.sqrt(np.sum(tail**2))
    return audio + oaconvolve(audio, tail)[: len(audio)]


def _background(count: int, rng: np.random.Generator) -> Audio:
    """Steady noise at RMS 1, between white and brown."""
    colour = rng.uniform(0.0, 0.95)
    noise = lfilter([1.0], [1, -colour], rng.standard_normal(count, dtype=np.float32))
    return noise * np.sqrt(1 - colour**2)


class RenderJob(NamedTuple):
    """One clip to render: its key names it in results and errors."""

    key: str
    tagged_text: str
    voice_id: str
    seed: int


def render_many(
    jobs: Iterable[RenderJob], workers: int | None = None
) -> Iterator[tuple[str, Rendered]]:
    """Render clips in worker processes; results come in the order of the jobs.

    The workers are fresh interpreters that load numpy and espeak-ng only: torch or threads in
    this process do not matter. They end with the iteration, also when it is abandoned. Jobs are
    read lazily, a few clips ahead of what has been taken; there is a worker for each processor if
    `workers` is None.

    Raises:
        UserError: A clip cannot be rendered as asked; the message names its key.
        RuntimeError: A worker failed; the message names the key.
    """
    count = workers or _processors()
    idle: SimpleQueue[Child] = SimpleQueue()

    def ask(job: RenderJob) -> Rendered:
        child = idle.get()
        try:
            return child.ask(job)
        except UserError as error:
            raise UserError(f"clip {job.key!r}: {error}") from error
        except Exception as error:
            raise RuntimeError(f"clip {job.key!r} failed: {error}") from error
        finally:
            idle.put(child)

    with ExitStack() as stack:
        for _ in range(count):
            child = Child("-c", _WORKER)
            stack.callback(child.close)
            idle.put(child)
        pool = ThreadPoolExecutor(count)
        stack.callback(pool.shutdown, cancel_futures=True)
        asked = ((job.key, pool.submit(ask, job)) for job in jobs)
        pending = deque(islice(asked, _AHEAD * count))
        while pending:
            key, future = pending.popleft()
            yield key, future.result()
            pending.extend(islice(asked, 1))


def _processors() -> int:
    """Processors this process may use; macOS cannot tell and names all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve(socket: int) -> None:
    """Answer jobs until the other side closes: what a worker process of `render_many` does."""
    with Connection(socket) as connection:
        for job in requests(connection):
            try:
                answer = render(job.tagged_text, find_voice(job.voice_id), job.seed)
            except Exception as error:  # whatever it was, the parent raises it
                error.add_note(traceback.format_exc())
                answer = error
            connection.send(answer)
