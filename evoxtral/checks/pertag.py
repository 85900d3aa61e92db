"""What the per-tag table says when it is read as counts.

With `hits` of `support` occurrences found by `predicted` tags, F1 = 2 hits / (support + predicted).
A score printed with three decimals and a small support therefore leaves few whole counts.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Counts(NamedTuple):
    """Pooled counts of one tag: correct predictions and all predictions."""

    hits: int
    predicted: int


def attainable_counts(
    f1: float, support: int, *, decimals: int = 3, most: int = 4
) -> tuple[Counts, ...]:
    """All whole counts that print as this F1.

    Args:
        f1: as printed, fraction.
        support: occurrences in the references.
        decimals: printed digits of `f1`.
        most: consider up to `most * support` predictions.

    >>> attainable_counts(0.902, 25)
    (Counts(hits=23, predicted=26),)
    """
    tolerance = 0.5 * 10**-decimals + 1e-12
    return tuple(
        Counts(hits, predicted)
        for predicted in range(most * support + 1)
        for hits in range(min(support, predicted) + 1)
        if abs(2 * hits / (support + predicted) - f1) <= tolerance
    )


def fewest_events(before: tuple[Counts, ...], after: tuple[Counts, ...]) -> int | None:
    """Fewest hits and false alarms gained or lost that explain a change.

    Args:
        before: counts that agree with the first printed score.
        after: counts that agree with the second.

    Returns:
        None when either score agrees with no counts.

    >>> fewest_events((Counts(23, 27),), (Counts(23, 26),))
    1
    """
    steps = [
        abs(b.hits - a.hits) + abs((b.predicted - b.hits) - (a.predicted - a.hits))
        for a in before
        for b in after
    ]
    return min(steps, default=None)


def movements(per_tag: pd.DataFrame) -> dict[str, int]:
    """How many tags score higher, the same and lower after the second stage."""
    change = per_tag["rl"] - per_tag["sft"]
    return {
        "improved": int((change > 0).sum()),
        "stable": int((change == 0).sum()),
        "regressed": int((change < 0).sum()),
    }


def deltas(per_tag: pd.DataFrame) -> pd.DataFrame:
    """Recompute the printed change of every tag.

    Args:
        per_tag: `tag`, `sft`, `rl`, `delta` (printed text, a dash for none), `support`.

    Returns:
        `tag`, `delta`, `printed` (fraction, NaN for a dash), `relative` (NaN for no change),
        `points` (difference of fractions), `agrees` (printed equals relative at its digits),
        `counts_sft` and `counts_rl` (text, hits/predicted that agree with the score),
        `fewest_events`, `support`.
    """
    rows = [_delta(row) for row in per_tag.to_dict("records")]
    return pd.DataFrame(rows).astype({"fewest_events": "Int64"})


def _delta(row: dict[str, object]) -> dict[str, object]:
    tag, sft, rl, text = row["tag"], float(row["sft"]), float(row["rl"]), str(row["delta"])
    printed, step = _parse_percent(text)
    moved = rl != sft
    relative = (rl - sft) / sft if moved and sft else float("nan")
    support = int(row["support"])
    before, after = attainable_counts(sft, support), attainable_counts(rl, support)
    agrees = abs(printed - relative) <= step / 2 + 1e-9 if moved else printed != printed
    return {
        "tag": tag,
        "delta": text,
        "printed": printed,
        "relative": relative,
        "points": rl - sft,
        "agrees": agrees,
        "counts_sft": _options(before),
        "counts_rl": _options(after),
        "fewest_events": fewest_events(before, after),
        "support": support,
    }


def _parse_percent(text: str) -> tuple[float, float]:
    """Value and last-digit step of a printed percentage; a dash is (NaN, 0).

    >>> _parse_percent("+12.5%")
    (0.125, 0.001)
    """
    if text == "—":
        return float("nan"), 0.0
    digits = text.replace("−", "-").rstrip("%")
    decimals = len(digits.partition(".")[2])
    return round(float(digits) / 100, decimals + 2), round(10.0 ** -(decimals + 2), decimals + 2)


def _options(counts: tuple[Counts, ...], shown: int = 3) -> str:
    text = ", ".join(f"{c.hits}/{c.predicted}" for c in counts[:shown])
    return f"{text}, …" if len(counts) > shown else text
