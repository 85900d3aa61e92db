"""Figures of fine-tuning: its curves, and one example with its masked labels."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoxtral import UserError
from evoxtral.figures.style import GREY, SYSTEMS, WIDTH, System, styled

_LIMIT = "#b5341d"
_LEGEND = {"frameon": True, "edgecolor": "none", "framealpha": 1.0, "handlelength": 1.5,
           "fontsize": 8.5, "borderpad": 0.2}  # fmt: skip
_RUN = 4  # equal masked tokens in a row that are written once
_STYLE = """<style>
.evx-tokens{max-width:1000px;line-height:2}
.evx-tokens span{border-radius:.25em;padding:.1em .25em;margin:0 .1em;white-space:pre-wrap;
overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:.9em}
.evx-tokens .masked{background:rgba(128,128,128,.15);opacity:.65}
.evx-tokens .label{background:rgba(0,114,178,.2);border-bottom:2px solid #0072b2}
.evx-tokens p{margin:.2em 0 .5em;line-height:1.5}
</style>"""


@styled
def training_curves(
    steps: pd.DataFrame,
    epochs: pd.DataFrame,
    best_epoch: float,
    plain_limit: float | None = None,
) -> Figure:
    """Loss and learning rate at every step, validation scores at every epoch.

    A score that was not measured (a column that is absent or all NaN) is left out.

    Args:
        steps: `step`, `epoch` (a fraction of epochs), `loss`, `learning_rate`.
        epochs: `epoch`, `validation_loss`, and the fractions `validation_wer`,
            `validation_tag_f1`, `plain_wer`.
        best_epoch: the epoch that is kept; marked in every panel.
        plain_limit: by how much, a fraction, the WER on plain clips may exceed that of the first
            row, the model before training.

    Raises:
        UserError: no step was logged.
    """
    if steps.empty:
        raise UserError("no training step was logged: train for at least one step")
    panels = [_draw_loss, _draw_rate, _draw_errors, _draw_tags]
    needed = (
        ("loss",),
        ("learning_rate",),
        ("validation_wer", "plain_wer"),
        ("validation_tag_f1",),
    )
    drawn = [
        draw
        for draw, names in zip(panels, needed, strict=True)
        if any(_measured(frame, name) for frame in (steps, epochs) for name in names)
    ]
    rows = math.ceil(len(drawn) / 2)
    figure = Figure(figsize=(WIDTH, 0.2 + 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    end = max(float(steps["epoch"].max()), float(epochs["epoch"].max()) if len(epochs) else 0.0)
    for draw, ax in zip(drawn, axes, strict=False):
        draw(ax, steps, epochs, plain_limit)
        ax.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        ax.set_xlim(-0.03 * end, 1.03 * end)
        ax.grid(axis="y")
    for ax in axes[len(drawn) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(drawn) - 2) : len(drawn)]:
        ax.set_xlabel(f"epochs (dotted: best, {best_epoch:g})")
    figure.set_label(f"Training curves; best epoch {best_epoch:g} of {end:g}")
    return figure


def _measured(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool(frame[name].notna().any())


def _draw_loss(ax: Axes, steps: pd.DataFrame, epochs: pd.DataFrame, _: float | None) -> None:
    ax.plot(steps["epoch"], steps["loss"], color=SYSTEMS["base"].color, lw=1, label="training")
    if _measured(epochs, "validation_loss"):
        _per_epoch(ax, epochs, "validation_loss", "validation", SYSTEMS["sft"])
    ax.set_title("Loss, nats per token")
    ax.set_ylim(0, None)
    ax.legend(**_LEGEND)


def _draw_rate(ax: Axes, steps: pd.DataFrame, _: pd.DataFrame, __: float | None) -> None:
    ax.plot(steps["epoch"], 1e4 * steps["learning_rate"], color=SYSTEMS["base"].color, lw=1.4)
    ax.set_title("Learning rate, 10⁻⁴")
    ax.set_ylim(0, None)


def _draw_errors(ax: Axes, _: pd.DataFrame, epochs: pd.DataFrame, limit: float | None) -> None:
    if _measured(epochs, "validation_wer"):
        _per_epoch(ax, epochs, "validation_wer", "validation", SYSTEMS["sft"], 100)
    if _measured(epochs, "plain_wer"):
        _per_epoch(ax, epochs, "plain_wer", "plain clips", System("", "#009e73", "^"), 100)
        if limit is not None:
            dashed = {"linewidth": 1.2, "linestyle": (0, (5, 3))}
            highest = epochs["plain_wer"].dropna().iloc[0] + limit
            ax.axhline(100 * highest, color=_LIMIT, label="limit, plain", **dashed)
    ax.set_title("WER, % ↓")
    ax.set_ylim(0, 1.45 * ax.get_ylim()[1])
    ax.legend(ncols=2, columnspacing=1.0, loc="upper left", **_LEGEND)


def _draw_tags(ax: Axes, _: pd.DataFrame, epochs: pd.DataFrame, __: float | None) -> None:
    _per_epoch(ax, epochs, "validation_tag_f1", "validation", SYSTEMS["sft"], 100)
    ax.set_title("Tag F1, validation, % ↑")
    ax.set_ylim(0, 100)


def _per_epoch(
    ax: Axes, epochs: pd.DataFrame, column: str, label: str, look: System, scale: float = 1
) -> None:
    rows = epochs.dropna(subset=[column])
    ax.plot(rows["epoch"], scale * rows[column], color=look.color, marker=look.marker, ms=5,
            lw=1.4, label=label)  # fmt: skip


def masked_example(tokens: Sequence[tuple[str, bool]]) -> HTML:
    """One training example: tokens the loss is computed on in colour, masked ones grey.

    Args:
        tokens: text of each token in order, and whether it is a label, i.e. counts in the loss.
            Masked tokens that repeat (audio, padding) are written once with their number.

    Raises:
        UserError: there is no token.
    """
    if not tokens:
        raise UserError("the example has no tokens: give one with audio and a transcript")
    parts = []
    for (text, label), run in groupby(tokens):
        count = len(list(run))
        if not label and count >= _RUN:
            parts.append(_token(f"{text} × {count}", label=False))
        else:
            parts += [_token(text, label=label)] * count
    learnt = sum(label for _, label in tokens)
    said = f"<p>{len(tokens)} tokens: {_token('masked', label=False)} {len(tokens) - learnt}, "
    said += f"{_token('label', label=True)} {learnt}, the only ones in the loss.</p>"
    return HTML(f'{_STYLE}<div class="evx-tokens">{said}<div>{"".join(parts)}</div></div>')


def _token(text: str, *, label: bool) -> str:
    kind = "label" if label else "masked"
    visible = html.escape(text).replace("\n", "⏎").replace(" ", "·") if label else html.escape(text)
    return f'<span class="{kind}">{visible}</span><wbr>'
