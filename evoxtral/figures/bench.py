"""Figures of a benchmark: tag confusion, numbers of tags, and what missing labels do.

Each takes a frame of `evoxtral.bench`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from evoxtral import tags
from evoxtral.figures.scores import looks
from evoxtral.figures.style import GREY, INK, RULE, WIDTH, System, styled, tint

_RIGHT, _WRONG, _LOST = "#0072b2", "#d55e00", "#6e7781"
_SMALL = 8.1  # points: 8 pixels at phone width
_SHOWN = 0.01  # smaller shares are tinted only
_DARK = 0.33  # from here on a cell is dark enough for white letters
_MARGINS = frozenset({"missed", "invented"})
_GAP = 0.35  # between tags and margins, in cells


@styled
def confusion_matrix(frame: pd.DataFrame) -> Figure:
    """Which tag is written for which, in percent of the true tag's occurrences.

    Hits are blue, confusions orange, what was missed or invented grey; shares below 1 % have no
    number. The bottom row is the share of each predicted tag that stands where no tag is.

    Args:
        frame: `bench.confusion` of one system.
    """
    wide = frame.pivot_table("share", "true", "predicted", sort=False, dropna=False)
    counts = frame.groupby("true", sort=False)["count"].sum()
    figure = Figure(figsize=(WIDTH, 1.75 + 0.23 * len(wide)), layout="constrained")
    figure.set_label(_confusion_words(frame, counts))
    ax = figure.subplots()
    across, down = _places(list(wide.columns)), _places(list(wide.index))
    for true, y in down.items():
        for predicted, x in across.items():
            _cell(ax, (x, y), wide.loc[true, predicted], _color(true, predicted))
        if true not in _MARGINS:
            _beside(ax, y, f"{counts[true]:,}", INK if counts[true] else GREY)
    _beside(ax, -1.0, "n", GREY)
    _divide(ax, list(wide.index))
    ax.set(xlim=(-0.5, max(across.values()) + 0.5), ylim=(max(down.values()) + 0.5, -0.5))
    ax.set_xticks(list(across.values()), list(across), rotation=90)
    ax.set_yticks(list(down.values()), list(down))
    ax.tick_params(length=0, pad=2, labelsize=8.5, top=False, labeltop=True, labelbottom=False)
    ax.set_ylabel("true tag")
    ax.set_xlabel("% of the true tag; last row: % of the predicted tag", fontsize=8.5, color=GREY)
    ax.set_title("predicted tag", loc="center", weight="normal", fontsize=9.5, pad=8)
    ax.spines[["left", "bottom"]].set_visible(False)
    return figure


def _places(names: Sequence[str]) -> dict[str, float]:
    """Row or column of each name, the margin a little apart."""
    return {name: k + _GAP * (name in _MARGINS) for k, name in enumerate(names)}


def _color(true: str, predicted: str) -> str:
    if true in _MARGINS or predicted in _MARGINS:
        return _LOST
    return _RIGHT if true == predicted else _WRONG


def _cell(ax: Axes, place: tuple[float, float], share: float, color: str) -> None:
    if not share > 0:  # none, or no occurrence to take a share of
        return
    x, y = place
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=tint(color, share), linewidth=0))
    if share >= _SHOWN:
        darkness = share * (1 - np.mean(to_rgb(color)))
        ax.text(x, y, f"{100 * share:.0f}", color="white" if darkness > _DARK else INK,
                ha="center", va="center_baseline", fontsize=_SMALL)  # fmt: skip


def _beside(ax: Axes, y: float, text: str, color: str) -> None:
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    ax.annotate(text, (1, y), (30, 0), color=color, ha="right", va="center_baseline", fontsize=8.5,
                annotation_clip=False, **place)  # fmt: skip


def _divide(ax: Axes, names: Sequence[str]) -> None:
    """A frame around the tags, and lines between their groups."""
    own = [name for name in names if name not in _MARGINS]
    end = len(own) - 0.5
    for place, (before, after) in enumerate(pairwise(own)):
        if tags.group_of(before) != tags.group_of(after):
            ax.hlines(place + 0.5, -0.5, end, color=GREY, linewidth=0.6)
            ax.vlines(place + 0.5, -0.5, end, color=GREY, linewidth=0.6)
    corners = [-0.5, end, end, -0.5, -0.5], [-0.5, -0.5, end, end, -0.5]
    ax.plot(*corners, color=GREY, linewidth=0.8)


def _confusion_words(frame: pd.DataFrame, counts: pd.Series) -> str:
    rows = frame[~frame["true"].isin(_MARGINS)].assign(hit=lambda f: f["true"] == f["predicted"])
    parts = []
    for true, own in rows.groupby("true", sort=False):
        if not counts[true]:
            continue
        wrong = own[~own["hit"]].sort_values("count", ascending=False, kind="stable").iloc[0]
        text = f"{true} {100 * own.loc[own['hit'], 'share'].iloc[0]:.0f}% of {counts[true]} right"
        if wrong["count"]:
            text += f", most often {wrong['predicted']} instead ({100 * wrong['share']:.0f}%)"
        parts.append(text)
    return f"Tag confusion: {'; '.join(parts)}"


@styled
def tag_numbers(frame: pd.DataFrame, bias: pd.DataFrame, *, most: int = 8) -> Figure:
    """Number of predicted against true tags per clip: one panel for each system.

    The area of a point is the number of clips, on one scale for all panels; on the line the
    numbers agree, above it there are too many tags.

    Args:
        frame: `bench.count_pairs`.
        bias: `bench.count_bias` of the same systems, printed in the panels.
        most: Larger numbers are drawn here; even.
    """
    systems = frame["system"].unique().tolist()
    columns = min(2, len(systems))
    lines = -(-len(systems) // columns)
    figure = Figure(figsize=(WIDTH, 0.35 + 2.55 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    clipped = frame.assign(true=frame["true"].clip(upper=most),
                           predicted=frame["predicted"].clip(upper=most))  # fmt: skip
    cells = clipped.groupby(["system", "true", "predicted"], as_index=False)["clips"].sum()
    cells["area"] = 230 * cells["clips"] / cells["clips"].max()
    rows, said = bias.set_index("system"), []
    for ax, (system, look) in zip(axes, looks(systems).items(), strict=False):
        row = rows.loc[system]
        text = f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        said.append(f"{look.label} {_minus(text)} tags per clip, {row['same']:.0%} equal")
        _panel(ax, cells[cells["system"] == system], look, f"tags per clip {_minus(text)}", most)
    for ax in axes[len(systems) :]:
        ax.set_axis_off()
    figure.supxlabel("true tags in a clip", fontsize=9.5)
    figure.supylabel("predicted tags", fontsize=9.5)
    figure.set_label(f"Predicted against true number of tags: {'; '.join(said)}")
    return figure


def _panel(ax: Axes, cells: pd.DataFrame, look: System, text: str, most: int) -> None:
    ax.plot([-0.5, most + 0.5], [-0.5, most + 0.5], color=GREY, linewidth=0.8, zorder=1)
    ax.scatter(cells["true"], cells["predicted"], s=cells["area"], color=tint(look.color, 0.75),
               edgecolor=look.color, linewidth=0.4, zorder=2)  # fmt: skip
    ax.set_title(look.label)
    ax.annotate(text, (0.98, 0.02), xycoords="axes fraction", ha="right", va="bottom",
                fontsize=8.5, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    ticks = list(range(0, most + 1, 2))
    names = [f"{tick}+" if tick == most else str(tick) for tick in ticks]
    # Room below zero for the text.
    ax.set(xlim=(-0.7, most + 0.7), ylim=(-1.6, most + 0.7), xticks=ticks, yticks=ticks,
           xticklabels=names, yticklabels=names)  # fmt: skip
    ax.grid(color=RULE, linewidth=0.5)


def _minus(text: str) -> str:
    return text.replace("-", "−")


@styled
def label_noise(frame: pd.DataFrame, *, printed: Mapping[str, float] | None = None) -> Figure:
    """Hallucination rate of fixed predictions against the share of labels that are missing.

    Args:
        frame: `bench.noise_curve` of one protocol; bands are its intervals.
        printed: Published rates to draw as lines, fractions by name.

    Raises:
        ValueError: The frame holds more than one protocol.
    """
    if len(set(frame["protocol"])) != 1:
        raise ValueError("draw one protocol at a time: select its rows")
    systems = frame["system"].unique().tolist()
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    ax = figure.subplots()
    said, handles = [], []
    for system, look in looks(systems).items():
        own = frame[frame["system"] == system].sort_values("share")
        x = 100 * own["share"]
        ax.fill_between(x, 100 * own["low"], 100 * own["high"], color=tint(look.color, 0.25),
                        linewidth=0)  # fmt: skip
        ax.plot(x, 100 * own["value"], color=look.color, marker=look.marker, markersize=5)
        handles.append(Line2D([], [], color=look.color, marker=look.marker, label=look.label))
        first, last = own.iloc[0], own.iloc[-1]
        said.append(f"{look.label} {100 * first['value']:.1f}% with {first['share']:.0%} missing, "
                    f"{100 * last['value']:.1f}% with {last['share']:.0%}")  # fmt: skip
    for name, rate in (printed or {}).items():
        ax.axhline(100 * rate, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
        ax.annotate(f"{name} {100 * rate:.1f}%", (1, 100 * rate), (0, 2), ha="right", va="bottom",
                    xycoords=("axes fraction", "data"), textcoords="offset points", color=GREY,
                    fontsize=8.5)  # fmt: skip
    ax.set(xlabel="labels missing from the references, %", ylabel="hallucinated tags, %")
    ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
    ax.grid()
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    figure.set_label(f"Hallucination against missing labels: {'; '.join(said)}")
    return figure
