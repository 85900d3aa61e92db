"""Figures of rejection sampling draw what their frames hold."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from evoxtral import UserError, figures, metrics, raft, tables

REFERENCES = {"a": "[sad] oh no", "b": "hi there", "c": "[calm] all is well"}
SAID = {
    "a": ["[sad] oh no", "oh no"],
    "b": ["hi there", "hi there"],
    "c": ["all is well", "[calm] all is"],
}
COMPLETIONS = [
    raft.Completion(clip, k, text, 4, True)
    for clip, texts in SAID.items()
    for k, text in enumerate(texts)
]
ROWS = raft.score(COMPLETIONS, REFERENCES, metrics.RewardWeights(), convention="strict")
TEXTS = list(REFERENCES.values())
SCORED = {
    "SFT": metrics.evaluate(TEXTS, ["oh no", "[sad] hi there", "all is well"]),
    "RL": metrics.evaluate(TEXTS, TEXTS),
    "random of 4": metrics.evaluate(TEXTS, ["oh so", "hi there", "all is well"]),
}


def test_rewards_are_cumulative_shares() -> None:
    figure = figures.reward_distribution([0.2, 0.4, 1.0, 1.0], [0.4, 1.0], 0.4)
    every, best, threshold = figure.axes[0].lines
    at = dict(zip(every.get_xdata().tolist(), every.get_ydata().tolist(), strict=True))
    assert (at[0.4], at[1.0]) == (50.0, 100.0)
    assert best.get_ydata().tolist() == [0, 50, 100, 100]
    assert threshold.get_xdata() == [0.4, 0.4]
    assert "all completions: 4, mean 0.650" in figure.get_label()
    assert "threshold 0.400: 50.0% of the best not above" in figure.get_label()


def test_rewards_without_a_threshold_or_all_equal() -> None:
    assert len(figures.reward_distribution([1.0] * 3, [1.0]).axes[0].lines) == 2
    with pytest.raises(UserError, match="at least one clip"):
        figures.reward_distribution([], [])


def test_groups_are_counted_by_what_can_be_chosen() -> None:
    groups = raft.group_table(ROWS)
    figure = figures.group_spread(groups)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx([100 / 3, 0, 200 / 3])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(200 / 3)
    assert "same text 33.3% of clips" in figure.get_label()


def test_groups_all_alike_leave_nothing_to_draw_on_the_right() -> None:
    same = raft.group_table(ROWS[ROWS["clip"] == "b"])
    figure = figures.group_spread(same)
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 0
    with pytest.raises(UserError, match="no groups"):
        figures.group_spread(same.iloc[:0])


def test_best_of_k_draws_a_panel_per_score() -> None:
    curve = raft.best_of_curve(ROWS, ("reward", "wer"))
    figure = figures.best_of_k(curve)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Reward ↑", "WER ↓"]
    wanted = curve.loc[curve["column"] == "reward", "value"]
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(wanted.to_numpy())
    assert "From best of 1 to best of 2" in figure.get_label()
    with pytest.raises(UserError, match="no curve"):
        figures.best_of_k(curve.iloc[:0])


def test_best_of_one_clip_has_no_interval() -> None:
    figure = figures.best_of_k(raft.best_of_curve(ROWS[ROWS["clip"] == "a"]))
    assert len(figure.axes[0].lines) == 1
    assert figures.save_figure(figure)


def differences() -> Figure:
    frame = tables.scores(SCORED, ("wer", "tag_f1", "hallucinated_per_untagged")).frame
    return figures.raft_differences(frame)


def test_differences_are_in_points_around_zero() -> None:
    figure = differences()
    frame = tables.scores(SCORED, ("tag_f1",)).frame
    ax = figure.axes[1]
    assert ax.lines[0].get_xdata() == [0, 0]
    assert ax.lines[2].get_xdata() == pytest.approx([100 * frame["RL_difference"].iloc[0]])
    assert sum(ax.get_xlim()) == pytest.approx(0)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["RL", "random of 4"]
    assert [panel.get_title(loc="left").splitlines()[-1] for panel in figure.axes] == [
        "points, ← better",
        "points, better →",
        "← better",
    ]
    assert "Differences to SFT" in figure.get_label()


def test_filled_marks_are_those_without_zero() -> None:
    frame = tables.scores(SCORED, ("tag_f1",)).frame
    for low, filled in ((-0.1, False), (0.1, True)):
        ends = {"RL_difference": 0.2, "RL_difference_low": low, "RL_difference_high": 0.3}
        mark = figures.raft_differences(frame.assign(**ends)).axes[0].lines[2]
        assert (mark.get_markerfacecolor() == mark.get_color()) is filled


def test_differences_need_two_systems() -> None:
    alone = tables.scores({"SFT": SCORED["SFT"]}, ("wer",)).frame
    for frame in (alone, pd.DataFrame()):
        with pytest.raises(UserError, match="compare at least two"):
            figures.raft_differences(frame)


def test_per_tag_change_is_the_existing_figure() -> None:
    both = tables.tag_scores({"SFT": SCORED["SFT"], "RL": SCORED["RL"]}).frame
    rows = both.dropna().rename(columns={"SFT": "sft", "RL": "rl"})
    assert "sad 0.000 to 1.000 (n 1)" in figures.per_tag_dumbbell(rows).get_label()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.reward_distribution(ROWS["reward"], [1.0, 0.5], 0.7),
        differences,
    ],
)
def test_figures_are_the_same_bytes_twice(draw) -> None:
    assert figures.save_figure(draw()) == figures.save_figure(draw())
