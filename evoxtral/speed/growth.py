"""How time and memory grow: slopes on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from evoxtral import UserError

__all__ = ["LIMITS", "LINEAR", "Goal", "Slope", "goals", "limits", "slope", "slopes"]

LINEAR = (0.9, 1.1)
"""Slopes of time that are called proportional."""

BOUNDED = 1.1
"""Times the peak memory may grow while clips double and the batch stays."""

LISTENING = ("encode", "SFT", "sampling", "evaluation")
"""Works whose memory the batch bounds; the mix keeps a digest of every row."""

LIMITS = (
    ("SFT, 3 × 808 clips", "SFT", 3 * 808 / 16, 60.0),
    ("sampling, 808 clips of 4", "sampling, k = 4", 808 * 4, 30.0),
    ("RAFT fine-tuning, 727 clips", "SFT", 727 / 16, 20.0),
    ("evaluation, 50 clips", "evaluation", 50, 5.0),
)
"""Of an H200 at real size: what, the work, its units, and the seconds it may take."""

Goal = tuple[str, str, str, bool]
"""What is to be reached, what is wanted, what was measured, and whether it holds."""

_FEWEST = 3


@dataclass(frozen=True)
class Slope:
    """Exponent of a power law, fitted on logarithms.

    Attributes:
        value: 1 where twice the size takes twice the time.
        low: lower end of its 95 % interval.
        high: upper end.
        points: sizes it was fitted on.
    """

    value: float
    low: float
    high: float
    points: int


def slope(sizes: Sequence[float], values: Sequence[float]) -> Slope:
    """Least-squares slope of log value against log size.

    Raises:
        UserError: fewer than three sizes, or something is not positive.

    >>> slope([1, 10, 100], [2, 20, 200]).value
    1.0
    """
    x, y = np.asarray(sizes, dtype=float), np.asarray(values, dtype=float)
    if len(set(x.tolist())) < _FEWEST:
        raise UserError(f"a slope needs {_FEWEST} sizes: measure more than {sorted(set(sizes))}")
    if not (x > 0).all() or not (y > 0).all():
        raise UserError("a slope needs positive sizes and values: leave out the others")
    fitted = stats.linregress(np.log10(x), np.log10(y))
    reach = stats.t.ppf(0.975, len(x) - 2) * fitted.stderr
    value = float(fitted.slope)
    return Slope(round(value, 12), value - reach, value + reach, len(x))


def slopes(points: pd.DataFrame) -> pd.DataFrame:
    """Slopes of time and of peak memory against size.

    Args:
        points: `curve | work | way | size | seconds | peak`; those of the curve `size`
            count, where a way has three sizes or more.

    Returns:
        `work | way | smallest | largest | points | slope | low | high | peak_slope | linear`:
        `peak_slope` is that of the whole peak memory, 0 where memory does not grow.
    """
    rows = []
    grown = points[points["curve"] == "size"]
    for (work, way), own in grown.groupby(["work", "way"], sort=False):
        if own["size"].nunique() < _FEWEST:
            continue
        time = slope(own["size"].tolist(), own["seconds"].tolist())
        peak = slope(own["size"].tolist(), own["peak"].tolist())
        rows.append(
            {
                "work": work,
                "way": way,
                "smallest": int(own["size"].min()),
                "largest": int(own["size"].max()),
                "points": time.points,
                "slope": time.value,
                "low": time.low,
                "high": time.high,
                "peak_slope": peak.value,
                "linear": LINEAR[0] <= time.value <= LINEAR[1],
            }
        )
    columns = ["work", "way", "smallest", "largest", "points", "slope", "low", "high",
               "peak_slope", "linear"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def goals(ratios: pd.DataFrame, points: pd.DataFrame) -> list[Goal]:
    """What was to be reached: speed-ups, proportional time, shared prefill, bounded memory.

    Args:
        ratios: of `reading.Found`; those with a target.
        points: of `reading.Found.growth`.
    """
    wanted = ratios[ratios["target"].notna()].to_dict("records")
    reached: list[Goal] = [
        (
            f"{row['work']}, over {row['plain']}",
            f"≥ {row['target']:g}×",
            f"{row['ratio']:.1f}× ({row['low']:.1f} to {row['high']:.1f})",
            row["ratio"] >= row["target"],
        )
        for row in wanted
    ]
    for row in slopes(points).to_dict("records"):
        if row["way"] == "ours" and row["work"] != "near-duplicates":
            measured = f"{row['slope']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            low, high = LINEAR
            name = f"{row['work']}: exponent of time in size"
            reached.append((name, f"{low:g} to {high:g}", measured, row["linear"]))
    return reached + _prefill(points) + _memory(points)


def limits(ways: pd.DataFrame) -> list[Goal]:
    """Whether a GPU does the report's work in time, from its time per unit at real size.

    Args:
        ways: of `reading.Found`, of the real size.
    """
    reached: list[Goal] = []
    for name, work, units, most in LIMITS:
        for row in ways[ways["work"] == work].to_dict("records"):
            seconds = units * row["seconds"]
            said = f"{seconds:.1f} s, {row['share']:.0%} of it the floor"
            reached.append((name, f"≤ {most:g} s", said, seconds <= most))
    return reached


def _prefill(points: pd.DataFrame) -> list[Goal]:
    own = points[(points["curve"] == "k") & (points["way"] == "ours")].sort_values("k")
    if own.empty:
        return []
    per_clip = own["prefilled"] / own["size"]
    said = ", ".join(f"{n:g} at k = {k:g}" for k, n in zip(own["k"], per_clip, strict=True))
    return [("sampling: positions prefilled per clip", "the same for every k", said,
             bool((per_clip == per_clip.iloc[0]).all()))]  # fmt: skip


def _memory(points: pd.DataFrame) -> list[Goal]:
    """Between the two largest sizes, where every batch and every block of the cache is full."""
    reached: list[Goal] = []
    grown = points[(points["curve"] == "size") & (points["way"] == "ours")]
    for work in LISTENING:
        own = grown[grown["work"] == work].sort_values("size").tail(2)
        if len(own) < 2:
            continue
        (before, after), (few, many) = own["peak"].tolist(), own["size"].tolist()
        said = f"{after / before:.2f}× ({before:,.0f} to {after:,.0f} MiB)"
        name = f"{work}: peak memory, {few:,} to {many:,} clips"
        reached.append((name, f"≤ {BOUNDED:g}×", said, after <= BOUNDED * before))
    return reached
