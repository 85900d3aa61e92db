"""The offline script generator: seeded, closed vocabulary, five slices, eight domains."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TypeVar

from evoxtral import UserError, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts.draft import Brief, fits
from evoxtral.world.scripts.grammar import (
    DOMAINS,
    FAMILIES,
    GRAMMAR,
    SURFACE,
    Family,
    any_mood,
    compose,
    expand,
    pick,
    table,
)

T = TypeVar("T")

SLICES: dict[str, float] = {
    "plain": 0.25,
    "light": 0.25,
    "moderate": 0.25,
    "dense": 0.15,
    "edge": 0.10,
}
"""Share of scripts per tag-density slice: 0, 1–2, 3–4, 5–7 tags, and deliberate corner cases."""

MAX_PLAIN_WORDS = 14

_TEMPLATE_SHARE, _LOOSE_SHARE = 0.6, 0.2
_WORDS = tuple(sorted(SURFACE))
_ATTEMPTS = 2000


@dataclass(frozen=True, slots=True)
class Script:
    """One line to be spoken, with its expression written in ElevenLabs-style tags.

    Attributes:
        id: Stable identifier: ``g-<seed>-000123`` (generated) or ``r-0123`` (released).
        tagged_text: The transcript with ``[tags]`` and CAPS emphasis: the training target.
        slice: A key of `SLICES`, or the released file's own name for it.
        domain: One of `DOMAINS`, or the released file's own string.
        template: Name of the template family, ``released`` for the released scripts.
        held_out: True if the family is kept out of all training.
    """

    id: str
    tagged_text: str
    slice: str
    domain: str
    template: str
    held_out: bool

    @property
    def plain_text(self) -> str:
        """The transcript without tags, CAPS words in lower case."""
        return tags.plain_text(self.tagged_text)


def generate(
    n: int,
    seed: int,
    *,
    held_out: bool | None = None,
    slices: Mapping[str, float] | None = None,
    exclude: Collection[str] = (),
    balanced: bool = False,
) -> list[Script]:
    """Generate tagged scripts: the same arguments give the same scripts.

    Every script fits the audio window (`estimated_seconds` ≤ 7 s) and differs in its words, not
    only in tags, case or punctuation, from all others and from `exclude`. About half of the
    coloured sentences have neutral words, and feeling words occur untagged, so that the text
    alone does not tell the tags.

    Args:
        n: Number of scripts.
        seed: Names the random stream, and the scripts: ``g-<seed>-000000`` and so on. Two calls
            whose results are used together need two seeds.
        held_out: False for training template families only, True for held-out ones only, None
            for both.
        slices: Shares by slice name, `SLICES` if not given; kept exactly, up to rounding.
        exclude: Plain texts that must not come again.
        balanced: Draw tags so that all 17 come about equally often, instead of a long tail.

    Raises:
        UserError: The grammar has no new text left.
    """
    rng = random.Random(f"evoxtral scripts {seed}")
    choice = _families(held_out)
    used: Counter[str] | None = Counter() if balanced else None
    seen = set(map(text_key, exclude))
    scripts: list[Script] = []

    def draw(name: str) -> Script | None:
        brief = Brief(rng, pick(rng, choice), pick(rng, DOMAINS), used)
        draft = brief.write(name)
        text = draft.render() if draft else ""
        if not text or not fits(text):
            return None
        key, family = f"g-{seed}-{len(scripts):06d}", brief.family
        return Script(key, text, name, brief.domain, family.name, family.held_out)

    for name in _slice_names(rng, n, slices or SLICES):
        script = _unseen(partial(draw, name), attrgetter("plain_text"), seen)
        if used is not None:
            used.update(set(tags.find_tags(script.tagged_text)))
        scripts.append(script)
    return scripts


def plain_sentences(
    n: int, seed: int, *, held_out: bool | None = None, exclude: Collection[str] = ()
) -> list[str]:
    """Generate distinct plain texts of 1–14 words: no tags, no capitals for emphasis.

    They are what the base model hears before it knows any tag. Three in five are built from
    template families, one in five strings phrases together without a sentence frame, and one in
    five is words in random order, which covers the whole lexicon and leaves a model nothing to
    lean on but the sound.

    Args:
        n: Number of texts; 100,000 are no problem.
        seed: Names the random stream; independent of `generate`'s.
        held_out: As for `generate`; concerns the three in five.
        exclude: Plain texts that must not come again, compared by their words.

    Raises:
        UserError: The grammar has no new text left.
    """
    rng = random.Random(f"evoxtral plain sentences {seed}")
    choice = _families(held_out)
    seen = set(map(text_key, exclude))
    return [_unseen(lambda: _plain(rng, choice), str, seen) for _ in range(n)]


def word_lists(n: int, seed: int, longest: int, *, exclude: Collection[str] = ()) -> list[str]:
    """Generate distinct lists of 1 to `longest` words in random order, written as a sentence.

    `exclude` holds plain texts that must not come again, compared by their words.

    Raises:
        UserError: There is no new text left.
    """
    rng = random.Random(f"evoxtral word lists {seed}")
    seen = set(map(text_key, exclude))

    def draw() -> str:
        return _as_sentence(_random_words(rng, rng.randint(1, longest)))

    return [_unseen(draw, str, seen) for _ in range(n)]


def _families(held_out: bool | None) -> list[Family]:
    return [f for f in FAMILIES if held_out is None or f.held_out == held_out]


def _unseen(draw: Callable[[], T | None], plain_text: Callable[[T], str], seen: set[str]) -> T:
    """Draw until a text comes whose words are not among those seen, and add them."""
    for _ in range(_ATTEMPTS):
        drawn = draw()
        if drawn and (key := text_key(plain_text(drawn))) not in seen:
            seen.add(key)
            return drawn
    raise UserError(f"No new text found beside {len(seen)} others: ask for fewer texts.")


def _slice_names(rng: random.Random, n: int, shares: Mapping[str, float]) -> list[str]:
    """Return `n` slice names in random order, in proportion to their shares."""
    names: list[str] = []
    cumulative, total = 0.0, sum(shares.values())
    for name, share in shares.items():
        cumulative += share
        names += [name] * (round(n * cumulative / total) - len(names))
    rng.shuffle(names)
    return names


def _plain(rng: random.Random, choice: list[Family]) -> str:
    draw, domain, mood = rng.random(), pick(rng, DOMAINS), any_mood(rng)
    n_words = rng.randint(1, MAX_PLAIN_WORDS)
    if draw < _TEMPLATE_SHARE:
        moods = [mood] if n_words < 7 or rng.random() < 0.6 else [mood, any_mood(rng)]
        sentences = compose(rng, pick(rng, choice), domain, moods, n_words)
        return " ".join(word for words in sentences for word in words)
    if draw < _TEMPLATE_SHARE + _LOOSE_SHARE:
        words: list[str] = []
        while len(words) < n_words:
            words += expand(pick(rng, GRAMMAR["loose"]), table(domain, mood), rng).split()
    else:
        words = _random_words(rng, n_words)
    return _as_sentence(words[:n_words])


def _random_words(rng: random.Random, n_words: int) -> list[str]:
    return [SURFACE[pick(rng, _WORDS)] for _ in range(n_words)]


def _as_sentence(words: list[str]) -> str:
    text = " ".join(words).rstrip(",.!?")
    return f"{text[0].upper()}{text[1:]}."
