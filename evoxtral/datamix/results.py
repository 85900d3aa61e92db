"""What `results.json` of the notebook holds: counts, verdicts and measured shares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from evoxtral.datamix.training import read_mix


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
