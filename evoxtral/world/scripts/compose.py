"""Put sentences together: the words of a script, before any tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoxtral.world.scripts.grammar import compile_production, pick, sentence, table
from evoxtral.world.scripts.lexicon import SURFACE
from evoxtral.world.scripts.phrases import MOODS, PHRASES
from evoxtral.world.scripts.stock import CLOSERS, OPENERS, REACTIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Sequence

    from evoxtral.world.scripts.family import Family


NEUTRAL_SHARE = 0.45
"""Share of neutral sentences where no tag asks for a mood: feeling words occur untagged too."""

_LEAD_SHARE = 0.12
_LEADS = PHRASES["lead"]
_NO_LEAD_BEFORE = frozenset((*_LEADS, "maybe", "please", "hi", "hey", "no", "yes", "not", "but"))
_ATTEMPTS = 8
_SHORT_WORDS, _MID_WORDS = 4.5, 8.0


def any_mood(rng: random.Random) -> str:
    """Draw a mood for a sentence that no tag colours."""
    return "neutral" if rng.random() < NEUTRAL_SHARE else pick(rng, MOODS)


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
        stock = () if i == main else _stock(rng, domain, mood, first=i == 0, last=still == 1)
        frames = stock or _frames(family, (room + left / still) / 2)
        frame, words = _fit(rng, (frames, family.short), (domain, mood), room, used)
        if words and not stock and len(words) + 2 <= room and rng.random() < _LEAD_SHARE:
            words = _with_lead(rng, words)
        if words:
            sentences.append(words)
            used.add(frame)
            left -= len(words)
    return sentences


def decapitalised(word: str) -> str:
    """Take the sentence capital off a word, unless the word always has one ("I", names)."""
    proper = SURFACE[word.rstrip(".,!?").lower()][0].isupper()
    return word if proper else word[0].lower() + word[1:]


def _frames(family: Family, n_words: float) -> tuple[str, ...]:
    if n_words < _SHORT_WORDS:
        return family.short
    return family.mid if n_words < _MID_WORDS else family.long


def _stock(
    rng: random.Random, domain: str, mood: str, *, first: bool, last: bool
) -> tuple[str, ...]:
    """Choose the stock a side sentence may come from; empty means the family's own frames."""
    draw = rng.random()
    if mood != "neutral":
        return REACTIONS[mood] if draw < 0.6 else ()
    if first and draw < 0.5:
        return OPENERS[domain]
    if last and draw < 0.4:
        return CLOSERS[domain]
    return REACTIONS["neutral"] if draw > 0.85 else ()


def _fit(
    rng: random.Random,
    sources: tuple[tuple[str, ...], tuple[str, ...]],
    style: tuple[str, str],
    room: int,
    used: Collection[str],
) -> tuple[str, list[str]]:
    """Expand unused frames until one has at most `room` words; later, from the second source.

    Returns:
        The frame and its words, which are none where nothing fitted.
    """
    symbols = table(*style)
    for attempt in range(_ATTEMPTS):
        frame = pick(rng, sources[attempt >= _ATTEMPTS // 2])
        words = sentence(compile_production(frame), symbols, rng)
        if len(words) <= room and frame not in used:
            return frame, words
    return "", []


def _with_lead(rng: random.Random, words: list[str]) -> list[str]:
    first = words[0].rstrip(".,!?").lower()
    if len(words) < 3 or first in _NO_LEAD_BEFORE:
        return words
    lead = pick(rng, _LEADS)
    return [*f"{lead[0].upper()}{lead[1:]},".split(), decapitalised(words[0]), *words[1:]]
