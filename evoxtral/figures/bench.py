"""Figures of scores: published and measured ones, single tags, confusion, counts, label noise.

A frame of fractions has a row for each metric with its `key`, `metric`, `direction`, and a column
for each system; columns `<system>_low` and `<system>_high` are drawn as intervals.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from evoxtral import UserError, tags
from evoxtral.figures.style import (
    GREY,
    INK,
    RULE,
    SYSTEMS,
    WIDTH,
    System,
    forest,
    legend,
    looks,
    panels,
    styled,
    tint,
)

_WAYS = (("lower", "Lower is better ↓"), ("higher", "Higher is better ↑"))
_ARROWS = {"lower": "↓", "higher": "↑"}
_SHORT = {"hallucination": "Hallucination"}  # the full name is wider than its panel
_NORMAL_95 = 1.96
_RIGHT, _WRONG, _LOST = "#0072b2", "#d55e00", "#6e7781"
_SMALL = 8.1  # points: 8 pixels at phone width
_SHOWN = 0.01  # smaller shares are tinted only
_DARK = 0.33  # from here on a cell is dark enough for white letters
_MARGINS = frozenset({"missed", "invented"})
_GAP = 0.35  # between tags and margins, in cells
_WHOLE, _RARE = 1.0, 0.5  # strength of colour
_MOST_TAGS = 8  # larger numbers are drawn here; even
_FEW = 7  # tags that occur less often are drawn pale
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_POINTS: dict[str, Any] = {"textcoords": "offset points"}
_BESIDE: dict[str, Any] = {"xycoords": ("axes fraction", "data"), **_POINTS}
_DASHED = (0, (4, 3))
_Row = Mapping[Hashable, Any]


@styled
def core_metrics(core: pd.DataFrame) -> Figure:
    """A panel per metric, a bar per system (`base`, `sft`, `rl`), each panel on its own scale."""
    core = core.rename(columns=str.lower)
    columns, said = int(core["direction"].value_counts().max()), []
    figure, axes = panels(2 * columns, columns, 2.1, top=0.4)
    for place, (way, title) in zip((0, columns), _WAYS, strict=True):
        axes[place].annotate(f"{title}, %", (0, 1), (0, 28), xycoords="axes fraction", color=GREY,
                             annotation_clip=False, **_POINTS)  # fmt: skip
        rows = core[core["direction"] == way].to_dict("records")
        for ax, row in zip(axes[place:], rows, strict=False):
            _bars(ax, row)
            scores = (f"{look.label} {100 * row[name]:.2f}%" for name, look in SYSTEMS.items())
            said.append(f"{row['metric']}: {', '.join(scores)}")
        for ax in axes[place + len(rows) : place + columns]:
            ax.set_axis_off()
    figure.set_label("; ".join(said))
    figure.get_layout_engine().set(hspace=0.12, w_pad=0.07)
    handles = [Patch(color=look.color, label=look.label) for look in SYSTEMS.values()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _bars(ax: Axes, row: _Row) -> None:
    values = [100 * float(row[name]) for name in SYSTEMS]
    digits = 1 if max(values) >= 10 else 2
    tops = list(values)
    ax.bar(range(len(values)), values, width=0.8, color=[s.color for s in SYSTEMS.values()])
    for place, name in enumerate(SYSTEMS):
        if interval := _interval(row, name):
            ax.vlines(place, *interval, color=INK, linewidth=1.2)
            tops[place] = max(tops[place], interval[1])
        ax.annotate(f"{values[place]:.{digits}f}", (place, tops[place]), (0, 2.5), ha="center",
                    va="bottom", fontsize=9, **_POINTS)  # fmt: skip
    ax.set_title(_SHORT.get(str(row["key"]), str(row["metric"])), pad=9)
    # Scores end at 100, error rates at their largest.
    ceiling = 110.0 if row["direction"] == "higher" else 1.15 * max(tops) or 1.0
    ax.set(xticks=[], yticks=[], ylim=(0, ceiling))
    ax.spines["left"].set_visible(False)


def _interval(row: _Row, name: str) -> tuple[float, float] | None:
    """Interval of a system's score in percent, where the row has one."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return None if low is None or high is None else (100 * float(low), 100 * float(high))


