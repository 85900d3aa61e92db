"""Published numbers beside measured ones: paper, measured, delta, interval, n, verdict.

Only scores under the report's conventions are compared. A run in the tiny world repeats the
method, not the experiment: whatever its numbers are, its verdict says just that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import UserError, metrics
from evoxtral.bench.protocol import PAPER
from evoxtral.bench.scores import Scores
from evoxtral.metrics import Evaluation
from evoxtral.params import PROFILES
from evoxtral.stats import Interval

if TYPE_CHECKING:
    from evoxtral.paper import Published


SYSTEMS: Mapping[str, str] = MappingProxyType({"base": "base", "sft": "SFT", "rl": "RL"})
"""Names of measured systems by their columns in the published tables."""

TINY_WORLD = "same method, tiny world"
WITHIN, OUTSIDE, NO_INTERVAL = "within interval", "outside interval", "no interval"
NOT_MEASURED = "not measured"

_NOTHING = Interval(math.nan, math.nan, math.nan, 0)

# Half of the last printed digit: Table 2 prints error rates in percent with two decimals.
_HALF = MappingProxyType({"wer": 0.00005, "cer": 0.00005})
_HALF_OTHERS = 0.0005

_COLUMNS = (
    "system", "key", "metric", "paper", "measured", "delta", "low", "high", "n_paper", "n",
    "verdict",
)  # fmt: skip


def verdict(profile: str, printed: float, measured: Interval, half: float) -> str:
    """What a comparison of one number amounts to.

    Args:
        profile: Of the run. Only `paper` repeats the experiment.
        printed: The published value.
        measured: Value and interval; a value of NaN was not measured.
        half: Half of the last printed digit, by which the published value is uncertain.

    Raises:
        UserError: There is no such profile.

    >>> f1 = Interval(low=0.61, high=0.70, value=0.66, n=50)
    >>> verdict("paper", 0.672, f1, 0.0005), verdict("tiny", 0.672, f1, 0.0005)
    ('within interval', 'same method, tiny world')
    """
    if profile not in PROFILES:
        raise UserError(f"profile {profile!r} does not exist: choose one of {', '.join(PROFILES)}")
    if math.isnan(measured.value):
        return NOT_MEASURED
    if profile != "paper":
        return TINY_WORLD
    if math.isnan(measured.low):
        return NO_INTERVAL
    inside = measured.low - half <= printed <= measured.high + half
    return WITHIN if inside else OUTSIDE


def core_comparison(published: Published, scores: Scores, profile: str) -> pd.DataFrame:
    """Table 2 beside measured scores.

    Args:
        published: The printed numbers.
        scores: Measured; systems `base`, `SFT`, `RL`, any may be absent.
        profile: Of the run.

    Returns:
        Columns `system`, `key`, `metric`, fractions `paper`, `measured` and `delta` (measured -
        paper), interval `low`, `high` of the measured value, clips `n_paper` and `n` (0 if not
        measured), `verdict`.
    """
    own = scores.metrics[scores.metrics["protocol"] == PAPER].set_index(["system", "metric"])
    n_paper = int(published.numbers["bench_clips"])
    rows = []
    for row in published.core.to_dict("records"):
        for column, system in SYSTEMS.items():
            found = own.loc[(system, row["key"])] if (system, row["key"]) in own.index else None
            half = _HALF.get(row["key"], _HALF_OTHERS)
            head = (system, row["key"], row["metric"], row[column])
            rows.append(_row(head, found, "value", n_paper, half, profile))
    return pd.DataFrame(rows, columns=_COLUMNS)


def per_tag_comparison(published: Published, scores: Scores, profile: str) -> pd.DataFrame:
    """Table 3 beside measured F1 of each tag; `n_paper` and `n` are occurrences (support).

    Args:
        published: The printed numbers.
        scores: Measured.
        profile: Of the run.

    Returns:
        Columns as `core_comparison`, `key` is the tag.
    """
    own = scores.per_tag[scores.per_tag["protocol"] == PAPER]
    own = own.assign(n=own["support"]).set_index(["system", "tag"])
    rows = []
    for row in published.per_tag.to_dict("records"):
        for column in ("sft", "rl"):
            place = (SYSTEMS[column], row["tag"])
            found = own.loc[place] if place in own.index and own.loc[place, "n"] else None
            head = (SYSTEMS[column], row["tag"], f"F1 [{row['tag']}]", row[column])
            rows.append(_row(head, found, "f1", row["support"], _HALF_OTHERS, profile))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(
    head: tuple[str, str, str, float],
    found: pd.Series | None,
    value: str,
    n_paper: int,
    half: float,
    profile: str,
) -> tuple[object, ...]:
    i = _NOTHING
    if found is not None:
        ends = (float(found[name]) for name in ("low", "high", value))
        i = Interval(*ends, n=int(found["n"]))
    said = verdict(profile, head[3], i, half)
    return (*head, i.value, i.value - head[3], i.low, i.high, n_paper, i.n, said)


def changes(
    published: Published, evaluations: Mapping[str, Evaluation], profile: str, *, seed: int = 0
) -> pd.DataFrame:
    """What each stage changes, in points: printed, and measured on the same clips.

    Args:
        published: The printed numbers; no interval of a printed change can be known, since the
            predictions are not published.
        evaluations: Measured systems by name; a step between two that are absent is left empty.
        profile: Of the run.
        seed: Of the paired bootstrap.

    Returns:
        Columns `step`, `key`, `metric`, fractions `paper`, `measured`, `delta`, `low`, `high`,
        clips `n`, `direction` (`same`, `opposite`, or `not shown` where the measured interval
        holds 0) and `verdict`.
    """
    rows = []
    for before, after in (("base", "sft"), ("sft", "rl")):
        pair = (SYSTEMS[after], SYSTEMS[before])
        measured = {}
        if all(name in evaluations for name in pair):
            measured = metrics.compare(*(evaluations[n] for n in pair), "paper", seed=seed)
        for row in published.core.to_dict("records"):
            printed = row[after] - row[before]
            i = measured.get(row["key"], _NOTHING)
            # Both printed values are rounded.
            said = verdict(profile, printed, i, 2 * _HALF.get(row["key"], _HALF_OTHERS))
            rows.append(
                (f"{pair[1]} → {pair[0]}", row["key"], row["metric"], printed, i.value,
                 i.value - printed, i.low, i.high, i.n, _direction(printed, i), said)
            )  # fmt: skip
    columns = ["step", "key", "metric", "paper", "measured", "delta", "low", "high", "n"]
    return pd.DataFrame(rows, columns=[*columns, "direction", "verdict"])


def _direction(printed: float, measured: Interval) -> str:
    """Whether a measured change goes the way of the printed one."""
    if math.isnan(measured.value):
        return NOT_MEASURED
    # Written so that an interval of NaN shows nothing.
    if not (measured.low > 0 or measured.high < 0):
        return "not shown"
    return "same" if (measured.low > 0) == (printed > 0) else "opposite"
