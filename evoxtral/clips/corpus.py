"""The synthetic corpus: who says what in which split, rendered the same to the byte every time.

Splits are drawn in turn, tests first, and avoid each other's words; held-out template families and
voices are heard in tests only. A killed build is resumed from the files that are there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from pathlib import Path

from evoxtral import UserError, runs
from evoxtral.clips import Clip, clip_of, write_splits
from evoxtral.clips.audio import ClipError, read_whole, write_audio
from evoxtral.processes import progress
from evoxtral.world import scripts, speech
from evoxtral.world.scripts import Script

HELD_OUT = {"natural": 0.25, "balanced": 0.25, "test": 0.25, "base_test": 0.5}
"""Splits with held-out voices, and the share of held-out template families in each."""

SPLITS = (*HELD_OUT, "validation", "plain_val", "train", "raft_prompts")
"""All splits in the order in which they are drawn."""

SPARE_SHARE = 0.15
"""Scripts in reserve for those whose rendering turns out too long for the window."""

_SLICES = {
    "balanced": {"plain": 0.1, "light": 0.35, "moderate": 0.35, "dense": 0.2},
    "plain_val": {"plain": 1.0},
}


@dataclass(frozen=True)
class PlannedClip:
    """A clip to render: its script, its row, not yet measured, and the seed of the rendering."""

    script: Script
    clip: Clip
    seed: int


def plan(sizes: Mapping[str, int], seed: int) -> dict[str, list[PlannedClip]]:
    """All clips by split, as many as `sizes` wants, then spares for those that come out too long.

    A `UserError` if the grammar has not enough texts.
    """
    used: list[str] = []
    plans = {}
    for split in SPLITS:
        if size := sizes.get(split, 0):
            own = _seed(seed, split)
            drawn = _draw(split, size + max(4, round(size * SPARE_SHARE)), own, used)
            used += [script.plain_text for script in drawn]
            voices = speech.VOICES if split in HELD_OUT else speech.TRAINING_VOICES
            rng = random.Random(own)
            turns = (rng.sample(voices, len(voices)) for _ in drawn)  # more than enough
            plans[split] = [
                PlannedClip(script, clip_of(script, split, v.id, v.gender), _seed(own, script.id))
                for script, v in zip(drawn, chain.from_iterable(turns), strict=False)
            ]
    return plans


def _seed(seed: int, *parts: object) -> int:
    return int(runs.digest([seed, *parts])[:8], 16) % 2**31


def _draw(split: str, count: int, seed: int, avoid: Sequence[str]) -> list[Script]:
    """Scripts of a split in the order they are used; held-out families are spread evenly."""

    def write(n: int, seed: int, avoid: Sequence[str], held_out: bool) -> list[Script]:
        limits = {"held_out": held_out, "exclude": avoid}
        if split != "base_test":
            slices, balanced = _SLICES.get(split), split == "balanced"
            return scripts.generate(n, seed, slices=slices, balanced=balanced, **limits)
        texts = scripts.plain_sentences(n, seed, **limits)
        return [Script("", text, "plain", "unknown", "plain_sentences", held_out) for text in texts]

    unseen = round(count * HELD_OUT.get(split, 0))
    strange = write(unseen, _seed(seed, "held out"), avoid, held_out=True)
    avoid = [*avoid, *(script.plain_text for script in strange)]
    familiar = write(count - unseen, seed, avoid, held_out=False)
    # One of the few after every so many of the many, so that each stretch has its share.
    ranked = [
        ((i + 0.5) / len(group), script)
        for group in (familiar, strange)
        for i, script in enumerate(group)
    ]
    ordered = sorted(ranked, key=itemgetter(0))
    return [replace(script, id=f"{split}-{i:05d}") for i, (_, script) in enumerate(ordered)]


def build_corpus(
    folder: Path | str, sizes: Mapping[str, int], seed: int, workers: int | None = None
) -> None:
    """Render a corpus, or what is missing of it in the folder, as an AudioFolder.

    `sizes` has clips by split, `workers` is rendering processes, by default one for each processor.
    A `UserError` if a split has too many scripts that last too long, or the disk is full.
    """
    folder = Path(folder)
    plans = plan(sizes, seed)
    for path in folder.rglob(".*.tmp"):  # of a killed writer
        path.unlink()
    known: dict[str, Clip | None] = {}  # None: too long for the window
    for one in chain(*plans.values()):
        with suppress(ClipError):  # absent, or damaged and to be rendered again
            known[one.clip.id] = one.clip.measured(read_whole(folder / one.clip.stored))
    with progress(sum(sizes[s] for s in plans), "corpus", unit="clip", done=len(known)) as bar:
        while True:
            chosen = {split: _chosen(plans[split], sizes[split], known) for split in plans}
            todo = [one for one in chain(*chosen.values()) if one.clip.id not in known]
            if not todo:
                break
            jobs = (
                speech.RenderJob(one.clip.tagged_text, speech.find_voice(one.clip.voice), one.seed)
                for one in todo
            )
            with closing(speech.render_many(jobs, workers=workers)) as rendered:
                for one, result in zip(todo, rendered, strict=True):
                    known[one.clip.id] = None
                    if len(result.audio) <= speech.MAX_SECONDS * speech.SAMPLE_RATE:
                        write_audio(folder / one.clip.stored, result.audio)
                        known[one.clip.id] = one.clip.measured(result.audio)
                        bar.update()
    write_splits(folder, [known[one.clip.id] for one in chain(*chosen.values())])


def _chosen(
    planned: Sequence[PlannedClip], size: int, known: Mapping[str, Clip | None]
) -> list[PlannedClip]:
    """A split as far as is known: those wanted, spares in place of those known as too long."""
    fitting = [one for one in planned if known.get(one.clip.id, one) is not None]
    if len(fitting) < size:
        raise UserError(
            f"too many scripts of {planned[0].clip.split!r} last longer than "
            f"{speech.MAX_SECONDS} s: ask for fewer clips or choose another seed"
        )
    return fitting[:size]
