"""Figures of scores with intervals: systems on metrics, and tags beside their ceiling.

The frames are those of `tables.scores` and `tables.tag_scores`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoxtral import UserError
from evoxtral.figures.style import GREY, INK, RULE, SYSTEMS, WIDTH, System, styled

_OTHERS = tuple(zip(("#009e73", "#a8558c", "#b58900", "#56b4e9"), "^vPX", strict=True))
_ARROWS = {"lower": "↓", "higher": "↑"}


def looks(names: Sequence[str]) -> dict[str, System]:
    """How systems are drawn: the known ones as everywhere, others in colours of their own.

    >>> [look.color for look in looks(["SFT", "random of 4"]).values()]
    ['#0072b2', '#009e73']
    """
    known = {name: SYSTEMS.get(name.casefold()) for name in names}
    known |= {name: System("No tags", "#9aa3ad", "v") for name in names if name == "no tags"}
    others = [name for name in names if known[name] is None]
    for place, name in enumerate(others):
        known[name] = System(name, *_OTHERS[place % len(_OTHERS)])
    return {name: look for name, look in known.items() if look is not None}


def score_columns(frame: pd.DataFrame) -> list[str]:
    """Systems of a frame of scores: the columns that have an interval.

    Raises:
        UserError: the frame has no row or no system.
    """
    names = [c for c in frame if f"{c}_low" in frame and not str(c).endswith("_difference")]
    if frame.empty or not names:
        raise UserError("there are no scores to draw: give the frame of tables.scores")
    return names


@styled
def system_scores(frame: pd.DataFrame) -> Figure:
    """A panel per metric, a dot with its 95% interval per system, each panel on its own scale.

    Args:
        frame: of `tables.scores`.

    Raises:
        UserError: the frame has no row or no system.
    """
    names = score_columns(frame)
    drawn = looks(names)
    rows = math.ceil(len(frame) / 2)
    height = rows * (0.75 + 0.2 * len(names))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False, sharey=True).ravel()
    for row, ax in zip(frame.to_dict("records"), axes, strict=False):
        scale = 100 if row["unit"] == "percent" else 1
        for y, (name, look) in enumerate(drawn.items()):
            _dot(ax, y, [scale * row[c] for c in (name, f"{name}_low", f"{name}_high")], look)
        unit = ", %" if scale == 100 else ""
        ax.set_title(f"{row['metric']}{unit} {_ARROWS[row['direction']]}", fontsize=9)
        ax.set_yticks(range(len(names)), [look.label for look in drawn.values()])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=5)
        ax.margins(x=0.14)
        ax.grid(axis="x")
    for ax in axes[len(frame) :]:
        ax.set_axis_off()
    said = "; ".join(_said(row, names) for row in frame.to_dict("records"))
    figure.set_label(f"Scores with 95% intervals: {said}")
    return figure


def _dot(ax: Axes, y: float, ends: Sequence[float], look: System, size: float = 6) -> None:
    value, low, high = ends
    if math.isnan(value):
        return
    if not math.isnan(low):
        ax.plot([low, high], [y, y], color=look.color, linewidth=1.8)
    ax.plot([value], [y], look.marker, color=look.color, markersize=size)


def _said(row: Mapping[str, object], names: Sequence[str]) -> str:
    return f"{row['metric']} " + ", ".join(f"{name} {row[name]:.3f}" for name in names)


@styled
def tag_f1_with_ceiling(frame: pd.DataFrame, auc: Mapping[str, float]) -> Figure:
    """What was learnt of each tag beside what the frozen encoder holds of it.

    Left the F1 with its 95% interval, right the AUC of a linear probe of the encoder; by group,
    within it the best audible first.

    Args:
        frame: of `tables.tag_scores`: `tag`, `group`, `support`, and `<system>`, `<system>_low`,
            `<system>_high` of one system or two.
        auc: of the probe of each tag; a tag without one has no mark.

    Raises:
        UserError: the frame has no row or no system.
    """
    names = score_columns(frame)
    drawn = looks(names)
    ordered = frame.assign(auc=[auc.get(tag, math.nan) for tag in frame["tag"]])
    groups = list(dict.fromkeys(ordered["group"]))
    ordered["rank"] = ordered["group"].map(groups.index)
    ordered = ordered.sort_values(["rank", "auc"], ascending=[True, False], kind="stable")
    places = np.arange(len(ordered)) + ordered["rank"].to_numpy() + 1
    figure = Figure(figsize=(WIDTH, 1.1 + 0.21 * (places[-1] + 1)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
    shift = np.linspace(-0.16, 0.16, len(names)) if len(names) > 1 else np.zeros(1)
    for y, row in zip(places, ordered.to_dict("records"), strict=True):
        for move, (name, look) in zip(shift, drawn.items(), strict=True):
            ends = [row[c] for c in (name, f"{name}_low", f"{name}_high")]
            _dot(left, y + move, ends, look, 5)
        if not math.isnan(row["auc"]):
            right.plot([0.5, row["auc"]], [y, y], color=RULE, linewidth=4, zorder=1)
            right.plot([row["auc"]], [y], "D", color=INK, markersize=4.5)
    _frame_ceiling(left, right, ordered, places)
    handles = [left.plot([], [], f"{look.marker}-", color=look.color, label=look.label)[0]
               for look in drawn.values()]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    said = "; ".join(f"{r['tag']} {r[names[-1]]:.2f} ({r['auc']:.2f})"
                     for r in ordered.to_dict("records"))  # fmt: skip
    figure.set_label(f"F1 of each tag, {names[-1]}, and AUC of its probe in brackets: {said}")
    return figure


def _frame_ceiling(left: Axes, right: Axes, rows: pd.DataFrame, places: np.ndarray) -> None:
    """Names of groups and tags down the side, a line above each group."""
    shown = zip(places, rows["tag"], rows["support"], strict=True)
    labels = {int(y): f"[{tag}]  {support:,}" for y, tag, support in shown}
    heads = {int(y) - 1: str(group) for y, group in zip(places, rows["group"], strict=True)
             if int(y) - 1 not in labels}  # fmt: skip
    left.set_yticks([*labels, *heads], [*labels.values(), *heads.values()])
    for label in left.get_yticklabels()[len(labels) :]:
        label.set(weight="bold", color=GREY)
    left.set(xlim=(-0.02, 1.02), ylim=(places[-1] + 0.6, -0.6), xlabel="F1, test clips")
    right.set(xlim=(0.48, 1.03), xlabel="AUC of a linear probe")
    left.set_title("Learnt", fontsize=9.5)
    right.set_title("In the encoder", fontsize=9.5)
    left.annotate("tag, support", (0, 1), (-5, 8), xycoords="axes fraction", color=GREY,
                  textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        for y in heads:
            ax.axhline(y - 0.5, color=RULE, linewidth=0.8)
