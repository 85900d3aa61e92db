"""Selection within groups: the best of k completions, a random one, groups worth keeping.

Nothing here depends on the order of rows. Chance comes from a digest of seed and clip id, so what
is drawn for a clip does not depend on which other clips there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import pandas as pd

from evoxtral import UserError, runs
from evoxtral.raft.scoring import group_table

Tie = Literal["shortest", "first"]

_TIE_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"shortest": ("unfinished", "tokens", "index"), "first": ("index",)}
)


def ranked(scored: pd.DataFrame, tie: Tie = "shortest") -> pd.DataFrame:
    """Completions in order of clip id, the best of each clip first.

    Args:
        scored: From `score`.
        tie: Among equal rewards, `first` prefers the lower index, as the report's code does;
            `shortest` prefers finished ones, then fewer tokens, then the lower index.

    Raises:
        UserError: If the rule is unknown.
    """
    if tie not in _TIE_KEYS:
        raise UserError(f"tie is {tie!r}: give shortest or first")
    keys = ["clip", "reward", *_TIE_KEYS[tie]]
    return (
        scored.assign(unfinished=~scored["finished"])
        .sort_values(keys, ascending=[key != "reward" for key in keys], ignore_index=True)
        .drop(columns="unfinished")
    )


def best_of(scored: pd.DataFrame, tie: Tie = "shortest") -> pd.DataFrame:
    """The completion of each clip with the highest reward; ties as in `ranked`.

    Returns:
        The columns of `scored`, a row per clip in order of id.
    """
    return ranked(scored, tie).drop_duplicates("clip", ignore_index=True)


def random_of(scored: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One completion of each clip at random: what fine-tuning on own text does without selection.

    Returns:
        The columns of `scored`, a row per clip in order of id.
    """
    rows = scored.sort_values(["clip", "index"], ignore_index=True)
    position = rows.groupby("clip").cumcount()
    sizes = rows["clip"].value_counts()
    picks = {clip: drawn(seed, clip) % size for clip, size in sizes.items()}
    chosen = position == rows["clip"].map(picks)
    return rows[chosen].reset_index(drop=True)


def drop_flat(scored: pd.DataFrame, min_spread: float = 0.0) -> pd.DataFrame:
    """Leave out clips whose completions all earn about the same: selection learns nothing there.

    Args:
        scored: From `score`.
        min_spread: Best - worst reward that a group has to exceed, in [0, 1).

    Returns:
        The rows of the other clips, in order of clip id, then index.

    Raises:
        UserError: If `min_spread` is out of range, or no group exceeds it.
    """
    if not 0 <= min_spread < 1:
        raise UserError(f"min_spread is {min_spread}: give a number in [0, 1), such as 0")
    groups = group_table(scored)
    lively = groups.loc[groups["spread"] > min_spread, "clip"]
    if lively.empty:
        raise UserError(
            f"no clip has completions whose rewards differ by more than {min_spread}; "
            "raise the temperature or k"
        )
    rows = scored[scored["clip"].isin(lively)]
    return rows.sort_values(["clip", "index"], ignore_index=True)


def drawn(seed: int, clip: str) -> int:
    """A number in 0 … 2^256 - 1 that looks random and depends on seed and clip id alone."""
    return int(runs.digest([seed, clip]), 16)
