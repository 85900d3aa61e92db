"""Figures of a training set, of training, of rejection sampling, and of the time they take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from evoxtral.figures import style
from evoxtral.figures.style import DASHED, GREY, INK, SYSTEMS
from evoxtral.mix.composition import targets_of

_LOSSES = {"frames": "frames heard", "transcription": "words written", "text": "text read"}


@style.applied
def tag_shares(sets: Mapping[str, pd.DataFrame]) -> Figure:
    """The long tail: share of tagged examples with each tag, ringed where it misses its target.

    `sets` are frames of `composition.judge`.
    """
    own = {name: frame[frame["table"] == "tags"].set_index("row") for name, frame in sets.items()}
    first, *_ = (frame["measured"].astype(float) for frame in own.values())
    order = first.sort_values(ascending=False).index
    figure, [ax] = style.panels(1, 1, 0.9 + 0.24 * len(order))
    rows, goals = np.arange(len(order)), 100 * targets_of("tags").loc[order, ["low", "high"]]
    ax.barh(rows, goals["high"].clip(upper=100) - goals["low"], 0.72, goals["low"],
            label="target", **style.BAND)  # fmt: skip
    most = 100 * pd.concat(own)["measured"].max()  # a set may have no tag at all
    for (name, frame), look in zip(own.items(), style.looks(own).values(), strict=True):
        shares = 100 * frame.loc[order, "measured"].astype(float)
        missed = (frame.loc[order, "pass"] == "no").to_numpy()
        style.dots(ax, rows, {name: shares}, name, look)
        ax.scatter(shares[missed], rows[missed], 110, "none", edgecolors="#b5341d", label="missed")
    style.name_rows(ax, order.str.strip("[]"))
    ax.set(xlabel="% of tagged examples", xlim=(-2, most + 4))
    figure.set_label(style.words(100 * first[order].rename(lambda tag: tag.strip("[]"))))
    return figure


@style.applied
def training_curves(
    steps: pd.DataFrame, epochs: pd.DataFrame, best_epoch: float, plain_limit: float
) -> Figure:
    """Loss and learning rate at every step, validation scores at every epoch.

    `steps` has `epoch` (with decimals), `loss`, `learning_rate`; `epochs` has `epoch`,
    `validation_loss` and the fractions `validation_wer`, `validation_tag_f1` and, where the data
    has plain clips, `plain_wer`. The last may rise by the fraction `plain_limit` above its first
    row, the model before training. `best_epoch`, which is kept, is marked.
    """
    figure, axes = style.panels(4, 2, 2.2, sharex=True)
    loss, rate, errors, found = axes
    window = max(1, len(steps) // 50)
    smooth = steps.assign(loss=steps["loss"].rolling(window, min_periods=1).mean())
    step = replace(SYSTEMS["base"], label=f"training, mean of {window} steps", marker="")
    validation = replace(SYSTEMS["sft"], label="validation")
    style.line(loss, smooth, "epoch", "loss", step)
    style.line(rate, steps, "epoch", "learning_rate", replace(step, label=""), 1e4)
    style.line(loss, epochs, "epoch", "validation_loss", validation)
    for ax, name in ((errors, "validation_wer"), (found, "validation_tag_f1")):
        if name in epochs:  # texts of tags alone have no words to err in
            style.line(ax, epochs, "epoch", name, validation, 100)
    if "plain_wer" in epochs:
        plain = replace(SYSTEMS["rl"], label="plain clips")
        style.line(errors, epochs, "epoch", "plain_wer", plain, 100)
        highest = 100 * (epochs["plain_wer"].dropna().iloc[0] + plain_limit)
        errors.axhline(highest, color=plain.color, linestyle=DASHED, label="limit, plain")
    titles = ("Loss, nats per token", "Learning rate, 10⁻⁴")
    titles += ("WER (paper), % ↓", "Tag F1 (paper), % ↑")
    for ax, title in zip(axes, titles, strict=True):
        ax.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":", label="kept")
        ax.set_title(title)
        if ax is not loss:
            ax.set_ylim(0, 100 if ax is found else None)
    loss.set_yscale("log")  # most of the fall is in the first epoch
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.minorticks_off()
    figure.supxlabel("epochs", fontsize=9.5)
    figure.set_label(f"Epoch {best_epoch:g} of {epochs['epoch'].max():g} is kept.")
    return figure


@style.applied
def pretraining_curve(log: pd.DataFrame) -> Figure:
    """Losses and the word error rate on unseen speech against the base's training steps.

    `log` has `step`, losses `frames`, `transcription`, `text`, and at times `dev_wer`.
    """
    figure, (losses, errors) = style.panels(2, 2, 3.1)
    for column, look in style.looks(_LOSSES).items():
        style.line(losses, log, "step", column, replace(look, label=_LOSSES[column]))
    style.line(errors, log, "step", "dev_wer", replace(SYSTEMS["base"], label="WER"), 100)
    step, last = log.dropna(subset=["dev_wer"])[["step", "dev_wer"]].iloc[-1]
    errors.text(step, 100 * last, f"{last:.1%}\n", ha="right")
    losses.set(xlabel="optimiser steps", ylabel="loss (nats)", ylim=(0, None))
    errors.set(xlabel="optimiser steps", ylabel="WER, unseen neutral speech (%)", ylim=(0, None))
    figure.set_label(f"At the end it is {last:.1%}.")
    return figure


@style.applied
def rewards(
    scored: pd.DataFrame, best: pd.DataFrame, threshold: float | None, curve: pd.DataFrame
) -> Figure:
    """Rewards of all completions and of the best of each clip, and of the best of j, up to k.

    `scored` and `best` have `reward` in [0, 1]; many are equal, so the most frequent one is named
    with its share. `threshold` is that of curation, if any, `curve` that of `raft.best_of_curve`.
    """
    figure, (left, right) = style.panels(2, 2, 3.9)
    sets = {"all completions": (scored, "base"), "best of each clip": (best, "sft")}
    for name, (frame, key) in sets.items():
        tie = frame["reward"].value_counts(normalize=True, sort=True)
        said = f"{name}: {len(frame):,}, mean {frame['reward'].mean():.3f}, "
        said += f"{tie.iloc[0]:.1%} earn exactly {tie.index[0]:.3g}"
        left.ecdf(frame["reward"], color=SYSTEMS[key].color, linewidth=2, label=said)
    if threshold is not None:
        below, tied = ((best["reward"] < threshold).mean(), (best["reward"] == threshold).mean())
        said = f"threshold {threshold:.3g}: {below:.1%} of the best earn less, {tied:.1%} just that"
        left.axvline(threshold, color=INK, linewidth=1.2, linestyle=DASHED, label=said)
    left.set(title="Share with at most this reward", xlabel="reward", xlim=(None, 1.02))
    left.grid()
    style.line(right, curve, "j", "value", replace(SYSTEMS["sft"], label=""))
    for end in (curve.iloc[0], curve.iloc[-1]):
        right.annotate(f"{end['value']:.3f}", (end["j"], end["value"]), (0, 9), ha="center",
                       textcoords="offset points")  # fmt: skip
    right.set(title="Mean reward, best of j", xlabel="completions j", ylim=(0, 1))
    right.margins(x=0.12)
    right.set_xticks(curve["j"][:: math.ceil(len(curve) / 8)])
    figure.set_label("; ".join(left.get_legend_handles_labels()[1]))
    return figure


@style.applied
def speed_ups(ratios: pd.DataFrame) -> Figure:
    """How many times faster ours is, a dot per row of `speed.speed_ups` with its range."""
    figure, [ax] = style.panels(1, 1, 0.9 + 0.45 * len(ratios))
    ends = ratios.rename(columns={"low": "ratio_low", "high": "ratio_high"})
    style.dots(ax, ratios.index, ends, "ratio", SYSTEMS["sft"])
    ax.axvline(1, color=GREY, linewidth=1)
    how = ratios["work"] + ratios["ours"].str.removeprefix("ours") + "\nbeside " + ratios["plain"]
    style.name_rows(ax, how + ratios["ratio"].map(": {:.1f}×".format))
    ax.set(xlabel="times faster (line: range over rounds)", xlim=(0, None))
    return figure


@style.applied
def growth(points: pd.DataFrame, across: str, label: str) -> Figure:
    """Seconds against a size on logarithmic axes; a dotted line is proportional growth.

    `points` are `work | way | seconds` and the size: column `across`, which counts `label`.
    """
    figure, [ax] = style.panels(1, 1, 3.2)
    ways = points["work"] + ", " + points["way"]
    for name, look in style.looks(ways.unique()).items():
        own = points[ways == name]
        style.line(ax, own, across, "seconds", look)
        straight = own["seconds"].iloc[0] * own[across] / own[across].iloc[0]
        ax.plot(own[across], straight, ":", color=GREY, linewidth=0.8)
    ticks = sorted(set(points[across]))
    ax.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
    ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
    ax.minorticks_off()
    return figure
