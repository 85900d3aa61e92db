"""One score frame for everything; `test_report_smoke` measures real systems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from evoxtral import UserError, analyses, bench, metrics, paper, params, stats, tags
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


def _made_up(name: str, clips: int) -> Split:
    """RL writes every tag but each fifth, SFT every tag but each third, base none."""
    references = [f"[{tags.TAGS[k % 17]}] oh NO it is {k}" for k in range(clips)]
    references += [f"it is {k}" for k in range(clips // 5)]
    texts = {bench.NO_TAGS: [tags.plain_text(text) for text in references]}
    for system, step in {"base": 1, "SFT": 3, "RL": 5}.items():
        texts[system] = [
            tags.plain_text(text) if k % step == 0 else text for k, text in enumerate(references)
        ]
        texts[system][0] += f" {'um ' * (6 - step)}"
    texts["RL"][-1] = f"[sad] {texts['RL'][-1]}"
    ids = [f"{name}-{k}" for k in range(len(references))]
    return Split(name, {s: metrics.evaluate(references, own, ids=ids) for s, own in texts.items()})


@pytest.fixture(scope="module")
def made_up() -> Measured:
    return Measured(
        seed=0,
        seeds=1,
        headline=_made_up("natural", 68),
        balanced=_made_up("balanced", 34),
        plain=None,
        kinds=pd.Series(dtype=str),
        seen=_made_up("validation", 17).evaluations["RL"],
        origins=dict.fromkeys((bench.NO_TAGS, "base", "SFT", "RL"), "made up"),
        settings={"Training clips": 808},
        rl_settings={"Epochs": "1", "Ours": "only"},
        numbers={},
        base="embedded",
    )


def test_limits_quote_what_was_measured(made_up: Measured, numbers: paper.Published) -> None:
    noise = analyses.noise_curve(made_up.headline)
    frame = analyses.limits(made_up, numbers, noise).set_index("limit")["measured"]
    own = made_up.headline.evaluations["RL"].table("paper")["hallucination"].value
    assert f"RL: {100 * own:.1f}%" in frame["Tag hallucination"]
    assert "missing labels look like hallucination" in frame["Tag hallucination"]
    needed = (0.202 - own) / (1 - own)
    said = f"{100 * needed:.1f}% missing would turn this run's rate into the printed one."
    assert said in frame["Tag hallucination"]
    assert "(20 clips) to the test set" in frame["Synthetic training data"]
    assert "2 times or more (17 tags)" in frame["Rare tag coverage"]
    assert "From the first 50 clips to all 81" in frame["Evaluation scope"]
    assert "808 clips" in frame["Small dataset"]
    small = replace(made_up, headline=made_up.balanced, seen=None)
    noise = analyses.noise_curve(small.headline, (0.0,))
    frame = analyses.limits(small, numbers, noise).set_index("limit")["measured"]
    assert frame["Evaluation scope"] == "Not measured: this run has 40 test clips only."
    assert frame["Tag hallucination"].endswith(", no rise shown.")
    assert frame["Synthetic training data"].endswith("all audio here is synthetic too.")


def test_what_stands_behind_f1(made_up: Measured) -> None:
    frame = analyses.rare_tags(made_up)
    assert len(frame) == 2 * 17
    f1 = 2 * frame["precision"] * frame["recall"] / (frame["precision"] + frame["recall"])
    assert list(frame["value"]) == pytest.approx(list(f1))
    clips = made_up.headline.evaluations["SFT"].clips
    scores = pd.Series([clip.paper.tags.f1 for clip in clips])
    found = analyses.spread(made_up.headline)
    assert found["sft"] == pytest.approx((scores.mean(), scores.std()))
    [row] = paper.tag_f1_errors(paper.load(), {"sft": found["sft"]}).tail(1).to_numpy().tolist()
    assert row[2:] == ["measured here", scores.std(), pytest.approx(scores.std() / 50**0.5)]
    known = made_up.tag_f1().set_index("tag")
    assert known.loc["sad", ["support", "no tags"]].tolist() == [4, 0]


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
    made_up: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, dict[str, object]] = {}

    @contextmanager
    def tracker(cfg: Benchmark, folder: Path, name: str) -> Iterator[SimpleNamespace]:
        assert folder.is_relative_to(tmp_path)
        yield SimpleNamespace(log=logged.setdefault(name, {}).update)

    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path))
    monkeypatch.setattr("evoxtral.pipeline.tracker", tracker)
    bench.track(config(), made_up)
    assert logged == {}, "the default is disabled"
    bench.track(config(tracker="offline"), made_up)
    assert list(logged) == ["base eval", "SFT eval", "RL eval"]
    own = made_up.headline.evaluations["RL"].table("paper")["tag_f1"].value
    assert logged["RL eval"][f"{bench.PAPER}/tag_f1"] == own
    path = Path(logged["RL eval"]["transcripts"]._path)
    assert path.read_text().count("<tr>") == 50
