"""Tagged scripts become audio: voices, prosody, vocal events, rooms.

Same text, voice and seed, same bytes. One fork of espeak-ng speaks all phrases of a text; they are
coloured by their manner, joined with events and gaps, and put into a room.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from threading import Thread
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr
from joblib import Parallel, delayed
from scipy.ndimage import map_coordinates
from scipy.signal import butter, lfilter, oaconvolve

from evoxtral.tags import Tag, group_of
from evoxtral.world.speech.espeak import Spoken, speak
from evoxtral.world.speech.score import (
    CAST,
    HELD_OUT_VOICES,
    TRAINING_VOICES,
    VOICES,
    Manner,
    Phrase,
    Voice,
    find_voice,
    read_score,
    utterance,
)
from evoxtral.world.speech.vocal import (
    SAMPLE_RATE,
    Audio,
    Random,
    amplitude,
    contour,
    seconds,
    vocalise,
)

WINDOW_SECONDS = 8.0  # what the embedded model hears at once
MAX_SECONDS = 7.8  # longest clip that is safe to put into the window
ROOM = 0.5  # chance of a reverberant room

_PEAK = 0.97
_VOWELS = "aeiouAEIOUVQ@03"
_THIN = butter(2, 350, "highpass", fs=SAMPLE_RATE)
_AT_ONCE = 500

Span = tuple[float, float, str]


@dataclass(frozen=True)
class Rendered:
    """A clip: samples in [-1, 1], shape (n,), 16 kHz, and (start, end, label) in seconds, sorted.

    The samples lie on the 16-bit grid, so 16-bit files hold them exactly.
    """

    audio: npt.NDArray[np.float32]
    phonemes: tuple[Span, ...]  # espeak-ng's; what lies between them is not speech
    events: tuple[Span, ...]  # vocal events and pauses
    styles: tuple[Span, ...]  # emotions, deliveries and stammers


class Take(NamedTuple):
    """Audio at 16 kHz, shape (n,), and (start, end, label) of what is in it, in samples."""

    audio: Audio
    marks: tuple[tuple[int, int, str], ...] = ()

    def cut(self, start: int, end: int) -> Take:
        """The part from sample `start` up to `end`, marks trimmed to it."""
        kept = (
            (max(first, start) - start, min(last, end) - start, label)
            for first, last, label in self.marks
            if first < end and last > start
        )
        return Take(self.audio[start:end], tuple(kept))

    def then(self, other: Take) -> Take:
        """This take, and the other after it."""
        at = len(self.audio)
        later = ((start + at, end + at, label) for start, end, label in other.marks)
        return Take(np.concatenate([self.audio, other.audio]), (*self.marks, *later))


def render(tagged_text: str, voice: Voice, seed: int) -> Rendered:
    """Perform words, `[tags]` and CAPITALS; the seed, at least 0, decides all that is drawn."""
    rng = np.random.default_rng(seed)
    score = read_score(tagged_text)
    manners = _manners(score, rng)
    said = _say(score, manners, voice, rng)
    takes = [_event(item.event, voice, rng) if item.event else said.pop(0) for item in score]
    gaps = [
        _gap(item, following, manner["linger"], rng)
        for (item, following), manner in zip(pairwise((*score, None)), manners, strict=True)
    ]
    whole, tail = (_silence(_draw(name, rng)) for name in ("lead", "tail"))
    extents = {}  # from the first to the last phrase of each style
    for item, take, gap in zip(score, takes, gaps, strict=True):
        start = len(whole.audio)
        for style in item.styles:
            first, _ = extents.get(style, (start, 0))
            extents[style] = first, start + len(take.audio)
        whole = whole.then(take).then(_silence(gap))
    audio = _record(whole.then(tail).audio, rng)
    marks = [*whole.marks, *((*extent, style.name) for style, extent in extents.items())]
    spans = {"phonemes": [], "events": [], "styles": []}
    kinds = {"other": "phonemes", "nonverbal": "events", "pause": "events"}
    for start, end, label in marks:
        span = start / SAMPLE_RATE, end / SAMPLE_RATE, label
        spans[kinds.get(group_of(label), "styles")].append(span)
    return Rendered(audio, **{kind: tuple(sorted(found)) for kind, found in spans.items()})


def _draw(name: str, rng: Random) -> float:
    return rng.uniform(*CAST["varies"][name])


def _silence(duration: float) -> Take:
    return Take(np.zeros(seconds(duration)))


def _manners(score: Sequence[Phrase], rng: Random) -> list[Manner]:
    """The manner of each item: the clip's own neutral voice plus the styles in force."""
    drawn = {name: _draw(name, rng) for name in ("rate", "pitch", "range", "tilt", "breath")}
    intensities = {}
    manners = []
    for item in score:
        for style in item.styles:
            intensities.setdefault(style, rng.uniform(*CAST["intensity"][style.name]))
        manner = CAST["neutral"] | drawn | {"gain": _draw("phrase_gain", rng)}
        for style in item.styles:
            for name, full in CAST["manners"][style.name].items():
                manner[name] += intensities[style] * full
        manners.append(manner)
    return manners


