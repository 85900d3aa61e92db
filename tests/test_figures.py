"""What is drawn equals the data, nothing overlaps, and the same figure has the same bytes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from evoxtral import analyses, bench, claims, figures, metrics, paper, tags
from evoxtral.bench import Split
from evoxtral.figures import SYSTEMS

REFERENCES = [f"[{tag}] oh no [pause] and {k}" for k, tag in enumerate(tags.TAGS)] + ["plain"] * 3
PREDICTIONS = [text.replace("sad", "calm").replace("[laughs] ", "") for text in REFERENCES]
PREDICTIONS[-1] = "[slams door] plain"
SPLIT = Split("test", {
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "my adapter": metrics.evaluate(REFERENCES, [tags.plain_text(text) for text in REFERENCES]),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
})  # fmt: skip
CONFUSED, PAIRS = analyses.confusion(SPLIT.evaluations["SFT"]), analyses.count_pairs(SPLIT)
NOISE = analyses.noise_curve(Split("test", {"RL": SPLIT.evaluations["SFT"]}), (0.0, 0.25, 0.5))
NOISE = NOISE[NOISE["protocol"] == bench.PAPER]

DRAW: dict[str, Callable[[paper.Published], Figure]] = {
    "core": lambda p: figures.core_metrics(p.core),
    "per_tag": lambda p: figures.per_tag_dumbbell(p.per_tag),
    "plane": lambda p: figures.wer_f1_plane(p.core),
    "uncertainty": lambda p: figures.score_uncertainty(claims.tag_f1_errors(p)),
    "raft": lambda p: figures.raft_pipeline(p.numbers),
    "two_stage": lambda p: figures.two_stage_pipeline(p.numbers, p.core),
    "confusion": lambda p: figures.confusion_matrix(CONFUSED),
    "silent": lambda p: figures.confusion_matrix(
        analyses.confusion(SPLIT.evaluations["my adapter"])
    ),
    "numbers": lambda p: figures.tag_numbers(PAIRS, analyses.count_bias(SPLIT)),
    "noise": lambda p: figures.label_noise(NOISE, 0.202),
}


@pytest.fixture(scope="module")
def drawn(numbers: paper.Published) -> dict[str, Figure]:
    return {name: draw(numbers) for name, draw in DRAW.items()}


@pytest.fixture(scope="module")
def saved(drawn: dict[str, Figure]) -> dict[str, dict[str, bytes]]:
    return {name: figures.save_figure(drawn[name]) for name in ("core", "raft", "confusion")}


def _texts(figure: Figure) -> list[Text]:
    """All texts that are shown; matplotlib keeps labels of ticks beyond the axes' limits."""
    beyond = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            for tick in axis.get_major_ticks():
                outside = not low <= tick.get_loc() <= high
                labels = (tick.label1, tick.label2)
                beyond |= {label for label in labels if outside or not label.get_visible()}
    texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    return [t for t in texts if t not in beyond]


def _words(figure: Figure) -> list[str]:
    return [text.get_text() for text in _texts(figure)]


def _extent(text: Text) -> Bbox:
    """Pixels covered by the letters: an annotation's own box would include its arrow."""
    return Text.get_window_extent(text)


def test_core_bars_are_the_scores(numbers: paper.Published, drawn: dict[str, Figure]) -> None:
    panels = {ax.get_title(loc="left"): ax for ax in drawn["core"].axes if ax.patches}
    names = {"Hallucination": "Tag Hallucination"}
    rows = numbers.core.set_index("metric")
    assert {names.get(title, title) for title in panels} == set(rows.index)
    for title, ax in panels.items():
        row = rows.loc[names.get(title, title)]
        assert [bar.get_height() for bar in ax.patches] == pytest.approx(
            [100 * row[name] for name in SYSTEMS]
        )
        assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [
            system.color for system in SYSTEMS.values()
        ]
        assert ax.get_ylim()[0] == 0


def test_core_draws_intervals_where_there_are_some(numbers: paper.Published) -> None:
    core = numbers.core.assign(SFT_low=lambda f: 0.9 * f["sft"], SFT_high=lambda f: 1.1 * f["sft"])
    figure = figures.core_metrics(core)
    segments = figure.axes[0].collections[0].get_segments()
    assert np.asarray(segments) == pytest.approx(np.array([[[1, 4.023], [1, 4.917]]]))
    assert sum(len(ax.collections) for ax in figure.axes) == len(core)


def test_dumbbell_is_the_table_by_support(
    numbers: paper.Published, drawn: dict[str, Figure]
) -> None:
    ax = drawn["per_tag"].axes[0]
    rows = numbers.per_tag.sort_values("support", ascending=False, kind="stable")
    assert [t.get_text() for t in ax.get_yticklabels()] == [f"[{tag}]" for tag in rows["tag"]]
    paths = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2][: len(rows) + 1]
    points = [path for path in paths if list(path) != [0, 1]]
    assert np.array(points) == pytest.approx(rows[["sft", "rl"]].to_numpy())
    supports = [
        a.get_text() for a in ax.texts if isinstance(a, Annotation) and a.get_text().isdigit()
    ]
    assert supports == [str(n) for n in rows["support"]]


def test_plane_points_are_the_scores(numbers: paper.Published, drawn: dict[str, Figure]) -> None:
    ax = drawn["plane"].axes[0]
    rows = numbers.core.set_index("key")
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines]
    expected = [(100 * rows.loc["wer", s], 100 * rows.loc["tag_f1", s]) for s in SYSTEMS]
    assert np.array(points) == pytest.approx(np.array(expected))
    arrows = [t for t in ax.texts if isinstance(t, Annotation) and t.arrow_patch is not None]
    ends = [(a.xyann, a.xy) for a in arrows if not a.get_text()]
    assert np.array(ends) == pytest.approx(np.array(list(itertools.pairwise(expected))))


