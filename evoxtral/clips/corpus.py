"""The synthetic corpus: who says what in which split, rendered the same to the byte every time.

Test sets are drawn first and everything drawn later avoids their words, so that no plain text
stands in two splits. Test sets hear held-out template families and held-out voices beside the
familiar ones; training and validation never do.

A clip is done when its file is there, since files appear whole. A killed build therefore needs no
journal: the next one reads what is there and renders the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evoxtral import UserError, runs
from evoxtral.clips.audio import SAMPLE_RATE, BadAudioError, audio_digest, decode, write_audio
from evoxtral.clips.clip import Clip, complete, folder_of, write_splits
from evoxtral.processes import progress
from evoxtral.world import scripts
from evoxtral.world.scripts import Script
from evoxtral.world.speech import (
    MAX_SECONDS,
    TRAINING_VOICES,
    VOICES,
    RenderJob,
    Voice,
    render_many,
)

HELD_OUT_SHARE = 0.25
"""Share of held-out template families in the tagged test sets."""

HELD_OUT_SHARE_BASE = 0.5
"""The same for `base_test`, where only three sentences in five have a template at all."""

SPARE_SHARE = 0.15
"""Scripts in reserve for those whose rendering turns out too long for the window."""

TEST_SPLITS = ("natural", "balanced", "test", "base_test")
"""Splits with held-out families and voices."""

SPLITS = (*TEST_SPLITS, "validation", "plain_val", "train", "raft_prompts")
"""All splits in the order in which they are drawn."""

_SLICES = {
    "balanced": {"plain": 0.1, "light": 0.35, "moderate": 0.35, "dense": 0.2},
    "plain_val": {"plain": 1.0},
}


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip to render: its script (whose id is the clip's), voice, and seed of the rendering."""

    script: Script
    split: str
    voice: Voice
    seed: int


def plan(sizes: Mapping[str, int], seed: int) -> dict[str, list[PlannedClip]]:
    """Decide every clip of a corpus; the same arguments give the same plan.

    Args:
        sizes: Clips by split, some of `SPLITS`; splits of size 0 are left out.
        seed: Names the random streams.

    Returns:
        Clips by split: as many as wanted, then spares for those that come out too long.

    Raises:
        UserError: The grammar has not enough texts.
    """
    used: list[str] = []
    plans = {}
    for split in SPLITS:
        size = sizes.get(split, 0)
        if size == 0:
            continue
        own = _seed(seed, split)
        drawn = _draw(split, size + max(4, round(size * SPARE_SHARE)), own, used)
        used += [script.plain_text for script in drawn]
        voices = _deal(VOICES if split in TEST_SPLITS else TRAINING_VOICES, own)
        plans[split] = [
            PlannedClip(script, split, next(voices), _seed(own, script.id)) for script in drawn
        ]
    return plans


def _seed(seed: int, *parts: object) -> int:
    return int(runs.digest([seed, *parts])[:8], 16) % 2**31


def _draw(split: str, count: int, seed: int, avoid: Sequence[str]) -> list[Script]:
    """Scripts of a split in the order they are used; held-out families are spread evenly."""
    if split not in TEST_SPLITS:
        drawn = _write(split, count, seed, held_out=False, avoid=avoid)
    else:
        unseen = round(count * (HELD_OUT_SHARE_BASE if split == "base_test" else HELD_OUT_SHARE))
        strange = _write(split, unseen, _seed(seed, "held out"), held_out=True, avoid=avoid)
        avoid = [*avoid, *(script.plain_text for script in strange)]
        familiar = _write(split, count - unseen, seed, held_out=False, avoid=avoid)
        drawn = _interleave(familiar, strange)
    return [replace(script, id=f"{split}-{i:05d}") for i, script in enumerate(drawn)]