def _say(
    score: Sequence[Phrase], manners: Sequence[Manner], voice: Voice, rng: Random
) -> list[Take]:
    """The words of a score, spoken one phrase after the other by one fork of espeak-ng."""
    cast = [pair for pair in zip(score, manners, strict=True) if not pair[0].event]
    if not cast:
        return []
    asked = [utterance(phrase, voice, manner, rng) for phrase, manner in cast]
    spoken = speak([request for request, _ in asked], int(rng.integers(2**31)))
    tract = {"tract": _draw("tract", rng)}
    return [
        _coloured(phrase, manner | tract, sound, positions, rng)
        for (phrase, manner), (_, positions), sound in zip(cast, asked, spoken, strict=True)
    ]


def _gap(item: Phrase, following: Phrase | None, linger: float, rng: Random) -> float:
    """Seconds of silence after an item; a pause brings its own."""
    if following is None or "pause" in (item.event, following.event):
        return 0.0
    if item.event or following.event:
        return _draw("breath_gap", rng)
    if not item.closing:
        return _draw("joint", rng)
    return _draw("ellipsis" if item.closing == "..." else "gap", rng) * (1 + linger)


def _event(name: str, voice: Voice, rng: Random) -> Take:
    if name == "pause":
        audio = np.zeros(seconds(_draw("pause", rng)))
    else:
        audio = _fade(vocalise(name, voice.f0, voice.gender, CAST["events"][name], rng))
    return Take(audio, ((0, len(audio), name),))


def _coloured(
    phrase: Phrase, manner: Manner, spoken: Spoken, positions: Sequence[int], rng: Random
) -> Take:
    """A phrase, but for its closing silence, in its manner, with emphasis and stammers."""
    source_rate = spoken.sample_rate * manner["tract"]  # faster, as from a shorter vocal tract
    ratio = SAMPLE_RATE / source_rate
    samples = np.frombuffer(spoken.pcm, dtype="<i2") / 32768
    last = spoken.phonemes[-1][1] if spoken.phonemes else len(samples)
    end = min(len(samples), last + round(seconds(0.02) / ratio))
    audio = soxr.resample(samples[:end], source_rate, SAMPLE_RATE)
    if phrase.whispered:  # espeak-ng's whisper keeps a rest of voice below the first formant
        audio = lfilter(*_THIN, audio)
    audio = _voice_effects(_normalise(audio), manner, rng) * amplitude(manner["gain"])
    # espeak-ng runs some words together (`of the`): a word without a start shares the time.
    starts = {0: 0.0, len(positions): last}
    for sample, position in spoken.words:
        starts.setdefault(bisect_right(positions, position) - 1, sample)
    known = sorted(starts)
    edges = np.interp(range(len(positions) + 1), known, [starts[token] for token in known])
    edges = [round(edge * ratio) for edge in edges]
    words = list(zip(phrase.tokens, pairwise(edges), strict=True))
    for token, (start, stop) in words:
        if token.emphasised:
            gain, ramp = _draw("emphasis", rng), seconds(0.01)
            corners = [start - ramp, start, stop, stop + ramp]
            shape = np.interp(np.arange(len(audio)), corners, [0.0, gain, gain, 0.0])
            audio = audio * amplitude(shape)
    marks = ((round(start * ratio), round(stop * ratio), p) for start, stop, p in spoken.phonemes)
    take = Take(_fade(audio), tuple(marks))
    for token, (start, stop) in words:
        if token.stammered:
            added = len(take.audio) - len(audio)
            take = _stammer(take, start + added, stop + added, rng)
    return take


def _normalise(audio: Audio) -> Audio:
    """Scale to RMS 1 over the samples louder than 5 % of the peak."""
    level = np.abs(audio)
    active = audio[level > 0.05 * level.max(initial=0.0)]
    return audio / np.sqrt(np.mean(active**2)) if active.size else audio