def test_uncertainty_draws_95_percent(drawn: dict[str, Figure]) -> None:
    lines = drawn["uncertainty"].axes[0].lines
    half = 100 * 1.96 * 0.30 / np.sqrt(50)
    spans = [tuple(line.get_xdata()) for line in lines]
    assert any(span == pytest.approx((67.2 - half, 67.2 + half)) for span in spans)
    assert any(span == pytest.approx((69.4 - half, 69.4 + half)) for span in spans)


def test_raft_diagram_says_its_numbers(drawn: dict[str, Figure]) -> None:
    words = _words(drawn["raft"])
    assert {
        "808 clips",
        "4 completions per clip, temperature 0.7, top-p 0.9",
        "no. 4",
        "0.4 ×",
        "0.2 ×",
        "Keep R > 0.954",
        "727 clips, mean reward 0.980",
        "81",
        "1 epoch, learning rate 5×10⁻⁵",
        "final loss 0.021",
    } <= set(words)


@pytest.mark.parametrize("completions", [1, 2, 6, 64])
def test_raft_diagram_of_a_measured_run(numbers: paper.Published, completions: int) -> None:
    own = {"sampled_clips": 12_345, "unseen_clips": 12_345, "curated_clips": 9_999, "rl_epochs": 2}
    figure = figures.raft_pipeline(numbers.numbers | own | {"completions": completions})
    words = _words(figure)
    assert f"no. {completions}" in words or str(completions) in words
    assert "2,346" in words
    assert "Clips that SFT has not seen" in words
    _assert_tidy(figure)


@pytest.mark.parametrize("name", list(DRAW))
def test_texts_are_legible_inside_and_apart(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    _assert_tidy(figure)
    pixels_per_point = 400 / (72 * figure.get_size_inches()[0])
    assert min(t.get_fontsize() for t in _texts(figure)) * pixels_per_point >= 8
    assert len(figure.get_label()) > 40, "a figure says in words what it shows"


def _assert_tidy(figure: Figure) -> None:
    figure.draw_without_rendering()
    boxes = [(t.get_text(), _extent(t)) for t in _texts(figure)]
    whole = figure.bbox
    for text, box in boxes:
        assert whole.x0 <= box.x0, text
        assert box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0, text
        assert box.y1 <= whole.y1, text
    for (text, box), (other, its) in itertools.combinations(boxes, 2):
        overlap = Bbox.intersection(box, its)
        touching = overlap is not None and overlap.width > 1 and overlap.height > 2
        assert not touching, f"{text!r} overlaps {other!r}"
    for patch in figure.findobj(FancyBboxPatch):
        if patch.get_transform().contains_branch(figure.axes[0].transData):
            frame = patch.get_window_extent()
            for text, box in boxes:
                if frame.contains(*((box.p0 + box.p1) / 2)):
                    assert frame.x0 <= box.x0, f"{text!r} leaves its box"
                    assert box.x1 <= frame.x1, f"{text!r} leaves its box"


@pytest.mark.parametrize("name", ["core", "raft", "confusion"])
def test_same_data_same_bytes_whatever_the_readers_settings(
    numbers: paper.Published, saved: dict[str, dict[str, bytes]], name: str
) -> None:
    with mpl.rc_context({"font.size": 31, "savefig.dpi": 13, "svg.hashsalt": None}):
        again = figures.save_figure(DRAW[name](numbers))
    assert [kind for kind in figures.FORMATS if saved[name][kind] != again[kind]] == []


def test_saved_files_are_what_they_say(saved: dict[str, dict[str, bytes]]) -> None:
    for files in saved.values():
        assert tuple(files) == figures.FORMATS
        assert files["svg"].startswith(b"<?xml")
        assert files["pdf"].startswith(b"%PDF-")
        image = imread(io.BytesIO(files["png"]))
        assert image.shape[1] == 1120
        assert (image[0, 0, :3] == 1).all()


def test_cells_are_the_shares(drawn: dict[str, Figure]) -> None:
    ax = drawn["confusion"].axes[0]
    frame = CONFUSED
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


def test_points_are_the_numbers_of_tags(drawn: dict[str, Figure]) -> None:
    axes = [ax for ax in drawn["numbers"].axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in axes] == ["SFT", "my adapter", "RL"]
    frame, largest = PAIRS, []
    for ax, system in zip(axes, SPLIT.evaluations, strict=True):
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
    many = metrics.evaluate(["[sad] " * 9 + "a", "b"], ["[sad] " * 12 + "a", "b"])
    split = Split("test", {"x": many})
    bias = analyses.count_bias(split)
    ax = figures.tag_numbers(analyses.count_pairs(split), bias).axes[0]
    (points,) = (c for c in ax.collections if isinstance(c, PathCollection))
    assert np.asarray(points.get_offsets()).tolist() == [[0, 0], [8, 8]]
    assert ax.get_xticklabels()[-1].get_text() == "8+"


def test_noise_line_is_the_curve(drawn: dict[str, Figure]) -> None:
    line, printed, *_ = drawn["noise"].axes[0].lines
    assert line.get_xdata().tolist() == [0, 25, 50]
    assert line.get_ydata() == pytest.approx(100 * NOISE["value"].to_numpy())
    assert printed.get_ydata() == pytest.approx([20.2, 20.2])
