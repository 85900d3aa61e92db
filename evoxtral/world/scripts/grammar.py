"""A small seeded phrase grammar: symbols in braces expand, everything else is spoken.

A production is a string such as ``"{he} left {np} {at?}"``: ``{np}`` expands the symbol, and
``{at?}`` does so half of the time. A symbol's productions depend on the domain and the mood of
the sentence, so that one frame reads "she left the ticket near the station" on a voicemail and
"she left the strange ring in the forest" in a story.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from evoxtral.world.scripts.lexicon import CLASSES
from evoxtral.world.scripts.phrases import DOMAIN_CLASSES, MOOD_CLASSES, PHRASES

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence


T = TypeVar("T")

_SYMBOL = re.compile(r"^\{(\w+)(\?)?\}([.,!?]*)$")
_VOWEL = re.compile(r"^[aeiou]", re.IGNORECASE)


class _Slot(NamedTuple):
    symbol: str
    optional: bool
    suffix: str


Production = tuple["str | _Slot", ...]
Table = dict[str, tuple[Production, ...]]


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """Draw one option uniformly (one `rng.random()` call: quick, and stable over versions)."""
    return options[int(rng.random() * len(options))]


@cache
def compile_production(text: str) -> Production:
    """Split a production into terminals and slots.

    Examples:
        >>> compile_production("we left {np?}.")
        ('we', 'left', _Slot(symbol='np', optional=True, suffix='.'))
    """
    parts: list[str | _Slot] = []
    for token in text.split():
        match = _SYMBOL.match(token)
        parts.append(_Slot(match[1], bool(match[2]), match[3]) if match else token)
    return tuple(parts)


def _compiled(symbols: Mapping[str, Sequence[str]]) -> Table:
    return {name: tuple(map(compile_production, options)) for name, options in symbols.items()}


@cache
def table(domain: str, mood: str) -> Table:
    """Return the productions of every symbol for sentences of one domain and one mood.

    Domain words are twice as likely as general ones; mood words are as likely as neutral ones.
    """
    symbols: dict[str, tuple[str, ...]] = {**CLASSES, **PHRASES}
    for name, options in DOMAIN_CLASSES[domain].items():
        symbols[name] = _weighted(options, symbols[name], weight=2)
    for name, options in MOOD_CLASSES[mood].items():
        symbols[name] = _weighted(options, symbols[name], weight=1)
    return _compiled(symbols)


def _weighted(special: Sequence[str], general: Sequence[str], weight: int) -> tuple[str, ...]:
    repeats = max(1, round(weight * len(general) / len(special)))
    return (*special * repeats, *general) if general else tuple(special)


def expand(production: Production, symbols: Table, rng: random.Random) -> list[str]:
    """Expand a production into words; punctuation stays attached to them."""
    words: list[str] = []
    for part in production:
        if isinstance(part, str):
            words.append(part)
        elif not part.optional or rng.random() < 0.5:
            words += expand(pick(rng, symbols[part.symbol]), symbols, rng)
            if part.suffix:
                words[-1] += part.suffix
    return words


def sentence(production: Production, symbols: Table, rng: random.Random) -> list[str]:
    """Expand a production and give it sentence form: "an" before a vowel, a full stop, a capital.

    Returns:
        The words in order; the last one carries the final punctuation.
    """
    words = expand(production, symbols, rng)
    for i, (word, following) in enumerate(pairwise(words)):
        if word == "a" and _VOWEL.match(following):
            words[i] = "an"
    if words[-1][-1] not in ".!?":
        words[-1] += "."
    words[0] = words[0][0].upper() + words[0][1:]
    return words
