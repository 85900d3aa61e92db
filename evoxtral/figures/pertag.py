"""Figure of per-tag scores: how each tag moves from the first stage to the second."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evoxtral.figures.style import GREY, INK, SYSTEMS, WIDTH, System, styled, tint

_Row = Mapping[Hashable, Any]
_EDGE = 1.15  # right edge of the column of supports, in widths of the axes
_WHOLE, _RARE = 1.0, 0.5  # strength of colour


@styled
def per_tag_dumbbell(
    per_tag: pd.DataFrame, *, low_support: int = 7, systems: Mapping[str, System] = SYSTEMS
) -> Figure:
    """F1 of every tag before and after the second stage, most frequent tag first.

    Args:
        per_tag: `tag`, fractions `sft` and `rl`, `support`.
        low_support: tags that occur less often are drawn pale, below a line.
        systems: how `sft` and `rl` are drawn.
    """
    rows = per_tag.sort_values("support", ascending=False, kind="stable").to_dict("records")
    figure = Figure(figsize=(WIDTH, 1.1 + 0.28 * len(rows)), layout="constrained")
    said = [f"{r['tag']} {r['sft']:.3f} to {r['rl']:.3f} (n {r['support']})" for r in rows]
    figure.set_label(f"F1 of each tag, SFT to RL, by support: {'; '.join(said)}")
    ax = figure.subplots()
    for y, row in enumerate(rows):
        _dumbbell(ax, y, row, systems, rare=row["support"] < low_support)
    rare = sum(row["support"] < low_support for row in rows)
    if 0 < rare < len(rows):
        _divide(ax, len(rows) - rare - 0.5, f"fewer than {low_support} occurrences")
    ax.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.4, -0.7), xlabel="F1")
    ax.set_yticks(range(len(rows)), [f"[{row['tag']}]" for row in rows])
    for label in ax.get_yticklabels()[len(rows) - rare :]:
        label.set_color(GREY)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    _beside(ax, -1, "support", GREY)
    handles = [
        Line2D([], [], label=systems["sft"].label, **_ring(systems["sft"], _WHOLE)),
        Line2D([], [], label=systems["rl"].label, **_dot(systems["rl"], _WHOLE)),
        Line2D([], [], label="better", **_path(systems["rl"], _WHOLE, better=True)),
        Line2D([], [], label="worse", **_path(systems["rl"], _WHOLE, better=False)),
    ]
    spacing = {"columnspacing": 1.2, "handletextpad": 0.5}
    figure.legend(handles=handles, loc="outside upper left", ncols=4, **spacing)
    return figure


def _dumbbell(ax: Axes, y: int, row: _Row, systems: Mapping[str, System], *, rare: bool) -> None:
    strength = _RARE if rare else _WHOLE
    before, after = row["sft"], row["rl"]
    path = _path(systems["rl"], strength, better=after >= before)
    ax.plot([before, after], [y, y], zorder=2, **path)
    ax.plot([before], [y], zorder=3, **_ring(systems["sft"], strength))
    ax.plot([after], [y], zorder=4, **_dot(systems["rl"], strength))
    _beside(ax, y, str(row["support"]), GREY if rare else INK)


def _beside(ax: Axes, y: float, text: str, color: str) -> None:
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
    ax.annotate(text, (_EDGE, y), color=color, **place)


def _divide(ax: Axes, y: float, text: str) -> None:
    ax.axhline(y, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(
        text, (1, y), (0, -2), color=GREY, ha="right", va="top", fontsize=8.5, **place
    ).set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})


def _ring(system: System, strength: float) -> dict[str, Any]:
    look = {"markersize": 9, "markerfacecolor": "white", "markeredgewidth": 1.8}
    return {"marker": system.marker, "color": tint(system.color, strength), "ls": "", **look}


def _dot(system: System, strength: float) -> dict[str, Any]:
    color = tint(system.color, strength)
    return {"marker": system.marker, "color": color, "ls": "", "markersize": 4.5}


def _path(system: System, strength: float, *, better: bool) -> dict[str, Any]:
    if better:
        return {"color": tint(system.color, strength), "linewidth": 2.4}
    return {"color": tint(INK, strength), "linewidth": 1.6, "linestyle": (0, (1, 1))}
