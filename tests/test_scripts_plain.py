"""Plain sentences for the base model."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from evoxtral import UserError, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import LEXICON, generate, plain_sentences


@cache
def sentences() -> list[str]:
    return plain_sentences(60_000, 1)


def test_sixty_thousand_distinct_sentences() -> None:
    assert len({text_key(text) for text in sentences()}) == 60_000


def test_deterministic() -> None:
    assert plain_sentences(500, 9) == plain_sentences(500, 9)
    assert plain_sentences(500, 9) != plain_sentences(500, 10)


def test_no_tags_and_no_emphasis() -> None:
    for text in sentences():
        assert "[" not in text
        assert not tags.emphasis_words(text), text
        assert tags.plain_text(text) == text


def test_lengths_are_varied_and_bounded() -> None:
    counts = Counter(len(text.split()) for text in sentences())
    assert set(counts) == set(range(1, 15))
    assert all(counts[n] > 0.02 * 60_000 for n in range(2, 14)), counts


def test_every_word_is_heard_often() -> None:
    counts = Counter(word for text in sentences() for word in text_key(text).split())
    assert set(counts) == LEXICON
    assert min(counts.values()) >= 100


def test_sentence_form() -> None:
    for text in sentences():
        assert text[0].isupper(), text
        assert re.search(r"[a-zA-Z][.!?]$", text), text


def test_excluded_texts_do_not_come_again() -> None:
    taken = [s.plain_text for s in generate(2000, 3)]
    texts = plain_sentences(3000, 3, exclude=taken)
    assert not {text_key(t) for t in taken} & {text_key(t) for t in texts}


def test_training_sentences_are_not_all_templates() -> None:
    held_out_words = {"if", "because", "than"}
    texts = plain_sentences(3000, 4, held_out=False)
    share = sum(bool(held_out_words & set(text_key(t).split())) for t in texts) / 3000
    assert 0 < share < 0.05


def test_exhaustion_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "evoxtral.world.scripts.plain._plain", lambda rng, choice: "Always the same."
    )
    with pytest.raises(UserError, match="ask for fewer"):
        plain_sentences(2, 1)
