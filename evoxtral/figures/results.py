"""Figures of scores: core metrics, and WER against Tag F1.

Both take a frame of fractions as `evoxtral.paper` reads it. Where the frame also has columns
`<system>_low` and `<system>_high`, these are drawn as intervals.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from evoxtral.figures.style import GREY, INK, SYSTEMS, WIDTH, System, styled

_WAYS = (("lower", "Lower is better ↓"), ("higher", "Higher is better ↑"))
_SHORT = {"hallucination": "Hallucination"}  # the full name is wider than its panel
_Row = Mapping[Hashable, object]


@styled
def core_metrics(core: pd.DataFrame, systems: Mapping[str, System] = SYSTEMS) -> Figure:
    """Small multiples: one panel per metric, one bar per system, each panel on its own scale.

    Args:
        core: `key`, `metric`, `direction`, and a column of fractions per system.
        systems: which columns to draw, in order, and how.
    """
    groups = [(title, core[core["direction"] == way]) for way, title in _WAYS]
    groups = [(title, rows) for title, rows in groups if len(rows)]
    columns = max(len(rows) for _, rows in groups)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.1 * len(groups)), layout="constrained")
    figure.set_label(_words(core, systems))
    grid = figure.subplots(len(groups), columns, squeeze=False)
    for axes, (title, rows) in zip(grid, groups, strict=True):
        axes[0].annotate(
            f"{title}, %",
            (0, 1),
            (0, 28),
            xycoords="axes fraction",
            textcoords="offset points",
            color=GREY,
            annotation_clip=False,
        )
        for ax, row in zip(axes, rows.to_dict("records"), strict=False):
            _bars(ax, row, systems)
        for ax in axes[len(rows) :]:
            ax.set_axis_off()
    figure.get_layout_engine().set(hspace=0.12, w_pad=0.07)
    handles = [Patch(color=s.color, label=s.label) for s in systems.values()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _bars(ax: Axes, row: _Row, systems: Mapping[str, System]) -> None:
    values = [100 * float(row[name]) for name in systems]
    digits = 1 if max(values) >= 10 else 2
    tops = list(values)
    ax.bar(range(len(values)), values, width=0.8, color=[s.color for s in systems.values()])
    for position, name in enumerate(systems):
        interval = _interval(row, name)
        if interval:
            ax.vlines(position, *interval, color=INK, linewidth=1.2)
            tops[position] = max(tops[position], interval[1])
        ax.annotate(
            f"{values[position]:.{digits}f}",
            (position, tops[position]),
            (0, 2.5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
        )
    ax.set_title(_SHORT.get(str(row["key"]), str(row["metric"])), pad=9)
    ax.set(xticks=[], yticks=[], ylim=(0, _ceiling(row, tops)))
    ax.spines["left"].set_visible(False)


def _ceiling(row: _Row, tops: list[float]) -> float:
    """Top of a panel in percent: scores end at 100, error rates at their largest."""
    return 110.0 if row["direction"] == "higher" else 1.15 * max(tops) or 1.0


@styled
def wer_f1_plane(core: pd.DataFrame, systems: Mapping[str, System] = SYSTEMS) -> Figure:
    """Word error rate against Tag F1, with arrows from each system to the next.

    Args:
        core: rows with `key` `wer` and `tag_f1`, a column of fractions per system.
        systems: which columns to draw, in the order of the arrows, and how.
    """
    rows = core.set_index("key")
    errors, scores = rows.loc["wer"], rows.loc["tag_f1"]
    points = {name: (100 * errors[name], 100 * scores[name]) for name in systems}
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    said = [f"{systems[n].label} {x:.2f}% WER, {y:.1f}% Tag F1" for n, (x, y) in points.items()]
    figure.set_label("; ".join(said))
    ax = figure.subplots()
    ordered = list(points.values())
    for start, end in pairwise(ordered):
        ax.annotate("", end, start, arrowprops=_ARROW, zorder=2)
    width = 1.3 * max(x for x, _ in points.values()) or 1.0  # percent; all may be without error
    sides = _sides(points, width)
    for name, point in points.items():
        across, up = _interval(errors, name), _interval(scores, name)
        _point(ax, point, systems[name], across, up, sides[name])
    _frame_plane(ax, width)
    return figure


_ARROW = {
    "arrowstyle": "-|>,head_width=0.25,head_length=0.5",
    "color": GREY,
    "linewidth": 1.3,
    "shrinkA": 8,
    "shrinkB": 8,
}


def _point(
    ax: Axes,
    point: tuple[float, float],
    system: System,
    across: tuple[float, float] | None,
    up: tuple[float, float] | None,
    side: int,
) -> None:
    """A marker with its intervals and, left (-1) or right (1) of it, its name and scores."""
    x, y = point
    if across:
        ax.hlines(y, *across, color=system.color, linewidth=1.5)
    if up:
        ax.vlines(x, *up, color=system.color, linewidth=1.5)
    ax.plot(x, y, system.marker, color=system.color, markersize=9, zorder=3)
    lines = ((system.label, 8, "bold", system.color), (f"{x:.2f}, {y:.1f}", -6, "normal", INK))
    for text, lift, weight, color in lines:
        ax.annotate(
            text,
            point,
            (12 * side, lift),
            textcoords="offset points",
            weight=weight,
            color=color,
            ha="left" if side > 0 else "right",
            va="center",
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )


def _sides(points: Mapping[str, tuple[float, float]], width: float) -> dict[str, int]:
    """Label each point away from its nearest neighbour: -1 left, 1 right.

    Args:
        points: in percent; the second coordinate spans 0 to 100.
        width: span of the first coordinate.
    """
    sides = {}
    for name, (x, y) in points.items():
        others = [
            (((x - u) / width) ** 2 + ((y - v) / 100) ** 2, u)
            for other, (u, v) in points.items()
            if other != name
        ]
        sides[name] = -1 if others and min(others)[1] > x else 1
    return sides


def _frame_plane(ax: Axes, width: float) -> None:
    ax.set(xlim=(0, width), ylim=(0, 100))
    ax.set(xlabel="WER, % (lower is better)", ylabel="Tag F1, % (higher is better)")
    ax.grid()
    ax.annotate(
        "better",
        (0.03, 0.96),
        (0.13, 0.86),
        xycoords="axes fraction",
        color=GREY,
        textcoords="axes fraction",
        va="center",
        arrowprops={"arrowstyle": "->", "color": GREY, "shrinkB": 0},
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _interval(row: _Row | pd.Series, name: str) -> tuple[float, float] | None:
    """Interval of a system's score in percent, where the row has one."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return None if low is None or high is None else (100 * float(low), 100 * float(high))


def _words(core: pd.DataFrame, systems: Mapping[str, System]) -> str:
    rows = [
        f"{row['metric']}: "
        + ", ".join(f"{s.label} {100 * row[name]:.2f}%" for name, s in systems.items())
        for row in core.to_dict("records")
    ]
    return "; ".join(rows)
