"""The offline script generator: seeded, closed vocabulary, five slices, eight domains."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import TypeVar

from evoxtral import UserError, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import grammar
from evoxtral.world.scripts.draft import Brief, fits
from evoxtral.world.scripts.grammar import DOMAINS, FAMILIES, GRAMMAR, SURFACE, Family, pick

T = TypeVar("T")

SLICES: dict[str, float] = {name: part["share"] for name, part in GRAMMAR["slices"].items()}
"""Share of scripts per tag-density slice: 0, 1–2, 3–4, 5–7 tags, and deliberate corner cases."""

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

    Every script fits the audio window of 8 s and differs in its words, not only in tags, case or
    punctuation, from all others and from the plain texts in `exclude`. About half of the coloured
    sentences have neutral words, and feeling words occur untagged, so that the text alone does
    not tell the tags.

    Args:
        n: Number of scripts.
        seed: Names the random stream, and the scripts: ``g-<seed>-000000`` and so on.
        held_out: Only held-out template families (True), only the others (False), or both.
        slices: Shares by slice name, `SLICES` if not given; kept exactly, up to rounding.
        exclude: Plain texts whose words must not come again.
        balanced: Draw all 17 tags about equally often, instead of a long tail.

    Raises:
        UserError: The grammar has no new text left.
    """
    rng = random.Random(f"evoxtral scripts {seed}")
    choice = [f for f in FAMILIES if held_out in (None, f.held_out)]
    used: Counter[str] | None = Counter() if balanced else None
    seen = set(map(text_key, exclude))
    scripts: list[Script] = []
    shares = slices or SLICES
    ends = [round(n * end / sum(shares.values())) for end in accumulate(shares.values())]
    spans = zip(shares, [0, *ends[:-1]], ends, strict=True)
    names = [name for name, start, end in spans for _ in range(start, end)]
    rng.shuffle(names)

    def draw(name: str) -> Script | None:
        brief = Brief(rng, pick(rng, choice), pick(rng, DOMAINS), used)
        draft = brief.write(name)
        if draft is None or not fits(text := draft.render()):
            return None
        key, family = f"g-{seed}-{len(scripts):06d}", brief.family
        return Script(key, text, name, brief.domain, family.name, family.held_out)

    for name in names:
        script = _unseen(partial(draw, name), attrgetter("plain_text"), seen)
        if used is not None:
            used.update(set(tags.find_tags(script.tagged_text)))
        scripts.append(script)
    return scripts


def plain_sentences(
    n: int, seed: int, *, held_out: bool | None = None, exclude: Collection[str] = ()
) -> list[str]:
    """Generate distinct plain texts of 1–14 words: no tags, no capitals for emphasis.

    The base model hears them before it knows any tag. Three in five are built from template
    families (`held_out` as for `generate`), one in five strings phrases together without a frame,
    and one in five is words in random order, which covers the whole lexicon and leaves a model
    nothing to lean on but the sound. `exclude` holds texts whose words must not come again.

    Raises:
        UserError: The grammar has no new text left.
    """
    rng = random.Random(f"evoxtral plain sentences {seed}")
    choice = [f for f in FAMILIES if held_out in (None, f.held_out)]
    seen = set(map(text_key, exclude))
    return [_unseen(lambda: _plain(rng, choice), str, seen) for _ in range(n)]


def word_lists(n: int, seed: int, longest: int, *, exclude: Collection[str] = ()) -> list[str]:
    """Generate distinct sentences of 1 to `longest` words in random order, none as in `exclude`.

    Raises:
        UserError: There is no new text left.
    """
    rng = random.Random(f"evoxtral word lists {seed}")
    seen = set(map(text_key, exclude))
    return [_unseen(lambda: _word_list(rng, rng.randint(1, longest)), str, seen) for _ in range(n)]


def _unseen(draw: Callable[[], T | None], plain_text: Callable[[T], str], seen: set[str]) -> T:
    """Draw until a text comes whose words are not among those seen, and add them."""
    for _ in range(_ATTEMPTS):
        drawn = draw()
        if drawn and (key := text_key(plain_text(drawn))) not in seen:
            seen.add(key)
            return drawn
    raise UserError(f"No new text found beside {len(seen)} others: ask for fewer texts.")


def _plain(rng: random.Random, choice: Sequence[Family]) -> str:
    draw, domain, mood = rng.random(), pick(rng, DOMAINS), grammar.any_mood(rng)
    n_words = rng.randint(1, 14)
    if draw < 0.6:
        moods = [mood] if n_words < 7 or rng.random() < 0.6 else [mood, grammar.any_mood(rng)]
        sentences = grammar.compose(rng, pick(rng, choice), domain, moods, n_words)
        return " ".join(word for words in sentences for word in words)
    if draw >= 0.8:
        return _word_list(rng, n_words)
    words: list[str] = []
    while len(words) < n_words:
        phrase = pick(rng, GRAMMAR["loose"])
        words += grammar.expand(phrase, grammar.table(domain, mood), rng).split()
    return _as_sentence(words[:n_words])


def _word_list(rng: random.Random, n_words: int) -> str:
    return _as_sentence([SURFACE[pick(rng, _WORDS)] for _ in range(n_words)])


def _as_sentence(words: Sequence[str]) -> str:
    text = " ".join(words).rstrip(",.!?")
    return f"{text[0].upper()}{text[1:]}."
