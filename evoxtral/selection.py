"""What RAFT learns from completions: reward, select, curate (report section 3.3). Needs no model.

Nothing here depends on the order of rows. Chance comes from a digest of seed and clip id, so what
is drawn for a clip does not depend on which other clips there are.

>>> from evoxtral.metrics import RewardWeights
>>> said = pd.DataFrame({"clip": ["a", "a"], "index": [0, 1], "text": ["oh", "[sad] oh"],
...                      "tokens": [1, 2], "finished": True})
>>> scored = score(said, {"a": "[sad] oh"}, RewardWeights(), "strict")
>>> scored["reward"].tolist(), curate(best_of(scored), "exact", 0.1).rows["text"].tolist()
([0.6, 1.0], ['[sad] oh'])
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Literal

import numpy as np
import pandas as pd

from evoxtral import UserError, runs, stats, tags
from evoxtral.metrics import Convention, RewardWeights, reward
from evoxtral.stats import Ratio

TERMS = ("wer", "tag_f1", "hallucination")
"""Columns the reward is made of, as in `metrics.Reward`; WER may exceed 1."""

Rule = Literal["report", "exact"]

_DECIMALS = 12  # further ones are the order of summation, and would break ties of equal texts


def score(
    completions: pd.DataFrame,
    references: Mapping[str, str],
    weights: RewardWeights,
    convention: Convention,
) -> pd.DataFrame:
    """Reward of each completion (equation 1; `metrics.reward`).

    Args:
        completions: `clip`, `index` among the clip's k, `text`, `tokens`, `finished`; any order.
        references: tagged text by clip id.
        weights: of accuracy, Tag F1 and absence of hallucination.
        convention: `report` or `strict`.

    Returns:
        The same columns, `reward` in [0, 1] and `TERMS`, in order of clip id, then index.
    """
    frame = completions.sort_values(["clip", "index"], ignore_index=True)
    rewards = [
        reward(references[clip], text, weights, convention=convention)
        for clip, text in zip(frame["clip"], frame["text"], strict=True)
    ]
    frame["reward"] = np.array([r.total for r in rewards], dtype=float).round(_DECIMALS)
    for term in TERMS:
        frame[term] = np.array([getattr(r, term) for r in rewards], dtype=float)
    return frame


def group_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Rewards within each clip's group of completions: without spread there is nothing to select.

    Returns:
        A row per clip in order of id. `mean`, `best` and `worst` reward; `spread`
        best - worst; `identical` whether all are the same text, which a single one is.
    """
    groups = scored.groupby("clip", sort=True)
    table = groups["reward"].agg(mean="mean", best="max", worst="min")
    table["spread"] = (table["best"] - table["worst"]).round(_DECIMALS)
    table["identical"] = groups["text"].nunique().eq(1)
    return table.reset_index()


def ranked(scored: pd.DataFrame) -> pd.DataFrame:
    """Completions in order of clip id, the best of each clip first.

    Among equal rewards finished ones come first, then those of fewer tokens, then lower indices.
    """
    keys = {"clip": True, "reward": False, "finished": False, "tokens": True, "index": True}
    return scored.sort_values(list(keys), ascending=list(keys.values()), ignore_index=True)


def best_of(scored: pd.DataFrame) -> pd.DataFrame:
    """The completion of each clip that is `ranked` first, in order of clip id."""
    return ranked(scored).drop_duplicates("clip", ignore_index=True)


