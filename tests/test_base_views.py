"""Tables and figures of the base notebook show the numbers they are given."""

from __future__ import annotations

import pandas as pd
import pytest

from evoxtral import cards, figures, params, tables
from evoxtral.world.base import score
from evoxtral.world.base.model import Architecture

WORDS = pd.DataFrame(
    {
        "set": ["neutral", "expressive"],
        "clips": [500, 400],
        "wer": [0.05, 0.31],
        "wer_normalised": [0.04, 0.3],
        "low": [0.03, 0.28],
        "high": [0.052, 0.33],
        "tagged": [0, 2],
    }
)
PROBES = pd.DataFrame(
    {
        "tag": ["laughs", "calm", "pause"],
        "group": ["nonverbal", "emotion", "pause"],
        "auc": [0.99, 0.41, 0.95],
        "clips": [120, 120, 120],
    }
)
LOG = pd.DataFrame(
    {
        "step": [50, 100, 150],
        "frames": [3.0, 2.0, 1.0],
        "transcription": [5.0, 4.0, 2.0],
        "text": [6.0, 5.0, 4.0],
        "dev_wer": [None, 0.9, 0.25],
    }
)


def test_word_errors_are_printed_with_their_interval() -> None:
    assert tables.of("transcription", WORDS).cells() == [
        ["neutral", "500", "5.0%", "4.0%", "3.0 to 5.2%", "0"],
        ["expressive", "400", "31.0%", "30.0%", "28.0 to 33.0%", "2"],
    ]


def test_the_curve_marks_the_last_word_error_rate() -> None:
    figure = figures.pretraining_curve(LOG)
    losses, errors = figure.axes
    assert [line.get_label() for line in losses.lines] == [
        "frames heard",
        "words written",
        "text read",
    ]
    assert losses.lines[1].get_ydata().tolist() == LOG["transcription"].tolist()
    assert errors.lines[0].get_ydata().tolist() == [90.0, 25.0]
    assert [text.get_text() for text in errors.texts] == ["25.0%"]


def test_every_probe_is_inside_the_figure_best_on_top() -> None:
    figure = figures.probe_ceiling(PROBES)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "[calm]",
        "[pause]",
        "[laughs]",
    ]
    assert axes.get_xlim()[0] < PROBES["auc"].min()


def test_the_architecture_is_counted() -> None:
    frame = score.architecture_sizes(Architecture(), merges=800).set_index("part")
    assert frame.loc["all parameters", "mini"] == 4_676_271_104
    assert frame.loc["audio positions per window"].tolist() == [100, 375]
    parts = ["audio encoder", "projector", "language model", "output layer"]
    for column in ("tiny", "mini"):
        assert frame.loc[parts, column].sum() == frame.loc["all parameters", column]


@pytest.mark.parametrize("profile", ["smoke", "tiny"])
def test_the_card_quotes_the_run(profile: str) -> None:
    cfg = params.profile(params.TinyBase, profile)
    text = cards.base_card(cfg, 3_496_704, WORDS, PROBES)
    assert "3.5 million parameters" in text
    assert f"{cfg.steps:,} steps of {cfg.batch} utterances" in text
    assert '{"pad_to_multiple_of": 128000, "max_source_positions": 800}' in text
    assert "| neutral | 500 | 5.0% | 4.0% | 3.0 to 5.2% | 0 |" in text
    assert r"| \[laughs\] | nonverbal | 0.990 | 120 |" in text
