"""Figures of sound: clips side by side, and how audible each tag is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoxtral.figures.style import GREY, INK, RULE, WIDTH, styled

RATE = 16_000
_WINDOW, _HOP, _POINTS = 400, 80, 512
_FLOOR_DB = -65.0
_COLORS = {
    "nonverbal": "#d55e00",
    "delivery": "#0072b2",
    "pause": "#6e7781",
    "emotion": "#a8558c",
    "other": "#59636e",
}
_BAND = "#d8f0e3"
_CHANCE = 0.5
_LEFT, _GAP, _TOP, _BOTTOM = 0.045, 0.025, 0.1, 0.17  # of the figure


@dataclass(frozen=True)
class Shown:
    """A clip to draw.

    Attributes:
        title: above its waveform.
        audio: float32, shape (n,), 16 kHz.
        marks: start and end in seconds of what is highlighted.
    """

    title: str
    audio: npt.NDArray[np.float32]
    marks: tuple[tuple[float, float], ...] = ()


def _spectrogram(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Level in dB below the clip's loudest point, shape (bins up to 8 kHz, frames)."""
    padded = np.pad(audio, (0, max(0, _WINDOW - len(audio))))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(blocks * np.hanning(_WINDOW), _POINTS)) ** 2
    level = 10 * np.log10(power + 1e-12)
    return np.clip(level - level.max(), _FLOOR_DB, 0).T


def _waveform(ax: Axes, clip: Shown, color: str) -> None:
    """Least and greatest sample of every 4 ms: a line through every sample would only be slower."""
    step = RATE // 250
    whole = clip.audio[: len(clip.audio) // step * step].reshape(-1, step)
    times = (np.arange(len(whole)) + 0.5) * step / RATE
    ax.fill_between(times, whole.min(axis=1), whole.max(axis=1), color=INK, linewidth=0)
    top = max(1e-3, float(np.abs(clip.audio).max()))
    for start, end in clip.marks:
        ax.axvspan(start, end, color=color, alpha=0.3, linewidth=0)
    ax.set(ylim=(-top, top), yticks=[])
    ax.set_title(clip.title, fontsize=8.5, pad=3)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0, labelbottom=False)


@styled
def clips(shown: Sequence[Shown], group: str) -> Figure:
    """Waveforms and spectrograms beside one another, on one time scale.

    Args:
        shown: one clip or two.
        group: of the tag, decides the colour of the marks (`tags.GROUPS`).
    """
    figure = Figure(figsize=(7.6, 1.75))
    color = _COLORS[group]
    end = max(len(clip.audio) for clip in shown) / RATE
    width = (1 - _LEFT - 0.01 - _GAP) / 2
    for column, clip in enumerate(shown):
        left = _LEFT + column * (width + _GAP)
        wave = figure.add_axes((left, 0.66, width, 0.34 - _TOP))
        heard = figure.add_axes((left, _BOTTOM, width, 0.47))
        _waveform(wave, clip, color)
        length = len(clip.audio) / RATE
        heard.imshow(
            _spectrogram(clip.audio),
            extent=(0, length, 0, RATE / 2000),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=_FLOOR_DB,
            vmax=0,
            interpolation="antialiased",
        )
        for start, stop in clip.marks:
            heard.axvspan(start, stop, ymin=0.965, color=color, linewidth=0)
        for ax in (wave, heard):
            ax.set_xlim(0, end)
        heard.tick_params(labelsize=7, length=2, pad=2)
        heard.set(yticks=(0, 4, 8), yticklabels=("0", "4", "8 kHz") if not column else ("",) * 3)
        ticks = np.arange(0, end, 1 if end > 1.5 else 0.5)
        heard.set_xticks(ticks, [f"{tick:g} s" for tick in ticks])
    figure.set_label("Waveform and spectrogram: " + "; ".join(clip.title for clip in shown))
    return figure


@styled
def audibility(frame: pd.DataFrame) -> Figure:
    """AUC of each tag's probe with two standard errors, over the band it was made for.

    Args:
        frame: `tag`, `group`, `auc`, `se`, `low`, `high` (`datamix.audible`); may be empty.
    """
    if frame.empty:
        return _words("No clips with and without a tag to compare in this source.")
    rows = frame.sort_values("auc", ignore_index=True)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.24 * len(rows)), layout="constrained")
    ax = figure.subplots()
    spans = rows["high"] - rows["low"]
    ax.barh(rows.index, spans, left=rows["low"], height=0.72, color=_BAND, edgecolor=GREY,
            linewidth=0.5, label="made for")  # fmt: skip
    for group, own in rows.groupby("group", sort=False):
        error = np.minimum(2 * own["se"], np.array([own["auc"], 1 - own["auc"]]))
        ax.errorbar(own["auc"], own.index, xerr=error, fmt="o", ms=5, lw=1.2, label=group,
                    color=_COLORS[str(group)])  # fmt: skip
    ax.axvline(_CHANCE, color=GREY, lw=0.8, ls=":")
    ax.set(yticks=range(len(rows)), yticklabels=rows["tag"], ylim=(-0.7, len(rows) - 0.3),
           xlabel="area under the ROC curve, unheard voices (0.5 is chance)")  # fmt: skip
    ax.set_xlim(min(0.45, float(rows["auc"].min()) - 0.03), 1.02)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    figure.legend(loc="outside upper left", ncols=5, columnspacing=1.0, handletextpad=0.3)
    said = ", ".join(f"{tag} {auc:.2f}" for tag, auc in zip(rows["tag"], rows["auc"], strict=True))
    figure.set_label(f"Audibility: {said}")
    return figure


@styled
def missing(text: str) -> Figure:
    """A sentence in place of a figure that the data cannot fill."""
    return _words(text)


def _words(text: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.axhline(0, color=RULE)
    ax.text(0.01, 0.5, text, va="center", color=GREY)
    figure.set_label(text)
    return figure
