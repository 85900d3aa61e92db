"""Figures of how time, memory and prefill grow."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from evoxtral import UserError
from evoxtral.figures.speed import WAYS, plain_number, round_ticks
from evoxtral.figures.style import GREY, WIDTH, styled

__all__ = ["growth_curves", "k_curves", "peak_memory"]

_LABELS = {"ours": "ours", "plain": "straightforward"}
_LINES = {
    "encode": ("#0072b2", "o"),
    "SFT": ("#d55e00", "D"),
    "sampling": ("#009e73", "^"),
    "evaluation": ("#cc79a7", "s"),
}
"""Okabe and Ito's colours, and markers, of the works that a model does."""


@styled
def growth_curves(points: pd.DataFrame, slopes: pd.DataFrame) -> Figure:
    """Time against size, a panel per kind of work, each with the line of proportional growth.

    Args:
        points: of `speed.reading.Found.growth`; those of the curve `size` are drawn.
        slopes: `speed.growth.slopes` of them, whose exponents stand in the titles.

    Raises:
        UserError: nothing grew.
    """
    grown = points[points["curve"] == "size"]
    works = list(dict.fromkeys(slopes["work"]))
    if not works:
        raise UserError("no growth was measured: run `evoxtral speed all` first")
    rows = -(-len(works) // 2)
    figure = Figure(figsize=(WIDTH, 0.5 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax, work in zip(axes, works, strict=False):
        _growth_panel(ax, work, grown[grown["work"] == work], slopes[slopes["work"] == work])
    for ax in axes[len(works) :]:
        ax.set_axis_off()
    handles = [
        Line2D([], [], color=WAYS[way].color, marker=WAYS[way].marker, label=_LABELS[way])
        for way in WAYS
        if way in set(slopes["way"])
    ]
    handles.append(Line2D([], [], color=GREY, ls="--", lw=1, label="proportional"))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    said = (f"{row['work']} ({row['way']}) {row['slope']:.2f}" for row in slopes.to_dict("records"))
    figure.set_label("Exponents of time against size: " + ", ".join(said))
    return figure


def _growth_panel(ax: Axes, work: str, points: pd.DataFrame, slopes: pd.DataFrame) -> None:
    for way in slopes["way"]:
        own = points[points["way"] == way].sort_values("size")
        system = WAYS[way]
        ax.plot(own["size"], own["seconds"], color=system.color, marker=system.marker, ms=5, lw=1.4)
    ours = points[points["way"] == "ours"].sort_values("size")
    first, sizes = ours.iloc[0], ours["size"]
    ax.plot(sizes, first["seconds"] * sizes / first["size"], color=GREY, ls="--", lw=1, zorder=1)
    exponent = slopes.loc[slopes["way"] == "ours", "slope"].item()
    unit = {"three-stage mix": "rows", "near-duplicates": "texts"}.get(work, "clips")
    ax.set(xscale="log", yscale="log", xlabel=unit, ylabel="s")
    ax.set_title(work)
    ax.text(0.04, 0.95, f"exponent {exponent:.2f}", transform=ax.transAxes, va="top")
    ticks = sizes.tolist() if len(sizes) < 5 else sizes.tolist()[:: len(sizes) - 1]
    ax.set_xticks(ticks, [_short(size) for size in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    round_ticks(ax.yaxis)
    ax.grid()


def _short(size: float) -> str:
    """A size as short as possible.

    >>> _short(128), _short(24_016), _short(2_500)
    ('128', '24k', '2.5k')
    """
    return (
        f"{size:g}"
        if size < 1000
        else f"{size / 1000:.3g}k"
        if size < 1e4
        else f"{size / 1000:.0f}k"
    )


@styled
def peak_memory(points: pd.DataFrame) -> Figure:
    """Peak memory against the number of clips, and against the batch, on the same scale.

    Args:
        points: of `speed.reading.Found.growth`.
    """
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    drawn = []
    for ax, curve, title in zip(axes, ("size", "batch"), ("clips", "clips at once"), strict=True):
        own = points[(points["curve"] == curve) & (points["way"] == "ours")]
        for work, (color, marker) in _LINES.items():
            line = own[own["work"] == work].sort_values(curve)
            if not line.empty:
                ax.plot(line[curve], line["peak"], color=color, marker=marker, ms=5, lw=1.4)
                drawn.append(work)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(plain_number)
        ax.set_xlabel(title)
        ax.grid()
    axes[0].set_ylabel("peak memory, MiB")
    axes[0].set_ylim(0, 1.05 * points.loc[points["work"].isin(drawn), "peak"].max())
    handles = [
        Line2D([], [], color=color, marker=marker, label=work)
        for work, (color, marker) in _LINES.items()
        if work in drawn
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    figure.set_label("Peak memory against the number of clips and against the batch")
    return figure


@styled
def k_curves(points: pd.DataFrame) -> Figure:
    """Sampling against k: positions prefilled per clip, and time per completion.

    Args:
        points: of `speed.reading.Found.growth`; those of the curve `k` are drawn.
    """
    grown = points[points["curve"] == "k"]
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    axes = figure.subplots(1, 2)
    for way, system in WAYS.items():
        own = grown[grown["way"] == way].sort_values("k")
        style = {"color": system.color, "marker": system.marker, "ms": 5, "lw": 1.4}
        axes[0].plot(own["k"], own["prefilled"] / own["size"], label=_LABELS[way], **style)
        axes[1].plot(own["k"], 1000 * own["seconds"] / own["size"] / own["k"], **style)
    for ax, title in zip(axes, ("positions prefilled per clip", "ms per completion"), strict=True):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(sorted(set(grown["k"])))
        ax.xaxis.set_major_formatter(plain_number)
        round_ticks(ax.yaxis)
        ax.set(xlabel="k", title=title)
        ax.grid()
    figure.legend(loc="outside upper left", ncols=2)
    ours = grown[grown["way"] == "ours"]
    said = (f"k = {k}: {n:g}" for k, n in zip(ours["k"], ours["prefilled"], strict=True))
    figure.set_label("Positions prefilled by ours, " + ", ".join(said))
    return figure