@styled
def wer_f1_plane(core: pd.DataFrame) -> Figure:
    """Word error rate against Tag F1 of `core`, with arrows from each system to the next."""
    rows = core.rename(columns=str.lower).set_index("key")
    errors, scores = rows.loc["wer"], rows.loc["tag_f1"]
    points = {name: (100 * errors[name], 100 * scores[name]) for name in SYSTEMS}
    figure, [ax] = panels(1, 1, 4.2)
    said = [f"{SYSTEMS[n].label} {x:.2f}% WER, {y:.1f}% Tag F1" for n, (x, y) in points.items()]
    figure.set_label("; ".join(said))
    arrow = {"arrowstyle": "-|>,head_width=0.25,head_length=0.5", "color": GREY, "linewidth": 1.3,
             "shrinkA": 8, "shrinkB": 8}  # fmt: skip
    for start, end in pairwise(points.values()):
        ax.annotate("", end, start, arrowprops=arrow, zorder=2)
    width = 1.3 * max(x for x, _ in points.values()) or 1.0  # percent; all may be without error
    for name, (x, y) in points.items():
        look = SYSTEMS[name]
        if across := _interval(errors, name):
            ax.hlines(y, *across, color=look.color, linewidth=1.5)
        if up := _interval(scores, name):
            ax.vlines(x, *up, color=look.color, linewidth=1.5)
        ax.plot(x, y, look.marker, color=look.color, markersize=9, zorder=3)
        others = [p for other, p in points.items() if other != name]
        near = min(others, key=lambda p: ((x - p[0]) / width) ** 2 + ((y - p[1]) / 100) ** 2)
        side = -1 if near[0] > x else 1  # the label stands away from the nearest neighbour
        lines = ((look.label, 8, "bold", look.color), (f"{x:.2f}, {y:.1f}", -6, "normal", INK))
        for text, lift, weight, color in lines:
            ax.annotate(text, (x, y), (12 * side, lift), weight=weight, color=color,
                        ha="left" if side > 0 else "right", va="center", zorder=4,
                        bbox=_BEHIND, **_POINTS)  # fmt: skip
    ax.set(xlim=(0, width), ylim=(0, 100))
    ax.set(xlabel="WER, % (lower is better)", ylabel="Tag F1, % (higher is better)")
    ax.grid()
    ax.annotate("better", (0.03, 0.96), (0.13, 0.86), xycoords="axes fraction", color=GREY,
                textcoords="axes fraction", va="center", bbox=_BEHIND,
                arrowprops={"arrowstyle": "->", "color": GREY, "shrinkB": 0})  # fmt: skip
    return figure


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
    """A panel per metric of `tables.scores`, a dot with its 95% interval per system.

    Raises:
        UserError: the frame has no row or no system.
    """
    names = score_columns(frame)
    drawn = looks(names)
    figure, axes = panels(len(frame), 2, 0.75 + 0.2 * len(names), sharey=True)
    labels = {y: look.label for y, look in enumerate(drawn.values())}
    said = []
    for row, ax in zip(frame.to_dict("records"), axes, strict=True):
        percent = row["unit"] == "percent"
        rows = [
            (y, [(100 if percent else 1) * row[f"{name}{end}"] for end in ("", "_low", "_high")],
             look)
            for y, (name, look) in enumerate(drawn.items())
        ]  # fmt: skip
        forest(ax, rows, labels)
        ax.set_title(f"{row['metric']}{', %' * percent} {_ARROWS[row['direction']]}", fontsize=9)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=5)
        ax.margins(x=0.14)
        said.append(f"{row['metric']} " + ", ".join(f"{name} {row[name]:.3f}" for name in names))
    figure.set_label(f"Scores with 95% intervals: {'; '.join(said)}")
    return figure


