"""What is drawn equals the data, nothing overlaps, and the same figure has the same bytes."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from evoxtral import checks, figures, paper
from evoxtral.figures import SYSTEMS

DRAW: dict[str, Callable[[paper.Published], Figure]] = {
    "core": lambda p: figures.core_metrics(p.core),
    "per_tag": lambda p: figures.per_tag_dumbbell(p.per_tag),
    "plane": lambda p: figures.wer_f1_plane(p.core),
    "uncertainty": lambda p: figures.score_uncertainty(
        checks.standard_errors({"sft": 0.672, "rl": 0.694}, 50, 11, checks.ASSUMED_SD)
    ),
    "raft": lambda p: figures.raft_pipeline(figures.RaftFacts.from_numbers(p.numbers)),
    "two_stage": lambda p: figures.two_stage_pipeline(
        figures.PipelineFacts.from_numbers(p.numbers, p.core)
    ),
}


@pytest.fixture(scope="module")
def drawn(numbers: paper.Published) -> dict[str, Figure]:
    return {name: draw(numbers) for name, draw in DRAW.items()}


@pytest.fixture(scope="module")
def saved(drawn: dict[str, Figure]) -> dict[str, dict[str, bytes]]:
    return {name: figures.save_figure(figure) for name, figure in drawn.items()}


def _texts(figure: Figure) -> list[Text]:
    """All texts that are shown; matplotlib keeps labels of ticks beyond the axes' limits."""
    beyond = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            low, high = sorted(limits)
            beyond |= {t.label1 for t in axis.get_major_ticks() if not low <= t.get_loc() <= high}
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


def test_core_groups_by_direction(drawn: dict[str, Figure]) -> None:
    titles = [ax.get_title(loc="left") for ax in drawn["core"].axes]
    assert titles == [
        "WER",
        "CER",
        "Hallucination",
        "",
        "Tag F1",
        "Tag Precision",
        "Tag Recall",
        "Emphasis F1",
    ]


def test_core_draws_intervals_where_there_are_some(numbers: paper.Published) -> None:
    core = numbers.core.assign(sft_low=lambda f: 0.9 * f["sft"], sft_high=lambda f: 1.1 * f["sft"])
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


def test_dumbbell_pales_low_support(numbers: paper.Published) -> None:
    def whole(low_support: int) -> int:
        ax = figures.per_tag_dumbbell(numbers.per_tag, low_support=low_support).axes[0]
        rings = [line for line in ax.lines if line.get_marker() == SYSTEMS["sft"].marker]
        return sum(to_hex(line.get_color()) == SYSTEMS["sft"].color for line in rings)

    assert [whole(n) for n in (0, 7, 100)] == [17, 8, 0]


def test_plane_points_are_the_scores(numbers: paper.Published, drawn: dict[str, Figure]) -> None:
    ax = drawn["plane"].axes[0]
    rows = numbers.core.set_index("key")
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines]
    expected = [(100 * rows.loc["wer", s], 100 * rows.loc["tag_f1", s]) for s in SYSTEMS]
    assert np.array(points) == pytest.approx(np.array(expected))
    arrows = [t for t in ax.texts if isinstance(t, Annotation) and t.arrow_patch is not None]
    ends = [(a.xyann, a.xy) for a in arrows if not a.get_text()]
    assert np.array(ends) == pytest.approx(np.array(list(itertools.pairwise(expected))))


def test_plane_draws_intervals_where_there_are_some(numbers: paper.Published) -> None:
    core = numbers.core.assign(rl_low=lambda f: f["rl"] - 0.01, rl_high=lambda f: f["rl"] + 0.01)
    ax = figures.wer_f1_plane(core).axes[0]
    segments = [segment.tolist() for c in ax.collections for segment in c.get_segments()]
    assert np.array(segments) == pytest.approx(
        np.array([[[4.12, 69.4], [6.12, 69.4]], [[5.12, 68.4], [5.12, 70.4]]])
    )


