"""Figures of measured speed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from evoxtral.errors import UserError
from evoxtral.figures.style import GREY, INK, SYSTEMS, WIDTH, styled, tint

__all__ = ["speed_ups"]

_TARGET = "#d55e00"
_ROW, _FRAME = 0.52, 0.95  # inches per bar, and around all of them


@styled
def speed_ups(ratios: pd.DataFrame) -> Figure:
    """How many times faster ours is: a bar per pair of ways, its range over rounds, its target.

    Args:
        ratios: `work | plain | ours | ratio | low | high | target`, as
            `speed.results.read_ratios` gives it.

    Raises:
        UserError: nothing was measured.
    """
    if ratios.empty:
        raise UserError("no speed was measured: run `evoxtral speed` first")
    figure = Figure(figsize=(WIDTH, _FRAME + _ROW * len(ratios)), layout="constrained")
    ax = figure.subplots()
    color = SYSTEMS["sft"].color
    places = range(len(ratios))
    ax.barh(places, ratios["ratio"], height=0.55, color=tint(color, 0.45))
    for place, row in zip(places, ratios.to_dict("records"), strict=True):
        ax.plot([row["low"], row["high"]], [place, place], color=INK, lw=1.6, marker="|", ms=8)
        if row["target"] == row["target"]:
            ax.plot([row["target"]] * 2, [place - 0.4, place + 0.4], color=_TARGET, lw=2)
        ax.annotate(
            f"{row['ratio']:.1f}×",
            (np.fmax(row["high"], row["target"]), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center_baseline",
            weight="bold",
        )
    ax.axvline(1, color=GREY, lw=1, ls=(0, (1, 2)))
    names = [_name(row) for row in ratios.to_dict("records")]
    ax.set_yticks(list(places), names)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.18 * max(ratios["high"].max(), ratios["target"].max(skipna=True), 1.0))
    ax.set_xlabel("times as fast as the straightforward way")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    handles = [
        Patch(color=tint(color, 0.45), label="median"),
        Line2D([], [], color=INK, marker="|", ms=8, label="range over rounds"),
        Line2D([], [], color=_TARGET, lw=2, label="target"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    said = (f"{row['work']} {row['ratio']:.1f} times" for row in ratios.to_dict("records"))
    figure.set_label("Speed-up over the straightforward way: " + ", ".join(said))
    return figure


def _name(row: Mapping[Hashable, Any]) -> str:
    """What was done, and beside what; our usual way is not named."""
    unusual = row["ours"].removeprefix("ours").removeprefix(", ")
    return "\n".join([", ".join(filter(None, [row["work"], unusual])), f"vs {row['plain']}"])
