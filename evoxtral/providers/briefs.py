"""What to ask for next, so that the whole set comes to meet the composition note's targets.

A brief orders a few scripts of one density stratum with the tags that are furthest behind their
minimum (`mix.goals`: the tables of the note's sections 5 and 6). Briefs are planned a round at a
time, each as if those before it had brought what they ask for.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from evoxtral import tags
from evoxtral.mix.goals import DENSITY, EXAMPLES_PER_TAG, FREQUENT, MINIMUMS
from evoxtral.world.scripts import DOMAINS, Script

SEEDS = 8
"""Examples in each request, drawn anew from everything accepted so far (Self-Instruct)."""

HEAVIEST = 8
"""Most tags of a script; the note's heavy stratum begins at 6."""

REFERENCE_SIZE = 800
"""Size of the set for which the note asks for 40 examples of each tag."""

MOST_REQUIRED = 3
ALTERNATIVES = 2

_STRATA = tuple(DENSITY)
_FEWEST = [fewest for fewest, _, _ in DENSITY.values()]
_MIDDLE = [(low + high) / 2 for _, low, high in DENSITY.values()]
_SLICES = ((0, "plain"), (2, "light"), (4, "moderate"), (HEAVIEST, "dense"))
_OFTEN = sum(FREQUENT[:2]) / 2


@dataclass(frozen=True)
class Brief:
    """An order for scripts.

    Attributes:
        number: From 0, unique in a run.
        rows: Scripts wanted.
        fewest: Least tags in each.
        most: Most tags in each.
        required: Tags that each must have; a paraphrase has exactly these, with repetitions.
        avoid: Tags that none may have.
        emphasis: Whether each must have a word in capitals.
        domain: One of `scripts.DOMAINS`.
        examples: Tagged texts to show.
        source: The text to put in other words, None for new scripts.
    """

    number: int
    rows: int
    fewest: int
    most: int
    required: tuple[str, ...]
    avoid: tuple[str, ...]
    emphasis: bool
    domain: str
    examples: tuple[str, ...]
    source: str | None = None


@dataclass
class Tally:
    """How far a set of scripts is: what it holds, or is expected to hold.

    Attributes:
        strata: Scripts by density stratum (keys of `DENSITY`).
        having: Scripts by tag that they carry; `CAPS` for a word in capitals.
        domains: Scripts by domain.
    """

    strata: Counter[str] = field(default_factory=Counter)
    having: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, scripts: Sequence[Script]) -> Tally:
        """Count scripts."""
        tally = cls()
        for script in scripts:
            names = [tag.name for tag in tags.parse(script.tagged_text).tags]
            caps = bool(tags.emphasis_words(tags.strip_tags(script.tagged_text)))
            tally.add(stratum_of(len(names)), {*names}, caps, script.domain)
        return tally

    def add(self, stratum: str, names: set[str], caps: bool, domain: str, times: int = 1) -> None:
        """Count a script, or several alike. Capitals count where there is a tag, as in the note."""
        self.strata[stratum] += times
        self.domains[domain] += times
        for name in names | ({"CAPS"} if caps and stratum != _STRATA[0] else set()):
            self.having[name] += times

    @property
    def tagged(self) -> int:
        """Scripts with a tag."""
        return self.strata.total() - self.strata[_STRATA[0]]

    def expect(self, brief: Brief) -> None:
        """Count what a brief asks for."""
        stratum = stratum_of(brief.fewest)
        self.add(stratum, {*brief.required}, brief.emphasis, brief.domain, brief.rows)


def stratum_of(n_tags: int) -> str:
    """Density stratum of a script.

    >>> stratum_of(4)
    'medium (3–5 tags)'
    """
    return _STRATA[sum(n_tags >= fewest for fewest in _FEWEST) - 1]


def slice_of(n_tags: int) -> str:
    """Slice of a script, as the released scripts name densities.

    >>> slice_of(5)
    'dense'
    """
    return next((name for most, name in _SLICES if n_tags <= most), "dense")


