"""What the device can do at most, measured on the spot: a copy and a matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from evoxtral.speed.roofline import Ceilings

__all__ = ["measure_ceilings"]

_COPIES = tuple(2**power for power in (21, 24, 27, 29))
"""Bytes touched, read and written together: from a core's cache to main memory."""

_SIDE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the multiplied matrices."""

_LEAST = 0.02
"""Seconds that a trial takes at least; shorter ones are repeated inside it."""


def measure_ceilings(device: torch.device, *, trials: int = 5, side: int | None = None) -> Ceilings:
    """Rates of copies of several sizes and of matrix products in both precisions.

    The best of several trials: what else runs on the machine only ever makes it slower.

    Args:
        device: what is measured.
        trials: of each.
        side: of the multiplied matrices; by default as large as keeps the device busy.
    """
    side = side or _SIDE[device.type]
    flops = {}
    for precision in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
        out = torch.empty_like(a)
        seconds = _best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device, trials)
        flops[str(precision).removeprefix("torch.")] = 2 * side**3 / seconds
    bandwidth = {}
    for size in _COPIES:
        source = torch.ones(size // 2, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        seconds = _best(lambda s=source, t=target: t.copy_(s), device, trials)
        bandwidth[size] = size / seconds
    return Ceilings(flops, bandwidth)


def _best(work: Callable[[], object], device: torch.device, trials: int) -> float:
    """Least seconds of one call, which warm-up and repetitions have prepared."""
    work()
    once = _clocked(work, device, 1)
    repetitions = max(1, round(_LEAST / max(once, 1e-9)))
    return min(_clocked(work, device, repetitions) for _ in range(trials)) / repetitions


def _clocked(work: Callable[[], object], device: torch.device, repetitions: int) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repetitions):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
