"""Figures of the benchmark draw what their frames hold, legibly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from evoxtral import bench, figures, metrics, tags

REFERENCES = [f"[{tag}] oh no [pause] and {k}" for k, tag in enumerate(tags.TAGS)] + ["plain"] * 3
PREDICTIONS = [text.replace("sad", "calm").replace("[laughs] ", "") for text in REFERENCES]
PREDICTIONS[-1] = "[slams door] plain"
EVALUATIONS = {
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "my adapter": metrics.evaluate(REFERENCES, [tags.plain_text(text) for text in REFERENCES]),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    noise = bench.noise_curve({"SFT": EVALUATIONS["SFT"]}, (0.0, 0.25, 0.5))
    return {
        "confusion": figures.confusion_matrix(bench.confusion(EVALUATIONS["SFT"])),
        "silent": figures.confusion_matrix(bench.confusion(EVALUATIONS["my adapter"])),
        "numbers": figures.tag_numbers(
            bench.count_pairs(EVALUATIONS), bench.count_bias(EVALUATIONS)
        ),
        "noise": figures.label_noise(
            noise[noise["protocol"] == bench.PAPER], printed={"report, RL": 0.202}
        ),
    }


def _texts(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]


@pytest.mark.parametrize("name", ["confusion", "silent", "numbers", "noise"])
def test_texts_are_legible_inside_and_apart(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    figure.draw_without_rendering()
    hidden = {
        label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)
        if not label.get_visible() or not _within(ax, axis, tick.get_loc())
    }  # fmt: skip
    texts = [t for t in _texts(figure) if t not in hidden]
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts]
    for text, box in boxes:
        assert figure.bbox.padded(0.5).contains(box.x0, box.y0), text
        assert figure.bbox.padded(0.5).contains(box.x1, box.y1), text
    for (text, box), (other, its) in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(box, its)
        touching = overlap is not None and overlap.width > 1 and overlap.height > 2
        assert not touching, f"{text!r} overlaps {other!r}"
    pixels_per_point = 400 / (72 * figure.get_size_inches()[0])
    assert min(t.get_fontsize() for t in texts) * pixels_per_point >= 8


def _within(ax, axis, place: float) -> bool:
    low, high = sorted(ax.get_xlim() if axis is ax.xaxis else ax.get_ylim())
    return low <= place <= high


def test_cells_are_the_shares(drawn: dict[str, Figure]) -> None:
    ax = drawn["confusion"].axes[0]
    frame = bench.confusion(EVALUATIONS["SFT"])
    across = dict(zip((t.get_text() for t in ax.get_xticklabels()), ax.get_xticks(), strict=True))
    down = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert list(across)[-2:] == ["other", "missed"]
    assert list(down)[-2:] == ["other", "invented"]
    cells = {t.get_position(): t.get_text() for t in ax.texts if not isinstance(t, Annotation)}
    expected = {
        (across[row["predicted"]], down[row["true"]]): f"{100 * row['share']:.0f}"
        for row in frame.to_dict("records")
        if row["share"] >= 0.01
    }
    assert cells == expected
    counts = [t.get_text() for t in ax.texts if isinstance(t, Annotation)]
    support = frame[frame["true"] != "invented"].groupby("true", sort=False)["count"].sum()
    assert counts == [*map(str, support), "n"]


def test_confusion_is_said_in_words(drawn: dict[str, Figure]) -> None:
    said = drawn["confusion"].get_label()
    assert "sad 0% of 1 right, most often calm instead (100%)" in said
    assert "laughs 0% of 1 right, most often missed instead (100%); sighs 100% of 1 right;" in said


def test_points_are_the_numbers_of_tags(drawn: dict[str, Figure]) -> None:
    axes = [ax for ax in drawn["numbers"].axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in axes] == ["SFT", "my adapter", "RL"]
    frame, largest = bench.count_pairs(EVALUATIONS), []
    for ax, system in zip(axes, EVALUATIONS, strict=True):
        (points,) = (c for c in ax.collections if isinstance(c, PathCollection))
        own = frame[frame["system"] == system]
        assert (
            np.asarray(points.get_offsets()).tolist()
            == own[["true", "predicted"]].to_numpy(dtype=float).tolist()
        )
        largest.append(points.get_sizes().max() / own["clips"].max())
    assert largest == pytest.approx([largest[0]] * 3)
    assert "RL +0.00 [+0.00, +0.00] tags per clip, 100% equal" in drawn["numbers"].get_label()


def test_more_tags_than_the_axis_has_are_drawn_at_its_end() -> None:
    many = {"x": metrics.evaluate(["[sad] " * 9 + "a", "b"], ["[sad] " * 12 + "a", "b"])}
    ax = figures.tag_numbers(bench.count_pairs(many), bench.count_bias(many)).axes[0]
    (points,) = (c for c in ax.collections if isinstance(c, PathCollection))
    assert np.asarray(points.get_offsets()).tolist() == [[0, 0], [8, 8]]
    assert ax.get_xticklabels()[-1].get_text() == "8+"


def test_noise_line_is_the_curve(drawn: dict[str, Figure]) -> None:
    frame = bench.noise_curve({"SFT": EVALUATIONS["SFT"]}, (0.0, 0.25, 0.5))
    rows = frame[frame["protocol"] == bench.PAPER]
    line, printed, *_ = drawn["noise"].axes[0].lines
    assert line.get_xdata().tolist() == [0, 25, 50]
    assert line.get_ydata() == pytest.approx(100 * rows["value"].to_numpy())
    assert printed.get_ydata() == pytest.approx([20.2, 20.2])
    with pytest.raises(ValueError, match="one protocol"):
        figures.label_noise(frame)


def test_same_data_same_bytes(drawn: dict[str, Figure]) -> None:
    again = figures.confusion_matrix(bench.confusion(EVALUATIONS["SFT"]))
    first = figures.save_figure(drawn["confusion"])
    assert first == figures.save_figure(again)
