"""Tagged transcripts such as `[sighs] I told you NOT to`: vocabulary and reading.

A tagged transcript is plain words, bracketed tags and capitals for emphasis. Two readings of
the same text live here, and they agree on every well-formed transcript:

* `find_tags`, `strip_tags`, `plain_text` and `emphasis_words` read text exactly as the code that
  printed the report's numbers did: regular expressions over the raw string, nothing repaired.
* `parse` reads it into words and positioned tags, and repairs broken brackets (see there).

The vocabulary is open. The report names 17 tags (section 3.1), its released scripts hold 26:
a tag outside the vocabulary (`[sniffs]`, `[laughs nervously]`) is data, of group `other`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

TAGS: tuple[str, ...] = (
    *("sighs", "laughs", "whispers", "nervous", "frustrated", "clears throat", "pause", "excited"),
    *("stammers", "gasps", "sad", "angry", "calm", "crying", "shouts", "confused", "scared"),
)
"""The 17 tag types of the report, in the order of its section 3.1."""

_EMOTIONS = ("excited", "sad", "angry", "nervous", "calm", "frustrated", "confused", "scared")

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "emotion": _EMOTIONS,
        "nonverbal": ("laughs", "sighs", "gasps", "clears throat", "crying"),
        "delivery": ("whispers", "shouts", "stammers"),
        "pause": ("pause",),
    }
)
"""What kind of thing a tag describes; the four groups partition `TAGS`."""

VALENCE: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(TAGS, "neutral")
    | dict.fromkeys((*_EMOTIONS, "crying", "sighs"), "negative")
    | dict.fromkeys(("excited", "calm", "laughs"), "positive")
)
"""Pleasantness of each of the 17 tags, after the horizontal axis of Russell's circumplex (1980).

Delivery, pauses and the ambiguous noises (a gasp may be delight or horror) are neutral.
"""

_GROUP_OF = {tag: group for group, members in GROUPS.items() for tag in members}

_TAG = re.compile(r"\[([^\]]+)\]")
_TAG_AND_SPACE = re.compile(r"\[[^\]]+\]\s*")
_CAPS = re.compile(r"\b[A-Z]{2,}\b")

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_BRACKET = re.compile(r"[\[\]]")

_KEY_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def normalise_tag(name: str) -> str:
    r"""Lowercase a tag name and collapse its white space.

    >>> normalise_tag(" Clears\n throat ")
    'clears throat'
    """
    return " ".join(name.lower().split())


def group_of(tag: str) -> str:
    """Group of a tag (a key of `GROUPS`), or `other` outside the vocabulary.

    >>> group_of("whispers"), group_of("slams door")
    ('delivery', 'other')
    """
    return _GROUP_OF.get(normalise_tag(tag), "other")


def find_tags(text: str) -> list[str]:
    """Lowercased contents of every `[...]`, in order, as the report's code found them.

    Inner white space is kept, and a bracket opened twice is part of the name: use `parse` where
    broken brackets should be repaired.

    >>> find_tags("[Sighs] fine. [pause] I said [pause] FINE")
    ['sighs', 'pause', 'pause']
    """
    return [name.lower() for name in _TAG.findall(text)]


def strip_tags(text: str) -> str:
    """Remove every `[...]` with the white space after it, and white space at both ends.

    >>> strip_tags("[sighs] I said [pause] FINE [laughs]")
    'I said FINE'
    """
    return _TAG_AND_SPACE.sub("", text).strip()


def emphasis_words(text: str) -> list[str]:
    """Runs of two or more capitals at word boundaries, lowercased, in order.

    The report's definition, with its known limits: acronyms count, capitals inside a bracket
    count, and `CAN'T` yields `can`.

    >>> emphasis_words("I am NOT going, I CAN'T")
    ['not', 'can']
    """
    return [word.lower() for word in _CAPS.findall(text)]


def plain_text(text: str) -> str:
    """Words as WER sees them: tags removed, emphasised words lowercased, nothing else changed.

    >>> plain_text("[angry] I am NOT going, Sam.")
    'I am not going, Sam.'
    """
    return _CAPS.sub(lambda match: match.group().lower(), strip_tags(text))


def is_balanced(text: str) -> bool:
    """Whether every bracket closes before the next one opens, around something.

    >>> [is_balanced(t) for t in ("[sighs] no", "[sighs no", "no]", "[[sighs]]", "[ ] no")]
    [True, False, False, False, False]
    """
    filled = all(content.strip() for content in _INNERMOST.findall(text))
    return filled and not _BRACKET.search(_INNERMOST.sub("", text))


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and its place.

    Two tags are equal when name and word index are: offsets belong to one spelling of the text.
    """

    name: str  # normalised, e.g. `clears throat`
    word_index: int  # number of words before it
    start: int = field(default=0, compare=False)  # of its brackets in the parsed text, characters
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A tagged transcript as words and positioned tags."""

    words: tuple[str, ...]  # as spelt, punctuation and capitals included
    tags: tuple[Tag, ...] = ()  # in order of appearance

    @property
    def text(self) -> str:
        """The words alone, joined by single spaces."""
        return " ".join(self.words)


def parse(text: str) -> Transcript:
    r"""Read a tagged text into words and positioned tags, repairing broken brackets.

    A tag is an innermost pair of brackets around something other than white space; its name is
    normalised. A tag separates words even without spaces around it. What is left of broken
    brackets is dropped, and what stood in them stays as words: a tag that was never closed earns
    nothing and costs the words it spells. In particular

    | text                  | words      | tags          |
    |-----------------------|------------|---------------|
    | `[ Laughs ] hi`       | hi         | laughs        |
    | `[clears\nthroat] hi` | hi         | clears throat |
    | `so[pause]then`       | so, then   | pause         |
    | `[[laughs]] hi`       | hi         | laughs        |
    | `[very [sad] hi`      | very, hi   | sad           |
    | `[laughs hi`          | laughs, hi |               |
    | `laughs] hi`          | laughs, hi |               |
    | `[] hi`, `[ ] hi`     | hi         |               |

    Any string will do: model output is not trusted.

    >>> parse("I told [sighs] you").tags
    (Tag(name='sighs', word_index=2, start=7, end=14),)
    """
    words: list[str] = []
    tags: list[Tag] = []
    end = 0
    for match in _INNERMOST.finditer(text):
        words += _words(text[end : match.start()])
        end = match.end()
        if name := normalise_tag(match.group(1)):
            tags.append(Tag(name, len(words), match.start(), end))
    words += _words(text[end:])
    return Transcript(tuple(words), tuple(tags))


def _words(text: str) -> list[str]:
    return _BRACKET.sub(" ", text).split()


def text_key(plain_text: str) -> str:
    """Reduce a plain text to its words: what "the same text" means, everywhere.

    >>> text_key("Oh no... NOT again!") == text_key("oh no, not again")
    True
    >>> text_key("Été — c'est fini")
    "été c'est fini"
    """
    return " ".join(_KEY_WORD.findall(plain_text.casefold().replace("’", "'")))