@styled
def tag_f1_with_ceiling(frame: pd.DataFrame, auc: Mapping[str, float]) -> Figure:
    """What was learnt of each tag beside what the frozen encoder holds of it.

    Left the F1 with its 95% interval, right the AUC of a linear probe of the encoder; by group,
    within it the best audible first.

    Args:
        frame: of `tables.tag_scores`, one system or two.
        auc: of the probe of each tag; a tag without one has no mark.

    Raises:
        UserError: the frame has no row or no system.
    """
    names = score_columns(frame)
    drawn = looks(names)
    ordered = frame.assign(auc=frame["tag"].map(auc).astype(float))
    ordered["rank"] = ordered["group"].map(list(dict.fromkeys(ordered["group"])).index)
    ordered = ordered.sort_values(["rank", "auc"], ascending=[True, False], kind="stable")
    ordered["y"] = np.arange(len(ordered)) + ordered["rank"] + 1
    last = int(ordered["y"].max())
    figure = Figure(figsize=(WIDTH, 1.1 + 0.21 * (last + 1)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
    shift = np.linspace(-0.16, 0.16, len(names)) if len(names) > 1 else np.zeros(1)
    rows = ordered.to_dict("records")
    found = [
        (row["y"] + move, [row[f"{name}{end}"] for end in ("", "_low", "_high")], look)
        for row in rows
        for move, (name, look) in zip(shift, drawn.items(), strict=True)
    ]
    labels = {row["y"]: f"[{row['tag']}]  {row['support']:,}" for row in rows}
    heads = {row["y"] - 1: row["group"] for row in rows if row["y"] - 1 not in labels}
    forest(left, found, labels | heads, size=5)
    for label in left.get_yticklabels()[len(labels) :]:
        label.set(weight="bold", color=GREY)
    known = ordered.dropna(subset=["auc"])
    right.hlines(known["y"], 0.5, known["auc"], color=RULE, linewidth=4, zorder=1)
    right.plot(known["auc"], known["y"], "D", color=INK, markersize=4.5)
    right.tick_params(axis="y", length=0)
    right.grid(axis="x")
    for ax, title in ((left, "Learnt"), (right, "In the encoder")):
        ax.set_title(title, fontsize=9.5)
        for y in heads:
            ax.axhline(y - 0.5, color=RULE, linewidth=0.8)
    left.set(xlim=(-0.02, 1.02), ylim=(last + 0.6, -0.6), xlabel="F1, test clips")
    right.set(xlim=(0.48, 1.03), xlabel="AUC of a linear probe")
    left.annotate("tag, support", (0, 1), (-5, 8), xycoords="axes fraction", color=GREY, ha="right",
                  fontsize=9, **_POINTS)  # fmt: skip
    legend(figure, drawn.values())
    said = "; ".join(f"{row['tag']} {row[names[-1]]:.2f} ({row['auc']:.2f})" for row in rows)
    figure.set_label(f"F1 of each tag, {names[-1]}, and AUC of its probe in brackets: {said}")
    return figure


@styled
def per_tag_dumbbell(per_tag: pd.DataFrame) -> Figure:
    """F1 of every tag before and after the second stage, most frequent tag first.

    Tags that occur less than seven times are drawn pale, below a line.

    Args:
        per_tag: `tag`, fractions `sft` and `rl` (in capitals or not), `support`; tags that do
            not occur are left out.
    """
    ordered = per_tag.rename(columns=str.lower).sort_values(
        "support", ascending=False, kind="stable"
    )
    rows = ordered[ordered["support"] > 0].to_dict("records")
    figure, [ax] = panels(1, 1, 1.1 + 0.28 * len(rows))
    said = [f"{r['tag']} {r['sft']:.3f} to {r['rl']:.3f} (n {r['support']})" for r in rows]
    figure.set_label(f"F1 of each tag, SFT to RL, by support: {'; '.join(said)}")
    for y, row in enumerate(rows):
        ring, dot, better, worse = _marks(_RARE if row["support"] < _FEW else _WHOLE)
        path = better if row["rl"] >= row["sft"] else worse
        ax.plot([row["sft"], row["rl"]], [y, y], zorder=2, **path)
        ax.plot([row["sft"]], [y], zorder=3, **ring)
        ax.plot([row["rl"]], [y], zorder=4, **dot)
    rare = sum(row["support"] < _FEW for row in rows)
    if 0 < rare < len(rows):
        y = len(rows) - rare - 0.5
        ax.axhline(y, color=GREY, linewidth=0.8, linestyle=_DASHED)
        ax.annotate(f"fewer than {_FEW} occurrences", (1, y), (0, -2), color=GREY, ha="right",
                    va="top", fontsize=8.5, bbox=_BEHIND, **_BESIDE)  # fmt: skip
    ax.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.4, -0.7), xlabel="F1")
    ax.set_yticks(range(len(rows)), [f"[{row['tag']}]" for row in rows])
    for label in ax.get_yticklabels()[len(rows) - rare :]:
        label.set_color(GREY)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    supports = [(y, str(row["support"]), row["support"] < _FEW) for y, row in enumerate(rows)]
    for y, text, pale in [*supports, (-1, "support", True)]:
        ax.annotate(text, (1.15, y), xycoords=("axes fraction", "data"), ha="right", va="center",
                    color=GREY if pale else INK)  # fmt: skip
    names = (SYSTEMS["sft"].label, SYSTEMS["rl"].label, "better", "worse")
    marks = zip(names, _marks(_WHOLE), strict=True)
    handles = [Line2D([], [], label=name, **mark) for name, mark in marks]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2,
                  handletextpad=0.5)  # fmt: skip
    return figure


