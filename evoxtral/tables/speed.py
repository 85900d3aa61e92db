"""Tables of measured speed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from evoxtral import UserError
from evoxtral.tables.model import Format, Table

__all__ = ["speed_conditions", "speed_floors", "speed_goals", "speed_slopes", "speed_ups"]


def speed_ups(ratios: pd.DataFrame) -> Table:
    """Ours beside the straightforward ways of doing the same work.

    Args:
        ratios: `work | unit | plain | ours | plain_seconds | ours_seconds | ratio | low | high |
            rounds | target`, as `speed.reading.Found` holds it.

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
        "Before ways are timed their results are compared, and a difference stops the measurement; "
        "what was compared, and how far it agreed, is in the file of each part.",
    )
    caption = "Time against the straightforward way, same machine, same run."
    return Table(shown, headers, caption, formats, None, notes)


def speed_floors(ways: pd.DataFrame) -> Table:
    """Time and throughput of every way, beside the least that it can take.

    Args:
        ways: `work | way | unit | seconds | floor | share | bound` (`speed.reading.Found`).
    """
    shown = ways.assign(
        rate=1 / ways["seconds"], seconds=1000 * ways["seconds"], floor=1000 * ways["floor"]
    )
    headers = {
        "work": "Work",
        "way": "Way",
        "unit": "Unit",
        "seconds": "ms per unit",
        "rate": "Units per second",
        "floor": "Floor, ms",
        "share": "Floor / time",
        "bound": "Floor made of",
    }
    number = Format("number", 2)
    formats = {"seconds": number, "rate": number, "floor": Format("number", 3),
               "share": Format("percent", 1)}  # fmt: skip
    notes = (
        "Floor: operations and bytes counted from shapes and lengths, over what a matrix product "
        "and a copy reached on the same device just before. The straightforward ways have no "
        "cache, so that their floor includes the encoder.",
    )
    caption = "Time, throughput, and distance to the floor."
    return Table(shown, headers, caption, formats, None, notes)


def speed_slopes(slopes: pd.DataFrame) -> Table:
    """How time and peak memory grow with size, as exponents (`speed.growth.slopes`)."""
    shown = slopes.assign(
        sizes=[
            f"{low:,} to {high:,}"
            for low, high in zip(slopes["smallest"], slopes["largest"], strict=True)
        ],
        interval=[
            f"{low:.2f} to {high:.2f}"
            for low, high in zip(slopes["low"], slopes["high"], strict=True)
        ],
    )
    headers = {
        "work": "Work",
        "way": "Way",
        "sizes": "Clips, rows or texts",
        "points": "Sizes",
        "slope": "Exponent of time",
        "interval": "95 % interval",
        "peak_slope": "Exponent of peak memory",
    }
    number = Format("number", 2)
    return Table(
        shown,
        headers,
        "Growth: slopes on logarithmic axes. 1 is proportional, 0 does not grow.",
        {"points": Format("count"), "slope": number, "peak_slope": number},
    )


def speed_goals(goals: Sequence[tuple[str, str, str, bool]]) -> Table:
    """What was to be reached, and whether it was.

    Args:
        goals: what, the least or the most that is wanted, what was measured, whether it holds.
    """
    frame = pd.DataFrame(goals, columns=["goal", "wanted", "measured", "holds"])
    frame["holds"] = ["yes" if holds else "no" for holds in frame["holds"]]
    headers = {"goal": "Goal", "wanted": "Wanted", "measured": "Measured", "holds": "Holds"}
    return Table(frame, headers, "Goals.")


def speed_conditions(conditions: pd.DataFrame) -> Table:
    """What each part was measured on (`speed.reading.Found`)."""
    shown = conditions.assign(
        device=[
            f"{processor}, {cores} cores" if gpu is None or gpu != gpu else gpu
            for processor, cores, gpu in zip(
                conditions["processor"], conditions["cores"], conditions["gpu"], strict=True
            )
        ],
        commit=[str(one)[:9] for one in conditions["commit"]],
        **{name: conditions[name] / 1e9 for name in ("float32", "bfloat16", "cache", "memory")},
    )
    headers = {
        "part": "Part",
        "device": "Device",
        "threads": "Threads",
        "load": "Load",
        "torch": "PyTorch",
        "float32": "float32, GFLOP/s",
        "bfloat16": "bfloat16, GFLOP/s",
        "cache": "Small copy, GB/s",
        "memory": "Large copy, GB/s",
        "depth": "Depth",
        "measured": "Measured",
        "commit": "Commit",
    }
    number = Format("number", 1)
    formats = {"threads": Format("count"), "load": number, "float32": number, "bfloat16": number,
               "cache": number, "memory": number}  # fmt: skip
    notes = (
        "Load: processes that ran or waited in the minute before, our own included; on an idle "
        "machine it is no more than the threads.",
    )
    return Table(shown, headers, "What was measured on, and its ceilings.", formats, None, notes)
