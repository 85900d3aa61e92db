"""Figure of how far scores over few clips can be told apart."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoxtral.figures.style import SYSTEMS, WIDTH, System, styled, tint

_NORMAL_95 = 1.96


@styled
def score_uncertainty(errors: pd.DataFrame, systems: Mapping[str, System] = SYSTEMS) -> Figure:
    """95% intervals of each score under every assumption on the spread between clips.

    Args:
        errors: as `evoxtral.checks.standard_errors` returns it; `metric` names the system.
        systems: how the systems are drawn.
    """
    groups = [(systems[str(n)], rows) for n, rows in errors.groupby("metric", sort=False)]
    figure = Figure(figsize=(WIDTH, 0.6 + 0.27 * (len(errors) + len(groups))), layout="constrained")
    said = [f"{system.label} {rows['mean'].iloc[0]:.1%}" for system, rows in groups]
    figure.set_label(f"95% intervals under each assumption on the spread: {', '.join(said)}")
    ax = figure.subplots()
    top = 0
    labels: dict[int, str] = {}
    for system, rows in groups:
        labels |= _intervals(ax, top, system, rows)
        top += len(rows) + 1
    ax.set_yticks(list(labels), list(labels.values()))
    ax.set(ylim=(top - 0.7, -1.2), xlabel="Tag F1, %, with 95% interval")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    return figure


def _intervals(ax: Axes, top: int, system: System, rows: pd.DataFrame) -> dict[int, str]:
    """Draw one system's intervals from row `top` down; returns the row labels."""
    labels = {}
    mean = 100 * float(rows["mean"].iloc[0])
    for y, row in enumerate(rows.itertuples(), start=top):
        assumed = row.assumption == "assumed"
        reach = 100 * _NORMAL_95 * row.se
        color = tint(system.color, 1.0 if assumed else 0.45)
        ax.plot([mean - reach, mean + reach], [y, y], color=color, linewidth=3.2)
        labels[y] = f"sd {row.sd:.2f}, {row.assumption}"
    ax.plot([mean, mean], [top - 0.4, top + len(rows) - 0.6], color=system.color, linewidth=1)
    ax.annotate(
        f"{system.label} {mean:.1f}",
        (mean, top - 0.75),
        color=system.color,
        weight="bold",
        ha="center",
        va="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    return labels
