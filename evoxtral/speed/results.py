"""Files of a measurement: every round as CSV, speed-ups and conditions as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from evoxtral import artifacts
from evoxtral.speed.measure import Comparison

__all__ = ["facts_text", "ratios", "read_ratios", "write"]


def write(
    folder: Path, name: str, comparisons: Sequence[Comparison], conditions: Mapping[str, Any]
) -> None:
    """Write `<name>.csv` and `<name>.json`.

    Args:
        folder: of all measurements.
        name: of this one.
        comparisons: what was measured.
        conditions: machine and settings, JSON-serialisable.
    """
    rounds = pd.concat([one.rounds.assign(work=one.work) for one in comparisons])
    columns = ["work", "way", "round", "seconds"]
    artifacts.write_text(folder / f"{name}.csv", rounds[columns].round(4).to_csv(index=False))
    said = {
        "conditions": dict(conditions),
        "ratios": [row for one in comparisons for row in _rows(one.ratios)],
        "facts": {
            one.work: {name: _plain(value) for name, value in one.facts.items()}
            for one in comparisons
        },
    }
    artifacts.write_json(folder / f"{name}.json", said)


def _rows(ratios: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with six digits, which is more than a clock gives, and without NaN, unknown to JSON."""
    rows = ratios.to_dict("records")
    return [
        {key: _plain(value) for key, value in row.items() if not _missing(value)} for row in rows
    ]


def _missing(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _plain(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def ratios(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Speed-ups of all comparisons, see `Comparison.ratios`."""
    return pd.concat([one.ratios for one in comparisons], ignore_index=True)


def facts_text(comparison: Comparison) -> str:
    """What else was found, a line each."""
    lines = [f"{name}: {_plain(value)}" for name, value in comparison.facts.items()]
    return "\n".join([comparison.work, *(f"  {line}" for line in lines)])


def read_ratios(folder: Path, profile: str) -> pd.DataFrame:
    """Speed-ups of every measurement of a profile in a folder; see `Comparison.ratios`.

    Returns:
        No row where nothing was measured. `target` is NaN where there is none.
    """
    files = sorted(folder.glob(f"*_{profile}.json"))
    rows = [row for path in files for row in artifacts.read_json(path)["ratios"]]
    columns = ["work", "unit", "plain", "ours", "plain_seconds", "ours_seconds", "ratio", "low",
               "high", "rounds", "target"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).astype({"target": float})
