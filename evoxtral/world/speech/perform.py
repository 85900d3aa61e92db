"""A score performed by one voice: phrases, events and the gaps between them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import soxr

from evoxtral.world.speech.effects import (
    emphasise,
    fade,
    normalise,
    stammer,
    voice_effects,
    whispered,
)
from evoxtral.world.speech.espeak import Spoken, speak
from evoxtral.world.speech.prosody import Manner, is_whispered, manner_of, utterance
from evoxtral.world.speech.score import Event, Phrase, Style
from evoxtral.world.speech.settings import RenderSettings
from evoxtral.world.speech.take import SAMPLE_RATE, Mark, Take, join, seconds, silence
from evoxtral.world.speech.vocal import vocalise
from evoxtral.world.speech.voices import Voice

_RELEASE = seconds(0.02)
_EMPHASIS_GAIN = (3.0, 6.0)


def perform(
    score: Sequence[Phrase | Event],
    voice: Voice,
    settings: RenderSettings,
    rng: np.random.Generator,
) -> Take:
    """Perform a score, dry and noiseless, neutral speech at RMS 1."""
    manners = _manners(score, settings, rng)
    said = iter(_say(score, manners, voice, settings, rng))
    takes = [
        next(said) if isinstance(item, Phrase) else _event_take(item, voice, settings, rng)
        for item in score
    ]
    gaps = [
        silence(_gap(item, following, manner.linger, settings, rng))
        for item, following, manner in zip(score, (*score, None)[1:], manners, strict=True)
    ]
    whole = join(piece for pair in zip(takes, gaps, strict=True) for piece in pair)
    return replace(whole, marks=(*whole.marks, *_style_marks(score, takes, gaps)))


def _style_marks(
    score: Sequence[Phrase | Event], takes: Sequence[Take], gaps: Sequence[Take]
) -> list[Mark]:
    """From the first to the last phrase of each emotion and delivery."""
    extents: dict[Style, Mark] = {}
    cursor = 0
    for item, take, gap in zip(score, takes, gaps, strict=True):
        for style in item.styles if isinstance(item, Phrase) else ():
            start = extents[style].start if style in extents else cursor
            extents[style] = Mark(start, cursor + len(take.audio), "style", style.name)
        cursor += len(take.audio) + len(gap.audio)
    return list(extents.values())


def _say(
    score: Sequence[Phrase | Event],
    manners: Sequence[Manner],
    voice: Voice,
    settings: RenderSettings,
    rng: np.random.Generator,
) -> list[Take]:
    """The phrases of a score, spoken one after the other by one fork of espeak-ng."""
    cast = [
        (item, manner)
        for item, manner in zip(score, manners, strict=True)
        if isinstance(item, Phrase)
    ]
    if not cast:
        return []
    asked = [utterance(phrase, voice, manner, rng) for phrase, manner in cast]
    spoken = speak([request for request, _ in asked], int(rng.integers(2**31)))
    tract = rng.uniform(*settings.tract)
    takes = []
    for (phrase, manner), (_, positions), sound in zip(cast, asked, spoken, strict=True):
        plain = _resampled(phrase, sound, positions, tract)
        takes.append(_coloured(phrase, plain, manner, settings, rng))
    return takes


def _manners(
    score: Sequence[Phrase | Event], settings: RenderSettings, rng: np.random.Generator
) -> list[Manner]:
    """The manner of each item: the clip's own neutral voice plus the styles in force."""
    neutral = Manner(
        rate=rng.uniform(*settings.rate),
        pitch=rng.uniform(*settings.pitch),
        range=rng.uniform(*settings.range),
        tilt=rng.uniform(*settings.tilt),
        breath=rng.uniform(*settings.breath),
    )
    drawn: dict[Style, Manner] = {}
    manners = []
    for item in score:
        styles = item.styles if isinstance(item, Phrase) else ()
        for style in styles:
            drawn.setdefault(style, manner_of(style.name, rng))
        own = Manner(gain=rng.uniform(*settings.phrase_gain))
        manners.append(sum((drawn[style] for style in styles), neutral + own))
    return manners


def _gap(
    item: Phrase | Event,
    following: Phrase | Event | None,
    linger: float,
    settings: RenderSettings,
    rng: np.random.Generator,
) -> float:
    """Seconds of silence after an item; a pause brings its own."""
    if following is None or Event("pause") in (item, following):
        return 0.0
    if isinstance(item, Event) or isinstance(following, Event):
        return rng.uniform(*settings.breath_gap)
    if not item.closing:
        return rng.uniform(*settings.joint)
    length = rng.uniform(*(settings.ellipsis if item.closing == "..." else settings.gap))
    return length * (1 + linger)


def _event_take(
    event: Event, voice: Voice, settings: RenderSettings, rng: np.random.Generator
) -> Take:
    if event.name == "pause":
        take = silence(rng.uniform(*settings.pause))
    else:
        take = Take(fade(vocalise(event.name, voice.f0, voice.gender, rng)))
    return replace(take, marks=(Mark(0, len(take.audio), "event", event.name),))


def _resampled(phrase: Phrase, spoken: Spoken, positions: tuple[int, ...], tract: float) -> Take:
    """Speech at 16 kHz without espeak-ng's closing silence, phonemes and words marked.

    Played `tract` times as fast, which moves the formants as a shorter vocal tract would.
    """
    source_rate = spoken.sample_rate * tract
    ratio = SAMPLE_RATE / source_rate
    last = spoken.phonemes[-1][1] if spoken.phonemes else len(spoken.audio)
    end = min(len(spoken.audio), last + round(_RELEASE / ratio))
    audio = soxr.resample(spoken.audio[:end].astype(np.float64), source_rate, SAMPLE_RATE)
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


def _coloured(
    phrase: Phrase,
    take: Take,
    manner: Manner,
    settings: RenderSettings,
    rng: np.random.Generator,
) -> Take:
    """A phrase with the sound of its manner, its emphasis and its stammers."""
    audio = normalise(whispered(take.audio) if is_whispered(phrase) else take.audio)
    if settings.effects:
        audio = voice_effects(audio, manner, rng)
    audio = audio * 10 ** (manner.gain / 20)
    words = [mark for mark in take.marks if mark.kind == "word"]
    marks = list(take.marks)
    for token, word in zip(phrase.tokens, words, strict=True):
        if token.emphasised:
            audio = emphasise(audio, word, rng.uniform(*_EMPHASIS_GAIN))
            marks.append(replace(word, kind="style", label="emphasis"))
    coloured = Take(fade(audio), tuple(marks))
    for index, token in enumerate(phrase.tokens):
        if token.stammer:
            word = [mark for mark in coloured.marks if mark.kind == "word"][index]
            coloured = stammer(coloured, word, rng)
    return coloured


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
