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
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml

from evoxtral.tags import Tag, emphasis_words, group_of, parse
from evoxtral.world.speech.espeak import Utterance
from evoxtral.world.speech.vocal import Random

CAST: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("cast.yaml").read_text("utf-8"))

# Pitch parameter of espeak-ng against semitones from its default 50 (measured, voice en-us).
_PITCH_STEPS = (0, 20, 35, 50, 65, 80, 99)
_SEMITONES = (-6.6, -4.6, -2.3, 0.0, 2.8, 5.4, 9.2)

_TERMINAL = re.compile(r"(\.{2,}|…|[.?!])[^\w.?!…]*$")

Manner = dict[str, float]
"""A way of speaking: the parts that `cast.yaml` lists under `neutral`."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker of `cast.yaml`."""

    id: str
    espeak_name: str
    gender: Literal["female", "male"]
    pitch: int
    rate: int
    f0: float
    held_out: bool = False


VOICES: tuple[Voice, ...] = tuple(Voice(name, **facts) for name, facts in CAST["voices"].items())
TRAINING_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if not voice.held_out)
HELD_OUT_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if voice.held_out)


def find_voice(voice_id: str) -> Voice:
    """The voice of that name; KeyError if there is none."""
    return {voice.id: voice for voice in VOICES}[voice_id]


class Token(NamedTuple):
    """A word to say, as spelt."""

    text: str
    stammered: bool  # at its onset
    emphasised: bool  # written in capitals


class Phrase(NamedTuple):
    """Words said in one breath and one manner, or a vocal event or pause between them."""

    tokens: tuple[Token, ...] = ()
    styles: tuple[Tag, ...] = ()  # emotion and delivery in force, in this order
    closing: str = ""  # `.`, `?`, `!` or `...` at the end of a sentence, else empty
    event: str = ""  # name of the event or pause, which has no words

    @property
    def whispered(self) -> bool:
        """Whether it is spoken without voice."""
        return any(style.name == "whispers" for style in self.styles)


def read_score(tagged_text: str) -> list[Phrase]:
    """Read a tagged text into phrases and, between them, events and pauses.

    >>> [item.closing for item in read_score("Well... [calm] fine. Yes")]
    ['...', '.', '']
    """
    transcript = parse(tagged_text)
    items, tokens, styles, stammered = [], [], {}, False

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
                    items.append(Phrase(event=tag.name))
        if re.search(r"\w", word):
            tokens.append(Token(word, stammered, bool(emphasis_words(word))))
            stammered = False
        if ending := _TERMINAL.search(word):
            mark = ending.group(1)
            close(mark if mark in (".", "?", "!") else "...")
            following = transcript.words[position + 1 : position + 2]
            if not following or not following[0][0].islower():  # an ellipsis may go on
                styles.pop("delivery", None)
    close("")
    return items


def utterance(
    phrase: Phrase, voice: Voice, manner: Manner, rng: Random
) -> tuple[Utterance, list[int]]:
    """What to ask of espeak-ng for a phrase, and where each token begins in the text of it."""
    text, positions = "", []
    last = len(phrase.tokens) - 1
    for index, token in enumerate(phrase.tokens):
        semitones = manner["slope"] * (index / last - 0.5) if last else 0.0
        rate = float(np.exp(manner["unevenness"] * rng.standard_normal()))
        hesitates = rng.random() < manner["hesitation"] and index < last
        if token.emphasised:
            semitones += rng.uniform(4.0, 6.0)
            rate *= rng.uniform(0.62, 0.75)
        word = re.sub("[–—]+|--+", ", ", token.text.replace("’", "'"))
        word = re.sub(r"[^\w',;:.-]+", " ", word).rstrip(" .").lstrip(" .,")
        word = word.lower() if token.emphasised else word
        if hesitates and not word.endswith((",", ";", ":")):
            word += ","
        percent = round(100 * (2 ** (semitones / 12) - 1))
        changed = percent != 0 or rate != 1.0
        if changed:
            text += f'<prosody pitch="{percent:+d}%" rate="{round(100 * rate)}%">'
        positions.append(len(text))
        text += f"{word}</prosody> " if changed else f"{word} "
    rising = rng.random() < manner["rise"]
    mark = "?" if rising and phrase.closing else phrase.closing[:1]
    name = voice.espeak_name
    if phrase.whispered:
        name = name.split("+")[0] + {"female": "+whisperf", "male": "+whisper"}[voice.gender]
    neutral = float(np.interp(voice.pitch, _PITCH_STEPS, _SEMITONES))
    pitch = np.interp(neutral + manner["pitch"], _SEMITONES, _PITCH_STEPS)
    asked = Utterance(
        text=text.rstrip() + mark,
        voice=name,
        rate=round(float(np.clip(voice.rate * (1 + manner["rate"]), 90, 320))),
        pitch=round(float(pitch)),
        range=round(float(np.clip(50 + manner["range"], 0, 99))),
    )
    return asked, positions
