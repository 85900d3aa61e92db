"""What the best of j completions is worth, for every j up to k, from one sample of k.

Of all subsets of j completions, C(k - 1 - i, j - 1) have the i-th best of the k (from 0) as their
best, so the mean over all C(k, j) subsets needs no resampling. It is the unbiased estimate of the
expected best of j fresh samples, and has far less variance than the best of the first j.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evoxtral import UserError, stats
from evoxtral.raft.selection import Tie, ranked
from evoxtral.stats import Ratio


def best_of_weights(k: int) -> NDArray[np.float64]:
    """Probability that each of k completions, best first, is the best of j of them.

    Args:
        k: Completions per clip, at least 1.

    Returns:
        Shape (k, k): row j - 1, column i is C(k - 1 - i, j - 1) / C(k, j); rows sum to 1.

    >>> best_of_weights(2).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    return np.array(
        [[comb(k - 1 - i, j - 1) / comb(k, j) for i in range(k)] for j in range(1, k + 1)]
    )


def best_of_curve(
    scored: pd.DataFrame,
    columns: Sequence[str] = ("reward",),
    *,
    tie: Tie = "shortest",
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean over clips of what the best of j completions scores, with bootstrap intervals.

    The best is always the one with the highest reward; for other columns this is the score that
    the selected completion has.

    Args:
        scored: From `score`, the same number k of completions for every clip.
        columns: Numeric columns to follow, such as `reward` and `scoring.TERMS`.
        tie: Among equal rewards, see `selection.ranked`.
        confidence: Of the intervals over clips.
        seed: Of the bootstrap; all values share their resamples.

    Returns:
        Columns `column`, `j` (1 … k), `value`, `low`, `high` (NaN for a single clip) and `n`
        clips.

    Raises:
        UserError: If there are no completions, or the clips differ in their number.
    """
    sizes = sorted(set(scored["clip"].value_counts().tolist()))
    if len(sizes) != 1:
        raise UserError(
            f"clips have {sizes} completions, not one number k for all: finish sampling first"
        )
    order, weights = ranked(scored, tie), best_of_weights(sizes[0])
    ratios, points = {}, []
    for column in columns:
        expected = order[column].to_numpy(dtype=float).reshape(-1, sizes[0]) @ weights.T
        for j, values in enumerate(expected.T, start=1):
            ratios[f"{column} of {j}"] = Ratio(values, np.ones(len(values)))
            points.append({"column": column, "j": j})
    intervals = stats.bootstrap_intervals(ratios, confidence=confidence, seed=seed).values()
    return pd.DataFrame(
        [
            {**point, "value": i.value, "low": i.low, "high": i.high, "n": i.n}
            for point, i in zip(points, intervals, strict=True)
        ]
    )
