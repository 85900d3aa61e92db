"""A tagged text as something to perform: phrases in a manner, and events between them.

What a tag covers:

* a non-verbal event or a pause sounds where it stands;
* an emotion lasts until the next emotion, or to the end of the clip;
* `whispers` and `shouts` last until the next of them, or to the end of their sentence;
* `stammers` strikes the next word;
* an emotion and a delivery may hold together (`[scared] [whispers] who is there?`).

A manner tag with no word to act on leaves no trace in the audio, as on a stage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from evoxtral import UserError
from evoxtral.tags import Tag, emphasis_words, group_of, parse

UnknownTags = Literal["ignore", "error"]

_TERMINAL = re.compile(r"(\.{2,}|…|[.?!])[^\w.?!…]*$")
_SPEAKABLE = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Style:
    """One occurrence of a manner tag: its name and its index among the tags of the text."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class Token:
    """A word to say, as spelt, and how."""

    text: str
    emphasised: bool = False
    stammer: Style | None = None


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words said in one breath and one manner.

    Attributes:
        tokens: At least one speakable word.
        styles: Emotion and delivery in force, outermost first.
        closing: `.`, `?`, `!` or `...` at the end of a sentence, else empty.
    """

    tokens: tuple[Token, ...]
    styles: tuple[Style, ...]
    closing: str


@dataclass(frozen=True, slots=True)
class Event:
    """A vocal event or a pause."""

    name: str


class _Reader:
    """Walks through a transcript, collecting words into phrases."""

    def __init__(self, unknown_tags: UnknownTags) -> None:
        self.unknown_tags = unknown_tags
        self.items: list[Phrase | Event] = []
        self.tokens: list[Token] = []
        self.emotion: Style | None = None
        self.delivery: Style | None = None
        self.stammer: Style | None = None

    def tag(self, name: str, index: int) -> None:
        """Act on a tag."""
        group = group_of(name)
        if name == "stammers":
            self.stammer = Style(name, index)
            return
        if group == "other":
            if self.unknown_tags == "error":
                raise UserError(f"no sound for tag [{name}]; set unknown_tags to 'ignore'")
            return
        self.close("")
        if group == "emotion":
            self.emotion = Style(name, index)
        elif group == "delivery":
            self.delivery = Style(name, index)
        else:
            self.items.append(Event(name))

    def word(self, word: str, next_word: str) -> None:
        """Take a word; the one after it tells whether an ellipsis ends the sentence."""
        if _SPEAKABLE.search(word):
            self.tokens.append(Token(word, bool(emphasis_words(word)), self.stammer))
            self.stammer = None
        if ending := _TERMINAL.search(word):
            mark = ending.group(1)
            self.close(mark if len(mark) == 1 and mark != "…" else "...")
            if not next_word[:1].islower():
                self.delivery = None

    def close(self, closing: str) -> None:
        """End the phrase in hand, if there is one."""
        if self.tokens:
            styles = tuple(style for style in (self.emotion, self.delivery) if style)
            self.items.append(Phrase(tuple(self.tokens), styles, closing))
            self.tokens = []


def read_score(tagged_text: str, unknown_tags: UnknownTags) -> tuple[Phrase | Event, ...]:
    """Read a tagged text into phrases and events, in order.

    Args:
        tagged_text: Any text; brackets are read by `evoxtral.tags.parse`.
        unknown_tags: What to do with a tag outside the vocabulary.

    Raises:
        UserError: A tag is unknown and `unknown_tags` is `error`.

    >>> [item.closing for item in read_score("Well... [calm] fine. Yes", "error")]
    ['...', '.', '']
    """
    transcript = parse(tagged_text)
    reader = _Reader(unknown_tags)
    places: dict[int, list[tuple[Tag, int]]] = {}
    for index, tag in enumerate(transcript.tags):
        places.setdefault(tag.word_index, []).append((tag, index))
    words = (*transcript.words, "")
    for position, word in enumerate(words):
        for tag, index in places.get(position, ()):
            reader.tag(tag.name, index)
        if position < len(transcript.words):
            reader.word(word, words[position + 1])
    reader.close("")
    return tuple(reader.items)