def test_plane_without_any_error_has_room(numbers: paper.Published) -> None:
    core = numbers.core.copy()
    core.loc[core["key"] == "wer", list(SYSTEMS)] = 0.0
    ax = figures.wer_f1_plane(core).axes[0]
    assert ax.get_xlim() == (0, 1)
    assert [line.get_xdata()[0] for line in ax.lines] == [0, 0, 0]


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


def test_two_stage_diagram_says_its_numbers(drawn: dict[str, Figure]) -> None:
    assert {
        "1,010 tagged scripts, spoken by a TTS",
        "808 training, 101 validation, 101 test",
        "LoRA rank 64, 3 epochs",
        "learning rate 2×10⁻⁴",
        "best of 4: 727 clips",
        "50 test clips",
        "WER 4.47%",
        "Tag F1 69.4%",
    } <= set(_words(drawn["two_stage"]))


@pytest.mark.parametrize("completions", [1, 2, 6, 64])
def test_raft_diagram_of_a_measured_run(numbers: paper.Published, completions: int) -> None:
    facts = dataclasses.replace(
        figures.RaftFacts.from_numbers(numbers.numbers),
        clips=12_345,
        kept=9_999,
        completions=completions,
        epochs=2,
        final_loss=None,
    )
    figure = figures.raft_pipeline(facts)
    words = _words(figure)
    assert f"no. {completions}" in words or str(completions) in words
    assert "2,346" in words
    assert not any("loss" in word for word in words)
    _assert_tidy(figure)


@pytest.mark.parametrize("name", list(DRAW))
def test_texts_stay_inside_and_apart(drawn: dict[str, Figure], name: str) -> None:
    _assert_tidy(drawn[name])


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


@pytest.mark.parametrize("name", list(DRAW))
def test_letters_are_legible_at_phone_width(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    pixels_per_point = 400 / (72 * figure.get_size_inches()[0])
    assert min(t.get_fontsize() for t in _texts(figure)) * pixels_per_point >= 8


@pytest.mark.parametrize("name", list(DRAW))
def test_same_data_same_bytes_whatever_the_readers_settings(
    numbers: paper.Published, saved: dict[str, dict[str, bytes]], name: str
) -> None:
    with mpl.rc_context({"font.size": 31, "savefig.dpi": 13, "svg.hashsalt": None}):
        again = figures.save_figure(DRAW[name](numbers))
    assert [kind for kind in figures.FORMATS if saved[name][kind] != again[kind]] == []


@pytest.mark.parametrize("name", ["core", "raft"])
def test_saving_twice_gives_the_same_bytes(
    drawn: dict[str, Figure], saved: dict[str, dict[str, bytes]], name: str
) -> None:
    again = figures.save_figure(drawn[name])
    assert [kind for kind in figures.FORMATS if saved[name][kind] != again[kind]] == []


def test_saved_files_are_what_they_say(saved: dict[str, dict[str, bytes]]) -> None:
    for files in saved.values():
        assert tuple(files) == figures.FORMATS
        assert files["svg"].startswith(b"<?xml")
        assert files["pdf"].startswith(b"%PDF-")
        image = imread(io.BytesIO(files["png"]))
        assert image.shape[1] == 1120
        assert (image[0, 0, :3] == 1).all()


def test_saved_files_hold_no_date(saved: dict[str, dict[str, bytes]]) -> None:
    for mark in (b"dc:date", b"CreationDate", b"ModDate"):
        assert all(mark not in data for files in saved.values() for data in files.values())


def test_every_figure_says_in_words_what_it_shows(
    drawn: dict[str, Figure], saved: dict[str, dict[str, bytes]]
) -> None:
    for name, figure in drawn.items():
        words = figure.get_label()
        assert len(words) > 40, name
        assert words.encode() in saved[name]["svg"], name


def test_a_single_system_and_metric_can_be_drawn() -> None:
    core = pd.DataFrame(
        {
            "key": ["wer", "tag_f1"],
            "metric": ["WER", "Tag F1"],
            "direction": ["lower", "higher"],
            "sft": [0.0, 0.0],
        }
    )
    only = {"sft": SYSTEMS["sft"]}
    _assert_tidy(figures.core_metrics(core, only))
    with pytest.raises(KeyError):
        figures.core_metrics(core)
