"""Single points of growth curves: time, peak memory and prefilled positions of one size.

Each point is measured in a process of its own, since a process never forgets its peak memory. A
fork server loads the frameworks once, so that a point costs no start of them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from evoxtral.datamix.six import RATIO, SIZES
from evoxtral.mix.mixer import mix_tree
from evoxtral.model import Features
from evoxtral.raft.sampling import Sampling
from evoxtral.speed.encode import hear_one_by_one
from evoxtral.speed.evaluate import one_by_one, together
from evoxtral.speed.finetuning import cached, rebuilt
from evoxtral.speed.measure import Timed
from evoxtral.speed.memory import peak_mebibytes
from evoxtral.speed.mixing import mix_in_memory, write_rows
from evoxtral.speed.run import open_subject, open_tuning
from evoxtral.speed.sampling import draw_one_by_one, draw_together

__all__ = ["Point", "Where", "measure_points"]

Curve = Literal["size", "batch", "k"]
Work = Callable[[int], object]
"""Does so much of the work; what it makes is `Timed` if it knows better how long it took."""


@dataclass(frozen=True)
class Where:
    """What points are measured on.

    Attributes:
        profile: whose clips, base and recipe are taken.
        adapter: folder of the adapter that is decoded with.
        clips: of which a point takes the first.
        repeats: times that each of ours is measured, of which the least counts; the others once.
    """

    profile: str
    adapter: Path
    clips: int
    repeats: int


@dataclass(frozen=True)
class Point:
    """One point.

    Attributes:
        work: encode, SFT, evaluation, sampling or three-stage mix.
        way: ours, or the straightforward one.
        size: clips, or rows of the mix.
        batch: clips or examples at once.
        k: completions per clip.
    """

    work: str
    way: Literal["ours", "plain"]
    size: int
    batch: int = 1
    k: int = 1


def measure_points(curves: Mapping[Curve, Sequence[Point]], where: Where) -> pd.DataFrame:
    """Measure the points of curves, those on several of them once.

    Args:
        curves: points by what grows along them.
        where: what they are measured on.

    Returns:
        `curve | work | way | size | batch | k | seconds | peak | before | prefilled`: memory in
        MiB, at its peak and before the work; positions that went through the language model
        together, NaN where none does.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    found: dict[Point, dict[str, float]] = {}
    rows = []
    for curve, points in curves.items():
        for point in points:
            if point not in found:
                with ProcessPoolExecutor(1, context) as pool:
                    found[point] = pool.submit(_measure, point, where).result()
            rows.append({"curve": curve, **asdict(point), **found[point]})
    return pd.DataFrame(rows)


def _measure(point: Point, where: Where) -> dict[str, float]:
    with ExitStack() as stack:
        work, model, least = _WORKS[point.work](point, where, stack)
        work(least)
        before = _peak()
        seconds = []
        for _ in range(where.repeats if point.way == "ours" else 1):
            with _counted(model) as positions:
                start = time.perf_counter()
                made = work(point.size)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                passed = time.perf_counter() - start
                seconds.append(made.seconds if isinstance(made, Timed) else passed)
        prefilled = float(sum(positions)) if positions else float("nan")
        return {
            "seconds": min(seconds), "peak": _peak(), "before": before, "prefilled": prefilled
        }  # fmt: skip


def _peak() -> float:
    """Peak memory so far in MiB: the GPU's where there is one, else the process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_mebibytes()


@contextmanager
def _counted(model: torch.nn.Module | None) -> Iterator[list[int]]:
    """Positions (rows times columns) of every pass through a language model that is no step."""
    positions: list[int] = []

    def count(_: object, __: object, options: Mapping[str, Any]) -> None:
        rows, columns = options["inputs_embeds"].shape[:2]
        if columns > 1:
            positions.append(rows * columns)

    if model is None:
        yield positions
        return
    inner = next(m for name, m in model.named_modules() if name.endswith("language_model"))
    handle = inner.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield positions
    finally:
        handle.remove()


_Prepared = tuple[Work, torch.nn.Module | None, int]
"""The work, the model whose prefill is counted, and how much of it warms everything up."""


def _some(features: Features, clips: int) -> Features:
    return Features(features.folder, features.windows[:clips])


def _encode(point: Point, where: Where, stack: ExitStack) -> _Prepared:
    subject = open_subject(where.profile, None, where.clips, where.adapter)
    setup, clips = subject.setup, subject.clips
    if point.way == "ours":
        cached(setup, clips[: point.size])
        return lambda n: rebuilt(setup, clips[:n]), None, 1
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return lambda n: hear_one_by_one(setup, clips[:n], folder), None, 1


def _evaluation(point: Point, where: Where, stack: ExitStack) -> _Prepared:
    subject = open_subject(where.profile, None, where.clips, where.adapter)
    if point.way == "plain":
        return lambda n: one_by_one(subject.first(n)), subject.plain, 1
    features = subject.cached()
    return (
        lambda n: together(subject.first(n), _some(features, n), point.batch),
        subject.ours,
        1,
    )


def _sampling(point: Point, where: Where, stack: ExitStack) -> _Prepared:
    subject = open_subject(where.profile, None, where.clips, where.adapter)
    how = Sampling(point.k, 0.7, 0.9, point.batch, 0)
    if point.way == "plain":
        return lambda n: draw_one_by_one(subject.first(n), how, 0), subject.plain, 1
    features = subject.cached()
    return (
        lambda n: draw_together(subject.first(n), _some(features, n), how, 0),
        subject.ours,
        1,
    )


def _sft(point: Point, where: Where, stack: ExitStack) -> _Prepared:
    tuning = open_tuning(where.profile, point.size)
    tuning = replace(tuning, recipe=replace(tuning.recipe, micro_batch=point.batch))
    features = cached(tuning.setup, tuning.clips)
    batch = tuning.recipe.batch

    def train(clips: int) -> object:
        part = replace(tuning, clips=tuning.clips[:clips])
        if point.way == "ours":
            vars(part).update(our_model=tuning.our_model)
            return part.ours(_some(features, clips))
        vars(part).update(plain_model=tuning.plain_model)
        return part.theirs(_some(features, clips), point.batch)

    return train, None, batch


def _mix(point: Point, where: Where, stack: ExitStack) -> _Prepared:
    roots: dict[int, Path] = {}
    everything = sum(size for _, size in SIZES.values())
    for rows in (0, point.size):
        roots[rows] = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_rows(roots[rows], rows / everything)
    if point.way == "ours":
        return lambda n: mix_tree(roots[n], RATIO), None, 0
    return lambda n: mix_in_memory(roots[n]), None, 0


_WORKS: Mapping[str, Callable[[Point, Where, ExitStack], _Prepared]] = {
    "encode": _encode,
    "SFT": _sft,
    "evaluation": _evaluation,
    "sampling": _sampling,
    "three-stage mix": _mix,
}
