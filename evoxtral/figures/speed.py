"""Figures of measured speed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from evoxtral import UserError
from evoxtral.figures.style import GREY, INK, SYSTEMS, WIDTH, styled, tint

__all__ = ["WAYS", "floor_distances", "plain_number", "round_ticks", "speed_ups"]

_TARGET = "#d55e00"
WAYS = {"ours": SYSTEMS["sft"], "plain": SYSTEMS["base"]}
"""How ours and the straightforward ways are drawn."""

plain_number = FuncFormatter(lambda value, _: f"{value:,g}")
"""Prints tick labels without powers of ten."""
_ROW, _FRAME = 0.52, 0.95  # inches per bar, and around all of them


@styled
def speed_ups(ratios: pd.DataFrame) -> Figure:
    """How many times faster ours is: a bar per pair of ways, its range over rounds, its target.

    Args:
        ratios: `work | plain | ours | ratio | low | high | target`, as
            `speed.reading.Found` holds it.

    Raises:
        UserError: nothing was measured.
    """
    if ratios.empty:
        raise UserError("no speed was measured: run `evoxtral speed` first")
    figure = Figure(figsize=(WIDTH, _FRAME + _ROW * len(ratios)), layout="constrained")
    ax = figure.subplots()
    color = SYSTEMS["sft"].color
    places = range(len(ratios))
    ax.barh(places, ratios["ratio"] - 1, left=1, height=0.55, color=tint(color, 0.45))
    for place, row in zip(places, ratios.to_dict("records"), strict=True):
        ax.plot([row["low"], row["high"]], [place, place], color=INK, lw=1.6, marker="|", ms=8)
        if row["target"] == row["target"]:
            ax.plot([row["target"]] * 2, [place - 0.4, place + 0.4], color=_TARGET, lw=2)
        ax.annotate(
            _times(row["ratio"]),
            (np.fmax(max(row["high"], 1.0), row["target"]), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center_baseline",
            weight="bold",
        )
    ax.axvline(1, color=GREY, lw=1)
    ax.set_xscale("log")
    names = [_name(row) for row in ratios.to_dict("records")]
    ax.set_yticks(list(places), names)
    ax.set_ylim(len(ratios) - 0.5, -0.5)
    most = np.nanmax([ratios["high"].max(), ratios["target"].max(), 1.0])
    ax.set_xlim(0.9 * min(ratios["low"].min(), 1.0), most * max(1.5, most**0.12))
    round_ticks(ax.xaxis)
    ax.set_xlabel("times as fast, logarithmic")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    handles = [
        Patch(color=tint(color, 0.45), label="median"),
        Line2D([], [], color=INK, marker="|", ms=8, label="range over rounds"),
        Line2D([], [], color=_TARGET, lw=2, label="target"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    said = (f"{row['work']} {_times(row['ratio'])}" for row in ratios.to_dict("records"))
    figure.set_label("Speed-up over the straightforward way: " + ", ".join(said))
    return figure


def _name(row: Mapping[Hashable, Any]) -> str:
    """What was done, and beside what; our usual way is not named."""
    unusual = row["ours"].removeprefix("ours").removeprefix(", ")
    return "\n".join([", ".join(filter(None, [row["work"], unusual])), f"vs {row['plain']}"])


def _times(ratio: float) -> str:
    """A speed-up with two digits that mean something.

    >>> _times(6.24), _times(47.3), _times(2130)
    ('6.2×', '47×', '2,130×')
    """
    return f"{ratio:.1f}×" if ratio < 10 else f"{ratio:,.0f}×"


def round_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis, whose limits are set, at round and plain numbers."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 3, 5) if high < 10 * low else (1, 2, 5) if high < 200 * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(plain_number)
    axis.set_minor_locator(NullLocator())


@styled
def floor_distances(ways: pd.DataFrame) -> Figure:
    """How many times the floor every way takes, on a logarithmic axis: the roofline at 1.

    Args:
        ways: `work | way | seconds | low | high | floor` of `speed.reading.Found`; rows without
            a floor are left out.

    Raises:
        UserError: no way has a floor.
    """
    known = ways[ways["floor"].notna()]
    if known.empty:
        raise UserError("no floor is known: run `evoxtral speed all` first")
    works = list(dict.fromkeys(known["work"]))
    figure = Figure(figsize=(WIDTH, _FRAME + _ROW * len(works)), layout="constrained")
    ax = figure.subplots()
    for place, work in enumerate(works):
        own = known[known["work"] == work]
        far = own["seconds"] / own["floor"]
        ax.plot([far.min(), far.max()], [place, place], color=GREY, lw=1, zorder=1)
        for row, distance in zip(own.to_dict("records"), far, strict=True):
            system = WAYS["ours" if row["way"].startswith("ours") else "plain"]
            ends = np.array([row["low"], row["high"]]) / row["floor"]
            ax.plot(ends, [place, place], color=system.color, lw=3, solid_capstyle="butt")
            open_ = row["way"].startswith("ours, ")
            ax.scatter(
                distance, place, s=38, marker=system.marker, zorder=3, edgecolor=system.color,
                facecolor="white" if open_ else system.color,
            )  # fmt: skip
        nearest = own[own["way"].str.startswith("ours")].iloc[0]
        ax.annotate(
            f"{nearest['floor'] / nearest['seconds']:.0%}",
            (nearest["seconds"] / nearest["floor"], place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    ax.axvline(1, color=_TARGET, lw=2)
    ax.set(xscale="log", yticks=range(len(works)), yticklabels=works)
    ax.set_ylim(len(works) - 0.5, -0.6)
    round_ticks(ax.xaxis)
    ax.set_xlabel("time as a multiple of the floor")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    figure.legend(handles=_floor_legend(), loc="outside upper right", ncols=4)
    figure.set_label("Time over the floor: " + _said_floors(known))
    return figure


def _floor_legend() -> list[Line2D]:
    ours, plain = WAYS["ours"], WAYS["plain"]
    style = {"ls": "", "ms": 6}
    return [
        Line2D([], [], color=_TARGET, lw=2, label="floor"),
        Line2D([], [], color=ours.color, marker=ours.marker, label="ours", **style),
        Line2D([], [], color=ours.color, marker=ours.marker, mfc="white", label="cache built first",
               **style),
        Line2D([], [], color=plain.color, marker=plain.marker, label="straightforward", **style),
    ]  # fmt: skip


def _said_floors(known: pd.DataFrame) -> str:
    return ", ".join(
        f"{row['work']} ({row['way']}) {row['seconds'] / row['floor']:.1f}"
        for row in known.to_dict("records")
    )