def wanted_examples(tag: str, target: int) -> float:
    """Scripts with a tag that a set of `target` scripts should hold at least.

    The greater of the tag's share of tagged scripts (section 5) and its part of 40 in 800
    (section 6).
    """
    low = MINIMUMS[tag][0] if tag in MINIMUMS else FREQUENT[0]
    tagged = target * (1 - _MIDDLE[0])
    return max(low * tagged, EXAMPLES_PER_TAG * min(1.0, target / REFERENCE_SIZE))


def next_brief(
    tally: Tally,
    number: int,
    pool: Sequence[Script],
    accepted: Sequence[Script],
    *,
    target: int,
    rows: int,
    paraphrase_share: float,
    seed: int,
) -> Brief:
    """Order what is furthest behind.

    Args:
        tally: The set so far, with what has been ordered.
        number: Of the brief; with `seed` it decides all that is random.
        pool: Scripts to draw the examples from.
        accepted: Scripts that may be put in other words.
        target: Scripts that the finished set will hold.
        rows: Most scripts to order.
        paraphrase_share: Probability of ordering alternatives to an accepted script.
        seed: Of the run.
    """
    rng = random.Random(f"evoxtral briefs {seed} {number}")
    k, behind = _furthest_behind(tally, target)
    examples = tuple(s.tagged_text for s in rng.sample(list(pool), min(SEEDS, len(pool))))
    domain = min(DOMAINS, key=lambda name: (tally.domains[name], rng.random()))
    order = min(rows, max(1, math.ceil(behind)))
    required = _required(tally, _FEWEST[k], target, rng)
    if rng.random() < paraphrase_share:
        source = _source(accepted, k, required, rng)
        if source is not None:
            return _alternatives(number, min(order, ALTERNATIVES), source, examples)
    most = _FEWEST[k + 1] - 1 if k + 1 < len(_FEWEST) else HEAVIEST
    often = tally.having["pause"] > _OFTEN * tally.tagged
    return Brief(
        number=number,
        rows=order,
        fewest=_FEWEST[k],
        most=most,
        required=required,
        avoid=("pause",) if often and "pause" not in required else (),
        emphasis=k > 0 and tally.having["CAPS"] < _OFTEN * tally.tagged,
        domain=domain,
        examples=examples,
    )


def _furthest_behind(tally: Tally, target: int) -> tuple[int, float]:
    """The stratum that lacks most scripts to the middle of its band, and how many."""
    behind = [
        middle * target - tally.strata[name] for name, middle in zip(_STRATA, _MIDDLE, strict=True)
    ]
    k = max(range(len(behind)), key=behind.__getitem__)
    return k, behind[k]


def _required(tally: Tally, fewest: int, target: int, rng: random.Random) -> tuple[str, ...]:
    """The tags that lack the greatest part of their minimum; ties fall at random."""
    count = min(fewest, MOST_REQUIRED)
    if not count:
        return ()
    lacking = {tag: 1 - tally.having[tag] / wanted_examples(tag, target) for tag in tags.TAGS}
    order = sorted(tags.TAGS, key=lambda tag: (-max(lacking[tag], 0.0), rng.random()))
    return tuple(order[:count])


def _source(
    accepted: Sequence[Script], k: int, required: tuple[str, ...], rng: random.Random
) -> Script | None:
    """An accepted script of the stratum, with the rarest tag if there is one."""
    fits = [s for s in accepted if stratum_of(len(tags.find_tags(s.tagged_text))) == _STRATA[k]]
    rare = [s for s in fits if required and required[0] in tags.find_tags(s.tagged_text)]
    return rng.choice(rare or fits) if fits else None


def _alternatives(number: int, rows: int, source: Script, examples: tuple[str, ...]) -> Brief:
    names = tuple(tag.name for tag in tags.parse(source.tagged_text).tags)
    return Brief(
        number=number,
        rows=rows,
        fewest=len(names),
        most=len(names),
        required=names,
        avoid=(),
        emphasis=bool(tags.emphasis_words(tags.strip_tags(source.tagged_text))),
        domain=source.domain,
        examples=examples,
        source=source.tagged_text,
    )
