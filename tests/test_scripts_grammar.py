"""The grammar: every symbol is defined, every word is in the lexicon, expansion is well formed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from evoxtral.world.scripts.compose import decapitalised
from evoxtral.world.scripts.families import FAMILIES
from evoxtral.world.scripts.family import Family
from evoxtral.world.scripts.grammar import compile_production, expand, sentence, table
from evoxtral.world.scripts.lexicon import CLASSES, LEXICON
from evoxtral.world.scripts.phrases import DOMAIN_CLASSES, MOOD_CLASSES, MOODS, PHRASES
from evoxtral.world.scripts.plan import CUES
from evoxtral.world.scripts.script import DOMAINS
from evoxtral.world.scripts.stock import CLOSERS, OPENERS, REACTIONS, TAG_WORDS_SPOKEN, WORDS_ALONE

_SYMBOL = re.compile(r"\{(\w+)\??\}")


def productions() -> Iterator[str]:
    for symbols in (PHRASES, *DOMAIN_CLASSES.values(), *MOOD_CLASSES.values()):
        for options in symbols.values():
            yield from options
    for family in FAMILIES:
        yield from (*family.long, *family.mid, *family.short)
    for stock in (REACTIONS, OPENERS, CLOSERS):
        for options in stock.values():
            yield from options
    yield from (*WORDS_ALONE, *TAG_WORDS_SPOKEN)


def test_every_symbol_is_defined() -> None:
    named = {symbol for text in productions() for symbol in _SYMBOL.findall(text)}
    assert named <= set(CLASSES) | set(PHRASES)


def test_lexicon_is_exactly_what_can_be_said() -> None:
    terminals = {
        word.strip(".,!?").lower()
        for text in productions()
        for word in _SYMBOL.sub(" ", text).split()
    } - {""}
    classes = {word.lower() for words in CLASSES.values() for word in words}
    assert (terminals | classes | {"an"}) == LEXICON


def test_every_domain_and_mood_has_its_stock_and_table() -> None:
    assert set(DOMAIN_CLASSES) == set(OPENERS) == set(CLOSERS) == set(DOMAINS)
    assert set(MOOD_CLASSES) == set(REACTIONS) == set(MOODS)
    assert {mood for moods in CUES.values() for mood in moods} <= set(MOODS)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_frames_keep_their_size(family: Family) -> None:
    rng = random.Random(0)
    for frames, low, high in ((family.short, 1, 6), (family.mid, 3, 11), (family.long, 7, 16)):
        for frame in frames:
            lengths = [
                len(expand(compile_production(frame), table("voicemail", "good"), rng))
                for _ in range(60)
            ]
            assert low <= sum(lengths) / 60 <= high, frame


def test_sentence_form() -> None:
    symbols = {"thing": (compile_production("old answer"),)}
    rng = random.Random(0)
    assert sentence(compile_production("a {thing}"), symbols, rng) == ["An", "old", "answer."]
    assert sentence(compile_production("is it {thing}?"), symbols, rng)[-1] == "answer?"


@pytest.mark.parametrize(
    ("word", "expected"), [("The", "the"), ("I", "I"), ("I'm", "I'm"), ("Anna,", "Anna,")]
)
def test_decapitalised(word: str, expected: str) -> None:
    assert decapitalised(word) == expected