def _marks(strength: float) -> tuple[dict[str, Any], ...]:
    """Looks of the first score, the second, and the ways to a better and to a worse one."""
    sft, rl = SYSTEMS["sft"], SYSTEMS["rl"]
    color = tint(rl.color, strength)
    ring = {"marker": sft.marker, "color": tint(sft.color, strength), "ls": "", "markersize": 9,
            "markerfacecolor": "white", "markeredgewidth": 1.8}  # fmt: skip
    dot = {"marker": rl.marker, "color": color, "ls": "", "markersize": 4.5}
    better = {"color": color, "linewidth": 2.4}
    worse = {"color": tint(INK, strength), "linewidth": 1.6, "linestyle": (0, (1, 1))}
    return ring, dot, better, worse


@styled
def score_uncertainty(errors: pd.DataFrame) -> Figure:
    """95% intervals of each score under every assumption of `claims.tag_f1_errors`."""
    groups = [(SYSTEMS[str(name)], rows) for name, rows in errors.groupby("metric", sort=False)]
    figure, [ax] = panels(1, 1, 0.6 + 0.27 * (len(errors) + len(groups)))
    labels: dict[float, str] = {}
    drawn, said, top = [], [], 0
    for look, rows in groups:
        mean = 100 * float(rows["mean"].iloc[0])
        said.append(f"{look.label} {mean:.1f}%")
        for y, row in enumerate(rows.to_dict("records"), start=top):
            reach = 100 * _NORMAL_95 * row["se"]
            color = tint(look.color, 1.0 if row["assumption"] == "assumed" else 0.45)
            drawn.append((y, (mean, mean - reach, mean + reach), System("", color, "")))
            labels[y] = f"sd {row['sd']:.2f}, {row['assumption']}"
        ax.plot([mean, mean], [top - 0.4, top + len(rows) - 0.6], color=look.color, linewidth=1,
                zorder=3)  # fmt: skip
        ax.annotate(f"{look.label} {mean:.1f}", (mean, top - 0.75), color=look.color, weight="bold",
                    ha="center", va="center", bbox=_BEHIND)  # fmt: skip
        top += len(rows) + 1
    forest(ax, drawn, labels, width=3.2)
    ax.set(ylim=(top - 0.7, -1.2), xlabel="Tag F1, %, with 95% interval")
    ax.spines["left"].set_visible(False)
    figure.set_label(f"95% intervals under each assumption on the spread: {', '.join(said)}")
    return figure


