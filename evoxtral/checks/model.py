"""A claim with what recomputing says about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Unit = Literal["count", "percent", "points", "error"]


class Verdict(StrEnum):
    """What recomputing says."""

    HOLDS = "holds"
    DIFFERS = "differs"
    EXPLAINED = "explained"  # the number is right, but it is not what it is called
    UNRESOLVED = "not resolved"  # the published numbers cannot decide
    ADDED = "not printed"  # follows from the published numbers


@dataclass(frozen=True)
class Claim:
    """One row of the check.

    Attributes:
        topic: group the claim belongs to.
        claim: what is claimed, in a few words.
        printed: fraction or count as printed, NaN where nothing is.
        recomputed: the same from other published numbers, NaN where they do not tell.
        unit: how both are printed.
        verdict: see `Verdict`.
        note: what follows; every number in it is computed.
        decimals: digits to show of a percentage or of points.
    """

    topic: str
    claim: str
    printed: float
    recomputed: float
    unit: Unit
    verdict: Verdict
    note: str = ""
    decimals: int = 1


def compare(
    topic: str,
    claim: str,
    printed: float,
    recomputed: float,
    unit: Unit,
    step: float = 1.0,
    note: str = "",
) -> Claim:
    """A claim that holds if the recomputed value rounds to the printed one.

    Args:
        topic: group.
        claim: what is claimed.
        printed: by the source.
        recomputed: from other published numbers.
        unit: of both.
        step: one unit of the last printed digit.
        note: what follows.

    >>> compare("headline", "relative gain", 0.33, 0.3268, "percent", 0.01).verdict.value
    'holds'
    """
    close = abs(printed - recomputed) <= step / 2 + 1e-9
    verdict = Verdict.HOLDS if close else Verdict.DIFFERS
    return Claim(topic, claim, printed, recomputed, unit, verdict, note)
