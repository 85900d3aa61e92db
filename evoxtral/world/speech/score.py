"""What is said and how: speakers, a tagged text as phrases and events, the manner of each tag.

What a tag covers:

* a non-verbal event or a pause sounds where it stands;
* an emotion lasts until the next emotion, or to the end of the clip;
* `whispers` and `shouts` last until the next of them, or to the end of their sentence;
* `stammers` strikes the next word;
* an emotion and a delivery may hold together (`[scared] [whispers] who is there?`);
* a tag outside the vocabulary makes no sound, nor does a manner with no word to act on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from evoxtral import UserError
from evoxtral.tags import Tag, emphasis_words, group_of, parse
from evoxtral.world.speech.espeak import Utterance

# Pitch parameter of espeak-ng against semitones from its default 50 (measured, voice en-us).
_PITCH_STEPS = (0, 20, 35, 50, 65, 80, 99)
_SEMITONES = (-6.6, -4.6, -2.3, 0.0, 2.8, 5.4, 9.2)

_TERMINAL = re.compile(r"(\.{2,}|…|[.?!])[^\w.?!…]*$")
_SPEAKABLE = re.compile(r"\w")
_DASH = re.compile(r"[–—]+|--+")
_NOT_SPOKEN = re.compile(r"[^\w',;:.-]+")


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker."""

    id: str
    espeak_name: str  # accent and variant
    gender: Literal["female", "male"]  # of the whisper and of synthesised events
    base_pitch: int  # espeak-ng pitch of neutral speech, 0 to 99
    base_rate: int  # words per minute of neutral speech
    f0: float  # median pitch of neutral speech in Hz, measured by autocorrelation
    held_out: bool = False  # never used for training

    @property
    def whisper_name(self) -> str:
        """The same accent, whispered."""
        accent = self.espeak_name.split("+")[0]
        return f"{accent}+{'whisperf' if self.gender == 'female' else 'whisper'}"


# espeak-ng 1.52 refuses the language names `en-gb` and `en-uk`; British English is `en`.
VOICES: tuple[Voice, ...] = (
    Voice("ada", "en-us+f3", "female", 50, 178, 200),
    Voice("ben", "en-us", "male", 52, 180, 100),
    Voice("cara", "en+f2", "female", 47, 184, 181),
    Voice("dan", "en+m3", "male", 55, 190, 105),
    Voice("elsie", "en-gb-scotland+f4", "female", 54, 176, 179),
    Voice("fergus", "en-gb-scotland+m1", "male", 58, 172, 98),
    Voice("grace", "en-gb-x-rp+f5", "female", 44, 186, 185),
    Voice("hugo", "en-gb-x-rp+m2", "male", 48, 174, 95),
    Voice("iris", "en-us+Annie", "female", 40, 190, 206),
    Voice("jack", "en-us+m7", "male", 56, 184, 107),
    Voice("kate", "en-gb-x-gbclan+f1", "female", 56, 180, 182),
    Voice("liam", "en-us-nyc+Reed", "male", 54, 188, 115),
    Voice("mona", "en-us+belinda", "female", 36, 182, 188, held_out=True),
    Voice("noah", "en+m4", "male", 58, 182, 96, held_out=True),
)
"""Fourteen speakers, half of them female; the last two are heard in tests only."""

TRAINING_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if not voice.held_out)
HELD_OUT_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if voice.held_out)


def find_voice(voice_id: str) -> Voice:
    """The voice of that name.

    Raises:
        UserError: There is none.
    """
    named = {voice.id: voice for voice in VOICES}
    if voice_id not in named:
        raise UserError(f"no voice {voice_id!r}; choose one of {', '.join(named)}")
    return named[voice_id]


class Token(NamedTuple):
    """A word to say, as spelt, and whether its onset is stammered."""

    text: str
    stammered: bool

    @property
    def emphasised(self) -> bool:
        """Whether it is written in capitals."""
        return bool(emphasis_words(self.text))


class Phrase(NamedTuple):
    """Words said in one breath and one manner."""

    tokens: tuple[Token, ...]
    styles: tuple[Tag, ...]  # emotion and delivery in force, in this order
    closing: str  # `.`, `?`, `!` or `...` at the end of a sentence, else empty

    @property
    def whispered(self) -> bool:
        """Whether it is spoken without voice."""
        return any(style.name == "whispers" for style in self.styles)


def read_score(tagged_text: str) -> list[Phrase | str]:
    """Read a tagged text into phrases and, between them, names of events and pauses.

    >>> [item.closing for item in read_score("Well... [calm] fine. Yes")]
    ['...', '.', '']
    """
    transcript = parse(tagged_text)
    items: list[Phrase | str] = []
    tokens: list[Token] = []
    styles: dict[str, Tag] = {}
    stammered = False

    def close(closing: str) -> None:
        if tokens:
            held = tuple(styles[kind] for kind in ("emotion", "delivery") if kind in styles)
            items.append(Phrase(tuple(tokens), held, closing))
            tokens.clear()

    for position, word in enumerate((*transcript.words, "")):
        for tag in (tag for tag in transcript.tags if tag.word_index == position):
            group = group_of(tag.name)
            if tag.name == "stammers":
                stammered = True
            elif group != "other":
                close("")
                if group in ("emotion", "delivery"):
                    styles[group] = tag
                else:
                    items.append(tag.name)
        if _SPEAKABLE.search(word):
            tokens.append(Token(word, stammered))
            stammered = False
        if ending := _TERMINAL.search(word):
            mark = ending.group(1)
            close(mark if mark in (".", "?", "!") else "...")
            following = transcript.words[position + 1 : position + 2]
            if not following or not following[0][0].islower():  # an ellipsis may go on
                styles.pop("delivery", None)
    close("")
    return items


@dataclass(frozen=True)
class Manner:
    """A way of speaking, relative to the speaker's neutral voice."""

    rate: float = 0.0  # change of the speaking rate, 0.2 is 20 % faster
    pitch: float = 0.0  # semitones
    range: float = 0.0  # steps of espeak-ng's pitch range (0 monotone, 50 neutral, 99 widest)
    gain: float = 0.0  # dB
    slope: float = 0.0  # semitones from the first to the last word
    tremor: float = 0.0  # depth of a 5-8 Hz shake in pitch and level, 0 to 1
    breath: float = 0.0  # level of aspiration noise relative to the voice, 0 to 1
    drive: float = 0.0  # hardness of the soft clip, 0 is none
    tilt: float = 0.0  # dB added above 1.5 kHz
    unevenness: float = 0.0  # standard deviation of the rate from word to word
    hesitation: float = 0.0  # chance of a short break after a word
    rise: float = 0.0  # chance that a sentence ends on a rise
    linger: float = 0.0  # change of the gaps between sentences, 0.5 is half as long again

    def plus(self, other: Manner, times: float) -> Manner:
        """Both at once, the other so many times as strong."""
        both = {name: value + times * getattr(other, name) for name, value in vars(self).items()}
        return Manner(**both)


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

INTENSITY: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("excited", "sad", "angry", "nervous", "frustrated"), (0.6, 1.3)),
    "whispers": (0.8, 1.3),
    "shouts": (0.8, 1.2),
    "calm": (0.4, 1.2),
    "confused": (0.4, 1.2),
    "scared": (0.4, 1.2),
}
"""Range of the intensity of a performance; a mild one overlaps with a lively neutral voice. The
last three are hard to tell from it, as in life."""


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
            voice=voice.whisper_name if phrase.whispered else voice.espeak_name,
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