@styled
def confusion_matrix(frame: pd.DataFrame) -> Figure:
    """Which tag is written for which, in percent of the true tag's occurrences.

    Hits are blue, confusions orange, what was missed or invented grey; shares below 1 % have no
    number. The bottom row is the share of each predicted tag that stands where no tag is.

    Args:
        frame: `analyses.confusion` of one system.
    """
    wide = frame.pivot_table("share", "true", "predicted", sort=False, dropna=False)
    counts = frame.groupby("true", sort=False)["count"].sum()
    figure, [ax] = panels(1, 1, 1.75 + 0.23 * len(wide))
    figure.set_label(_confusion_words(frame, counts))
    across, down = (
        {name: k + _GAP * (name in _MARGINS) for k, name in enumerate(names)}
        for names in (wide.columns, wide.index)
    )
    for true, y in down.items():
        for predicted, x in across.items():
            color = _RIGHT if true == predicted else _WRONG
            lost = _MARGINS & {true, predicted}
            _cell(ax, (x, y), wide.loc[true, predicted], _LOST if lost else color)
    supports = [(y, counts[true]) for true, y in down.items() if true not in _MARGINS]
    for y, count in (*supports, (-1.0, 0)):
        ax.annotate(f"{count:,}" if y >= 0 else "n", (1, y), (30, 0), ha="right", fontsize=8.5,
                    color=INK if count else GREY, va="center_baseline", annotation_clip=False,
                    **_BESIDE)  # fmt: skip
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


def _cell(ax: Axes, place: tuple[float, float], share: float, color: str) -> None:
    if not share > 0:  # none, or no occurrence to take a share of
        return
    x, y = place
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=tint(color, share), linewidth=0))
    if share >= _SHOWN:
        darkness = share * (1 - np.mean(to_rgb(color)))
        ax.text(x, y, f"{100 * share:.0f}", color="white" if darkness > _DARK else INK,
                ha="center", va="center_baseline", fontsize=_SMALL)  # fmt: skip


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
def tag_numbers(frame: pd.DataFrame, bias: pd.DataFrame) -> Figure:
    """Number of predicted against true tags per clip: one panel for each system.

    The area of a point is the number of clips, on one scale for all panels; on the line the
    numbers agree, above it there are too many tags.

    Args:
        frame: of `analyses.count_pairs`.
        bias: of `analyses.count_bias` of the same systems, printed in the panels.
    """
    systems = frame["system"].unique().tolist()
    columns = min(2, len(systems))
    figure, axes = panels(len(systems), columns, 2.55, top=0.35, sharex=True, sharey=True)
    clipped = frame.assign(**{c: frame[c].clip(upper=_MOST_TAGS) for c in ("true", "predicted")})
    cells = clipped.groupby(["system", "true", "predicted"], as_index=False)["clips"].sum()
    cells["area"] = 230 * cells["clips"] / cells["clips"].max()
    rows, said = bias.set_index("system"), []
    for ax, (system, look) in zip(axes, looks(systems).items(), strict=True):
        row = rows.loc[system]
        text = f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]".replace("-", "−")
        said.append(f"{look.label} {text} tags per clip, {row['same']:.0%} equal")
        _panel(ax, cells[cells["system"] == system], look, f"tags per clip {text}")
    figure.supxlabel("true tags in a clip", fontsize=9.5)
    figure.supylabel("predicted tags", fontsize=9.5)
    figure.set_label(f"Predicted against true number of tags: {'; '.join(said)}")
    return figure


