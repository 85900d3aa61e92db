"""Figures of a training set: what they draw is what was given."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.patches import Rectangle

from evoxtral import tags
from evoxtral.clips import to_mp3
from evoxtral.figures import mix as figures
from evoxtral.mix.chapter import Heard, Specimen
from evoxtral.mix.composition import judge
from evoxtral.mix.goals import DENSITY, Item

RATE = 16_000


def judged(*texts: str) -> pd.DataFrame:
    return judge([Item(str(k), t, tags.plain_text(t), "d") for k, t in enumerate(texts)])


SETS = {
    "one": judged("plain", "[sad] a", "[excited] b [pause] C", "[laughs] d [sad] [calm] e"),
    "two": judged("plain", "other", "[angry] a b", "[sighs] x"),
}


def measured(name: str, table: str) -> pd.Series:
    rows = SETS[name][SETS[name]["table"] == table]
    return 100 * rows.set_index("row")["measured"].astype(float)


def test_tag_shares_are_drawn_in_percent_from_rare_to_frequent() -> None:
    ax = figures.tag_shares(SETS).axes[0]
    points = [np.asarray(collection.get_offsets()) for collection in ax.collections[1:]]
    names = [label.get_text() for label in ax.get_yticklabels()]
    for name, drawn in zip(SETS, points, strict=True):
        shares = measured(name, "tags")
        assert drawn[:, 0] == pytest.approx(shares.rename(lambda t: t.strip("[]"))[names])
    assert (np.diff(points[0][:, 0]) >= 0).all()


def test_density_bars_and_bands() -> None:
    ax = figures.density(SETS).axes[0]
    boxes = [p for p in ax.patches if isinstance(p, Rectangle)]
    bands, bars = boxes[: len(DENSITY)], boxes[len(DENSITY) :]
    assert [round(b.get_y() + b.get_height()) for b in bands] == [35, 30, 30, 15]
    heights = [share for name in SETS for share in measured(name, "density")]
    assert [bar.get_height() for bar in bars] == pytest.approx(heights)


def test_valence_bars_add_up_to_one_hundred() -> None:
    widths = [bar.get_width() for bar in figures.valence(SETS).axes[0].patches]
    assert widths == pytest.approx([50, 0, 25, 50, 25, 50]), "positive, neutral, negative"


@pytest.mark.parametrize(("window", "end"), [(8.0, 8.0), (None, 36.0)])
def test_durations_are_shares_of_each_set(window: float | None, end: float) -> None:
    figure = figures.durations({"a": [1.0, 2.0, 7.0], "b": [3.0]}, window)
    ax = figure.axes[0]
    assert ax.get_xlim() == (0, end)
    for outline in ax.patches:
        assert outline.get_xy()[:, 1].max() <= 100
    assert "a median 2.0 s" in figure.get_label()


def test_checklist_shows_every_verdict() -> None:
    texts = [text.get_text() for text in figures.checklist(SETS).axes[0].texts]
    frame = pd.concat(SETS.values())
    frame = frame[frame["table"] == "checklist"]
    for sign, verdict in (("✓", "yes"), ("✗", "no"), ("?", "not known")):
        assert texts.count(sign) == (frame["pass"] == verdict).sum()
    assert set(frame["row"]) <= set(texts)


def audible(aucs: list[float]) -> pd.DataFrame:
    n = len(aucs)
    return pd.DataFrame({"tag": [f"t{k}" for k in range(n)], "group": "emotion", "auc": aucs,
                         "se": 0.05, "low": 0.6, "high": 0.85})  # fmt: skip


def test_audibility_is_ordered_and_stays_within_bounds() -> None:
    ax = figures.audibility(audible([0.99, 0.2, 0.7])).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["t1", "t2", "t0"]
    assert list(ax.containers[1].lines[0].get_xdata()) == [0.2, 0.7, 0.99]
    assert ax.get_xlim()[0] < 0.2
    segments = np.concatenate(ax.containers[1].lines[2][0].get_segments())
    assert segments[:, 0].max() <= 1


def test_nothing_to_draw_is_a_sentence() -> None:
    empty = figures.audibility(audible([]).iloc[:0])
    assert "No clips with and without a tag" in empty.axes[0].texts[0].get_text()
    assert "no sound" in figures.durations({}).get_label()


def tone(hertz: float, seconds: float) -> np.ndarray:
    times = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


@pytest.mark.parametrize("hertz", [500, 2000, 6000])
def test_a_tone_is_brightest_at_its_frequency(hertz: float) -> None:
    level = figures._spectrogram(tone(hertz, 0.5))
    bins = level.mean(axis=1)
    assert bins.argmax() * 8000 / (len(bins) - 1) == pytest.approx(hertz, abs=40)
    assert (level.max(), level.min() >= -65) == (0, True)


PAIR = (Heard("[sighs] a", tone(440, 1.0), ((0.2, 0.5),)), Heard("<b>a</b>", tone(220, 0.4)))


def test_clips_share_one_time_scale_and_show_their_marks() -> None:
    figure = figures._picture(Specimen("sighs", "ada", PAIR))
    assert [ax.get_xlim() for ax in figure.axes] == [(0, 1.0)] * 4
    [mark] = figure.axes[0].patches
    assert (mark.get_x(), mark.get_width()) == pytest.approx((0.2, 0.3))
    assert len(figure.axes[2].patches) == 0
    assert figure.axes[1].images[0].get_extent() == [0, 1.0, 0, 8]


def test_pages_hold_sounds_and_pictures_and_are_the_same_bytes_again() -> None:
    shown = [Specimen("sighs", "ada", PAIR), Specimen("odd", "b", (Heard("x", tone(440, 0.01)),))]
    page = figures.listening_page(shown).data
    assert figures.listening_page(shown).data == page
    assert (page.count("<audio "), page.count("<img "), page.count("&lt;b&gt;a")) == (3, 2, 1)
    assert "http" not in page
    assert "no sound" in figures.listening_page([]).data
    decoded, rate = soundfile.read(io.BytesIO(to_mp3(tone(440, 1.0))))
    assert rate == RATE
    assert len(decoded) == pytest.approx(RATE, abs=2400)
