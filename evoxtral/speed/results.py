"""Files of a measurement: every round as CSV, speed-ups and conditions as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from evoxtral import runs
from evoxtral.speed.measure import Comparison

__all__ = ["facts_text", "ratios", "write", "write_growth"]


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
    runs.write_text(folder / f"{name}.csv", rounds[columns].round(6).to_csv(index=False))
    said = {
        "conditions": dict(conditions),
        "ratios": [row for one in comparisons for row in _rows(one.ratios)],
        "facts": {
            one.work: {name: _plain(value) for name, value in one.facts.items()}
            for one in comparisons
        },
        "units": {one.work: [_plain(one.units), one.unit] for one in comparisons},
        "needs": {
            one.work: {way: [asdict(need) for need in own] for way, own in one.needs.items()}
            for one in comparisons
        },
    }
    runs.write_json(folder / f"{name}.json", said)


def write_growth(
    folder: Path, name: str, points: pd.DataFrame, conditions: Mapping[str, Any]
) -> None:
    """Write points of growth curves as `<name>.csv`, and `<name>.json` with their conditions.

    Args:
        folder: of all measurements.
        name: of this one.
        points: as `points.measure_points` gives them.
        conditions: machine and settings, JSON-serialisable.
    """
    runs.write_text(folder / f"{name}.csv", points.round(6).to_csv(index=False))
    runs.write_json(folder / f"{name}.json", {"conditions": dict(conditions)})


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