def _fade(audio: Audio) -> Audio:
    """Take the edge off both ends, over 6 ms."""
    length = min(seconds(0.006), len(audio) // 2)
    shape = np.ones(len(audio))
    shape[:length] *= np.linspace(0, 1, length, endpoint=False)
    return audio * shape * shape[::-1]


def _voice_effects(audio: Audio, manner: Manner, rng: Random) -> Audio:
    """Tremor, breath, tilt and soft clip of speech at RMS 1; its timing stays within 2 ms."""
    count = len(audio)
    if manner["tremor"] > 0:  # shakes pitch (by up to 5 % at depth 1) and level
        depth = manner["tremor"]
        hertz = contour(rng.uniform(5, 8, int(count / SAMPLE_RATE * 4) + 2), count)
        phase = 2 * np.pi * (np.cumsum(hertz) / SAMPLE_RATE + rng.random())
        stretch = 0.05 * depth * SAMPLE_RATE / (2 * np.pi * 6.5)
        time = np.arange(count) + stretch * np.sin(phase)
        # A cubic spline keeps the high frequencies, whose loss would give the tremor away.
        audio = map_coordinates(audio, [time], order=3, mode="nearest")
        audio = audio * (1 - 0.35 * depth * (1 + np.cos(phase)))
    if manner["breath"] > 0:
        envelope = lfilter([0.01], [1, -0.99], np.abs(audio))
        noise = np.diff(rng.standard_normal(count), prepend=0.0)
        audio = audio + manner["breath"] * envelope * noise
    if manner["tilt"]:
        bright = lfilter([0.79, -0.79], [1, -0.58], audio)
        audio = audio + (amplitude(manner["tilt"]) - 1) * bright
    if manner["drive"] > 0:
        audio = np.tanh(manner["drive"] * 0.35 * audio)
    return _normalise(audio)


def _stammer(take: Take, start: int, end: int, rng: Random) -> Take:
    """Say the onset of a word, up to its first vowel, twice or more before it: `b-b-but`."""
    vowels = (at for at, _, label in take.marks if start <= at < end and label[0] in _VOWELS)
    first = next(vowels, start)
    whole = take.cut(0, start)
    for _ in range(rng.integers(2, 4)):
        length = min(first + seconds(rng.uniform(0.04, 0.1)), end) - start
        onset = take.cut(start, start + max(length, seconds(0.06)))
        onset = onset._replace(audio=_fade(onset.audio) * rng.uniform(0.75, 1.0))
        whole = whole.then(onset).then(_silence(rng.uniform(0.04, 0.13)))
    mark = (start, len(whole.audio) + end - start, "stammers")
    whole = whole.then(take.cut(start, len(take.audio)))
    return whole._replace(marks=(*whole.marks, mark))


def _record(audio: Audio, rng: Random) -> npt.NDArray[np.float32]:
    """Room, noise and level, on the 16-bit grid."""
    if rng.random() < ROOM:  # small and furnished: a decay 8 to 20 dB below the direct sound
        count = seconds(rng.uniform(0.08, 0.25))
        tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
        tail = lfilter([0.5], [1, -0.5], tail)
        tail[: seconds(0.003)] = 0.0
        tail *= amplitude(rng.uniform(-20, -8)) / np.sqrt(np.sum(tail**2))
        audio = audio + oaconvolve(audio, tail)[: len(audio)]
    loudness = amplitude(-_draw("noise", rng))
    colour = rng.uniform(0.0, 0.95)  # between white and brown
    noise = rng.standard_normal(len(audio), dtype=np.float32)
    noise = lfilter([1.0], [1, -colour], noise) * np.sqrt(1 - colour**2)
    audio = (audio + loudness * noise) * amplitude(_draw("level", rng))
    audio = audio * min(1.0, _PEAK / max(np.abs(audio).max(), _PEAK))
    return (np.round(audio * 32767) / 32768).astype(np.float32)


class RenderJob(NamedTuple):
    """What `render` takes for one clip."""

    tagged_text: str
    voice: Voice
    seed: int


def render_many(jobs: Iterable[RenderJob], workers: int | None = None) -> Iterator[Rendered]:
    """Render clips in fresh interpreters, one a processor if None; in the order of the jobs."""
    ends = {"initializer": _end_with, "initargs": (os.getpid(),)}
    pool = Parallel(workers or -1, return_as="generator", idle_worker_timeout=10, **ends)
    todo = iter(jobs)
    while some := list(islice(todo, _AT_ONCE)):  # not all: results wait in memory to be taken
        yield from pool(delayed(render)(*job) for job in some)


def _end_with(parent: int) -> None:
    """Let this worker end soon after its parent; joblib leaves those of a killed one behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
