"""The words of a script: a small seeded phrase grammar, read from `grammar.yaml`.

A production is a string such as ``"{he} left {np} {at?}"``: ``{np}`` expands the symbol, and
``{at?}`` does so half of the time. A symbol's productions depend on the domain and the mood of
the sentence, so that one frame reads "she left the ticket near the station" on a voicemail and
"she left the strange ring in the forest" in a story.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

T = TypeVar("T")
Lines = tuple[str, ...]


class Family(NamedTuple):
    """A named way of building sentences; no training text may use a held-out one."""

    name: str
    long: Lines
    mid: Lines
    short: Lines
    held_out: bool = False


def _read(part: Any) -> Any:
    """Split texts that end with a line break into lines, others into words."""
    if isinstance(part, dict):
        return {name: _read(inner) for name, inner in part.items()}
    if isinstance(part, str):
        return tuple(part.splitlines() if part.endswith("\n") else part.split())
    return part


_TEXT = Path(__file__).with_name("grammar.yaml").read_text(encoding="utf-8")
# PyYAML's C parser, where it is built in, takes a tenth of the time of the other.
GRAMMAR = _read(yaml.load(_TEXT, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))

DOMAINS: Lines = tuple(GRAMMAR["domains"])
MOODS: Lines = tuple(GRAMMAR["moods"])
FAMILIES = tuple(Family(name, **frames) for name, frames in GRAMMAR["families"].items())

_CLASSES = GRAMMAR["words"]
_FELT = {
    mood: {name: part[name] for name in ("adj", "feel") if name in part}
    for mood, part in GRAMMAR["moods"].items()
}
_SPEAKABLE = [GRAMMAR["spelt_out"], *_CLASSES.values()]
_SPEAKABLE += [words for classes in _FELT.values() for words in classes.values()]

SURFACE: dict[str, str] = {word.lower(): word for words in _SPEAKABLE for word in words}
"""Every word in lower case, with the way it is written inside a sentence (`anna` → `Anna`)."""

LEXICON: frozenset[str] = frozenset(SURFACE)
"""All plain words, lower case, contractions included: what a transcript can contain."""

EMPHASIS_WORDS: frozenset[str] = frozenset(GRAMMAR["emphasis"])
"""Words that may be stressed (written in capitals): two letters or more, no contraction."""

LEANING_WORDS: frozenset[str] = frozenset(GRAMMAR["leaning"]).union(
    *(_CLASSES[name] for name in ("number", "adj", "quality")),
    *(classes.get("adj", ()) for classes in _FELT.values()),
)
"""Words that lean on the next one: nobody pauses or laughs after them."""

NEUTRAL_SHARE = 0.45
"""Share of neutral sentences where no tag asks for a mood: feeling words occur untagged too."""

_LEAD_SHARE = 0.12
_LEADS = GRAMMAR["phrases"]["lead"]
_NO_LEAD_BEFORE = {*_LEADS, "maybe", "please", "hi", "hey", "no", "yes", "not", "but"}
_ATTEMPTS = 8

_SYMBOL = re.compile(r"\{(\w+)(\?)?\}")
_A_BEFORE_VOWEL = re.compile(r"(?<!\S)a (?=[aeiouAEIOU])")


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """Draw one option uniformly (one `rng.random()` call: quick, and stable over versions)."""
    return options[int(rng.random() * len(options))]


def any_mood(rng: random.Random) -> str:
    """Draw a mood for a sentence that no tag colours."""
    return "neutral" if rng.random() < NEUTRAL_SHARE else pick(rng, MOODS)


def bare(word: str) -> str:
    """A word without its punctuation, in lower case."""
    return word.rstrip(".,!?").lower()


@cache
def table(domain: str, mood: str) -> dict[str, Lines]:
    """Return the productions of every symbol for sentences of one domain and one mood.

    Domain words are twice as likely as general ones; mood words are as likely as neutral ones.
    """
    symbols = _CLASSES | GRAMMAR["phrases"]
    felt = dict(_FELT[mood])
    if felt:
        felt |= dict.fromkeys(("quality", "site", "pred"), felt["adj"])
    for special, weight in ((GRAMMAR["domains"][domain]["symbols"], 2), (felt, 1)):
        for name, options in special.items():
            general = symbols[name]
            symbols[name] = options * max(1, round(weight * len(general) / len(options))) + general
    return symbols


def expand(production: str, symbols: Mapping[str, Lines], rng: random.Random) -> str:
    """Put words in place of the symbols, from left to right."""

    def expansion(match: re.Match[str]) -> str:
        symbol, optional = match.groups()
        if optional and rng.random() >= 0.5:
            return ""
        return expand(pick(rng, symbols[symbol]), symbols, rng)

    return _SYMBOL.sub(expansion, production) if "{" in production else production


def sentence(production: str, symbols: Mapping[str, Lines], rng: random.Random) -> list[str]:
    """Expand a production in sentence form: "an" before a vowel, a full stop, a capital.

    Returns:
        The words in order; the last one carries the final punctuation.
    """
    text = _A_BEFORE_VOWEL.sub("an ", " ".join(expand(production, symbols, rng).split()))
    stop = "" if text[-1] in ".!?" else "."
    return f"{text[0].upper()}{text[1:]}{stop}".split()


def compose(
    rng: random.Random, family: Family, domain: str, moods: Sequence[str], n_words: int
) -> list[list[str]]:
    """Write one sentence per mood, of at most `n_words` words together.

    One sentence is built from the family's own frames; the others come from the family or from
    stock (a reaction, the domain's opening or closing phrase). Sentences that no longer fit are
    left out, so fewer may come back than there are moods, or none.

    Returns:
        Sentences as lists of words, with punctuation and sentence capitals.
    """
    main = int(rng.random() * len(moods))
    sentences: list[list[str]] = []
    used: set[str] = set()
    left = n_words
    for i, mood in enumerate(moods):
        still = len(moods) - i
        room = left - 3 * (still - 1)
        size = (room + left / still) / 2
        own = family.short if size < 4.5 else family.mid if size < 8 else family.long
        stock = () if i == main else _stock(rng, domain, mood, first=i == 0, last=still == 1)
        for attempt in range(_ATTEMPTS):
            frame = pick(rng, (stock or own) if attempt < _ATTEMPTS // 2 else family.short)
            words = sentence(frame, table(domain, mood), rng)
            if len(words) <= room and frame not in used:
                break
        else:
            continue
        if not stock and len(words) + 2 <= room and rng.random() < _LEAD_SHARE:
            words = _with_lead(rng, words)
        sentences.append(words)
        used.add(frame)
        left -= len(words)
    return sentences


def _stock(rng: random.Random, domain: str, mood: str, *, first: bool, last: bool) -> Lines:
    """Choose the stock a side sentence may come from; empty means the family's own frames."""
    draw, reactions = rng.random(), GRAMMAR["moods"][mood]["reactions"]
    if mood != "neutral":
        return reactions if draw < 0.6 else ()
    if first and draw < 0.5:
        return GRAMMAR["domains"][domain]["openers"]
    if last and draw < 0.4:
        return GRAMMAR["domains"][domain]["closers"]
    return reactions if draw > 0.85 else ()


def _with_lead(rng: random.Random, words: list[str]) -> list[str]:
    """Begin with "so" or the like, and take the capital off what follows, but for "I" and names."""
    first, *others = words
    if len(words) < 3 or bare(first) in _NO_LEAD_BEFORE:
        return words
    lead = pick(rng, _LEADS)
    if SURFACE[bare(first)][0].islower():
        first = first[0].lower() + first[1:]
    return [*f"{lead[0].upper()}{lead[1:]},".split(), first, *others]