def _panel(ax: Axes, cells: pd.DataFrame, look: System, text: str) -> None:
    end = _MOST_TAGS + 0.5
    ax.plot([-0.5, end], [-0.5, end], color=GREY, linewidth=0.8, zorder=1)
    ax.scatter(cells["true"], cells["predicted"], s=cells["area"], color=tint(look.color, 0.75),
               edgecolor=look.color, linewidth=0.4, zorder=2)  # fmt: skip
    ax.set_title(look.label)
    ax.annotate(text, (0.98, 0.02), xycoords="axes fraction", ha="right", va="bottom",
                fontsize=8.5, zorder=3, bbox=_BEHIND)  # fmt: skip
    ticks = list(range(0, _MOST_TAGS + 1, 2))
    names = [f"{tick}+" if tick == _MOST_TAGS else str(tick) for tick in ticks]
    # Room below zero for the text.
    ax.set(xlim=(-0.7, end + 0.2), ylim=(-1.6, end + 0.2), xticks=ticks, yticks=ticks,
           xticklabels=names, yticklabels=names)  # fmt: skip
    ax.grid(color=RULE, linewidth=0.5)


@styled
def label_noise(frame: pd.DataFrame, printed: float) -> Figure:
    """Hallucination rate of RL's fixed predictions against the share of labels that are missing.

    Args:
        frame: of `analyses.noise_curve`, one protocol; the band is its intervals.
        printed: the published rate, a fraction, drawn as a line.
    """
    figure, [ax] = panels(1, 1, 3.3)
    own = frame.sort_values("share")
    [(system, look)] = looks(own["system"].unique().tolist()).items()
    x = 100 * own["share"]
    ax.fill_between(x, 100 * own["low"], 100 * own["high"], color=tint(look.color, 0.25),
                    linewidth=0)  # fmt: skip
    ax.plot(x, 100 * own["value"], color=look.color, marker=look.marker, markersize=5)
    ax.axhline(100 * printed, color=GREY, linewidth=0.9, linestyle=_DASHED)
    ax.annotate(f"{system}, published {100 * printed:.1f}%", (1, 100 * printed), (0, 2),
                ha="right", va="bottom", color=GREY, fontsize=8.5, **_BESIDE)  # fmt: skip
    ax.set(xlabel="labels missing from the references, %", ylabel="hallucinated tags, %")
    ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
    ax.grid()
    legend(figure, [look])
    ends = own.iloc[[0, -1]][["value", "share"]].to_numpy()
    said = " missing, ".join(f"{100 * value:.1f}% with {share:.0%}" for value, share in ends)
    figure.set_label(f"Hallucination against missing labels: {look.label} {said}")
    return figure


@styled
def probe_ceiling(frame: pd.DataFrame) -> Figure:
    """AUC of the linear probe of each tag, best first; the line marks 0.9."""
    ordered = frame.sort_values("auc", ignore_index=True)
    figure, [ax] = panels(1, 1, 4.4)
    groups = dict.fromkeys(frame["group"])
    colors = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
    drawn = {g: System(str(g), color, "o") for g, color in zip(groups, colors, strict=False)}
    rows = [
        (y, (auc, 0.5, auc), drawn[group])
        for y, (auc, group) in enumerate(zip(ordered["auc"], ordered["group"], strict=True))
    ]
    forest(ax, rows, {y: f"[{tag}]" for y, tag in enumerate(ordered["tag"])}, width=1)
    ax.axvline(0.9, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_xlabel("AUC of a linear probe, unheard voices (0.5 is chance)")
    ax.set_xlim(min(0.45, ordered["auc"].min() - 0.03), 1.02)
    legend(ax, drawn.values(), loc="lower right", ncols=1)
    figure.set_label("How audible each tag is to the frozen encoder")
    return figure
