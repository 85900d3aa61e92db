"""All claims of the report and card that their own numbers can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral.checks import scores, training
from evoxtral.checks.model import Verdict
from evoxtral.checks.uncertainty import ASSUMED_SD

if TYPE_CHECKING:
    from evoxtral.paper import Published


def claims(published: Published, assumed_sd: Sequence[float] = ASSUMED_SD) -> pd.DataFrame:
    """Check every claim.

    Args:
        published: all printed numbers.
        assumed_sd: standard deviations of per-clip Tag F1 to assume, fractions; the middle one is
            shown, the others are in the note.

    Returns:
        The fields of `Claim` as columns, one row per claim, grouped by topic.
    """
    rows = [
        *training.data_claims(published),
        *training.model_claims(published),
        *scores.headline_claims(published),
        *scores.unit_claims(published),
        *scores.base_claims(published),
        *scores.tag_claims(published),
        *scores.noise_claims(published, assumed_sd),
    ]
    return pd.DataFrame([asdict(row) | {"verdict": row.verdict.value} for row in rows])


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The claims as JSON values: missing numbers are None.

    Args:
        frame: as `claims` returns it.
    """
    kept = frame[["topic", "claim", "printed", "recomputed", "unit", "verdict", "note"]]
    rows = kept.astype(object).where(kept.notna(), None)
    return rows.to_dict("records")


def summary(frame: pd.DataFrame) -> str:
    """A Markdown list: how many claims hold, and each that does not.

    Args:
        frame: as `claims` returns it.
    """
    printed = frame[frame["printed"].notna()]
    open_ = printed[printed["verdict"] != Verdict.HOLDS.value]
    held = len(printed) - len(open_)
    lines = [f"Of {len(printed)} printed numbers checked, **{held} hold**. The others:", ""]
    lines += [
        f"- *{row.claim}*: **{row.verdict}**{f'; {row.note}' if row.note else ''}."
        for row in open_.itertuples()
    ]
    return "\n".join(lines)
