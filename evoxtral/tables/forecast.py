"""Table of what the method will cost on several GPUs."""

from __future__ import annotations

import pandas as pd

from evoxtral.tables.model import Format, Table

__all__ = ["forecast"]


def forecast(frame: pd.DataFrame) -> Table:
    """Memory and time of every step: rows of `forecast.forecast` for one GPU or more."""
    shown = frame.assign(
        floor=[_duration(seconds) for seconds in frame["floor"]],
        expected=[_duration(seconds) for seconds in frame["expected"]],
    )
    return Table(
        shown,
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
