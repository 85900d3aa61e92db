"""What `05_speed.ipynb` shows of measurements: tables and figures by file name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from evoxtral import figures, runs, tables
from evoxtral.params import Speed
from evoxtral.speed import growth, reading
from evoxtral.speed.reading import Found

__all__ = [
    "ABSENT",
    "Shown",
    "conditions",
    "floors",
    "folders",
    "goals",
    "k",
    "measured",
    "memory",
    "near_duplicates",
    "sizes",
    "speed_ups",
]

ABSENT = "Not measured: run `python -m evoxtral speed all`, or set `measure`."

Shown: TypeAlias = dict[str, tables.Table | Figure]


def folders() -> list[Path]:
    """Where measurements lie: those of the checkout, and this user's own, which come first."""
    return list(dict.fromkeys([runs.root() / "reports" / "speed", runs.reports_dir() / "speed"]))


def measured(cfg: Speed) -> Found:
    """Measure what the parameters ask for, and read what is there.

    Args:
        cfg: `measure` and `profile` say what is measured, `results` what is read.
    """
    if cfg.measure != "none":
        from evoxtral.speed.suite import measure_parts  # loads the deep-learning frameworks

        for _ in measure_parts(folders()[-1], cfg.profile, cfg.measure):
            pass
    return reading.read(reading.find(folders(), cfg.results))


def _if_any(column: str) -> Callable[[Callable[[Found], Shown]], Callable[[Found], Shown]]:
    """Show nothing where a frame of the measurements has no row."""

    def decorate(view: Callable[[Found], Shown]) -> Callable[[Found], Shown]:
        @wraps(view)
        def wrapper(found: Found) -> Shown:
            return {} if getattr(found, column).empty else view(found)

        return wrapper

    return decorate


@_if_any("conditions")
def conditions(found: Found) -> Shown:
    """Machine, versions, date and ceilings of every part."""
    return {"conditions": tables.speed_conditions(found.conditions)}


@_if_any("conditions")
def goals(found: Found) -> Shown:
    """What was to be reached, and whether it was."""
    reached = growth.goals(found.ratios, found.growth)
    if "gpu" in set(found.conditions["part"]):
        reached += growth.limits(found.ways)
    return {"goals": tables.speed_goals(reached)} if reached else {}


@_if_any("ratios")
def speed_ups(found: Found) -> Shown:
    """Ours beside the straightforward ways."""
    return {
        "speed_ups": figures.speed_ups(found.ratios),
        "speed_up_table": tables.speed_ups(found.ratios),
    }


@_if_any("ways")
def floors(found: Found) -> Shown:
    """Distance to the floor, and throughput."""
    table = {"floor_table": tables.speed_floors(found.ways)}
    if found.ways["floor"].isna().all():
        return table
    return {"floors": figures.floor_distances(found.ways), **table}


@_if_any("growth")
def sizes(found: Found) -> Shown:
    """Time against size."""
    fitted = growth.slopes(found.growth)
    if fitted.empty:
        return {}
    return {
        "growth": figures.growth_curves(found.growth, fitted),
        "growth_table": tables.speed_slopes(fitted),
    }


@_if_any("growth")
def memory(found: Found) -> Shown:
    """Peak memory against clips and against the batch."""
    return {"memory": figures.peak_memory(found.growth)}


@_if_any("growth")
def k(found: Found) -> Shown:
    """Sampling against k."""
    if (found.growth["curve"] != "k").all():
        return {}
    return {"k": figures.k_curves(found.growth)}


def near_duplicates() -> Shown:
    """The long curve of the filter, up to 160,000 texts, where it is there."""
    files = [folder / "near_duplicates.csv" for folder in folders()]
    there = [file for file in files if file.is_file()]
    if not there:
        return {}
    return {"near_duplicates": figures.near_duplicate_time(pd.read_csv(there[-1]))}
