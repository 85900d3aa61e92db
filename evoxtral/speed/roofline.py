"""The least time that work can take on a machine: its operations and bytes over the ceilings.

Two numbers bound any computation (the roofline model): how many operations a machine does in a
second, and how many bytes it moves. Work whose data fits a cache moves them faster than main
memory does, so the bandwidth is that of a copy no larger than what the work touches again and
again: a floor must never promise more time than is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Ceilings", "Need", "Precision", "bound", "floor"]

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Need:
    """What some work takes, whoever does it.

    Attributes:
        flops: operations; a multiplication with its addition counts as two.
        bytes: that have to be read or written at least once.
        resident: bytes of what is read again and again, such as weights.
        precision: of the operations.
    """

    flops: float
    bytes: float
    resident: float
    precision: Precision = "float32"


@dataclass(frozen=True)
class Ceilings:
    """What a device reached in the simplest work of each kind.

    Attributes:
        flops: operations per second of a matrix product, by precision.
        bandwidth: bytes per second, read plus written, of copies by bytes touched.
    """

    flops: Mapping[str, float]
    bandwidth: Mapping[int, float]

    def rate(self, resident: float) -> float:
        """Bytes per second for work that touches so many bytes.

        That of the largest copy that touches no more; of the smallest copy if all touch more.
        """
        fitting = [size for size in self.bandwidth if size <= resident]
        return self.bandwidth[max(fitting) if fitting else min(self.bandwidth)]


def _seconds(need: Need, ceilings: Ceilings) -> tuple[float, float]:
    """Seconds of its arithmetic, and of its bytes.

    A device that is slower in bfloat16 than in float32, such as an older processor, is judged by
    the faster of the two.
    """
    allowed = {"float32", need.precision}
    fastest = max(rate for name, rate in ceilings.flops.items() if name in allowed)
    return need.flops / fastest, need.bytes / ceilings.rate(need.resident)


def floor(needs: Sequence[Need], ceilings: Ceilings) -> float:
    """Seconds below which work cannot be done: of each part, arithmetic or bytes.

    >>> machine = Ceilings({"float32": 100.0}, {8: 50.0, 64: 10.0})
    >>> floor([Need(200.0, 10.0, 64.0)], machine), floor([Need(200.0, 100.0, 64.0)], machine)
    (2.0, 10.0)
    """
    return sum(max(_seconds(need, ceilings)) for need in needs)


def bound(needs: Sequence[Need], ceilings: Ceilings) -> Literal["arithmetic", "bytes"]:
    """Which of the two the most of the floor is."""
    arithmetic = memory = 0.0
    for need in needs:
        computed, moved = _seconds(need, ceilings)
        if computed >= moved:
            arithmetic += computed
        else:
            memory += moved
    return "arithmetic" if arithmetic >= memory else "bytes"
