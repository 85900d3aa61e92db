"""What files of measurements say: speed-ups, distances to the floor, growth, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evoxtral import runs
from evoxtral.speed.roofline import Ceilings, Need, bound, floor

__all__ = ["Found", "find", "read"]

_ORDER = (
    "encode",
    "sft",
    "raft",
    "evaluate",
    "near_duplicates",
    "mix",
    "synthesis",
    "growth",
    "gpu",
)
_RATIOS = ["work", "unit", "plain", "ours", "plain_seconds", "ours_seconds", "ratio", "low",
           "high", "rounds", "target"]  # fmt: skip
_WAYS = ["work", "way", "unit", "seconds", "low", "high", "floor", "share", "bound"]
_GROWTH = ["curve", "work", "way", "size", "batch", "k", "seconds", "peak", "before", "prefilled"]
_CONDITIONS = ["part", "measured", "commit", "uncommitted_changes", "depth", "processor", "gpu",
               "cores", "threads", "load", "torch", "float32", "bfloat16", "cache",
               "memory"]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Found:
    """Measurements of one set, such as the tiny profile's.

    Attributes:
        ratios: speed-ups, see `measure.Comparison.ratios`.
        ways: `work | way | unit | seconds | low | high | floor | share | bound`, seconds per unit:
            median, least and greatest of the rounds; the floor, which share of the time it is,
            and what it is made of; NaN and None where there is no floor.
        growth: points of growth curves, see `points.measure_points`.
        conditions: a row per part: machine, versions, date, commit, ceilings.
    """

    ratios: pd.DataFrame
    ways: pd.DataFrame
    growth: pd.DataFrame
    conditions: pd.DataFrame

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return self.conditions.empty


def find(folders: Sequence[Path], profile: str) -> list[Path]:
    """Files of the measurements of a profile; those of later folders stand for earlier ones'."""
    found = {
        part: path
        for folder in folders
        for part in _ORDER
        if (path := folder / f"{part}_{profile}.json").is_file()
    }
    return [found[part] for part in _ORDER if part in found]


def read(paths: Sequence[Path]) -> Found:
    """Read measurements; frames without rows where there are none."""
    said = {path: runs.read_json(path) for path in paths}
    grown = [path.with_suffix(".csv") for path in said if path.stem.startswith("growth_")]
    growth = [pd.read_csv(path) for path in grown]
    ratios = [row for one in said.values() for row in one.get("ratios", [])]
    ways = [row for path, one in said.items() if "needs" in one for row in _ways(path, one)]
    rows = [_conditions(path, one["conditions"]) for path, one in said.items()]
    return Found(
        pd.DataFrame(ratios, columns=_RATIOS).astype({"target": float}),
        pd.DataFrame(ways, columns=_WAYS),
        pd.concat(growth, ignore_index=True) if growth else pd.DataFrame(columns=_GROWTH),
        pd.DataFrame(rows, columns=_CONDITIONS),
    )


def _ceilings(conditions: Mapping[str, Any]) -> Ceilings:
    said = conditions["ceilings"]
    return Ceilings(said["flops"], {int(size): rate for size, rate in said["bandwidth"].items()})


def _ways(path: Path, said: Mapping[str, Any]) -> list[dict[str, Any]]:
    ceilings = _ceilings(said["conditions"])
    rounds = pd.read_csv(path.with_suffix(".csv"))
    rows = []
    for (work, way), own in rounds.groupby(["work", "way"], sort=False):
        units, unit = said["units"][work]
        seconds = own["seconds"] / units
        row = {
            "work": work,
            "way": way,
            "unit": unit,
            "seconds": seconds.median(),
            "low": seconds.min(),
            "high": seconds.max(),
        }
        needs = [Need(**need) for need in said["needs"][work].get(way, [])]
        if needs:
            least = floor(needs, ceilings) / units
            row |= {
                "floor": least,
                "share": least / row["seconds"],
                "bound": bound(needs, ceilings),
            }
        rows.append(row)
    return rows


def _conditions(path: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    ceilings = _ceilings(said)
    return {
        **said,
        **said["machine"],
        "part": next(part for part in _ORDER if path.stem.startswith(f"{part}_")),
        **ceilings.flops,
        "cache": ceilings.bandwidth[min(ceilings.bandwidth)],
        "memory": ceilings.bandwidth[max(ceilings.bandwidth)],
    }
