"""Tables of measured and of predicted speed."""

from __future__ import annotations

import pandas as pd

from evoxtral.tables.model import COUNT, Format, Table

_SECONDS, _TIMES = Format("number", 2), Format("number", 1, suffix="×")


def speed_ups(ratios: pd.DataFrame) -> Table:
    """Ours beside the straightforward ways (`speed.speed_ups`)."""
    spread = [f"{a:.1f} to {b:.1f}" for a, b in zip(ratios["low"], ratios["high"], strict=True)]
    return Table(
        ratios.assign(spread=spread),
        {
            "work": "Work",
            "plain": "Straightforward way",
            "ours": "Compared with",
            "plain_seconds": "Straightforward, s",
            "ours_seconds": "Ours, s",
            "ratio": "Speed-up",
            "spread": "Range",
            "rounds": "Rounds",
        },
        "Time against the straightforward way, same machine, same run: medians of rounds.",
        {"plain_seconds": _SECONDS, "ours_seconds": _SECONDS, "ratio": _TIMES, "rounds": COUNT},
    )


def exponents(slopes: pd.DataFrame) -> Table:
    """How time grows with size (`speed.exponents`)."""
    sizes = zip(slopes["smallest"], slopes["largest"], strict=True)
    return Table(
        slopes.assign(sizes=[f"{low:,} to {high:,}" for low, high in sizes]),
        {"work": "Work", "way": "Way", "sizes": "Sizes", "points": "Points", "slope": "Exponent"},
        "Growth: slopes on logarithmic axes. 1 is proportional, 0 does not grow.",
        {"points": COUNT, "slope": _SECONDS},
    )


def speed_conditions(said: pd.DataFrame) -> Table:
    """What each part was measured on."""
    shown = said.assign(device=said["gpu"].fillna(said["processor"]), commit=said["commit"].str[:9])
    headers = {
        "part": "Part",
        "device": "Device",
        "cores": "Cores",
        "threads": "Threads",
        "load": "Load",
        "torch": "PyTorch",
        "depth": "Depth",
        "measured": "Measured",
        "commit": "Commit",
    }
    caption = "What was measured on. Load: processes that ran or waited in the minute before."
    return Table(shown, headers, caption, {"load": Format("number", 1)})


def floors(rounds: pd.DataFrame) -> Table:
    """A GPU's times beside the least that arithmetic allows (`speed.real`)."""
    found = rounds.groupby("work", sort=False)[["seconds", "floor"]].median().reset_index()
    return Table(
        found.assign(share=found["floor"] / found["seconds"]),
        {"work": "Work", "seconds": "Seconds", "floor": "Floor, s", "share": "Floor / time"},
        "The real size on a GPU with random weights: medians of rounds, beside their floors.",
        {"seconds": _SECONDS, "floor": _SECONDS, "share": Format("percent", 1)},
    )


def forecast(frame: pd.DataFrame) -> Table:
    """Memory and time of every step, predicted (`cost.Recipe.forecast`)."""
    return Table(
        frame.assign(**{name: frame[name].map(_duration) for name in ("floor", "expected")}),
        {
            "gpu": "GPU",
            "step": "Step",
            "setting": "Setting",
            "gigabytes": "Memory, GB",
            "floor": "Floor",
            "expected": "Expected",
        },
        "Predicted from the model's shapes, not measured: memory and time of the report's recipe.",
        {"gigabytes": Format("number", 1)},
    )


def _duration(seconds: float) -> str | None:
    """A time as people say it.

    >>> _duration(0.44), _duration(61), _duration(625)
    ('0.4 s', '61 s', '10 min')
    """
    if seconds != seconds:
        return None
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
