"""Time ways of doing the same work, side by side.

All ways run in one process and take turns, so that what else the machine does hits them alike.
The first round warms caches up and is not counted; a speed-up is taken within a round, where
conditions are most alike, and stated as median, least and greatest of the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from evoxtral import UserError
from evoxtral.speed.roofline import Need

__all__ = ["Comparison", "Timed", "Way", "alternate", "clocked", "compare"]


@dataclass(frozen=True)
class Timed:
    """One run of one way: how long it took and what it made."""

    seconds: float
    made: Any


Way = Callable[[int], Timed]
"""Does the work once; takes the number of the round, 0 for the warm-up."""


def clocked(work: Callable[[int], Any]) -> Way:
    """A way that is timed from call to return."""

    def way(number: int) -> Timed:
        start = time.perf_counter()
        made = work(number)
        return Timed(time.perf_counter() - start, made)

    return way


def alternate(
    ways: Mapping[str, Way], repeats: int, check: Callable[[Mapping[str, Any]], None] | None = None
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Run all ways in turn, once to warm up and then `repeats` times.

    Every other round goes backwards: no way is always the one that runs on a warm processor.

    Args:
        ways: by name.
        repeats: rounds that count.
        check: called with what each way made in the warm-up; raises if they do not agree, before
            the time for the other rounds is spent.

    Returns:
        `way | round | seconds`, rounds from 1 on, and what each way made in each of them.

    Raises:
        UserError: `repeats` is less than 1.
    """
    if repeats < 1:
        raise UserError(f"repeats is {repeats}: measure at least once")
    rows, made = [], []
    for number in range(repeats + 1):
        order = list(ways)[:: -1 if number % 2 else 1]
        done = {name: ways[name](number) for name in order}
        outputs = {name: done[name].made for name in ways}
        if number == 0:
            if check:
                check(outputs)
            continue
        rows += [{"way": name, "round": number, "seconds": done[name].seconds} for name in ways]
        made.append(outputs)
    return pd.DataFrame(rows), made


@dataclass(frozen=True, eq=False)
class Comparison:
    """Ours against the straightforward ways of doing the same work.

    Attributes:
        work: what was done, e.g. `evaluation`.
        unit: of which the work has so many, e.g. `clip`.
        units: their number in one run, in thousands for instance.
        rounds: `way | round | seconds`.
        plain: names of the straightforward ways; none where ours stands alone.
        ours: names of our ways, the usual one first.
        target: the speed-up to reach over the first of the straightforward ways.
        facts: what else was found, JSON-serialisable.
        needs: what the whole work takes at least, by way; none where it cannot be counted.
    """

    work: str
    unit: str
    units: float
    rounds: pd.DataFrame
    plain: Sequence[str]
    ours: Sequence[str]
    target: float | None
    facts: Mapping[str, Any]
    needs: Mapping[str, Sequence[Need]] = field(default_factory=dict)

    @property
    def ratios(self) -> pd.DataFrame:
        """A row per pair of ways, see `compare`; the target stands in the first row only."""
        rows = compare(self.rounds, self.plain, self.ours)
        rows.insert(0, "work", self.work)
        rows.insert(1, "unit", self.unit)
        rows[["plain_seconds", "ours_seconds"]] /= self.units
        rows["target"] = [self.target, *[None] * len(rows)][: len(rows)]
        return rows.astype({"target": float})


def compare(rounds: pd.DataFrame, plain: Sequence[str], ours: Sequence[str]) -> pd.DataFrame:
    """Speed-ups of ways over other ways.

    Args:
        rounds: `way | round | seconds`.
        plain: slow ways.
        ours: fast ways.

    Returns:
        A row per pair: `plain | ours | plain_seconds | ours_seconds | ratio | low | high |
        rounds`: medians over rounds, and the least and the greatest ratio of a round.
    """
    seconds = {way: own.set_index("round")["seconds"] for way, own in rounds.groupby("way")}
    rows = []
    for fast in ours:
        for slow in plain:
            ratio = seconds[slow] / seconds[fast]
            rows.append(
                {
                    "plain": slow,
                    "ours": fast,
                    "plain_seconds": seconds[slow].median(),
                    "ours_seconds": seconds[fast].median(),
                    "ratio": ratio.median(),
                    "low": ratio.min(),
                    "high": ratio.max(),
                    "rounds": len(ratio),
                }
            )
    columns = ["plain", "ours", "plain_seconds", "ours_seconds", "ratio", "low", "high", "rounds"]
    return pd.DataFrame(rows, columns=columns)
