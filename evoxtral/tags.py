"""Tagged transcripts such as `[sighs] I told you NOT to`: vocabulary and reading.

A tagged transcript is plain words, bracketed tags and capitals for emphasis. Two readings of
the same text live here:

* `find_tags`, `strip_tags`, `plain_text` and `emphasis_words` read text exactly as the code that
  printed the report's numbers did: regular expressions over the raw string, nothing repaired.
* `parse` reads it into words and positioned tags, and repairs brackets, spaces and marks.

Both find the same words and tags where brackets are balanced, names have no odd white space and
each tag stands between spaces; elsewhere they differ as the table of `parse` shows. Both find the
same emphasis in words of ASCII letters, but for apostrophes and what stands in brackets.

The vocabulary is open. The report names 17 tags (section 3.1), its released scripts hold 26:
a tag outside the vocabulary (`[sniffs]`, `[laughs nervously]`) is data, of group `other`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
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
# Tags and punctuation that touches their end, which belongs to the word before; or their start.
_TO_BEFORE = re.compile(r"(?<=[^\s\[\]])((?:\s*\[[^\[\]]*\])+)([^\w\s\[\]]+)(?=[\s\[\]]|$)")
_TO_AFTER = re.compile(r"(?<!\S)([\"'“‘«(¿¡]+)((?:\[[^\[\]]*\]\s*)+)(?=\S)")
_WORD = re.compile(r"(?<!\w)[^\W\d_](?:'?[^\W\d_])+(?!\w)")  # of two or more letters

_MARK = re.compile(
    r"(\[[^\[\]]+\]|<[^\s<>\[\]][^<>\[\]]*>|\([^()<>\[\]]+\)|\*+\w[^*<>\[\]]*\w\*+)(:?\s*)"
)
_LABEL = re.compile(r"(spk|speaker)?[\s\d:.,|>_–s-]*\d[\s\d:.,|>_–s-]*|speaker[\s_]?[a-z]?|/.*")
_ENDING = re.compile(r"(e?s|e?d|e|ing|ter)\b")
_BY_STEM = {_ENDING.sub("", tag): tag for tag in TAGS}

_ONE_SPELLING = str.maketrans(
    dict.fromkeys("‘’ʼ´＇", "'") | dict.fromkeys("“”„", '"') | {"…": "..."}
)

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
    """A tag and its place."""

    name: str  # normalised, e.g. `clears throat`
    word_index: int  # number of words before it


@dataclass(frozen=True, slots=True)
class Transcript:
    """A tagged transcript as words and positioned tags."""

    words: tuple[str, ...]  # as spelt, punctuation and capitals included
    tags: tuple[Tag, ...] = ()  # in order of appearance

    @property
    def text(self) -> str:
        """The words alone, in one spelling, joined by single spaces."""
        return one_spelling(" ".join(self.words))

    @property
    def plain(self) -> str:
        """The text with emphasised words lowercased: what strict error rates see."""
        return _WORD.sub(lambda m: m[0].lower() if m[0].isupper() else m[0], self.text)

    @property
    def emphasis(self) -> list[str]:
        """Words of two or more letters, all capitals of any alphabet, lowercased, in order.

        >>> Transcript(("ÉTÉ", "I", "CAN’T,", "B2B")).emphasis
        ['été', "can't"]
        """
        return [word.lower() for word in _WORD.findall(self.text) if word.isupper()]


def parse(text: str) -> Transcript:
    r"""Read a tagged text into words and positioned tags, repairing what is broken.

    A tag is an innermost pair of brackets around something other than white space; its name is
    normalised. A tag separates words even without spaces around it, but punctuation that touches
    its end belongs to the word before, and an opening mark that touches its start to the word
    behind. What is left of broken brackets is dropped, and what stood in them stays as words: a tag
    that was never closed earns nothing and costs the words it spells. The report's reading beside:

    | text                  | words       | tags          | report's words | report's tags |
    |-----------------------|-------------|---------------|----------------|---------------|
    | `[ Laughs ] hi`       | hi          | laughs        | hi             | ` laughs `    |
    | `so[pause]then`       | so, then    | pause         | sothen         | pause         |
    | `Well [pause], so`    | `Well,`, so | pause         | Well, `,`, so  | pause         |
    | `"[sighs] no"`        | `"no"`      | sighs         | `"no"`         | sighs         |
    | `[[laughs]] hi`       | hi          | laughs        | `]`, hi        | `[laughs`     |
    | `[laughs hi`          | laughs, hi  |               | `[laughs`, hi  |               |
    | `laughs] hi`          | laughs, hi  |               | `laughs]`, hi  |               |
    | `[] hi`               | hi          |               | `[]`, hi       |               |

    Any string will do: model output is not trusted.

    >>> parse("I told [sighs] you").tags
    (Tag(name='sighs', word_index=2),)
    """
    words: list[str] = []
    tags: list[Tag] = []
    pieces = _INNERMOST.split(_TO_AFTER.sub(r"\2\1", _TO_BEFORE.sub(r"\2\1", text)))
    for part, inside in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        words += _words(part)
        if name := normalise_tag(inside):
            tags.append(Tag(name, len(words)))
    return Transcript(tuple(words), tuple(tags))


def _words(text: str) -> list[str]:
    return _BRACKET.sub(" ", text).split()


def one_spelling(text: str) -> str:
    r"""Write accents as parts of their letters, quotation marks and ellipses as ASCII has them.

    >>> one_spelling("Don’t, cafe\u0301…")
    "Don't, café..."
    """
    return unicodedata.normalize("NFC", text.translate(_ONE_SPELLING))


def text_key(plain_text: str) -> str:
    """Reduce a plain text to its words: what "the same text" means, everywhere.

    >>> text_key("Oh no... NOT again!") == text_key("oh no, not again")
    True
    >>> text_key("Été — c'est fini")
    "été c'est fini"
    """
    return " ".join(_KEY_WORD.findall(one_spelling(plain_text).casefold()))


def read_marks(text: str) -> tuple[str, list[str]]:
    """Write another corpus's marks as tags, and say for each one changed what became of it.

    Square and angle brackets hold no words: a time, a speaker's number or the end of a pair goes; a
    form of one of `TAGS` becomes that tag; anything else is a tag outside the vocabulary. Round
    brackets and asterisks hold words, unless these are a form of a sound or a pause.

    | text                                               | becomes                |
    |----------------------------------------------------|------------------------|
    | `[S1] oh`, `[Speaker 2]: oh`, `[00:12] oh`, `</i>` | oh                     |
    | `<laugh>`, `(laughing)`, `*laughs*`, `[LAUGHTER]`  | `[laughs]`             |
    | `[music]`, `<noise>`, `[laughs nervously]`         | `[music]`, `[noise]` … |
    | `(maybe)`, `*not*`, `(sad)`, `(12:30)`             | itself                 |

    Digits are `#` in what is said, so that equal findings can be counted.

    >>> read_marks("[S1] oh (sighs) no (really)")
    ('oh [sighs] no (really)', ['[S#] dropped', '(sighs) read as [sighs]'])
    """
    findings: list[str] = []

    def ours(found: re.Match[str]) -> str:
        mark, behind = found.groups()
        name = normalise_tag(mark.strip("[]<>()*"))
        tag = _BY_STEM.get(_ENDING.sub("", name))
        if not name or (mark[0] in "(*" and (tag is None or tag in _EMOTIONS)):
            return found[0]
        dropped = mark[0] in "[<" and _LABEL.fullmatch(name)
        written = "" if dropped else f"[{tag or name}]"
        if written != mark:
            fate = f"read as {written}" if written else "dropped"
            findings.append(re.sub(r"\d", "#", f"{mark} {fate}"))
        return written and written + behind

    return _MARK.sub(ours, text).strip(), findings
