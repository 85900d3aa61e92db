"""How many tags a system writes beside how many there are, per clip and overall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from evoxtral import stats
from evoxtral.metrics import Evaluation
from evoxtral.stats import Ratio

_BIAS = (
    "system", "true", "predicted", "difference", "low", "high", "ratio", "ratio_low", "ratio_high",
    "same", "n",
)  # fmt: skip


def _counts(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted tags of each clip, both of shape (clips,)."""
    own = [clip.strict.tags for clip in evaluation.clips]
    return np.array([c.support for c in own]), np.array([c.predicted for c in own])


def count_pairs(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Clips by number of true and predicted tags.

    Args:
        evaluations: By name of the system.

    Returns:
        Columns `system`, `true`, `predicted`, `clips`, only combinations that occur.
    """
    rows = []
    for system, evaluation in evaluations.items():
        true, predicted = _counts(evaluation)
        seen = Counter(zip(true.tolist(), predicted.tolist(), strict=True))
        rows += [(system, t, p, clips) for (t, p), clips in sorted(seen.items())]
    return pd.DataFrame(rows, columns=["system", "true", "predicted", "clips"])


def count_bias(evaluations: Mapping[str, Evaluation], *, seed: int = 0) -> pd.DataFrame:
    """Whether a system writes too many tags or too few.

    Args:
        evaluations: By name of the system.
        seed: Of the bootstrap over clips.

    Returns:
        For each system the mean number of `true` and `predicted` tags per clip, their `difference`
        with interval `low`, `high`; the `ratio` of predicted to true with `ratio_low`,
        `ratio_high` (NaN without true tags); the share of clips with the `same` number; `n`.
    """
    rows = []
    for system, evaluation in evaluations.items():
        true, predicted = _counts(evaluation)
        ratios = {
            "difference": Ratio(predicted - true, np.ones(len(true))),
            "ratio": Ratio(predicted, true),
        }
        found = stats.bootstrap_intervals(ratios, seed=seed)
        difference, ratio = found["difference"], found["ratio"]
        means = (system, float(true.mean()), float(predicted.mean()))
        spans = [(i.value, i.low, i.high) for i in (difference, ratio)]
        same = float((true == predicted).mean())
        rows.append((*means, *spans[0], *spans[1], same, len(true)))
    return pd.DataFrame(rows, columns=_BIAS)
