"""What to ask for next, in which words, and whether a script is what was asked for.

A brief orders a few scripts of one density stratum with the tags that are furthest behind their
minimum (`mix.goals`: the tables of the composition note's sections 5 and 6).
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evoxtral import tags
from evoxtral.mix.duplicates import near_duplicates_between
from evoxtral.mix.goals import DENSITY, EXAMPLES_PER_TAG, FREQUENT, MINIMUMS
from evoxtral.world.scripts import DOMAINS

EXAMPLES = 8
"""Shown in each request, drawn anew from everything accepted so far (Self-Instruct)."""

ROWS = 5  # scripts asked for at once
HEAVIEST = 8  # tags of a script; the note's heavy stratum begins at 6
REFERENCE_SIZE = 800  # of the set for which the note asks for 40 examples of each tag
LEAST_WORDS, MOST_WORDS = 5, 65  # tags not counted; the released scripts have 10 to 62
PARAPHRASES = 0.25  # share of briefs that order alternatives to an accepted script

_STRATA = tuple(DENSITY)
_FEWEST = [fewest for fewest, _, _ in DENSITY.values()]
_MIDDLE = [(low + high) / 2 for _, low, high in DENSITY.values()]
_OFTEN = sum(FREQUENT[:2]) / 2
_DIRECTION = re.compile(r"[()*_{}<>]|^[A-Z][a-z]+:|^[\"“]")
_PROMPTS = yaml.safe_load(Path(__file__).with_name("prompts.yaml").read_text(encoding="utf-8"))

Message = dict[str, str]


@dataclass(frozen=True)
class Brief:
    """An order for scripts of `fewest` to `most` tags.

    Each has all `required` tags, none to `avoid`, and with `emphasis` a word in capitals; where
    there is a `source`, a text to put in other words, it has exactly the tags of that.
    """

    number: int  # from 0, unique in a run
    rows: int
    fewest: int
    most: int
    required: tuple[str, ...]
    avoid: tuple[str, ...]
    emphasis: bool
    domain: str
    examples: tuple[str, ...]
    source: str | None = None


def next_brief(
    have: Counter[str],
    number: int,
    seeds: Sequence[str],
    accepted: Sequence[dict[str, Any]],
    seed: int,
) -> Brief:
    """Order what is furthest behind, of the strata first and then of the tags.

    Args:
        have: the set so far (`tally`), with what has been ordered.
        number: of the brief; with `seed` it decides all that is random.
        seeds: tagged texts to draw examples from, beside the accepted ones.
        accepted: rows that may be put in other words.
        seed: of the run.
    """
    rng = random.Random(f"evoxtral briefs {seed} {number}")
    size = sum(have[name] for name in _STRATA) + ROWS
    behind = [m * size - have[name] for name, m in zip(_STRATA, _MIDDLE, strict=True)]
    k = max(range(len(behind)), key=behind.__getitem__)
    pool = [*seeds, *(row["tagged_text"] for row in accepted)]
    examples = tuple(rng.sample(pool, min(EXAMPLES, len(pool))))
    domain = min(DOMAINS, key=lambda name: (have[name], rng.random()))
    lacking = {tag: max(1 - have[tag] / _wanted(tag, size), 0.0) for tag in tags.TAGS}
    order = sorted(tags.TAGS, key=lambda tag: (-lacking[tag], rng.random()))
    required = tuple(order[: min(_FEWEST[k], 3)])
    if rng.random() < PARAPHRASES:
        fits = [row for row in accepted if _stratum(len(_names(row["tagged_text"]))) == _STRATA[k]]
        rare = [row for row in fits if required and required[0] in _names(row["tagged_text"])]
        if fits:
            row = rng.choice(rare or fits)
            source, names = row["tagged_text"], tuple(_names(row["tagged_text"]))
            return Brief(number, min(ROWS, 2), len(names), len(names), names, (),
                         _emphatic(source), row["domain"], examples, source)  # fmt: skip
    often = _OFTEN * sum(have[name] for name in _STRATA[1:])
    avoid = ("pause",) if have["pause"] > often and "pause" not in required else ()
    most = _FEWEST[k + 1] - 1 if k + 1 < len(_FEWEST) else HEAVIEST
    emphasis = k > 0 and have["CAPS"] < often
    return Brief(number, ROWS, _FEWEST[k], most, required, avoid, emphasis, domain, examples)


def _wanted(tag: str, size: int) -> float:
    """Scripts with a tag that a set should hold at least.

    The greater of the tag's share of tagged scripts (section 5 of the note) and its part of 40 in
    800 (section 6).
    """
    low = MINIMUMS[tag][0] if tag in MINIMUMS else FREQUENT[0]
    return max(low * size * (1 - _MIDDLE[0]), EXAMPLES_PER_TAG * min(1.0, size / REFERENCE_SIZE))


def tally(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Scripts by density stratum, by tag that they carry, by CAPS and by domain."""
    have: Counter[str] = Counter()
    for row in rows:
        names, emphatic = _names(row["tagged_text"]), _emphatic(row["tagged_text"])
        add(have, len(names), names, emphatic, row["domain"])
    return have


