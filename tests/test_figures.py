"""What is drawn equals the data, nothing overlaps, and the same figure has the same bytes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evoxtral import analyses, bench, figures, metrics, paper, raft, tables, tags
from evoxtral.bench import Split
from evoxtral.metrics.rewards import RewardWeights
from evoxtral.mix.composition import judge
from helpers import examples

PRINTED = paper.load()
REFERENCES = [f"[{tag}] oh no [pause] and {k}" for k, tag in enumerate(tags.TAGS)] + ["plain"] * 3
PREDICTIONS = [text.replace("sad", "calm").replace("[laughs] ", "") for text in REFERENCES]
PREDICTIONS[-1] = "[slams door] plain"
SILENT = [tags.plain_text(text) for text in REFERENCES]
SPLIT = Split("test", {
    "SFT": metrics.evaluate(REFERENCES, PREDICTIONS),
    "my adapter": metrics.evaluate(REFERENCES, SILENT),
    "RL": metrics.evaluate(REFERENCES, REFERENCES),
})  # fmt: skip
CONFUSED = analyses.confusion(SPLIT.evaluations["SFT"])
NOISE = analyses.noise_curve(Split("test", {"RL": SPLIT.evaluations["SFT"]}), (0.0, 0.25, 0.5))
NOISE = NOISE[NOISE["protocol"] == bench.PAPER]
PAIRED = bench.headline(SPLIT, [("SFT", "my adapter"), ("SFT", "RL")])
AUC = {tag: 0.5 + 0.02 * k for k, tag in enumerate(tags.TAGS)}
AUDIBLE = pd.DataFrame({"tag": ["a", "b", "c"], "group": ["emotion", "pause", "pause"],
                        "auc": [0.99, 0.2, 0.7], "se": 0.05, "low": 0.6, "high": 0.85})  # fmt: skip
SETS = {
    name: judge(examples(*texts))
    for name, texts in {
        "one": ("plain", "[sad] a", "[excited] b [pause] C", "[laughs] d [sad] [calm] e"),
        "two": ("plain", "other", "[angry] a b", "[sighs] x"),
    }.items()
}
SAID = {"a": "[sad] oh no", "b": "hi there", "c": "[calm] all is well"}
COMPLETIONS = pd.DataFrame({"clip": list("aabbcc"), "index": [0, 1] * 3, "tokens": 4,
                            "finished": True, "text": "hi there"})  # fmt: skip
COMPLETIONS.loc[[0, 1, 4, 5], "text"] = ["[sad] oh no", "oh no", "all is well", "[calm] all is"]
COMPLETIONS = raft.score(COMPLETIONS, SAID, RewardWeights(), "strict")
STEPS = pd.DataFrame({"epoch": [0.5, 1.0, 1.5, 2.0], "loss": [2.0, 1.0, 0.5, 0.4],
                      "learning_rate": [2e-4, 1e-4, 5e-5, 0.0]})  # fmt: skip
EPOCHS = pd.DataFrame({"epoch": [1, 2], "validation_loss": [0.9, 0.6],
                       "validation_wer": [0.08, 0.06], "validation_tag_f1": [0.5, np.nan],
                       "plain_wer": [0.02, 0.03]})  # fmt: skip
GROWTH = pd.DataFrame({"work": "sampling", "way": ["ours", "plain"] * 2, "k": [1, 1, 4, 4],
                       "seconds": [0.3, 2.7, 0.5, 4.2]})  # fmt: skip
LOG = pd.DataFrame({"step": [50, 75, 100], "frames": [3.0, 2.0, 1.0], "transcription": 5.0,
                    "text": 6.0, "dev_wer": [0.9, np.nan, 0.25]})  # fmt: skip
RATIOS = pd.DataFrame({"work": ["SFT"], "ours": ["ours"], "plain": ["one by one"], "ratio": [3.0],
                       "low": [2.0], "high": [5.0]})  # fmt: skip

REWARDS = pd.DataFrame({"reward": [0.2, 0.4, 1.0, 1.0]})
OWN = {"sampled_clips": 12_345, "unseen_clips": 12_345, "ranked_clips": 12_340,
       "curated_clips": 9_999, "kept_rule": "R > 0.867 and 120 at 0.867", "mean_reward": 0.5,
       "learnt_completions": 8_888, "learnt_references": 1_234, "rl_epochs": 2}  # fmt: skip

DRAW: dict[str, tuple[Callable[..., Figure], *tuple[Any, ...]]] = {
    "scores": (figures.forest, bench.headline(SPLIT)),
    "differences": (figures.forest, PAIRED),
    "per_tag": (figures.tag_f1, PRINTED.per_tag),
    "probe": (figures.tag_f1, tables.tag_scores(SPLIT.evaluations).frame, AUC),
    "audibility": (figures.audibility, AUDIBLE),
    "raft": (figures.raft_pipeline, PRINTED.numbers),
    "stages": (figures.two_stage_pipeline, PRINTED.numbers, PRINTED.core),
    "confusion": (figures.confusion_matrix, CONFUSED),
    "noise": (figures.label_noise, NOISE, 0.202),
    "tag_shares": (figures.tag_shares, SETS),
    "training": (figures.training_curves, STEPS, EPOCHS, 1, 0.021),
    "pretraining": (figures.pretraining_curve, LOG),
    "rewards": (figures.rewards, REWARDS, REWARDS[1:3], 0.4, raft.best_of_curve(COMPLETIONS)),
    "growth": (figures.growth, GROWTH, "k", "completions per clip"),
    "speed_ups": (figures.speed_ups, RATIOS),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {name: draw(*given) for name, (draw, *given) in DRAW.items()}


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


def _words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in _texts(figure))


def _rows(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def _titles(figure: Figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in figure.axes if ax.axison]


def _points(ax: Axes) -> np.ndarray:
    """Places of all dots, shape (n, 2)."""
    return np.concatenate([np.asarray(found.get_offsets()) for found in ax.collections])


@pytest.mark.parametrize("name", list(DRAW))
def test_texts_are_legible_inside_and_apart(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    pixels_per_point = 400 / (72 * figure.get_size_inches()[0])
    assert min(t.get_fontsize() for t in _texts(figure)) * pixels_per_point >= 8
    assert len(figure.get_label()) > 40, "a figure says in words what it shows"
    _assert_tidy(figure)


def _assert_tidy(figure: Figure) -> None:
    figure.draw_without_rendering()
    # An annotation's own box would include its arrow.
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in _texts(figure)]
    whole = figure.bbox
    for text, box in boxes:
        assert whole.contains(*box.p0), text
        assert whole.contains(*box.p1), text
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


@pytest.mark.parametrize("name", ["scores", "raft", "confusion"])
def test_same_data_same_bytes_whatever_ones_settings(drawn: dict[str, Figure], name: str) -> None:
    saved, (draw, *given) = figures.save_figure(drawn[name]), DRAW[name]
    with mpl.rc_context({"font.size": 31, "savefig.dpi": 13, "svg.hashsalt": None}):
        assert figures.save_figure(draw(*given)) == saved
    assert list(saved) == ["svg", "png", "pdf"]
    assert saved["svg"].startswith(b"<?xml")
    assert saved["pdf"].startswith(b"%PDF-")
    assert imread(io.BytesIO(saved["png"])).shape[1] == 1120


def test_the_forest_has_a_panel_a_metric_and_a_row_a_system(drawn: dict[str, Figure]) -> None:
    frames = {"scores": (bench.headline(SPLIT), "value"), "differences": (PAIRED, "difference")}
    for name, (frame, column) in frames.items():
        titles = [title.replace("\n", " ") for title in _titles(drawn[name])]
        assert [title.split(",")[0].split("\u00a0")[0] for title in titles] == [
            tables.MEASURES[metric].label.split(",")[0] for metric in bench.HEADLINE
        ]
        for ax, metric in zip(drawn[name].axes, bench.HEADLINE, strict=False):
            own = frame[frame["metric"] == metric]
            scale = 1 if metric == "hallucinated_per_untagged" else 100
            assert _points(ax)[:, 0] == pytest.approx(scale * own[column], nan_ok=True)
            ends = [line.get_xdata() for line in ax.lines[: len(own)]]
            assert ends == pytest.approx(scale * own[["low", "high"]].to_numpy(), nan_ok=True)
            assert name == "differences" or ax.get_xlim()[0] <= 0, "no axis is cut"
    assert _rows(drawn["scores"].axes[0]) == list(SPLIT.evaluations)
    assert _rows(drawn["differences"].axes[0]) == ["my adapter − SFT", "RL − SFT"]


def test_tags_stand_by_group_and_the_best_first(drawn: dict[str, Figure]) -> None:
    [ax] = drawn["per_tag"].axes
    rows = _rows(ax)
    assert [row for row in rows if not row.startswith("[")] == list(tags.GROUPS)
    assert rows[:4] == ["emotion", "[nervous]  13", "[sad]  4", "[angry]  2"]
    scores = PRINTED.per_tag.set_index("tag")
    names = [row[1:].partition("]")[0] for row in rows if row.startswith("[")]
    assert set(names) == set(tags.TAGS)
    assert _points(ax)[:, 0] == pytest.approx([*scores.loc[names, "sft"], *scores.loc[names, "rl"]])
    places = [place for place, row in enumerate(rows) if row.startswith("[")]
    assert _points(ax)[: len(names), 1] == pytest.approx(np.array(places) - 0.15)
    left, right = drawn["probe"].axes
    heard = [bar.get_x() + bar.get_width() for bar in right.patches]
    names = [row[1:].partition("]")[0] for row in _rows(left) if row.startswith("[")]
    assert heard == pytest.approx([AUC[name] for name in names])
    own = tables.tag_scores(SPLIT.evaluations).frame.set_index("tag").loc[names[0]]
    assert left.lines[0].get_xdata()[0] == own["SFT_low"], "the interval of the first tag"


def test_audibility_is_ordered_and_stays_within_bounds(drawn: dict[str, Figure]) -> None:
    [ax] = drawn["audibility"].axes
    assert _rows(ax) == ["a", "c", "b"]
    assert _points(ax).tolist() == [[0.99, 0], [0.7, 1], [0.2, 2]]
    assert ax.get_xlim()[0] < 0.2
    assert max(line.get_xdata()[1] for line in ax.lines[:3]) == 1
    bare = figures.audibility(AUDIBLE[["tag", "group", "auc"]]).axes[0]
    assert len(bare.patches) == 0


def test_diagrams_say_their_numbers(drawn: dict[str, Figure]) -> None:
    words = _words(drawn["raft"])
    for said in ("808 clips", "of SFT's training",
                 "4 completions per clip\ntemperature 0.7\ntop-p 0.9",
                 "0.4 × (1 − WER)\n+ 0.4 × Tag F1\n+ 0.2 × (1 − hallucination)",
                 "lowest 10% dropped\nkept: R > 0.954\n727 of 808 clips",
                 "727 completions\nmean reward 0.980\n1 epoch, rate 5×10⁻⁵",
                 "final loss 0.021"):  # fmt: skip
        assert said in words
    assert "the same\n808 clips" in _words(drawn["stages"])
    assert "best of 4\n727 completions\n1 epoch" in _words(drawn["stages"])


@pytest.mark.parametrize("completions", [1, 64])
def test_raft_diagram_of_a_measured_run(completions: int) -> None:
    figure = figures.raft_pipeline(PRINTED.numbers | OWN | {"completions": completions})
    words = _words(figure)
    assert f"Best of {completions}" in words
    assert "kept: R > 0.867\nand 120 at 0.867\n9,999 of 12,340 clips" in words
    assert "8,888 completions\nmean reward 0.500\n1,234 untagged clips" in words
    assert "unseen in SFT" in words
    assert "0.021, mean of\nthe last tenth" in words
    _assert_tidy(figure)


def test_cells_are_the_shares(drawn: dict[str, Figure]) -> None:
    [ax] = drawn["confusion"].axes
    across = [label.get_text() for label in ax.get_xticklabels()]
    down = [label.split("  ")[0] for label in _rows(ax)]
    assert across[-2:] == ["other", "missed"]
    assert down[-2:] == ["other", "invented"]
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {
        (across.index(row["predicted"]), down.index(row["true"])): f"{100 * row['share']:.0f}"
        for row in CONFUSED.to_dict("records")
        if row["share"] >= 0.01
    }
    support = CONFUSED.groupby("true", sort=False)["count"].sum()
    assert _rows(ax) == [f"{name}  {n}" for name, n in support.items()]


def test_shares_that_miss_their_target_are_ringed(drawn: dict[str, Figure]) -> None:
    [ax] = drawn["tag_shares"].axes
    for number, judged in enumerate(SETS.values()):
        own = judged[judged["table"] == "tags"].set_index("row").rename(lambda tag: tag.strip("[]"))
        dots, rings = ax.collections[2 * number : 2 * number + 2]
        shares = 100 * own["measured"].astype(float)[_rows(ax)]
        assert dots.get_offsets()[:, 0].tolist() == pytest.approx(shares.tolist())
        missed = own.loc[_rows(ax), "pass"] == "no"
        assert rings.get_offsets()[:, 0].tolist() == pytest.approx(shares[missed].tolist())
    ends = {row: (bar.get_x(), bar.get_x() + bar.get_width())
            for row, bar in zip(_rows(ax), ax.patches, strict=True)}  # fmt: skip
    assert ends["pause"] == pytest.approx((40, 60))
    assert ends["sad"] == pytest.approx((15, 100)), "a minimum is open above"


def test_curves_are_drawn_in_percent_with_limit_and_best_epoch(drawn: dict[str, Figure]) -> None:
    loss, rate, errors, found = drawn["training"].axes
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5, 0.4]
    assert loss.get_yscale() == "log"
    assert "training, mean of 1 steps" in _words(drawn["training"])
    assert rate.lines[0].get_ydata() == pytest.approx([2, 1, 0.5, 0])
    drawn_errors = [line.get_ydata() for line in errors.lines[:3]]
    assert np.array(drawn_errors) == pytest.approx(np.array([[8, 6], [2, 3], [4.1, 4.1]]))
    assert found.lines[0].get_xydata().tolist() == [[1, 50]]
    assert [ax.lines[-1].get_xdata() for ax in drawn["training"].axes] == [[1, 1]] * 4
    bare = figures.training_curves(STEPS, EPOCHS.drop(columns="plain_wer"), 1, 0.021)
    assert len(bare.axes[2].lines) == 2


def test_the_last_word_error_rate_of_the_base_is_marked(drawn: dict[str, Figure]) -> None:
    losses, errors = drawn["pretraining"].axes
    assert losses.lines[0].get_ydata().tolist() == [3, 2, 1]
    assert errors.lines[0].get_ydata().tolist() == [90.0, 25.0]
    assert [text.get_text().strip() for text in errors.texts] == ["25.0%"]


def test_rewards_are_cumulative_shares_with_their_ties(drawn: dict[str, Figure]) -> None:
    left, right = drawn["rewards"].axes
    every, best, threshold = left.lines
    at = dict(zip(every.get_xdata().tolist(), every.get_ydata().tolist(), strict=True))
    assert (at[0.4], at[1.0]) == (0.5, 1.0)
    assert best.get_ydata().tolist() == [0, 0.5, 1]
    assert threshold.get_xdata() == [0.4, 0.4]
    words = _words(drawn["rewards"])
    assert "all completions: 4, mean 0.650, 50.0% earn exactly 1" in words
    assert "threshold 0.4: 0.0% of the best earn less, 50.0% just that" in words
    curve = raft.best_of_curve(COMPLETIONS)["value"]
    assert right.lines[0].get_ydata().tolist() == curve.tolist()
    assert right.get_ylim() == (0, 1), "no difference looks larger than it is"
    bare = figures.rewards(REWARDS, REWARDS, None, raft.best_of_curve(COMPLETIONS))
    assert len(bare.axes[0].lines) == 2
