"""Neutral plain sentences: what the base model hears before it knows any tag."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from evoxtral import UserError
from evoxtral.tags import text_key
from evoxtral.world.scripts.compose import any_mood, compose
from evoxtral.world.scripts.generator import families
from evoxtral.world.scripts.grammar import compile_production, expand, pick, table
from evoxtral.world.scripts.lexicon import SURFACE
from evoxtral.world.scripts.script import DOMAINS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from evoxtral.world.scripts.family import Family


MAX_PLAIN_WORDS = 14

_TEMPLATE_SHARE, _LOOSE_SHARE = 0.6, 0.2
_LOOSE_PHRASES = tuple(
    compile_production(text)
    for text in (
        "{np}",
        "{one}",
        "{at}",
        "{to}",
        "{he} {did}",
        "{we} {do}",
        "{doing}",
        "{does}",
        "{soon}",
        "{ago}",
        "{fact}",
        "{feel}",
        "{pred}",
        "{tagword}",
        "{number} {people}",
        "{often}",
    )
)
_WORDS = tuple(sorted(SURFACE))
_ATTEMPTS = 2000


def plain_sentences(
    n: int, seed: int, *, held_out: bool | None = None, exclude: Collection[str] = ()
) -> list[str]:
    """Generate distinct plain texts of 1–14 words: no tags, no capitals for emphasis.

    Three in five are built from template families, one in five strings phrases together without
    a sentence frame, and one in five is words in random order, which covers the whole lexicon
    and leaves a model nothing to lean on but the sound.

    Args:
        n: Number of texts; 100,000 are no problem.
        seed: Names the random stream; independent of `generate`'s.
        held_out: As for `generate`; concerns the three in five.
        exclude: Plain texts that must not come again, compared by their words.

    Raises:
        UserError: No new text was found.
    """
    rng = random.Random(f"evoxtral plain sentences {seed}")
    choice = families(held_out)
    return _distinct(n, lambda: _plain(rng, choice), exclude)


def word_lists(n: int, seed: int, longest: int, *, exclude: Collection[str] = ()) -> list[str]:
    """Generate distinct lists of 1 to `longest` words in random order, written as a sentence.

    Args:
        n: Number of texts.
        seed: Names the random stream.
        longest: Most words in a list.
        exclude: Plain texts that must not come again, compared by their words.

    Raises:
        UserError: No new text was found.
    """
    rng = random.Random(f"evoxtral word lists {seed}")
    return _distinct(n, lambda: _as_sentence(_random_words(rng, rng.randint(1, longest))), exclude)


def _distinct(n: int, draw: Callable[[], str], exclude: Collection[str]) -> list[str]:
    seen = {text_key(text) for text in exclude}
    texts: list[str] = []
    for _ in range(n):
        for _ in range(_ATTEMPTS):
            text = draw()
            key = text_key(text)
            if text and key not in seen:
                break
        else:
            raise UserError(f"No new plain text found after {len(texts)}: ask for fewer.")
        seen.add(key)
        texts.append(text)
    return texts


def _plain(rng: random.Random, choice: tuple[Family, ...]) -> str:
    draw, domain, mood = rng.random(), pick(rng, DOMAINS), any_mood(rng)
    n_words = rng.randint(1, MAX_PLAIN_WORDS)
    if draw < _TEMPLATE_SHARE:
        moods = [mood] if n_words < 7 or rng.random() < 0.6 else [mood, any_mood(rng)]
        sentences = compose(rng, pick(rng, choice), domain, moods, n_words)
        return " ".join(word for words in sentences for word in words)
    if draw < _TEMPLATE_SHARE + _LOOSE_SHARE:
        words: list[str] = []
        while len(words) < n_words:
            words += expand(pick(rng, _LOOSE_PHRASES), table(domain, mood), rng)
    else:
        words = _random_words(rng, n_words)
    return _as_sentence(words[:n_words])


def _random_words(rng: random.Random, n_words: int) -> list[str]:
    return [SURFACE[pick(rng, _WORDS)] for _ in range(n_words)]


def _as_sentence(words: list[str]) -> str:
    text = " ".join(words).rstrip(",.!?")
    return f"{text[0].upper()}{text[1:]}."
