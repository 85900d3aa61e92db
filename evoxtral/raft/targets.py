"""Texts to fine-tune on: own completions, references in their place, untagged negatives.

A training set is a table of clip, text and `source` (`completion` or `reference`), a row per clip
in order of id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import pandas as pd

from evoxtral import UserError, tags
from evoxtral.raft.selection import drawn


def completion_targets(rows: pd.DataFrame) -> pd.DataFrame:
    """Training set of selected completions, such as `Curated.rows`."""
    return _targets(zip(rows["clip"], rows["text"], strict=True), "completion")


def control_references(rows: pd.DataFrame, references: Mapping[str, str]) -> pd.DataFrame:
    """Training set of the same clips with their references: the control "SFT continued".

    Args:
        rows: Any table with a row per clip, such as the training set it is the control of.
        references: Tagged text by clip id; may hold more clips.

    Raises:
        UserError: If a clip has no reference.
    """
    missing = sorted(set(rows["clip"]) - references.keys())
    if missing:
        raise UserError(f"clip {missing[0]!r} has no reference; pass the prompts' references")
    return _targets(((clip, references[clip]) for clip in rows["clip"]), "reference")


def mix_untagged(
    targets: pd.DataFrame, references: Mapping[str, str], share: float, *, seed: int
) -> pd.DataFrame:
    """Make untagged clips, with their references, a given share of a training set.

    Where no tag was spoken none should be learnt, and selection by reward favours such clips too
    much (any clean transcript of theirs earns 1) or, once flat groups are dropped, hardly leaves
    any. So tagged clips stay as they are, and untagged ones are drawn anew from all references:
    a completion of theirs may hold a hallucinated tag.

    Args:
        targets: A training set.
        references: Tagged text by clip id, of the clips in `targets` and those to draw from.
        share: Untagged clips / all clips of the result, in (0, 1), to the nearest clip.
        seed: Of the draw. With the same seed a larger share takes the same clips and more.

    Raises:
        UserError: If the share is out of range, a clip has no reference, or there are too few
            untagged ones.
    """
    if not 0 < share < 1:
        raise UserError(f"the untagged share is {share}: give a number in (0, 1), such as 0.125")
    missing = sorted(set(targets["clip"]) - references.keys())
    if missing:
        raise UserError(f"clip {missing[0]!r} has no reference; pass the prompts' references")
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
    negatives = _targets(((clip, references[clip]) for clip in chosen), "reference")
    return pd.concat([tagged, negatives]).sort_values("clip", ignore_index=True)


def _targets(texts: Iterable[tuple[str, str]], source: str) -> pd.DataFrame:
    frame = pd.DataFrame(texts, columns=["clip", "text"]).astype("str")
    return frame.assign(source=source).sort_values("clip", ignore_index=True)
