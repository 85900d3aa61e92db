"""Which script goes into which split, in whose voice: the whole synthetic corpus on paper.

Test sets are drawn first and everything drawn later avoids their words, so that no plain text
stands in two splits. Test sets hear held-out template families and held-out voices beside the
familiar ones; training and validation never do.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from evoxtral import runs
from evoxtral.world import scripts
from evoxtral.world.scripts import Script
from evoxtral.world.speech import TRAINING_VOICES, VOICES, Voice

HELD_OUT_SHARE = 0.25
"""Share of held-out template families in the tagged test sets."""

HELD_OUT_SHARE_BASE = 0.5
"""The same for `base_test`, where only three sentences in five have a template at all."""

SPARE_SHARE = 0.15
"""Scripts in reserve for those whose rendering turns out too long for the window."""

TEST_SPLITS = ("natural", "balanced", "test", "base_test")
"""Splits with held-out families and voices."""

_ORDER = (*TEST_SPLITS, "validation", "plain_val", "train", "raft_prompts", "train_extra")
_BALANCED = {"plain": 0.1, "light": 0.35, "moderate": 0.35, "dense": 0.2}
_SLICES = {"balanced": _BALANCED, "plain_val": {"plain": 1.0}}
_PLAIN_SENTENCES = ("base_test", "base_train")


@dataclass(frozen=True)
class CorpusSizes:
    """Clips in each split.

    Attributes:
        train: For fine-tuning, 808 as in the report; training families and voices.
        validation: 101 as in the report; training families and voices.
        test: 101 as in the report.
        natural: The headline test set, of the same distribution as `test`.
        balanced: All 17 tags about equally often; from 400 on each has a support of 50 or more.
        raft_prompts: For rejection sampling, never used in fine-tuning before it.
        plain_val: Untagged clips: what fine-tuning does to plain transcription.
        base_test: Neutral plain sentences that the base model is measured on.
        train_extra: More training clips.
        base_train: Neutral plain sentences for training.
    """

    train: int = 808
    validation: int = 101
    test: int = 101
    natural: int = 1000
    balanced: int = 400
    raft_prompts: int = 808
    plain_val: int = 200
    base_test: int = 500
    train_extra: int = 0
    base_train: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) < 0:
                raise ValueError(f"{item.name} must be 0 or more")


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip to render.

    Attributes:
        script: What is said; its id is the clip's.
        split: Where it goes.
        voice: Who says it.
        seed: Everything random in its rendering.
    """

    script: Script
    split: str
    voice: Voice
    seed: int


@dataclass(frozen=True)
class Plan:
    """The clips of one split, and spares that replace those that come out too long."""

    split: str
    wanted: tuple[PlannedClip, ...]
    spares: tuple[PlannedClip, ...]


def plan(sizes: CorpusSizes, seed: int, exclude: Collection[str] = ()) -> list[Plan]:
    """Decide every clip of a corpus; the same arguments give the same plan.

    Args:
        sizes: Clips in each split; splits of size 0 are left out.
        seed: Names the random streams.
        exclude: Plain texts that no test set may hold, e.g. what a base model was trained on.

    Raises:
        UserError: The grammar has not enough texts.
    """
    used: list[str] = []
    plans = []
    for split in (*_ORDER, "base_train"):
        size = getattr(sizes, split)
        if size == 0:
            continue
        own = _seed(seed, split)
        avoid = [*used, *exclude] if split in TEST_SPLITS else used
        drawn = _draw(split, size + max(4, round(size * SPARE_SHARE)), own, avoid)
        used += [script.plain_text for script in drawn]
        clips = tuple(_cast(split, drawn, own))
        plans.append(Plan(split, clips[:size], clips[size:]))
    return plans


def _seed(seed: int, *parts: object) -> int:
    return int(runs.digest([seed, *parts])[:8], 16) % 2**31


def _draw(split: str, count: int, seed: int, avoid: Sequence[str]) -> list[Script]:
    """Scripts of a split in the order they are used; held-out families are spread evenly."""
    if split not in TEST_SPLITS:
        drawn = _write(split, count, seed, held_out=False, avoid=avoid)
    else:
        share = HELD_OUT_SHARE_BASE if split in _PLAIN_SENTENCES else HELD_OUT_SHARE
        unseen = round(count * share)
        strange = _write(split, unseen, _seed(seed, "held out"), held_out=True, avoid=avoid)
        avoid = [*avoid, *(script.plain_text for script in strange)]
        familiar = _write(split, count - unseen, seed, held_out=False, avoid=avoid)
        drawn = _interleave(familiar, strange)
    return [replace(script, id=f"{split}-{i:05d}") for i, script in enumerate(drawn)]


def _write(
    split: str, count: int, seed: int, *, held_out: bool, avoid: Sequence[str]
) -> list[Script]:
    if split not in _PLAIN_SENTENCES:
        return scripts.generate(
            count,
            seed,
            held_out=held_out,
            slices=_SLICES.get(split),
            exclude=avoid,
            balanced=split == "balanced",
        )
    texts = scripts.plain_sentences(count, seed, held_out=held_out, exclude=avoid)
    return [Script("", text, "plain", "unknown", "plain_sentences", held_out) for text in texts]


def _interleave(many: Sequence[Script], few: Sequence[Script]) -> list[Script]:
    """One of `few` after every so many of `many`, so that each stretch has its share."""
    ranked = [
        ((i + 0.5) / len(group), script) for group in (many, few) for i, script in enumerate(group)
    ]
    return [script for _, script in sorted(ranked, key=lambda pair: pair[0])]


def _cast(split: str, drawn: Sequence[Script], seed: int) -> Iterator[PlannedClip]:
    """Give each script a voice and a seed."""
    voices = _deal(VOICES if split in TEST_SPLITS else TRAINING_VOICES, seed)
    for script in drawn:
        yield PlannedClip(script, split, next(voices), _seed(seed, script.id))


def _deal(voices: Sequence[Voice], seed: int) -> Iterator[Voice]:
    """All voices in random order, then all again in another."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(voices, len(voices))
