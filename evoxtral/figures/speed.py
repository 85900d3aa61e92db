"""Figures of measured speed."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from evoxtral.figures.style import GREY, INK, SYSTEMS, panels, styled, tint


@styled
def speed_ups(ratios: pd.DataFrame) -> Figure:
    """How many times faster ours is, a bar per pair of ways with its range over rounds.

    Args:
        ratios: as `speed.speed_ups` gives them.
    """
    figure, [axes] = panels(1, 1, 0.9 + 0.5 * len(ratios))
    axes.barh(ratios.index, ratios["ratio"], color=tint(SYSTEMS["sft"].color, 0.45), height=0.55)
    for place, row in ratios.iterrows():
        axes.plot([row["low"], row["high"]], [place, place], color=INK, lw=1.6, marker="|", ms=8)
        said = f"{row['ratio']:.1f}×"
        offset = {"xytext": (6, 0), "textcoords": "offset points", "va": "center_baseline"}
        axes.annotate(said, (max(1.0, row["high"]), place), weight="bold", **offset)
    axes.axvline(1, color=GREY, lw=1)
    names = zip(
        ratios["work"], ratios["ours"].str.removeprefix("ours"), ratios["plain"], strict=True
    )
    axes.set_yticks(ratios.index, [f"{work}{how}\nbeside {plain}" for work, how, plain in names])
    axes.invert_yaxis()
    axes.set(xlabel="times faster (line: range over rounds)", xlim=(0, 1.15 * ratios["high"].max()))
    figure.set_label("How many times faster each step is than the straightforward way")
    return figure


@styled
def growth(points: pd.DataFrame, across: str, label: str) -> Figure:
    """Seconds against a size on logarithmic axes; a dotted line is proportional growth.

    Args:
        points: `work | way | seconds` and the size.
        across: column of the size.
        label: what it counts.
    """
    figure, [axes] = panels(1, 1, 3.2)
    marks = {"ours": ("o-", SYSTEMS["sft"].color), "plain": ("s--", SYSTEMS["base"].color)}
    for number, ((work, way), own) in enumerate(points.groupby(["work", "way"], sort=False)):
        style, color = marks[way]
        shade = tint(color, 1.0 if number % 2 == 0 or way == "plain" else 0.55)
        axes.plot(own[across], own["seconds"], style, color=shade, label=f"{work}, {way}")
        first = own.iloc[0]
        straight = first["seconds"] * own[across] / first[across]
        axes.plot(own[across], straight, ":", color=GREY, lw=0.8)
    ticks = sorted(set(points[across]))
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    axes.legend()
    figure.set_label(f"Seconds against {label}")
    return figure
