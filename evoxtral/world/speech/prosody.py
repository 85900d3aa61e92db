"""How each emotion and delivery is spoken.

A `Manner` says how speech departs from the speaker's neutral voice. Every tag has one, given at
full intensity; each performance draws its own intensity, so that a mild `angry` and a lively
neutral voice overlap, as they do in life.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import numpy as np

from evoxtral.world.speech.espeak import Utterance
from evoxtral.world.speech.score import Phrase
from evoxtral.world.speech.voices import Voice

# Pitch parameter of espeak-ng against semitones from its default 50 (measured, voice en-us).
_PITCH_STEPS = (0, 20, 35, 50, 65, 80, 99)
_SEMITONES = (-6.6, -4.6, -2.3, 0.0, 2.8, 5.4, 9.2)

_DASH = re.compile(r"[–—]+|--+")
_NOT_SPOKEN = re.compile(r"[^\w',;:.-]+")


@dataclass(frozen=True, slots=True)
class Manner:
    """A way of speaking, relative to the speaker's neutral voice.

    Attributes:
        rate: Change of the speaking rate, 0.2 is 20 % faster.
        pitch: Semitones.
        range: Steps of espeak-ng's pitch range (0 monotone, 50 neutral, 99 widest).
        gain: dB.
        slope: Semitones from the first to the last word.
        tremor: Depth of a 5-8 Hz shake in pitch and level, 0 to 1.
        breath: Level of aspiration noise relative to the voice, 0 to 1.
        drive: Hardness of the soft clip, 0 is none.
        tilt: dB added above 1.5 kHz.
        unevenness: Standard deviation of the rate from word to word.
        hesitation: Chance of a short break after a word.
        rise: Chance that a sentence ends on a rise.
        linger: Change of the gaps between sentences, 0.5 is half as long again.
    """

    rate: float = 0.0
    pitch: float = 0.0
    range: float = 0.0
    gain: float = 0.0
    slope: float = 0.0
    tremor: float = 0.0
    breath: float = 0.0
    drive: float = 0.0
    tilt: float = 0.0
    unevenness: float = 0.0
    hesitation: float = 0.0
    rise: float = 0.0
    linger: float = 0.0

    def __add__(self, other: Manner) -> Manner:
        names = (field.name for field in fields(self))
        return Manner(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def scaled(self, intensity: float) -> Manner:
        """The same manner, so many times as strong."""
        names = (field.name for field in fields(self))
        return Manner(**{name: intensity * getattr(self, name) for name in names})


MANNERS: dict[str, Manner] = {
    "excited": Manner(rate=0.16, pitch=3.5, range=24, gain=3, tilt=2, linger=-0.4),
    "sad": Manner(rate=-0.14, pitch=-2.2, range=-22, gain=-4, breath=0.05, tilt=-3, linger=0.5),
    "angry": Manner(rate=0.07, pitch=0.8, range=15, gain=5, drive=1.2, tilt=3, linger=-0.3),
    "nervous": Manner(rate=0.08, pitch=1.5, tremor=0.35, unevenness=0.14, hesitation=0.15),
    "calm": Manner(rate=-0.08, pitch=-0.9, range=-15, gain=-2, tilt=-2, linger=0.4),
    "frustrated": Manner(rate=0.02, gain=2, slope=-4.5, drive=0.7, tilt=1.5, range=8),
    "confused": Manner(rate=-0.05, slope=1.5, hesitation=0.12, rise=0.7, linger=0.2),
    "scared": Manner(rate=0.03, pitch=1.1, tremor=0.07, breath=0.015, gain=-2, range=-5),
    "whispers": Manner(rate=-0.04, gain=-9),
    "shouts": Manner(rate=0.02, pitch=5, range=20, gain=6, drive=2, tilt=5),
}
"""Every manner tag at full intensity."""

_INTENSITY: dict[str, tuple[float, float]] = {
    "whispers": (0.8, 1.3),
    "shouts": (0.8, 1.2),
    "calm": (0.4, 1.2),
    "confused": (0.4, 1.2),
    "scared": (0.4, 1.2),
}
_CLEAR_INTENSITY = (0.6, 1.3)
"""Of the other emotions; the three above are hard to tell from a neutral voice, as in life."""


def manner_of(name: str, rng: np.random.Generator) -> Manner:
    """One performance of a tag, its intensity drawn."""
    return MANNERS[name].scaled(rng.uniform(*_INTENSITY.get(name, _CLEAR_INTENSITY)))


def is_whispered(phrase: Phrase) -> bool:
    """Whether a phrase is spoken without voice."""
    return any(style.name == "whispers" for style in phrase.styles)


def utterance(
    phrase: Phrase, voice: Voice, manner: Manner, rng: np.random.Generator
) -> tuple[Utterance, tuple[int, ...]]:
    """What to ask of espeak-ng for a phrase.

    Returns:
        The utterance and, for each token of the phrase, the position of its first character in
        the utterance's text.
    """
    parts: list[str] = []
    positions: list[int] = []
    length = 0
    for index in range(len(phrase.tokens)):
        opening, word = _word_markup(phrase, index, manner, rng)
        positions.append(length + len(opening))
        parts.append(f"{opening}{word}{'</prosody>' if opening else ''} ")
        length += len(parts[-1])
    rising = rng.random() < manner.rise
    mark = "?" if rising and phrase.closing else phrase.closing[:1]
    return (
        Utterance(
            text="".join(parts).rstrip() + mark,
            voice=voice.whisper_name if is_whispered(phrase) else voice.espeak_name,
            rate=round(float(np.clip(voice.base_rate * (1 + manner.rate), 90, 320))),
            pitch=_pitch_step(voice.base_pitch, manner.pitch),
            range=round(float(np.clip(50 + manner.range, 0, 99))),
        ),
        tuple(positions),
    )


def _word_markup(
    phrase: Phrase, index: int, manner: Manner, rng: np.random.Generator
) -> tuple[str, str]:
    token, last = phrase.tokens[index], len(phrase.tokens) - 1
    semitones = manner.slope * (index / last - 0.5) if last else 0.0
    rate = float(np.exp(manner.unevenness * rng.standard_normal()))
    hesitates = rng.random() < manner.hesitation and index < last
    if token.emphasised:
        semitones += rng.uniform(4.0, 6.0)
        rate *= rng.uniform(0.62, 0.75)
    word = _DASH.sub(", ", token.text.replace("’", "'"))
    word = _NOT_SPOKEN.sub(" ", word).rstrip(" .").lstrip(" .,")
    word = word.lower() if token.emphasised else word
    if hesitates and not word.endswith((",", ";", ":")):
        word += ","
    percent = round(100 * (2 ** (semitones / 12) - 1))
    if percent == 0 and rate == 1.0:
        return "", word
    return f'<prosody pitch="{percent:+d}%" rate="{round(100 * rate)}%">', word


def _pitch_step(base: int, semitones: float) -> int:
    neutral = float(np.interp(base, _PITCH_STEPS, _SEMITONES))
    return round(float(np.interp(neutral + semitones, _SEMITONES, _PITCH_STEPS)))
