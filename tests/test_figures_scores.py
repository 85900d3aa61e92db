"""Figures of scores draw what their frames hold."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from evoxtral import UserError, figures, metrics, tables, tags
from evoxtral.figures.style import looks

REFERENCES = ["[sad] a b c", "a b c d", "[calm] a [pause] b", "x y z"]
SCORED = {
    "base": metrics.evaluate(REFERENCES, ["a b", "a b c c", "a b", "x y z"]),
    "SFT": metrics.evaluate(REFERENCES, ["[sad] a b c", "a b c d", "[calm] a b", "[sad] x y z"]),
}


def titles(figure: Figure) -> list[str]:
    return [ax.get_title(loc="left") for ax in figure.axes if ax.axison]


def test_system_scores_draw_dots_and_intervals() -> None:
    frame = tables.scores(SCORED, ("wer", "tag_f1", "hallucinated_per_untagged")).frame
    figure = figures.system_scores(frame)
    assert titles(figure) == ["WER, % ↓", "Tag F1, % ↑", "Tags per untagged clip ↓"]
    row = frame.iloc[0]
    base = figure.axes[0].lines
    assert base[0].get_xdata() == pytest.approx([100 * row["base_low"], 100 * row["base_high"]])
    assert base[1].get_xdata() == pytest.approx([100 * row["base"]])
    per_clip = frame.iloc[2]["SFT"]
    assert figure.axes[2].lines[3].get_xdata() == pytest.approx([per_clip])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["Base", "SFT"]


def test_a_score_that_is_not_defined_has_no_dot() -> None:
    frame = tables.scores(SCORED, ("tag_precision",)).frame
    lines = figures.system_scores(frame).axes[0].lines
    assert {line.get_color() for line in lines} == {looks(["SFT"])["SFT"].color}


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"key": ["wer"]})])
def test_no_scores_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"frame of tables\.scores"):
        figures.system_scores(frame)
    with pytest.raises(UserError, match=r"frame of tables\.scores"):
        figures.tag_f1_with_ceiling(frame, {})


def test_ceiling_is_sorted_by_group_then_audibility() -> None:
    frame = tables.tag_scores(SCORED).frame
    auc = {tag: 0.5 + 0.02 * k for k, tag in enumerate(tags.TAGS)}
    left, right = figures.tag_f1_with_ceiling(frame, auc).axes
    labels = dict(zip(left.get_yticks(), left.get_yticklabels(), strict=True))
    order = [labels[y].get_text() for y in sorted(labels)]
    assert order[0] == "nonverbal"
    assert order[1] == "[crying]  0"
    assert order.index("[sad]  1") > order.index("emotion")
    heads = [name for name in order if not name.startswith("[")]
    assert heads == ["nonverbal", "delivery", "emotion", "pause"]
    [marks] = (line for line in right.lines if line.get_marker() == "D")
    assert sorted(marks.get_xdata()) == pytest.approx(sorted(auc.values()))


def test_unknown_systems_have_looks_of_their_own() -> None:
    found = looks(["no tags", "base", "RL", "a", "b"])
    assert len({(look.color, look.marker) for look in found.values()}) == 5
    assert found["RL"] is figures.SYSTEMS["rl"]
    assert found["no tags"].label == "No tags"
