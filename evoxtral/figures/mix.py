"""Figures of a training set: tag shares, density, durations, valence, and the checklist.

Each takes the tables of `evoxtral.mix` by set, such as `{"as written": ..., "rebalanced": ...}`, in
the order in which they are drawn; the targets are those the tables were judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from evoxtral.figures.style import GREY, INK, RULE, SYSTEMS, WIDTH, styled
from evoxtral.mix.goals import DENSITY, FREQUENT, MINIMUMS, length_edges

_COLORS = tuple(system.color for system in SYSTEMS.values())
_MARKERS = tuple(system.marker for system in SYSTEMS.values())
_BAND = "#d8f0e3"
_VERDICTS = {"yes": ("✓", "#00775a"), "no": ("✗", "#b5341d"), "not known": ("?", GREY)}
_METHODS = {
    "keep_first": "exact, greedy filter",
    "near_duplicates": "exact, all pairs",
    "lsh": "MinHash prefilter",
}
_VALENCE = {"positive": "#56b4e9", "neutral": "#c9d1d9", "negative": "#cc79a7"}


def _legend(figure: Figure, names: Sequence[str], *, band: str | None = None) -> None:
    handles = [Patch(color=c, label=name) for name, c in zip(names, _COLORS, strict=False)]
    if band:
        handles.append(Patch(facecolor=_BAND, edgecolor=GREY, linewidth=0.6, label=band))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


@styled
def tag_shares(sets: Mapping[str, pd.DataFrame]) -> Figure:
    """The long tail: share of tagged examples that carry each tag, with its target band.

    Args:
        sets: `composition.tag_table` of each set; rows are ordered by the first one's shares.
    """
    first = next(iter(sets.values())).sort_values("measured", ascending=True)
    tags = first["tag"].tolist()
    figure = Figure(figsize=(WIDTH, 0.9 + 0.24 * len(tags)), layout="constrained")
    ax = figure.subplots()
    for row, tag in enumerate(tags):
        low, high, *_ = MINIMUMS.get(tag.strip("[]"), FREQUENT)
        ax.add_patch(
            Rectangle((100 * low, row - 0.36), 100 * (high - low), 0.72, facecolor=_BAND,
                      edgecolor=GREY, linewidth=0.5)
        )  # fmt: skip
    shares = [100 * t.set_index("tag").loc[tags, "measured"].to_numpy() for t in sets.values()]
    ax.hlines(range(len(tags)), np.min(shares, axis=0), np.max(shares, axis=0), color=GREY, lw=1)
    for values, color, marker in zip(shares, _COLORS, _MARKERS, strict=False):
        ax.scatter(values, range(len(tags)), s=30, color=color, marker=marker, zorder=3)
    ax.set(yticks=range(len(tags)), yticklabels=[tag.strip("[]") for tag in tags],
           xlabel="% of tagged examples", xlim=(-1.5, 1.06 * max(map(max, shares))),
           ylim=(-0.7, len(tags) - 0.3))  # fmt: skip
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    _legend(figure, list(sets), band="minimum (CAPS, pause: band)")
    said = "; ".join(f"{tag} {value:.1f}%" for tag, value in zip(tags, shares[-1], strict=True))
    figure.set_label(f"Share of tagged examples, {list(sets)[-1]}: {said}")
    return figure


@styled
def density(sets: Mapping[str, pd.DataFrame]) -> Figure:
    """Share of examples per tag density, each stratum with its target band.

    Args:
        sets: `composition.density_table` of each set.
    """
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(sets)
    for k, (_, low, high) in enumerate(DENSITY.values()):
        ax.add_patch(Rectangle((k - 0.46, 100 * low), 0.92, 100 * (high - low), facecolor=_BAND,
                               edgecolor=GREY, linewidth=0.6))  # fmt: skip
    for j, (table, color) in enumerate(zip(sets.values(), _COLORS, strict=False)):
        places = np.arange(len(table)) + (j - (len(sets) - 1) / 2) * width
        _columns(ax, places, 100 * table["measured"].to_numpy(), 0.86 * width, color)
    names = [name.replace(" (", "\n(") for name in DENSITY]
    ax.set(xticks=range(len(names)), xticklabels=names, ylabel="% of examples", ylim=(0, 42))
    ax.tick_params(axis="x", length=0)
    _legend(figure, list(sets), band="target")
    figure.set_label(_said(sets, "density"))
    return figure


def _columns(ax: Axes, places: np.ndarray, values: np.ndarray, width: float, color: str) -> None:
    ax.bar(places, values, width=width, color=color)
    for place, value in zip(places, values, strict=True):
        ax.annotate(f"{value:.1f}", (place, value), (0, 2), textcoords="offset points",
                    ha="center", fontsize=8.5)  # fmt: skip


def _said(sets: Mapping[str, pd.DataFrame], column: str) -> str:
    parts = []
    for name, table in sets.items():
        rows = zip(table[column], table["measured"], strict=True)
        parts.append(f"{name}: " + ", ".join(f"{row} {100 * share:.1f}%" for row, share in rows))
    return "; ".join(parts)


@styled
def durations(sets: Mapping[str, Sequence[float]], window_seconds: float | None = None) -> Figure:
    """Distribution of clip durations, with the edges of short, medium and long.

    Args:
        sets: durations in seconds of each set.
        window_seconds: the model's window; `None` for real data (10 and 30 s).
    """
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    ax = figure.subplots()
    edges = length_edges(window_seconds)
    longest = max(max(values) for values in sets.values())
    end = max(longest, window_seconds or edges[1] * 1.2)
    bins = np.linspace(0, end, 49)
    for (name, values), color in zip(sets.items(), _COLORS, strict=False):
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, bins=bins, weights=share, histtype="step", color=color, lw=1.6, label=name)
    bounds = [0.0, *edges, end]
    for name, low, high in zip(("short", "medium", "long"), bounds, bounds[1:], strict=False):
        ax.axvline(high, color=RULE, lw=1)
        ax.annotate(name, ((low + high) / 2, 1), (0, -2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", ha="center", va="top", color=GREY)  # fmt: skip
    ax.set(xlabel="duration, s", ylabel="% of clips", xlim=(0, end))
    ax.set_ylim(0, 1.15 * ax.get_ylim()[1])
    _legend(figure, list(sets))
    medians = (f"{name} median {np.median(v):.1f} s" for name, v in sets.items())
    figure.set_label("Clip durations: " + ", ".join(medians))
    return figure


@styled
def valence(sets: Mapping[str, pd.DataFrame]) -> Figure:
    """Positive, neutral and negative examples, one bar per set.

    Args:
        sets: `composition.axis_table` of each set.
    """
    figure = Figure(figsize=(WIDTH, 0.8 + 0.42 * len(sets)), layout="constrained")
    ax = figure.subplots()
    for row, table in enumerate(sets.values()):
        shares = table[table["axis"] == "valence"].set_index("row")["measured"]
        left = 0.0
        for name, color in _VALENCE.items():
            width = 100 * float(shares[name])
            ax.barh(row, width, left=left, height=0.7, color=color, edgecolor="white")
            ax.text(left + width / 2, row, f"{width:.0f}", ha="center", va="center", color=INK)
            left += width
    ax.set(yticks=range(len(sets)), yticklabels=list(sets), xlim=(0, 100), xlabel="% of examples")
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    handles = [Patch(color=color, label=name) for name, color in _VALENCE.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    tables = {name: table[table["axis"] == "valence"] for name, table in sets.items()}
    figure.set_label(_said(tables, "row"))
    return figure


@styled
def checklist(sets: Mapping[str, pd.DataFrame]) -> Figure:
    """The quality checklist: a row per check, a column of verdicts per set.

    Args:
        sets: `checklist.checklist` of each set.
    """
    checks = next(iter(sets.values()))["check"].tolist()
    figure = Figure(figsize=(WIDTH, 0.45 + 0.27 * len(checks)), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(len(checks) - 0.4, -1.4))
    ax.set_axis_off()
    columns = np.linspace(0.7, 0.9, len(sets)) if len(sets) > 1 else np.array([0.85])
    for row, check in enumerate(checks):
        ax.text(0, row, check, va="center_baseline")
        ax.axhline(row - 0.5, color=RULE, lw=0.7)
    for place, (name, table) in zip(columns, sets.items(), strict=True):
        ax.text(place, -0.95, name, ha="center", va="center_baseline", weight="bold")
        for row, verdict in enumerate(table["pass"]):
            sign, color = _VERDICTS[verdict]
            ax.text(place, row, sign, ha="center", va="center_baseline", color=color, size=12)
    passed = (f"{name}: {(t['pass'] == 'yes').sum()} of {len(checks)}" for name, t in sets.items())
    figure.set_label("Quality checks passed, " + ", ".join(passed))
    return figure


@styled
def near_duplicate_time(curve: pd.DataFrame) -> Figure:
    """Seconds to find near-duplicates against the number of texts, on logarithmic axes.

    Args:
        curve: `speed.near_duplicates.near_duplicate_curve`.
    """
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    ax = figure.subplots()
    styles = zip(curve.groupby("method", sort=False), _COLORS, _MARKERS, strict=False)
    for (method, rows), color, marker in styles:
        ax.plot(
            rows["texts"], rows["seconds"], color=color, marker=marker, ms=5, label=_METHODS[method]
        )
    ax.set(xscale="log", yscale="log", xlabel="texts", ylabel="seconds")
    ax.grid()
    ax.legend()
    last = curve.iloc[-1]
    figure.set_label(
        f"{_METHODS[last['method']]}: {last['texts']} texts in {last['seconds']:.1f} s"
    )
    return figure
