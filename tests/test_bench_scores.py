"""Frames of scores hold what the metrics say, under a named protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoxtral import UserError, bench, metrics, paper
from evoxtral.bench import PAPER, STRICT
from evoxtral.predictions import Prediction
from evoxtral.world.scripts import read_released, split_released

REFERENCES = {
    "a": "[sad] oh NO [pause] well",
    "b": "nothing here",
    "c": "[laughs] that is [sniffs] fine",
    "d": "[pause] and so it goes",
}
SFT = [
    Prediction("d", "[pause] and so goes"),
    Prediction("a", "[calm] oh NO [pause] well"),
    Prediction("b", "[sad] nothing here"),
    Prediction("c", "that is fine"),
]


@pytest.fixture(scope="module")
def evaluations() -> dict[str, metrics.Evaluation]:
    systems = {"no tags": bench.no_tags(REFERENCES), "SFT": SFT}
    return {name: bench.evaluate(REFERENCES, rows) for name, rows in systems.items()}


@pytest.fixture(scope="module")
def scores(evaluations: dict[str, metrics.Evaluation]) -> bench.Scores:
    return bench.score(evaluations, seed=3)


def test_every_number_is_the_metrics_own(
    evaluations: dict[str, metrics.Evaluation], scores: bench.Scores
) -> None:
    rows = scores.metrics.set_index(["system", "protocol", "metric"])
    expected = 0
    for system, evaluation in evaluations.items():
        for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
            intervals = evaluation.intervals(protocol, seed=3)
            for metric in evaluation.table(protocol).values():
                row, i = rows.loc[(system, name, metric.name)], intervals[metric.name]
                assert tuple(row) == pytest.approx((i.value, i.low, i.high, metric.n), nan_ok=True)
                expected += 1
    assert len(rows) == expected


def test_protocols_carry_the_version_of_the_metrics() -> None:
    assert (f"paper/{metrics.PROTOCOL}", f"strict/{metrics.PROTOCOL}") == (PAPER, STRICT)


def test_predictions_are_matched_by_id(evaluations: dict[str, metrics.Evaluation]) -> None:
    clips = evaluations["SFT"].clips
    assert [clip.id for clip in clips] == list(REFERENCES)
    assert clips[1].prediction == "[sad] nothing here"


@pytest.mark.parametrize("rows", [SFT[:3], [*SFT, SFT[0]], [*SFT[:3], Prediction("e", "")]])
def test_other_clips_are_refused(rows: list[Prediction]) -> None:
    with pytest.raises(UserError, match="exactly one for each clip"):
        bench.evaluate(REFERENCES, rows)


def test_per_tag_rows(scores: bench.Scores) -> None:
    rows = scores.per_tag.set_index(["system", "protocol", "tag"])
    pause = rows.loc[("SFT", STRICT, "pause")]
    assert tuple(pause[["precision", "recall", "f1"]]) == (1, 1, 1)
    assert tuple(pause[["predicted", "support", "n"]]) == (2, 2, 2)
    sad = rows.loc[("SFT", PAPER, "sad")]
    assert tuple(sad[["precision", "recall", "f1", "predicted", "support"]]) == (0, 0, 0, 1, 1)
    assert rows.loc[("SFT", STRICT, "calm"), "support"] == 0
    assert rows.loc[("no tags", STRICT, "sniffs"), "support"] == 1


def test_frames_in_the_shape_of_the_published_tables(scores: bench.Scores) -> None:
    core = bench.core_frame(scores, paper.load().core)
    assert list(core["key"])[:3] == ["wer", "cer", "tag_f1"]
    row = core.set_index("key").loc["tag_f1"]
    assert row["no tags"] == 0.25
    assert row["sft_low"] <= row["sft"] <= row["sft_high"]
    per_tag = bench.per_tag_frame(scores)
    assert list(per_tag.columns) == ["tag", "no tags", "sft", "support"]
    assert list(per_tag["tag"]) == ["laughs", "pause", "sad", "sniffs"]
    assert list(per_tag["support"]) == [1, 2, 1, 1]


def test_the_baseline_is_the_report_s_base_row(released_path: Path) -> None:
    scripts = split_released(read_released(released_path))["test"][:50]
    references = {str(k): script.tagged_text for k, script in enumerate(scripts)}
    evaluation = bench.evaluate(references, bench.no_tags(references))
    printed = paper.load().core.set_index("key")["base"]
    ours = {name: metric.value for name, metric in evaluation.paper().items()}
    for key in ("tag_f1", "tag_precision", "tag_recall", "emphasis_f1", "hallucination"):
        assert ours[key] == printed[key]
    assert ours["wer"] == 0
    assert evaluation.tagged().paper()["tag_f1"].value == 0
