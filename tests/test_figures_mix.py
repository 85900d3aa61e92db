"""Figures of a training set: what they draw is what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from evoxtral import tags
from evoxtral.figures import mix as figures
from evoxtral.figures import save_figure
from evoxtral.mix import composition as tables
from evoxtral.mix.checklist import checklist
from evoxtral.mix.goals import DENSITY
from evoxtral.mix.items import Features, Item


def features(texts: list[str]) -> Features:
    rows = (Item(str(k), t, tags.plain_text(t), "d", "s") for k, t in enumerate(texts))
    return Features.of(rows)


SETS = {
    "one": features(["plain", "[sad] a", "[excited] b [pause] C", "[laughs] d [sad] [calm] e"]),
    "two": features(["plain", "other", "[angry] a b", "[sighs] x"]),
}


def test_tag_shares_are_drawn_in_percent_from_rare_to_frequent() -> None:
    made = {name: tables.tag_table(f) for name, f in SETS.items()}
    ax = figures.tag_shares(made).axes[0]
    points = [np.asarray(collection.get_offsets()) for collection in ax.collections[1:]]
    names = [label.get_text() for label in ax.get_yticklabels()]
    for table, drawn in zip(made.values(), points, strict=True):
        shares = table.assign(tag=table["tag"].str.strip("[]")).set_index("tag")["measured"]
        assert drawn[:, 0] == pytest.approx(100 * shares[names].to_numpy())
    assert (np.diff(points[0][:, 0]) >= 0).all()


def test_density_bars_and_bands() -> None:
    made = {name: tables.density_table(f) for name, f in SETS.items()}
    ax = figures.density(made).axes[0]
    boxes = [p for p in ax.patches if isinstance(p, Rectangle)]
    bands, bars = boxes[: len(DENSITY)], boxes[len(DENSITY) :]
    assert [round(b.get_y() + b.get_height()) for b in bands] == [35, 30, 30, 15]
    heights = [100 * share for table in made.values() for share in table["measured"]]
    assert [bar.get_height() for bar in bars] == pytest.approx(heights)


def test_valence_bars_add_up_to_one_hundred() -> None:
    figure = figures.valence({name: tables.axis_table(f) for name, f in SETS.items()})
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([50, 25, 25, 0, 50, 50])


@pytest.mark.parametrize(("window", "end"), [(8.0, 8.0), (None, 36.0)])
def test_durations_are_shares_of_each_set(window: float | None, end: float) -> None:
    figure = figures.durations({"a": [1.0, 2.0, 7.0], "b": [3.0]}, window)
    ax = figure.axes[0]
    assert ax.get_xlim() == (0, end)
    for outline in ax.patches:
        assert outline.get_xy()[:, 1].max() <= 100
    assert "a median 2.0 s" in figure.get_label()


def test_checklist_shows_every_verdict() -> None:
    made = {name: checklist(f) for name, f in SETS.items()}
    texts = [text.get_text() for text in figures.checklist(made).axes[0].texts]
    for sign, verdict in (("✓", "yes"), ("✗", "no"), ("?", "not known")):
        assert texts.count(sign) == sum((t["pass"] == verdict).sum() for t in made.values())
    assert set(made["one"]["check"]) <= set(texts)


def test_near_duplicate_time_draws_the_curve() -> None:
    curve = pd.DataFrame(
        {"method": ["keep_first", "keep_first", "lsh"], "texts": [10, 100, 10],
         "seconds": [0.1, 1.0, 0.2]}
    )  # fmt: skip
    lines = figures.near_duplicate_time(curve).axes[0].lines
    assert [line.get_xydata().tolist() for line in lines] == [[[10, 0.1], [100, 1.0]], [[10, 0.2]]]


def test_figures_are_the_same_bytes_twice() -> None:
    made = {name: tables.density_table(f) for name, f in SETS.items()}
    assert save_figure(figures.density(made)) == save_figure(figures.density(made))
