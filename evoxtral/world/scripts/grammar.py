"""The words of a script: a small seeded phrase grammar, read from `grammar.yaml`.

In a production such as ``"{he} left {np} {at?}"``, ``{np}`` expands the symbol, and ``{at?}`` does
so half of the time. A symbol's productions depend on the domain and the mood of the sentence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
Lines = tuple[str, ...]


def _read(part: Any) -> Any:
    """Split texts that end with a line break into lines, others into words."""
    if isinstance(part, dict):
        return {name: _read(inner) for name, inner in part.items()}
    if isinstance(part, str):
        return tuple(part.splitlines() if part.endswith("\n") else part.split())
    return part


# PyYAML's C parser, where it is built in, takes a tenth of the time of the other.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT = Path(__file__).with_name("grammar.yaml").read_text(encoding="utf-8")
GRAMMAR: dict[str, Any] = _read(yaml.load(_TEXT, _LOADER))

DOMAINS: Lines = tuple(GRAMMAR["domains"])
MOODS: Lines = tuple(GRAMMAR["moods"])
FAMILIES: dict[str, dict[str, Any]] = GRAMMAR["families"]
HELD_OUT_FAMILIES = {name for name, frames in FAMILIES.items() if "held_out" in frames}

_WORDS = GRAMMAR["words"]
_FELT = [part["symbols"] for part in GRAMMAR["moods"].values()]

# Every word in lower case, with the way it is written inside a sentence (`anna` → `Anna`).
SURFACE: dict[str, str] = {
    word.lower(): word
    for words in (GRAMMAR["spelt_out"], *_WORDS.values(), *(w for s in _FELT for w in s.values()))
    for word in words
}
LEXICON = frozenset(SURFACE)  # all plain words of transcripts, lower case, contractions included
EMPHASIS_WORDS = frozenset(GRAMMAR["emphasis"])  # may be stressed (written in capitals)
# Words that lean on the next one: nobody pauses or laughs after them.
LEANING_WORDS = frozenset(GRAMMAR["leaning"]).union(
    *(symbols.get(name, ()) for symbols in (_WORDS, *_FELT) for name in ("adj", "quality")),
    _WORDS["number"],
)

_SYMBOL = re.compile(r"\{(\w+)(\?)?\}")
_A_BEFORE_VOWEL = re.compile(r"(?<!\S)a (?=[aeiouAEIOU])")


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """Draw one option uniformly (one `rng.random()` call: quick, and stable over versions)."""
    return options[int(rng.random() * len(options))]


def any_mood(rng: random.Random) -> str:
    """Draw a mood for a sentence that no tag colours: feeling words occur untagged too."""
    return "neutral" if rng.random() < 0.45 else pick(rng, MOODS)


def bare(word: str) -> str:
    """A word without its punctuation, in lower case."""
    return word.rstrip(".,!?").lower()


def capitalised(text: str) -> str:
    """A text with a capital at its beginning, the rest as it is."""
    return text[0].upper() + text[1:]


@cache
def table(domain: str, mood: str) -> dict[str, Lines]:
    """The productions of every symbol; domain words are twice as likely as general ones."""
    symbols = _WORDS | GRAMMAR["phrases"]
    for special, weight in ((GRAMMAR["domains"][domain], 2), (GRAMMAR["moods"][mood], 1)):
        for name, options in special["symbols"].items():
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
    """Expand a production into the words of a sentence, with its capital and full stop."""
    text = _A_BEFORE_VOWEL.sub("an ", " ".join(expand(production, symbols, rng).split()))
    return (capitalised(text) + ("" if text[-1] in ".!?" else ".")).split()


def say(rng: random.Random, what: str, domain: str) -> list[str]:
    """One of the productions of `grammar.yaml` under `what`, in any mood, as a sentence."""
    symbols = table(domain, pick(rng, MOODS))
    return sentence(pick(rng, GRAMMAR[what]), symbols, rng)


def compose(
    rng: random.Random, family: str, domain: str, moods: Sequence[str], n_words: int
) -> list[list[str]]:
    """Write one sentence per mood, `n_words` at most together, with punctuation on the words.

    One is built from the family's own frames, the others from these or from stock (a reaction, the
    domain's opening or closing phrase). What no longer fits is left out.
    """
    frames = FAMILIES[family]
    main = int(rng.random() * len(moods))
    sentences, used, left = [], set(), n_words
    for i, mood in enumerate(moods):
        still = len(moods) - i
        room = left - 3 * (still - 1)
        size = (room + left / still) / 2
        own = frames["short" if size < 4.5 else "mid" if size < 8 else "long"]
        stock = () if i == main else _stock(rng, domain, mood, first=i == 0, last=still == 1)
        for attempt in range(8):
            frame = pick(rng, (stock or own) if attempt < 4 else frames["short"])
            words = sentence(frame, table(domain, mood), rng)
            if len(words) <= room and frame not in used:
                break
        else:
            continue
        if not stock and len(words) + 2 <= room and rng.random() < 0.12:
            words = _with_lead(rng, words)
        sentences.append(words)
        used.add(frame)
        left -= len(words)
    return sentences


def _stock(rng: random.Random, domain: str, mood: str, *, first: bool, last: bool) -> Lines:
    """The stock a side sentence comes from; empty means the family's own frames."""
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
    leads = GRAMMAR["phrases"]["lead"]
    if len(words) < 3 or bare(first) in (*leads, *GRAMMAR["no_lead_before"]):
        return words
    lead = pick(rng, leads)
    if SURFACE[bare(first)][0].islower():
        first = first[0].lower() + first[1:]
    return [*f"{capitalised(lead)},".split(), first, *others]
