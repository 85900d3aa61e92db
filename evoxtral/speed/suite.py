"""Everything that is measured, in parts that each leave their files; a stopped run goes on.

A part is measured again only if its files are missing, or if they say another commit, machine or
depth: `python -m evoxtral speed all`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from evoxtral import UserError, runs, sft
from evoxtral.datamix.six import SIZES
from evoxtral.pipeline import open_setup
from evoxtral.report.provenance import commit
from evoxtral.speed import results, run
from evoxtral.speed.machine import conditions, machine
from evoxtral.speed.measure import Comparison
from evoxtral.speed.mixing import three_stage_mix
from evoxtral.speed.near_duplicates import filtering, near_duplicate_curve
from evoxtral.speed.points import Point, Where, measure_points
from evoxtral.speed.synthesis import synthesis

__all__ = ["DEPTHS", "PARTS", "Depth", "growth_points", "measure_parts"]


@dataclass(frozen=True)
class Depth:
    """How much is measured.

    Attributes:
        repeats: rounds that count.
        clips: per round of encode, SFT, evaluation and sampling.
        k_clips: completions per clip, and clips per round.
        texts: compared pair by pair in plain Python.
        grown: texts of the filter's curve.
        mix: share of the mixing note's rows.
        spoken: clips synthesised.
        sizes: clips of growth curves; the least should fill a block of features per core.
        steps: optimiser steps of growth curves.
        batches: clips at once of growth curves; the last but one is that of the other curves.
    """

    repeats: int
    clips: int
    k_clips: Mapping[int, int]
    texts: int
    grown: tuple[int, ...]
    mix: float
    spoken: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    batches: tuple[int, ...]


DEPTHS: Mapping[str, Depth] = MappingProxyType(
    {
        "quick": Depth(1, 8, {1: 8, 4: 8, 16: 2}, 60, (250, 500, 1_000), 1 / 128, 6,
                       (2, 4, 8), (1, 2, 3), (2, 4, 8)),
        "full": Depth(3, 128, {1: 32, 4: 64, 16: 8}, 300, (2_500, 5_000, 10_000, 20_000), 1.0, 200,
                      (125, 250, 500, 1_000), (8, 16, 32), (1, 4, 16, 64)),
    }
)  # fmt: skip
"""By name: `quick` shows that everything works, `full` is what is reported."""


def _near_duplicates(profile: str, depth: Depth) -> list[Comparison]:
    return [filtering(_texts(profile)[: depth.texts], depth.repeats)]


def _texts(profile: str) -> list[str]:
    setup = open_setup(sft.parameters_of(profile))
    return [clip.tagged_text for clip in setup.clips("train")]


def _raft(profile: str, depth: Depth) -> list[Comparison]:
    by_clips: dict[int, list[int]] = {}
    for k, clips in depth.k_clips.items():
        by_clips.setdefault(clips, []).append(k)
    return [
        one
        for clips, ks in by_clips.items()
        for one in run.raft_speed(profile, depth.repeats, ks=ks, most=clips)
    ]


PARTS: Mapping[str, Callable[[str, Depth], list[Comparison]]] = MappingProxyType(
    {
        "encode": lambda profile, depth: run.encode_speed(profile, depth.repeats, depth.clips),
        "sft": lambda profile, depth: run.sft_speed(profile, depth.repeats, most=depth.clips),
        "raft": _raft,
        "evaluate": lambda profile, depth: run.evaluation_speed(
            profile, depth.repeats, most=depth.clips
        ),
        "near_duplicates": _near_duplicates,
        "mix": lambda _, depth: [three_stage_mix(depth.repeats, depth.mix)],
        "synthesis": lambda _, depth: [synthesis(depth.spoken, depth.repeats)],
    }
)
"""Comparisons by the name of their files; `growth` is measured beside them."""

GROWTH = "growth"


def measure_parts(
    folder: Path, profile: str, depth: str, parts: Sequence[str] = (), *, again: bool = False
) -> Iterator[tuple[str, bool]]:
    """Measure parts that are not measured yet; each leaves its files when it is done.

    Args:
        folder: for the files.
        profile: whose clips, base and recipes are measured.
        depth: name of a depth.
        parts: names; all if empty.
        again: measure also what is there.

    Yields:
        The name of each part, and whether it was measured now.

    Raises:
        UserError: an unknown part.
    """
    known = (*PARTS, GROWTH)
    unknown = sorted(set(parts) - set(known))
    if unknown:
        raise UserError(f"there is no part {unknown[0]!r}: choose of {', '.join(known)}")
    for name in parts or known:
        file = f"{name}_{profile}"
        if not again and _measured(folder / f"{file}.json", depth):
            yield name, False
            continue
        said = conditions(profile, depth)
        if name == GROWTH:
            curves = _growth(profile, DEPTHS[depth])
            results.write_growth(folder, file, curves, said)
        else:
            results.write(folder, file, PARTS[name](profile, DEPTHS[depth]), said)
        yield name, True


def _measured(path: Path, depth: str) -> bool:
    """Whether a part's file says the present commit, machine and depth."""
    if not path.is_file():
        return False
    said = runs.read_json(path)["conditions"]
    return _identity(said) == _identity({"depth": depth, "machine": machine(), **commit()})


def _identity(said: Mapping[str, Any]) -> dict[str, Any]:
    there = {name: value for name, value in said["machine"].items() if name != "load"}
    return {"depth": said["depth"], "commit": said["commit"], **there}


def growth_points(depth: Depth, batch: int) -> dict[str, list[Point]]:
    """Points of the curves, by what grows along them.

    Args:
        depth: how many.
        batch: examples of an optimiser step.
    """
    at_once = depth.batches[-2]
    everything = sum(size for _, size in SIZES.values())
    rows = [round(depth.mix * everything / part) for part in (8, 4, 2, 1)]
    by_size = [
        *(Point("encode", "ours", n) for n in depth.sizes),
        *(Point("SFT", "ours", batch * n, batch) for n in depth.steps),
        *(Point("sampling", "ours", n, at_once, 4) for n in depth.sizes),
        *(Point("evaluation", "ours", n, at_once) for n in depth.sizes),
        *(Point("three-stage mix", way, n) for way in ("ours", "plain") for n in rows),
    ]
    by_batch = [
        *(Point("SFT", "ours", 2 * batch, n) for n in (2, batch // 2, batch)),
        *(Point("evaluation", "ours", depth.sizes[0], n) for n in depth.batches),
    ]
    by_k = [
        Point("sampling", way, at_once, at_once, k) for way in ("ours", "plain") for k in (1, 4, 16)
    ]
    return {"size": by_size, "batch": by_batch, "k": by_k}


def _growth(profile: str, depth: Depth) -> pd.DataFrame:
    subject = run.open_subject(profile, most=depth.sizes[-1])
    if len(subject.clips) < depth.sizes[-1]:
        raise UserError(
            f"growth is measured on {depth.sizes[-1]} clips, and the profile {profile} has "
            f"{len(subject.clips)}: take a larger profile, or measure quickly"
        )
    cfg = subject.setup.cfg
    where = Where(profile, subject.adapter, len(subject.clips), min(2, depth.repeats))
    subject.cached()
    points = measure_points(growth_points(depth, cfg.batch), where)
    curve = near_duplicate_curve(_texts(profile), depth.grown)
    texts = pd.DataFrame(
        {
            "curve": "size",
            "work": "near-duplicates",
            "way": "ours",
            "size": curve["texts"],
            "seconds": curve["seconds"],
            "peak": curve["peak MiB"],
        }
    )
    return pd.concat([points, texts], ignore_index=True)
