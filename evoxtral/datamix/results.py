"""What `results.json` of the notebook holds: counts, verdicts and measured shares."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from evoxtral.datamix.training import read_mix

_DIGITS = 6


def verdicts(frame: pd.DataFrame, column: str = "pass") -> dict[str, dict[str, int]]:
    """Rows per verdict of each table of a `judge` or rebalancing frame."""
    return {
        str(name): dict(sorted(Counter(own[column]).items()))
        for name, own in frame.groupby("table", sort=False)
    }


def mix_summary(folder: Path) -> pd.DataFrame:
    """Clips of a training mix by number of draws: `draws | clips | share | weight` (mean)."""
    drawn = read_mix(folder)
    total = sum(row.draws for row in drawn)
    rows = []
    for draws in sorted({row.draws for row in drawn}):
        own = [row for row in drawn if row.draws == draws]
        weight = sum(row.weight for row in own) / len(own)
        rows.append((draws, len(own), draws * len(own) / total, weight))
    return pd.DataFrame(rows, columns=["draws", "clips", "share", "weight"])


def results(**parts: Any) -> dict[str, Any]:
    """Plain values of named parts: frames become records, floats lose their last digits.

    Platforms round differently in the last place: six decimals are the same everywhere.

    Args:
        parts: frames, mappings, sequences, numbers and texts.
    """
    return {name: _plain(value) for name, value in parts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if value is None or isinstance(value, str | bool):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else round(number, _DIGITS)