def random_of(scored: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One completion of each clip at random: what fine-tuning on own text does without selection.

    Rows are in order of clip id.
    """
    rows = scored.sort_values(["clip", "index"], ignore_index=True)
    sizes = rows["clip"].value_counts()
    picks = {clip: drawn(seed, clip) % size for clip, size in sizes.items()}
    chosen = rows.groupby("clip").cumcount() == rows["clip"].map(picks)
    return rows[chosen].reset_index(drop=True)


def drop_flat(scored: pd.DataFrame) -> pd.DataFrame:
    """Leave out clips whose completions all earn the same: selection learns nothing there.

    Raises:
        UserError: no clip is left.
    """
    groups = group_table(scored)
    rows = scored[scored["clip"].isin(groups.loc[groups["spread"] > 0, "clip"])]
    if rows.empty:
        raise UserError("no clip has completions whose rewards differ: raise the temperature or k")
    return rows.sort_values(["clip", "index"], ignore_index=True)


def drawn(seed: int, clip: str) -> int:
    """A number in 0 … 2^256 - 1 that looks random and depends on seed and clip id alone."""
    return int(runs.digest([seed, clip]), 16)


@dataclass(frozen=True, eq=False)
class Curated:
    """What curation kept.

    Attributes:
        rows: the kept rows, in order of clip id.
        threshold: reward that all kept clips exceed by `report`, and reach by `exact`, where it
            is the highest that was dropped; None if nothing was.
        dropped: clips left out.
        mean_before: mean reward of all clips.
        mean_after: mean reward of the kept ones.
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


def curate(best: pd.DataFrame, rule: Rule, share: float) -> Curated:
    """Drop the clips whose selected completion earned least.

    With n clips and a share of 1 / 10, `report` keeps rewards strictly above the ⌊n / 10⌋-th order
    statistic, counted from 0: it drops one clip more than the tenth, 81 of 808, every tie with
    that one, and everything if the statistic is the maximum. `exact` keeps n - ⌊n / 10⌋ clips
    whatever ties there are, 728 of 808; among equal rewards those whose ids come first.

    Args:
        best: a row per clip, of `best_of` or `random_of`.
        rule: `report` or `exact`.
        share: of clips to drop, in [0, 1); taken as the decimal number it is written as.

    Raises:
        UserError: `report` would keep none.

    >>> best = pd.DataFrame({"clip": list("abcd"), "reward": [0.2, 0.4, 0.4, 0.6]})
    >>> [curate(best, rule, share=0.25).rows["clip"].tolist() for rule in ("report", "exact")]
    [['d'], ['b', 'c', 'd']]
    """
    cut = math.floor(len(best) * Fraction(str(share)))
    order = best.sort_values(["reward", "clip"], ascending=[False, True])
    kept = len(best) - cut
    threshold: float | None = None
    if rule == "report":
        threshold = float(order["reward"].iloc[kept - 1])
        rows = best[best["reward"] > threshold]
    else:
        threshold = float(order["reward"].iloc[kept]) if cut else None
        rows = order.head(kept)
    if rows.empty:
        raise UserError(
            f"no reward exceeds the threshold {threshold:.3f}, which is the highest of all "
            f"{len(best)} clips: use the rule 'exact', or raise the temperature or k"
        )
    return Curated(
        rows=rows.sort_values("clip", ignore_index=True),
        threshold=threshold,
        dropped=len(best) - len(rows),
        mean_before=float(best["reward"].mean()),
        mean_after=float(rows["reward"].mean()),
    )


def curations(best: pd.DataFrame, share: float) -> dict[str, Curated | str]:
    """The selected completions curated by both rules, or why a rule keeps none of them."""
    made: dict[str, Curated | str] = {}
    rules: tuple[Rule, Rule] = ("report", "exact")
    for rule, name in zip(rules, ("this run, report's rule", "this run, our rule"), strict=True):
        try:
            made[name] = curate(best, rule, share)
        except UserError as reason:
            made[name] = str(reason)
    return made


def mix_untagged(
    targets: pd.DataFrame, references: Mapping[str, str], share: float, seed: int
) -> pd.DataFrame:
    """Make untagged clips, with their references, a given share of a training set.

    Where no tag was spoken none should be learnt, and selection by reward favours such clips too
    much (any clean transcript of theirs earns 1) or, once flat groups are dropped, hardly leaves
    any. So tagged clips stay as they are, and untagged ones are drawn anew from all references:
    a completion of theirs may hold a hallucinated tag.

    Args:
        targets: `clip | text | source`.
        references: tagged text by clip id, of the clips in `targets` and those to draw from.
        share: untagged clips / all clips of the result, in (0, 1), to the nearest clip.
        seed: of the draw. With the same seed a larger share takes the same clips and more.

    Raises:
        UserError: there are too few untagged clips.
    """
    untagged = {clip for clip, text in references.items() if not tags.parse(text).tags}
    tagged = targets[~targets["clip"].isin(untagged)]
    exact = Fraction(str(share))
    wanted = round(len(tagged) * exact / (1 - exact))
    if wanted > len(untagged):
        raise UserError(
            f"a share of {share} takes {wanted} untagged clips beside {len(tagged)} tagged ones, "
            f"there are {len(untagged)}: lower the share or add untagged prompts"
        )
    chosen = sorted(untagged, key=lambda clip: (drawn(seed, clip), clip))[:wanted]
    negatives = pd.DataFrame(
        {"clip": chosen, "text": [references[clip] for clip in chosen], "source": "reference"},
        dtype="str",
    )
    return pd.concat([tagged, negatives]).sort_values("clip", ignore_index=True)


def best_of_curve(scored: pd.DataFrame) -> pd.DataFrame:
    """What the best of j completions is worth on average over clips, for every j up to k.

    Of all subsets of j completions, C(k - 1 - i, j - 1) have the i-th best of the k (from 0) as
    their best, so the mean over all C(k, j) subsets needs no resampling. It is the unbiased
    estimate of the expected best of j fresh samples, and has far less variance than the best of
    the first j. The best is always the one with the highest reward.

    Args:
        scored: of `score`, the same number k of completions for every clip.

    Returns:
        Columns `column` (`reward` and `TERMS`), `j` (1 … k), `value`, `low`, `high` (95%
        bootstrap interval, NaN for a single clip) and `n` clips.
    """
    order, k = ranked(scored), int(scored["clip"].value_counts().iloc[0])
    weights = np.array(
        [[comb(k - 1 - i, j - 1) / comb(k, j) for i in range(k)] for j in range(1, k + 1)]
    )
    ratios = {}
    for column in ("reward", *TERMS):
        expected = order[column].to_numpy(dtype=float).reshape(-1, k) @ weights.T
        for j, values in enumerate(expected.T, start=1):
            ratios[column, j] = Ratio(values, np.ones(len(values)))
    found = stats.bootstrap_intervals(ratios)
    return pd.DataFrame(
        [
            {"column": c, "j": j, "value": i.value, "low": i.low, "high": i.high, "n": i.n}
            for (c, j), i in found.items()
        ]
    )