def _write(
    split: str, count: int, seed: int, *, held_out: bool, avoid: Sequence[str]
) -> list[Script]:
    if split == "base_test":
        texts = scripts.plain_sentences(count, seed, held_out=held_out, exclude=avoid)
        return [Script("", text, "plain", "unknown", "plain_sentences", held_out) for text in texts]
    return scripts.generate(
        count,
        seed,
        held_out=held_out,
        slices=_SLICES.get(split),
        exclude=avoid,
        balanced=split == "balanced",
    )


def _interleave(many: Sequence[Script], few: Sequence[Script]) -> list[Script]:
    """One of `few` after every so many of `many`, so that each stretch has its share."""
    ranked = [
        ((i + 0.5) / len(group), script) for group in (many, few) for i, script in enumerate(group)
    ]
    return [script for _, script in sorted(ranked, key=lambda pair: pair[0])]


def _deal(voices: Sequence[Voice], seed: int) -> Iterator[Voice]:
    """All voices in random order, then all again in another."""
    rng = random.Random(seed)
    while True:
        yield from rng.sample(voices, len(voices))


def build_corpus(
    folder: Path | str, sizes: Mapping[str, int], seed: int, workers: int | None = None
) -> None:
    """Render a synthetic corpus, or what is missing of it, in AudioFolder layout.

    Args:
        folder: Where to; absent, or left by an earlier build of the same corpus.
        sizes: See `plan`.
        seed: All randomness derives from it.
        workers: Rendering processes; one for each processor if None. Does not change a byte.

    Raises:
        UserError: A split has too many scripts that last too long, or the disk is full.
    """
    folder = Path(folder)
    plans = plan(sizes, seed)
    for path in folder.rglob(".*.tmp"):  # of a killed writer
        path.unlink()
    known: dict[str, Clip | None] = {}  # None: too long for the window
    for clip in chain(*plans.values()):
        with suppress(BadAudioError):  # absent, or damaged and to be rendered again
            known[clip.script.id] = _clip(clip, decode(_path(folder, clip))[0])
    total = sum(sizes[split] for split in plans)
    with progress(total, "corpus", unit="clip", done=len(known)) as bar:
        while todo := {
            clip.script.id: clip
            for split, clips in plans.items()
            for clip in _chosen(clips, sizes[split], known)
            if clip.script.id not in known
        }:
            jobs = (
                RenderJob(key, clip.script.tagged_text, clip.voice.id, clip.seed)
                for key, clip in todo.items()
            )
            with closing(render_many(jobs, workers=workers)) as rendered:
                for key, result in rendered:
                    known[key] = None
                    if result.duration <= MAX_SECONDS:
                        write_audio(_path(folder, todo[key]), result.audio)
                        known[key] = _clip(todo[key], result.audio)
                    bar.update(known[key] is not None)
    rows = {
        split: [known[clip.script.id] for clip in _chosen(clips, sizes[split], known)]
        for split, clips in plans.items()
    }
    write_splits(folder, rows)


def _path(folder: Path, clip: PlannedClip) -> Path:
    return folder / folder_of(clip.split) / f"{clip.script.id}.flac"


def _chosen(
    clips: Sequence[PlannedClip], size: int, known: Mapping[str, Clip | None]
) -> list[PlannedClip]:
    """A split as far as is known: those wanted, spares in place of those known as too long."""
    fitting = [clip for clip in clips if known.get(clip.script.id, clip) is not None]
    if len(fitting) < size:
        raise UserError(
            f"too many scripts of {clips[0].split!r} last longer than {MAX_SECONDS} s: "
            "ask for fewer clips or choose another seed"
        )
    return fitting[:size]


def _clip(planned: PlannedClip, samples: npt.NDArray[np.float32]) -> Clip:
    row = {
        **asdict(planned.script),
        "file_name": f"{planned.script.id}.flac",
        "voice": planned.voice.id,
        "gender": planned.voice.gender,
        "source": "synthetic",
        "seconds": len(samples) / SAMPLE_RATE,
        "sha256": audio_digest(samples),
    }
    return complete(row, planned.split)
