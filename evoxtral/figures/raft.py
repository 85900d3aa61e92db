"""Figures of rejection sampling: rewards, groups of completions, best of k, differences.

The frames are those of `raft.group_table`, `raft.best_of_curve` and `tables.scores`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoxtral import UserError
from evoxtral.figures.scores import looks
from evoxtral.figures.style import GREY, INK, RULE, SYSTEMS, WIDTH, System, styled, tint

_COLUMNS = 3  # panels beside one another
_TICKS = 8
_WRAPPED = 18  # characters over a panel
_NAMES = {
    "reward": "Reward ↑",
    "wer": "WER ↓",
    "tag_f1": "Tag F1 ↑",
    "hallucination": "Tag hallucination ↓",
}


@styled
def reward_distribution(
    rewards: Sequence[float], best: Sequence[float], threshold: float | None = None
) -> Figure:
    """Cumulative shares of the rewards of all completions and of the best of each clip.

    Many rewards are equal, most of them 1, which would make one bar of a histogram and dust.

    Args:
        rewards: of all completions, each in [0, 1].
        best: of the completion kept of each clip.
        threshold: the reward that kept clips exceed; not drawn where None.

    Raises:
        UserError: there is no reward.
    """
    if not len(rewards) or not len(best):
        raise UserError("there are no rewards to draw: sample at least one clip")
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    ax = figure.subplots()
    low = min(float(np.min(rewards)), float(np.min(best)), 0.95)
    said = []
    drawn = (("all completions", rewards, SYSTEMS["sft"]), ("best of each", best, SYSTEMS["rl"]))
    for name, values, look in drawn:
        ordered = np.sort(np.asarray(values, dtype=float))
        share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
        said.append(f"{name}: {len(ordered):,}, mean {ordered.mean():.3f}")
        ax.step([low, *ordered, 1.0], [0.0, *share, 100.0], where="post", color=look.color,
                lw=2, label=said[-1])  # fmt: skip
    if threshold is not None:
        dropped = float(np.mean(np.asarray(best) <= threshold))
        said.append(f"threshold {threshold:.3f}: {dropped:.1%} of the best not above")
        ax.axvline(threshold, color=INK, lw=1.2, ls=(0, (4, 2)), label=said[-1])
    margin = 0.02 * (1 - low)
    ax.set(xlabel="reward", ylabel="% with at most this reward")
    ax.set(xlim=(low - margin, 1 + margin), ylim=(0, 102))
    ax.grid()
    figure.legend(loc="outside upper left", labelspacing=0.25)
    figure.set_label(f"Rewards, {'; '.join(said)}")
    return figure


@styled
def group_spread(groups: pd.DataFrame) -> Figure:
    """How far the rewards of one clip's completions lie apart, and where nothing can be chosen.

    Left the clips by what there is to select from; right, of those with different rewards, the
    distance from the worst completion to the best.

    Args:
        groups: of `raft.group_table`: `mean`, `best`, `spread`, `identical`.

    Raises:
        UserError: there is no group.
    """
    if groups.empty:
        raise UserError("there are no groups to draw: sample at least one clip")
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    same = groups["identical"].to_numpy(dtype=bool)
    lively = groups["spread"].to_numpy() > 0
    shares = [100 * float(np.mean(part)) for part in (same, ~same & ~lively, lively)]
    colors = (RULE, tint(GREY, 0.6), SYSTEMS["rl"].color)
    left.bar(("same\ntext", "same\nreward", "different\nrewards"), shares, color=colors, width=0.7)
    for place, share in enumerate(shares):
        left.annotate(f"{share:.0f}", (place, share), (0, 3), textcoords="offset points",
                      ha="center")  # fmt: skip
    left.set_title("Completions of one clip")
    left.set(ylabel="% of clips", ylim=(0, 1.12 * max(shares)))
    left.tick_params(axis="x", length=0)
    spreads = groups.loc[lively, "spread"]
    right.hist(spreads, bins=np.linspace(0, 1, 21), color=SYSTEMS["rl"].color, lw=0.5,
               weights=np.full(len(spreads), 100 / len(groups)), edgecolor="white")  # fmt: skip
    right.set_title("Best minus worst")
    right.set(xlabel="reward, where different", ylabel="% of clips", xlim=(0, 1))
    for ax in (left, right):
        ax.grid(axis="y")
    gain = float(np.mean(groups["best"] - groups["mean"]))
    figure.set_label(
        f"Completions of one clip: same text {shares[0]:.1f}% of clips, same reward "
        f"{shares[1]:.1f}%, different rewards {shares[2]:.1f}%; best over mean {gain:.3f}"
    )
    return figure


@styled
def best_of_k(curve: pd.DataFrame) -> Figure:
    """What the best of j completions scores, j up to k, with 95% intervals: what more would buy.

    Args:
        curve: of `raft.best_of_curve`: `column`, `j`, `value`, `low`, `high`; a panel per column.

    Raises:
        UserError: the curve has no point.
    """
    if curve.empty:
        raise UserError("there is no curve to draw: sample at least one clip")
    groups = list(curve.groupby("column", sort=False))
    rows, columns = math.ceil(len(groups) / 2), min(2, len(groups))
    figure = Figure(figsize=(WIDTH, 0.2 + 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    look = SYSTEMS["rl"]
    said = []
    for (name, points), ax in zip(groups, axes, strict=False):
        title = _NAMES.get(str(name), str(name))
        ax.fill_between(points["j"], points["low"], points["high"], color=look.color, alpha=0.2,
                        lw=0)  # fmt: skip
        ax.plot(points["j"], points["value"], color=look.color, marker=look.marker, ms=5, lw=1.5)
        ax.set_title(title)
        ax.set_xticks(points["j"][:: math.ceil(len(points) / _TICKS)])
        ax.set(xlabel="completions to choose from")
        ax.margins(x=0.06)
        ax.grid(axis="y")
        ends = points["value"].iloc[[0, -1]]
        said.append(f"{title} {ends.iloc[0]:.3f} to {ends.iloc[1]:.3f}")
    for ax in axes[len(groups) :]:
        ax.set_axis_off()
    figure.set_label(f"From best of 1 to best of {curve['j'].max()}: {'; '.join(said)}")
    return figure


@styled
def raft_differences(frame: pd.DataFrame) -> Figure:
    """Forest plot: paired difference of each system to the reference, a panel per metric.

    A mark is filled where the 95% interval leaves out zero.

    Args:
        frame: of `tables.scores`, with `<system>_difference` and its interval for every system
            but the reference.

    Raises:
        UserError: the frame has no difference.
    """
    names = [str(c).removesuffix("_difference") for c in frame if str(c).endswith("_difference")]
    names = [name for name in names if f"{name}_difference_low" in frame]
    if frame.empty or not names:
        raise UserError("there are no differences to draw: compare at least two systems")
    drawn = looks(names)
    rows, columns = math.ceil(len(frame) / _COLUMNS), min(_COLUMNS, len(frame))
    height = rows * (0.85 + 0.27 * len(names))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for row, ax in zip(frame.to_dict("records"), axes, strict=False):
        _forest(ax, row, drawn)
    for ax in axes[len(frame) :]:
        ax.set_axis_off()
    systems = [c for c in frame if f"{c}_low" in frame and not str(c).endswith("_difference")]
    base = next(name for name in systems if name not in names)
    said = [f"{r['metric']}: " + ", ".join(f"{n} {r[f'{n}_difference']:+.3f}" for n in names)
            for r in frame.to_dict("records")]  # fmt: skip
    figure.set_label(f"Differences to {base} with 95% intervals; {'; '.join(said)}")
    figure.supxlabel(f"difference to {base}, filled where the interval leaves out 0", fontsize=9)
    return figure


def _forest(ax: Axes, row: dict[str, object], drawn: dict[str, System]) -> None:
    scale = 100 if row["unit"] == "percent" else 1
    ax.axvline(0, color=INK, linewidth=1)
    reach = 0.0
    for y, (name, look) in enumerate(drawn.items()):
        keys = (f"{name}_difference{end}" for end in ("", "_low", "_high"))
        value, low, high = (scale * float(row[key]) for key in keys)
        if math.isnan(value):
            continue
        resolved = not math.isnan(low) and not low <= 0 <= high
        if not math.isnan(low):
            ax.plot([low, high], [y, y], color=look.color, linewidth=1.8)
        ax.plot([value], [y], look.marker, color=look.color, markersize=6,
                markerfacecolor=look.color if resolved else "white")  # fmt: skip
        reach = max(reach, *(abs(v) for v in (value, low, high) if not math.isnan(v)))
    better = "← better" if row["direction"] == "lower" else "better →"
    lines = [*textwrap.wrap(str(row["metric"]), _WRAPPED), "points, " * (scale == 100) + better]
    ax.set_title("\n".join(lines), fontsize=8.5)
    reach = 1.15 * reach or 1.0
    ax.set(xlim=(-reach, reach), ylim=(len(drawn) - 0.4, -0.6))
    ax.set_yticks(range(len(drawn)), [look.label for look in drawn.values()])
    ax.locator_params(axis="x", nbins=4)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
