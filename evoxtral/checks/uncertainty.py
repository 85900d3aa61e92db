"""How far a mean over few clips can be trusted when only the mean is known.

The standard error of a mean over `n` clips is `sd / sqrt(n)`. The report prints no per-clip
scores, so `sd` is unknown; but per-clip F1 lies in [0, 1], which bounds it from above, and a clip
without reference tags scores exactly 0 or 1, which bounds it from below. Between the bounds stands
an assumption, which is an argument here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from evoxtral.paper import Published


ASSUMED_SD = (0.25, 0.30, 0.35)
"""Spreads of per-clip Tag F1 to assume; nothing published tells."""


def largest_sd(mean: float, n: int) -> float:
    """Largest sample standard deviation of `n` scores in [0, 1] with this mean.

    Reached when every score is 0 or 1 (Bhatia and Davis 2000): variance mean * (1 - mean).

    >>> round(largest_sd(0.5, 2), 3)
    0.707
    """
    return math.sqrt(mean * (1 - mean) * n / (n - 1))


def smallest_sd(mean: float, n: int, binary: int) -> float:
    """Smallest sample standard deviation of `n` scores in [0, 1] of which `binary` are 0 or 1.

    The spread is least when the other scores are all equal; the number of ones is the one that
    leaves least.

    Args:
        mean: of all scores.
        n: number of scores, more than `binary`.
        binary: scores that can only be 0 or 1.

    >>> smallest_sd(0.5, 4, 0), round(smallest_sd(0.5, 4, 2), 3)
    (0.0, 0.408)
    """
    others = n - binary
    squares = []
    for ones in range(binary + 1):
        level = (n * mean - ones) / others
        if -1e-9 <= level <= 1 + 1e-9:  # a mean of ones can round above 1
            extremes = ones * (1 - mean) ** 2 + (binary - ones) * mean**2
            squares.append(extremes + others * (level - mean) ** 2)
    return math.sqrt(min(squares) / (n - 1))


def standard_errors(
    means: Mapping[str, float], n: int, untagged: int, assumed: Sequence[float]
) -> pd.DataFrame:
    """Standard errors of mean Tag F1 under the two bounds and some assumed spreads.

    Args:
        means: mean per-clip Tag F1 by name, fractions.
        n: clips.
        untagged: clips without reference tags.
        assumed: standard deviations of per-clip F1 to assume, fractions.

    Returns:
        Columns `metric`, `mean`, `assumption`, `sd`, `se` (fractions).
    """
    rows = []
    for name, mean in means.items():
        spreads = [("smallest possible", smallest_sd(mean, n, untagged))]
        spreads += [("assumed", sd) for sd in assumed]
        spreads += [("largest possible", largest_sd(mean, n))]
        rows += [(name, mean, label, sd, sd / math.sqrt(n)) for label, sd in spreads]
    return pd.DataFrame(rows, columns=["metric", "mean", "assumption", "sd", "se"])


def tag_f1_errors(published: Published, assumed: Sequence[float] = ASSUMED_SD) -> pd.DataFrame:
    """Standard errors of the published Tag F1 of SFT and RL; see `standard_errors`."""
    scores = published.core.set_index("key").loc["tag_f1"]
    seen = published.released
    means = {name: float(scores[name]) for name in ("sft", "rl")}
    return standard_errors(means, seen.clips, seen.untagged, assumed)
