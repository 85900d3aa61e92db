"""One score frame for everything; `test_report_smoke` measures real systems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from evoxtral import UserError, bench, metrics, params, stats, tags
from evoxtral.bench import STRICT, Measured, Split
from evoxtral.params import Benchmark
from helpers import fresh_python

REFERENCES = ["[sad] oh NO [pause] well", "nothing here", "[laughs] that is [sniffs] fine",
              "[pause] and so it goes"]  # fmt: skip
SFT = ["[calm] oh NO [pause] well", "[sad] nothing here", "that is fine", "[pause] and so goes"]
SPLIT = Split(
    "natural",
    {
        "no tags": metrics.evaluate(REFERENCES, [tags.plain_text(text) for text in REFERENCES]),
        "SFT": metrics.evaluate(REFERENCES, SFT),
    },
)


def config(**changes: object) -> Benchmark:
    return params.profile(params.Benchmark, "smoke").model_copy(update=changes)


def test_frames_are_the_metrics_bootstrapped_alone() -> None:
    """Systems, protocols and tags together give what each gives by itself."""
    keys = ["system", "protocol", "metric"]
    scores = bench.score_frame(SPLIT, seed=3).set_index(keys)
    paired = bench.paired_frame(SPLIT, [("no tags", "SFT")], seed=3).set_index(keys)
    found = {
        (system, protocol, name): metric
        for system, evaluation in SPLIT.evaluations.items()
        for protocol, own in bench.PROTOCOLS.items()
        for name, metric in own(evaluation).items()
    }
    assert list(scores.index) == list(found)
    for key, metric in found.items():
        [i] = stats.bootstrap_intervals({key: metric.ratio}, seed=3).values()
        wanted = (metric.value, i.low, i.high, metric.n, metric.support)
        numbers = scores.loc[key, ["value", "low", "high", "n", "support"]]
        assert tuple(numbers) == pytest.approx(wanted, nan_ok=True)
    # What only SFT writes has no difference.
    both = [("SFT", *key) for system, *key in found if system == "no tags"]
    assert set(paired.index) == set(both)
    for system, *key in both:
        sides = ({"": found[name, *key].ratio} for name in (system, "no tags"))
        [i] = stats.paired_differences(*sides, seed=3).values()
        numbers = paired.loc[(system, *key), ["difference", "low", "high", "n"]]
        assert tuple(numbers) == pytest.approx((i.value, i.low, i.high, i.n), nan_ok=True)


def test_frames_of_some_metrics_and_of_no_pair() -> None:
    scores = bench.score_frame(SPLIT, only=("wer", "cer"))
    assert list(scores["metric"]) == ["wer", "cer"] * 4
    assert bench.paired_frame(SPLIT, []).empty
    other = Split("x", SPLIT.evaluations | {"RL": metrics.evaluate(REFERENCES[1:], SFT[1:])})
    for ask in (bench.score_frame, lambda split: bench.paired_frame(split, [("SFT", "RL")])):
        with pytest.raises(UserError, match="same clips"):
            ask(other)


def test_a_wide_frame_has_a_row_for_each_metric() -> None:
    scores, paired = bench.score_frame(SPLIT), bench.paired_frame(SPLIT, [("no tags", "SFT")])
    frame = bench.wide(*(own[own["protocol"] == STRICT] for own in (scores, paired)))
    row = frame.loc["tag_f1"]
    assert row["SFT_low"] <= row["SFT"] <= row["SFT_high"]
    assert row["SFT_difference"] == row["SFT"] - row["no tags"]
    assert "no tags_difference" not in frame


def test_published_numbers_need_no_deep_learning_framework() -> None:
    script = (
        "import sys\n"
        "from evoxtral import analyses, bench, figures, paper, params, tables\n"
        "from evoxtral.report import Report\n"
        "cfg = params.profile(params.Benchmark, 'tiny').model_copy(update={'source': 'paper'})\n"
        "found = bench.measure(cfg)\n"
        "bench.track(cfg, found)\n"
        "print(found, {'torch', 'transformers', 'peft'} & set(sys.modules))\n"
    )
    assert fresh_python(script) == "None set()\n"


def test_each_system_but_the_baseline_gets_a_run_of_the_tracker(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, dict[str, object]] = {}

    @contextmanager
    def tracker(cfg: Benchmark, folder: Path, name: str) -> Iterator[SimpleNamespace]:
        assert folder.is_relative_to(tmp_path)
        yield SimpleNamespace(log=logged.setdefault(name, {}).update)

    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path))
    monkeypatch.setattr("evoxtral.pipeline.tracker", tracker)
    bench.track(config(), measured)
    assert logged == {}, "the default is disabled"
    bench.track(config(tracker="offline"), measured)
    assert list(logged) == ["base eval", "SFT eval", "RL eval"]
    own = measured.headline.evaluations["RL"].table("paper")["tag_f1"].value
    assert logged["RL eval"][f"{bench.PAPER}/tag_f1"] == own
    path = Path(logged["RL eval"]["transcripts"]._path)
    assert path.read_text().count("<tr>") == 50
