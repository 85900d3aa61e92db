"""One score frame for everything; `test_report_smoke` measures real systems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from evoxtral import UserError, analyses, bench, metrics, paper, params, stats, tags
from evoxtral.bench import PAPER, STRICT, Measured, Split
from evoxtral.params import Benchmark
from evoxtral.pipeline import read_predictions
from evoxtral.world.scripts import read_released, split_released
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
    scores, pairs = bench.score_frame(SPLIT, seed=3), [("no tags", "SFT")]
    rows = scores.set_index(["system", "protocol", "metric"])
    paired = bench.paired_frame(SPLIT, pairs, seed=3).set_index(["protocol", "metric"])
    assert set(scores["split"]) == {"natural"}
    assert set(paired["system"]) == {"SFT"}
    expected, found = 0, {}
    for system, evaluation in SPLIT.evaluations.items():
        for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
            per_tag = {f"f1[{tag}]": own for tag, own in evaluation.per_tag(protocol).items()}
            for key, metric in (evaluation.table(protocol) | per_tag).items():
                [i] = stats.bootstrap_intervals({key: metric.ratio}, seed=3).values()
                wanted = (metric.value, i.low, i.high, metric.n, metric.support)
                numbers = rows.loc[(system, name, key), ["value", "low", "high", "n", "support"]]
                assert tuple(numbers) == pytest.approx(wanted, nan_ok=True)
                found[system, name, key] = metric.ratio
                expected += 1
    assert len(rows) == expected == len(bench.overall(scores)) + len(bench.by_tag(scores))
    assert (PAPER, "f1[calm]") not in paired.index  # only SFT writes it
    for (name, key), row in paired.iterrows():
        sides = ({key: found[system, name, key]} for system in ("SFT", "no tags"))
        [i] = stats.paired_differences(*sides, seed=3).values()
        wanted = (i.value, i.low, i.high, i.n)
        assert tuple(row[["difference", "low", "high", "n"]]) == pytest.approx(wanted, nan_ok=True)
    assert len(paired) == len([key for system, *key in found if system == "no tags"])


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
    strict = (frame[frame["protocol"] == STRICT] for frame in (scores, paired))
    frame = bench.wide(*strict)
    row = frame.loc["tag_f1"]
    assert row["SFT"] == SPLIT.evaluations["SFT"].table("strict")["tag_f1"].value
    assert row["SFT_low"] <= row["SFT"] <= row["SFT_high"]
    assert row["SFT_difference"] == row["SFT"] - row["no tags"]
    assert "no tags_difference" not in frame


def test_the_baseline_is_the_report_s_base_row(released_path: Path) -> None:
    scripts = split_released(read_released(released_path))["test"][:50]
    references = [script.tagged_text for script in scripts]
    evaluation = metrics.evaluate(references, [tags.plain_text(text) for text in references])
    printed = paper.load().core.set_index("key")["base"]
    ours = {name: metric.value for name, metric in evaluation.table("paper").items()}
    for key in ("tag_f1", "tag_precision", "tag_recall", "emphasis_f1", "hallucination"):
        assert ours[key] == printed[key]
    assert ours["wer"] == 0
    assert evaluation.tagged().table("paper")["tag_f1"].value == 0


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
        profile="tiny",
        seed=0,
        headline=_made_up("natural", 68),
        balanced=_made_up("balanced", 34),
        seen=_made_up("validation", 17),
        origins=dict.fromkeys((bench.NO_TAGS, "base", "SFT", "RL"), "made up"),
        settings={"Training clips": 808},
        rl_settings={"Epochs": "1", "Ours": "only"},
        numbers={},
        base="embedded",
    )


def test_limits_quote_what_was_measured(made_up: Measured, numbers: paper.Published) -> None:
    noise = analyses.noise_curve(made_up.headline)
    assert noise.loc[noise["protocol"] == PAPER, "value"].is_monotonic_increasing
    frame = analyses.limits(made_up, numbers, noise).set_index("limit")["measured"]
    own = made_up.headline.evaluations["RL"].table("paper")["hallucination"].value
    assert f"RL: {100 * own:.1f}%" in frame["Tag hallucination"]
    assert "missing labels look like hallucination" in frame["Tag hallucination"]
    assert "would turn this run's rate into the printed one." in frame["Tag hallucination"]
    assert "(20 clips) to the test set" in frame["Synthetic training data"]
    assert "2 times or more (17 tags)" in frame["Rare tag coverage"]
    assert "From the first 50 clips to all 81" in frame["Evaluation scope"]
    assert frame["English only"] == "Not measured: English only."
    assert "808 clips" in frame["Small dataset"]


def test_limits_leave_out_what_was_not_measured(
    made_up: Measured, numbers: paper.Published
) -> None:
    small = replace(made_up, headline=made_up.balanced, seen=Split("validation", {}))
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
    row = analyses.spread(made_up.headline, 50).set_index("system").loc["SFT"]
    clips = made_up.headline.evaluations["SFT"].clips
    scores = pd.Series([clip.paper.tags.f1 for clip in clips])
    sd = scores.std()
    wanted = (scores.mean(), sd, sd / 50**0.5, sd / len(scores) ** 0.5)
    assert tuple(row[["mean", "sd", "se_few", "se"]]) == pytest.approx(wanted)
    known = made_up.tag_f1().set_index("tag")
    assert known.loc["sad", ["support", "no tags"]].tolist() == [4, 0]


def test_predictions_can_be_scored_again(made_up: Measured, tmp_path: Path) -> None:
    rows = made_up.prediction_rows()
    systems = ("no_tags", "base", "sft", "rl")
    assert set(rows) == {f"{split}-{s}" for split in ("natural", "balanced") for s in systems}
    path = tmp_path / "rl.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows["natural-rl"]))
    references = {row["id"]: row["reference"] for row in rows["natural-rl"]}
    wrote = read_predictions(path, list(references))
    again = metrics.evaluate(list(references.values()), wrote, ids=list(references))
    assert again == made_up.headline.evaluations["RL"]


def test_published_numbers_need_no_deep_learning_framework() -> None:
    script = (
        "import sys\n"
        "from evoxtral import analyses, bench, events, figures, paper, params, tables\n"
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
    monkeypatch.setattr(bench, "tracker", tracker)
    bench.track(config(), made_up)
    assert logged == {}, "the default is disabled"
    bench.track(config(tracker="offline"), made_up)
    assert list(logged) == ["base eval", "SFT eval", "RL eval"]
    own = made_up.headline.evaluations["RL"].table("paper")["tag_f1"].value
    assert logged["RL eval"][f"{bench.PAPER}/tag_f1"] == own
    assert len(logged["RL eval"]["transcripts"].data) == 50
