"""One score frame for everything; `test_report_smoke` measures real systems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from evoxtral import UserError, analyses, bench, metrics, paper, params, tags
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


def test_every_number_is_the_metrics_own() -> None:
    scores = bench.score_frame(SPLIT, seed=3)
    assert set(scores["split"]) == {"natural"}
    rows = scores.set_index(["system", "protocol", "metric"])
    expected = 0
    for system, evaluation in SPLIT.evaluations.items():
        for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
            intervals = evaluation.intervals(protocol, seed=3)
            per_tag = {f"f1[{tag}]": own for tag, own in evaluation.per_tag(protocol).items()}
            for key, metric in (evaluation.table(protocol) | per_tag).items():
                row, i = rows.loc[(system, name, key)], intervals[key]
                wanted = (i.value, i.low, i.high, metric.n, metric.support)
                numbers = row[["value", "low", "high", "n", "support"]]
                assert tuple(numbers) == pytest.approx(wanted, nan_ok=True)
                expected += 1
    assert len(rows) == expected == len(bench.overall(scores)) + len(bench.by_tag(scores))


def test_differences_are_those_of_the_metrics() -> None:
    rows = bench.paired_frame(SPLIT, "no tags", seed=3).set_index(["protocol", "metric"])
    assert set(rows["system"]) == {"SFT"}
    pair = SPLIT.evaluations["SFT"], SPLIT.evaluations["no tags"]
    for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
        found = metrics.compare(*pair, protocol, seed=3)
        assert set(rows.loc[name].index) == set(found)
        for key, i in found.items():
            row = rows.loc[(name, key), ["difference", "low", "high", "n"]]
            assert tuple(row) == pytest.approx((i.value, i.low, i.high, i.n), nan_ok=True)
    other = Split("x", SPLIT.evaluations | {"RL": metrics.evaluate(REFERENCES[1:], SFT[1:])})
    with pytest.raises(UserError, match="same clips"):
        bench.paired_frame(other, "SFT")


def test_a_wide_frame_has_what_all_systems_have() -> None:
    scores = bench.score_frame(SPLIT)
    strict = scores[scores["protocol"] == STRICT]
    paired = bench.paired_frame(SPLIT, "no tags")
    frame = bench.wide(strict, paired[paired["protocol"] == STRICT]).set_index("key")
    assert "f1[calm]" not in frame.index  # only SFT writes it
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
    assert "(20 clips) to the test set" in frame["Synthetic training data"]
    assert "2 times or more (17 tags)" in frame["Rare tag coverage"]
    assert "From the first 50 clips to all 81" in frame["Evaluation scope"]
    assert frame["English only"] == "Not measured: English only."
    assert "808 clips" in frame["Small dataset"]


def test_counts_stand_behind_the_f1_of_rare_tags(made_up: Measured) -> None:
    frame = analyses.rare_tags(made_up)
    assert len(frame) == 2 * 17
    f1 = 2 * frame["precision"] * frame["recall"] / (frame["precision"] + frame["recall"])
    assert list(frame["value"]) == pytest.approx(list(f1))


def test_the_measured_spread_is_that_of_the_clips(made_up: Measured) -> None:
    row = analyses.spread(made_up.headline, 50).set_index("system").loc["SFT"]
    clips = made_up.headline.evaluations["SFT"].clips
    scores = [clip.paper.tags.f1 for clip in clips]
    mean = sum(scores) / len(scores)
    sd = (sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5
    wanted = (mean, sd, sd / 50**0.5, sd / len(scores) ** 0.5)
    assert tuple(row[["mean", "sd", "se_few", "se"]]) == pytest.approx(wanted)


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
        "from evoxtral import analyses, bench, claims, events, figures, paper, params, tables\n"
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
