"""Figures of sound: what is drawn is what was given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evoxtral import figures
from evoxtral.figures import listening, save_figure

RATE = 16_000


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


@pytest.mark.parametrize("hertz", [500, 2000, 6000])
def test_a_tone_is_brightest_at_its_frequency(hertz: float) -> None:
    level = listening._spectrogram(tone(hertz, 0.5))
    bins = level.mean(axis=1)
    assert bins.argmax() * 8000 / (len(bins) - 1) == pytest.approx(hertz, abs=40)
    assert level.max() == 0
    assert level.min() >= -65


def test_clips_share_one_time_scale_and_show_their_marks() -> None:
    shown = [figures.Shown("a", tone(440, 1.0), ((0.2, 0.5),)), figures.Shown("b", tone(220, 0.4))]
    figure = figures.clips(shown, "nonverbal")
    assert [ax.get_xlim() for ax in figure.axes] == [(0, 1.0)] * 4
    [mark] = figure.axes[0].patches
    assert (mark.get_x(), mark.get_width()) == pytest.approx((0.2, 0.3))
    assert len(figure.axes[2].patches) == 0
    assert figure.axes[1].images[0].get_extent() == [0, 1.0, 0, 8]


def test_one_clip_or_a_very_short_one_is_drawn_too() -> None:
    assert len(figures.clips([figures.Shown("a", tone(440, 0.01))], "other").axes) == 2


def audible(aucs: list[float]) -> pd.DataFrame:
    n = len(aucs)
    return pd.DataFrame({"tag": [f"t{k}" for k in range(n)], "group": "emotion", "auc": aucs,
                         "se": 0.05, "low": 0.6, "high": 0.85})  # fmt: skip


def test_audibility_is_ordered_and_stays_within_bounds() -> None:
    ax = figures.audibility(audible([0.99, 0.2, 0.7])).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["t1", "t2", "t0"]
    points = ax.containers[1].lines[0].get_xdata()
    assert list(points) == [0.2, 0.7, 0.99]
    assert ax.get_xlim()[0] < 0.2
    bars = [patch.get_width() for patch in ax.patches]
    assert bars == pytest.approx([0.25] * 3)
    segments = np.concatenate(ax.containers[1].lines[2][0].get_segments())
    assert segments[:, 0].max() <= 1


def test_nothing_to_draw_is_a_sentence() -> None:
    empty = figures.audibility(audible([]).iloc[:0])
    assert "No clips with and without a tag" in empty.axes[0].texts[0].get_text()
    assert figures.missing("Nothing.").get_label() == "Nothing."


def test_the_same_figure_gives_the_same_bytes() -> None:
    first, second = (save_figure(figures.audibility(audible([0.9, 0.6]))) for _ in range(2))
    assert first == second
