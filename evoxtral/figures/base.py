"""Figures of the embedded base model."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from evoxtral.figures.style import SYSTEMS, WIDTH, styled

_LOSSES = {"frames": "frames heard", "transcription": "words written", "text": "text read"}
_COLORS = ("#0072b2", "#d55e00", "#009e73")
_GOOD = 0.9


@styled
def pretraining_curve(log: pd.DataFrame) -> Figure:
    """Losses and the word error rate on unseen speech against training steps.

    Args:
        log: `step`, the losses `frames`, `transcription`, `text`, and `dev_wer` (NaN between
            evaluations).
    """
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    for (name, label), color in zip(_LOSSES.items(), _COLORS, strict=True):
        losses.plot(
            log["step"], log[name], ".-", color=color, label=label, linewidth=1, markersize=2
        )
    losses.set(xlabel="optimiser steps", ylabel="loss (nats)", ylim=(0, None))
    losses.legend(loc="lower left", bbox_to_anchor=(0, 1))  # above: a cycle restarts anywhere
    watched = log.dropna(subset=["dev_wer"])
    errors.plot(watched["step"], 100 * watched["dev_wer"], "o-", color=SYSTEMS["base"].color)
    last = watched.iloc[-1]
    errors.annotate(
        f"{100 * last['dev_wer']:.1f}%",
        (last["step"], 100 * last["dev_wer"]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="right",
    )
    errors.set(xlabel="optimiser steps", ylabel="WER, unseen neutral speech (%)", ylim=(0, None))
    figure.set_label("Losses and word error rate of the base model during training")
    return figure


@styled
def probe_ceiling(frame: pd.DataFrame) -> Figure:
    """AUC of the linear probe of each tag, best first; the line marks 0.9."""
    ordered = frame.sort_values("auc", ignore_index=True)
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    groups = list(dict.fromkeys(frame["group"]))
    palette = dict(zip(groups, ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), strict=False))
    for group in groups:
        own = ordered[ordered["group"] == group]
        axes.plot(own["auc"], own.index, "o", color=palette[group], label=group)
        axes.hlines(own.index, 0.5, own["auc"], color=palette[group], linewidth=1, alpha=0.5)
    axes.axvline(_GOOD, color="#57606a", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(ordered)), [f"[{tag}]" for tag in ordered["tag"]])
    axes.set_xlabel("AUC of a linear probe, unheard voices (0.5 is chance)")
    axes.set(xlim=(min(0.45, ordered["auc"].min() - 0.03), 1.02))
    axes.legend(loc="lower right")
    figure.set_label("How audible each tag is to the frozen encoder")
    return figure
