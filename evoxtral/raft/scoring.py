"""Rewards of completions, and what they look like within each clip's group of k."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from evoxtral import UserError
from evoxtral.metrics import Convention, RewardWeights, reward
from evoxtral.raft.records import Completion, to_frame

TERMS = ("wer", "tag_f1", "hallucination")
"""Columns the reward is made of, as in `metrics.Reward`; WER may exceed 1."""

_DECIMALS = 12


def score(
    completions: Iterable[Completion],
    references: Mapping[str, str],
    weights: RewardWeights,
    *,
    convention: Convention = "report",
) -> pd.DataFrame:
    """Reward of each completion (report section 3.3, equation 1; `metrics.reward`).

    Rewards are rounded to 12 decimals: further ones are the order of summation, and would break
    ties between completions that are equally good.

    Args:
        completions: In any order.
        references: Tagged text by clip id; may hold more clips.
        weights: Of accuracy, Tag F1 and absence of hallucination.
        convention: `report` or `strict`.

    Returns:
        Columns clip, index, text, tokens, finished, reward in [0, 1], and `TERMS`; a row per
        completion in order of clip id, then index.

    Raises:
        UserError: If a clip has no reference, or the convention is unknown.

    >>> completions = [Completion("a", 0, "oh", 1, True), Completion("a", 1, "[sad] oh", 2, True)]
    >>> score(completions, {"a": "[sad] oh"}, RewardWeights())["reward"].tolist()
    [0.6, 1.0]
    """
    frame = to_frame(completions)
    unknown = frame.loc[~frame["clip"].isin(list(references)), "clip"]
    if len(unknown):
        raise UserError(
            f"clip {unknown.iloc[0]!r} has no reference; score completions with the references "
            "of the clips they were sampled for"
        )
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

    Args:
        scored: From `score`.

    Returns:
        A row per clip in order of id. `n` completions; `mean`, `best` and `worst` reward; `spread`
        best - worst; `sd` of the n rewards themselves (divisor n); `texts` how many differ;
        `identical` whether all are the same text, which a single one is.
    """
    groups = scored.groupby("clip", sort=True)
    table = groups["reward"].agg(n="size", mean="mean", best="max", worst="min")
    table["spread"] = (table["best"] - table["worst"]).round(_DECIMALS)
    table["sd"] = groups["reward"].std(ddof=0)
    table["texts"] = groups["text"].nunique()
    table["identical"] = table["texts"] == 1
    return table.reset_index()
