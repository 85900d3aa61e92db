"""Curation across clips: drop the tenth of the best completions that earned least.

Report section 3.3. With n clips and a share of 1 / 10,

* `report` keeps rewards strictly above the ⌊n / 10⌋-th order statistic, counted from 0. It drops
  one clip more than the tenth, 81 of 808, every tie with that one, and everything if the
  statistic is the maximum.
* `exact` keeps n - ⌊n / 10⌋ clips whatever ties there are, 728 of 808.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import pandas as pd

from evoxtral import UserError

Rule = Literal["report", "exact"]


@dataclass(frozen=True, eq=False)
class Curated:
    """What curation kept.

    Attributes:
        rows: The kept rows, in order of clip id.
        threshold: Reward that all kept clips exceed by `report`, and reach by `exact`, where it
            is the highest that was dropped; None if nothing was.
        dropped: Clips left out.
        mean_before: Mean reward of all clips.
        mean_after: Mean reward of the kept ones.
    """

    rows: pd.DataFrame
    threshold: float | None
    dropped: int
    mean_before: float
    mean_after: float

    @property
    def kept(self) -> int:
        """Clips left."""
        return len(self.rows)


def curate(best: pd.DataFrame, rule: Rule, *, share: float = 0.1) -> Curated:
    """Drop the clips whose selected completion earned least.

    Args:
        best: A row per clip, from `best_of` or `random_of`.
        rule: `report` or `exact`, see the module. Among equal rewards `exact` keeps the clips
            whose ids come first.
        share: Share of clips to drop, in [0, 1); taken as the decimal number it is written as.

    Raises:
        UserError: If the rule is unknown, the share out of range, there are no clips, or `report`
            would keep none.
        ValueError: If a clip occurs twice.

    >>> best = pd.DataFrame({"clip": list("abcd"), "reward": [0.2, 0.4, 0.4, 0.6]})
    >>> [curate(best, rule, share=0.25).rows["clip"].tolist() for rule in ("report", "exact")]
    [['d'], ['b', 'c', 'd']]
    """
    if rule not in get_args(Rule):
        raise UserError(f"the curation rule is {rule!r}: give report or exact")
    if not 0 <= share < 1:
        raise UserError(f"the share to drop is {share}: give a number in [0, 1), such as 0.1")
    if best.empty:
        raise UserError("there are no completions to curate; sample at least one clip")
    if best["clip"].duplicated().any():
        raise ValueError("curation takes one completion per clip; select with best_of first")
    cut = math.floor(len(best) * Fraction(str(share)))
    rows, threshold = _above(best, cut) if rule == "report" else _all_but(best, cut)
    return Curated(
        rows=rows.sort_values("clip", ignore_index=True),
        threshold=threshold,
        dropped=len(best) - len(rows),
        mean_before=float(best["reward"].mean()),
        mean_after=float(rows["reward"].mean()),
    )


def _above(best: pd.DataFrame, cut: int) -> tuple[pd.DataFrame, float]:
    threshold = float(best["reward"].sort_values().iloc[cut])
    rows = best[best["reward"] > threshold]
    if rows.empty:
        raise UserError(
            f"no reward exceeds the threshold {threshold:.3f}, which is the highest of all "
            f"{len(best)} clips: use the rule 'exact', or raise the temperature or k"
        )
    return rows, threshold


def _all_but(best: pd.DataFrame, cut: int) -> tuple[pd.DataFrame, float | None]:
    order = best.sort_values(["reward", "clip"], ascending=[False, True])
    kept = len(best) - cut
    return order.head(kept), float(order["reward"].iloc[kept]) if cut else None