def add(
    have: Counter[str],
    number: int,
    names: Sequence[str],
    emphatic: bool,
    domain: str,
    times: int = 1,
) -> None:
    """Count a script of `number` tags, or several alike; CAPS where there is a tag, as the note."""
    caps = ["CAPS"] if emphatic and number else []
    for name in {_stratum(number), domain, *names, *caps}:
        have[name] += times


def _stratum(number: int) -> str:
    return _STRATA[sum(number >= fewest for fewest in _FEWEST) - 1]


def _names(text: str) -> list[str]:
    return [tag.name for tag in tags.parse(text).tags]


def _emphatic(text: str) -> bool:
    return bool(tags.emphasis_words(tags.strip_tags(text)))


def writing(brief: Brief) -> list[Message]:
    """The conversation that opens a brief."""
    vocabulary = "\n".join(
        f"{_PROMPTS['groups'][group]}: {_listed(names)}" for group, names in tags.GROUPS.items()
    )
    openings, task = _PROMPTS["openings"], _PROMPTS["alternatives"]
    if brief.source is None:
        task = openings[brief.number % len(openings)]
    task = task.format(rows=brief.rows, domain=brief.domain, source=brief.source)
    rules = "\n".join(f"- {rule}" for rule in _rules(brief))
    shown = "\n".join(f"{number}. {text}" for number, text in enumerate(brief.examples, start=1))
    user = f"{task}\n{rules}\n\nExamples of the form, not to be repeated:\n{shown}"
    return [
        {"role": "system", "content": _PROMPTS["system"].format(tags=vocabulary)},
        {"role": "user", "content": user},
    ]


def _rules(brief: Brief) -> Iterator[str]:
    if brief.most == 0:
        yield "No tags at all: plain, neutral speech."
    elif brief.source is not None:
        yield f"Exactly these tags: {_listed(brief.required)}."
    else:
        span = f"{brief.fewest} to {brief.most}" if brief.most > brief.fewest else f"{brief.most}"
        yield f"Each script has {span} tags, among them {_listed(brief.required)}."
    if brief.avoid:
        yield f"None has {_listed(brief.avoid)}."
    if brief.emphasis and brief.most:
        yield "Each has one or two words in CAPITALS."
    yield f"Each has {LEAST_WORDS} to {MOST_WORDS} words, not counting tags; vary the length."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def judging(text: str) -> list[Message]:
    """The conversation that asks for one vote on a script."""
    return [
        {"role": "system", "content": _PROMPTS["judge"]},
        {"role": "user", "content": f"Script: {text}"},
    ]


def faults(text: str, brief: Brief) -> Iterator[str]:
    """Why a script does not fulfil its brief, the plainest reason first."""
    plain, names = tags.strip_tags(text), tags.find_tags(text)
    if not tags.is_balanced(text):
        yield "broken brackets"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        yield "control characters"
    if found := _DIRECTION.search(plain):
        yield f"{found.group()!r}: only what is spoken, tags in square brackets"
    if found := re.search(r"\d+", plain):
        yield f"{found.group()!r}: numbers are written as words"
    if not LEAST_WORDS <= len(plain.split()) <= MOST_WORDS:
        yield f"{len(plain.split())} words: {LEAST_WORDS} to {MOST_WORDS} are wanted"
    if brief.emphasis and not tags.emphasis_words(plain):
        yield "no word in CAPITALS"
    for name in names:
        if name not in tags.TAGS or f"[{name}]" not in text:
            yield f"[{name}] is not one of the tags, in lower case"
    if brief.source is not None and Counter(names) != Counter(brief.required):
        yield "not the same tags"
    if not brief.fewest <= len(names) <= brief.most:
        yield f"{len(names)} tags: {brief.fewest} to {brief.most} are wanted"
    yield from (f"[{name}] is missing" for name in brief.required if name not in names)
    yield from (f"[{name}] is not wanted" for name in brief.avoid if name in names)


def near_existing(texts: Sequence[str], existing: Sequence[str]) -> set[int]:
    """Positions of texts that are near one that exists or one before them, by ROUGE-L.

    Texts are compared as they are and without tags: the note's rule holds for both. Of two near
    texts among `texts` the later one is marked, also if the earlier one is marked itself.

    >>> sorted(near_existing(["[sad] a b c d", "x y", "x z"], ["a b c d"]))
    [0]
    """
    marked: set[int] = set()
    for view in (str, tags.plain_text):
        known = [view(text) for text in (*existing, *texts)]
        pairs = near_duplicates_between(known, [view(text) for text in texts])
        later = pairs["first"] < pairs["second"] + len(existing)
        marked |= {*pairs.loc[later, "second"].tolist()}
    return marked
