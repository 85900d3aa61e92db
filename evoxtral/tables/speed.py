"""Tables of measured speed."""

from __future__ import annotations

import pandas as pd

from evoxtral.errors import UserError
from evoxtral.tables.model import Format, Table

__all__ = ["speed_ups"]


def speed_ups(ratios: pd.DataFrame) -> Table:
    """Ours beside the straightforward ways of doing the same work.

    Args:
        ratios: `work | unit | plain | ours | plain_seconds | ours_seconds | ratio | low | high |
            rounds | target`, as `speed.results.read_ratios` gives it.

    Raises:
        UserError: nothing was measured.
    """
    if ratios.empty:
        raise UserError("no speed was measured: run `evoxtral speed` first")
    shown = ratios.assign(
        spread=[
            f"{low:.1f} to {high:.1f}"
            for low, high in zip(ratios["low"], ratios["high"], strict=True)
        ],
        met=[
            None if target != target else "yes" if ratio >= target else "no"
            for ratio, target in zip(ratios["ratio"], ratios["target"], strict=True)
        ],
    )
    headers = {
        "work": "Work",
        "plain": "Straightforward way",
        "ours": "Compared with",
        "unit": "Unit",
        "plain_seconds": "Straightforward, ms per unit",
        "ours_seconds": "Ours, ms per unit",
        "ratio": "Speed-up",
        "spread": "Range",
        "target": "Target",
        "met": "Pass",
    }
    for name in ("plain_seconds", "ours_seconds"):
        shown[name] *= 1000
    milliseconds, times = Format("number", 1), Format("number", 1, suffix="×")
    formats = {
        "plain_seconds": milliseconds,
        "ours_seconds": milliseconds,
        "ratio": times,
        "target": times,
    }
    rounds = " or ".join(str(n) for n in sorted(set(ratios["rounds"])))
    notes = (
        f"Rounds: {rounds}, in which all ways take turns in one process. Times and speed-ups are "
        "medians; the range is that of single rounds.",
        "Both ways do the same work with the same results: same losses and gradients, same greedy "
        "texts, same distribution of samples.",
    )
    caption = "Time against the straightforward way, same machine, same run."
    return Table(shown, headers, caption, formats, None, notes)
