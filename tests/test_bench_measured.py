"""What 04 shows of measured systems, here made-up ones; `test_report_smoke` measures real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from evoxtral import bench, metrics, paper, params, tables, tags, tracking
from evoxtral.bench import measured, views
from evoxtral.bench.measured import Measured, Split
from evoxtral.figures import PipelineFacts, RaftFacts
from evoxtral.params import Benchmark
from evoxtral.predictions import Prediction, read_predictions
from helpers import fresh_python

PAPER = paper.load()


def config(**changes: object) -> Benchmark:
    return params.profile("04_benchmark", "smoke").model_copy(update=changes)


def _split(name: str, clips: int) -> Split:
    """RL writes every tag but each fifth, SFT every tag but each third, base none."""
    references = {f"{name}-{k}": f"[{tags.TAGS[k % 17]}] oh NO it is {k}" for k in range(clips)}
    references |= {f"{name}-plain-{k}": f"it is {k}" for k in range(clips // 5)}
    systems = {"base": 1, "SFT": 3, "RL": 5}
    predictions = {bench.NO_TAGS: bench.no_tags(references)}
    for system, step in systems.items():
        texts = [
            tags.plain_text(text) if k % step == 0 else text
            for k, text in enumerate(references.values())
        ]
        texts[-1] = f"[sad] {texts[-1]}" if system == "RL" else texts[-1]
        texts[0] += f" {'um ' * (6 - step)}"
        rows = zip(references, texts, strict=True)
        predictions[system] = [Prediction(clip, text) for clip, text in rows]
    evaluations = {system: bench.evaluate(references, rows) for system, rows in predictions.items()}
    return Split(name, predictions, evaluations)


@pytest.fixture(scope="module")
def made_up() -> Measured:
    return Measured(
        profile="tiny",
        seed=0,
        headline=_split("natural", 68),
        balanced=_split("balanced", 34),
        seen=_split("validation", 17),
        origins=dict.fromkeys((bench.NO_TAGS, "base", "SFT", "RL"), "made up"),
        settings={"Training clips": 808},
        rl_settings={"Epochs": "1", "Ours": "only"},
        pipeline=PipelineFacts.from_numbers(PAPER.numbers, PAPER.core),
        raft=RaftFacts.from_numbers(PAPER.numbers),
    )


WITH_PAPER = (
    views.recipes, views.core, views.changes, views.per_tag, views.noise, views.uncertainty,
    views.limits,
)  # fmt: skip
ALONE = (
    views.systems, views.pipelines, views.strict, views.rare_tags, views.confusion, views.counts,
    views.positions, views.choices,
)  # fmt: skip


VIEWS = [*WITH_PAPER, *ALONE]


def _shown(view: Callable[..., views.Shown], found: Measured) -> views.Shown:
    return view(found, PAPER) if view in WITH_PAPER else view(found)


@pytest.fixture(scope="module")
def shown(made_up: Measured) -> dict[str, views.Shown]:
    """What each view shows, by its name."""
    return {view.__name__: _shown(view, made_up) for view in VIEWS}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_view_shows_something_and_nothing_where_nothing_was_measured(
    view: Callable[..., views.Shown], shown: dict[str, views.Shown]
) -> None:
    assert shown[view.__name__]
    for one in shown[view.__name__].values():
        if isinstance(one, tables.Table):
            assert one.cells()
        else:
            assert isinstance(one, Figure)
            assert one.get_label(), "a figure says in words what it shows"
    assert _shown(view, measured.measure(config(source="paper"))) == {}


def test_a_tiny_run_is_never_called_a_reproduction(shown: dict[str, views.Shown]) -> None:
    for table in (shown["core"]["table2_measured"], shown["per_tag"]["table3_measured"]):
        assert isinstance(table, tables.Table)
        frame = table.frame
        assert set(frame["verdict"]) <= {"same method, tiny world", "not measured"}
        assert {"paper", "measured", "delta", "low", "high", "n"} <= set(frame)
        known = frame[frame["measured"].notna()]
        assert (known["measured"] - known["paper"] - known["delta"]).abs().max() < 1e-12


def test_files_of_different_views_have_different_names(shown: dict[str, views.Shown]) -> None:
    names = [name for own in shown.values() for name in own]
    assert len(names) == len(set(names))


def test_limits_quote_what_was_measured(made_up: Measured) -> None:
    frame = views.limits(made_up, PAPER)["limits"].frame.set_index("limit")["measured"]
    own = made_up.headline.evaluations["RL"].paper()["hallucination"].value
    assert f"RL: {100 * own:.1f}%" in frame["Tag hallucination"]
    assert "missing labels look like hallucination" in frame["Tag hallucination"]
    assert "2 times or more (17 tags)" in frame["Rare tag coverage"]
    assert "From the first 50 clips to all 81" in frame["Evaluation scope"]
    assert frame["English only"] == "Not measured: English only."
    assert "808 clips" in frame["Small dataset"]


def test_label_noise_is_measured_for_one_system(made_up: Measured) -> None:
    assert set(made_up.noise["system"]) == {"RL"}
    rows = made_up.noise[made_up.noise["protocol"] == bench.PAPER]
    assert rows["value"].is_monotonic_increasing


def test_the_measured_spread_is_that_of_the_clips(made_up: Measured) -> None:
    frame = views.uncertainty(made_up, PAPER)["tag_f1_errors_measured"].frame
    row = frame.set_index("system").loc["SFT"]
    scores = pd.Series(
        [
            metrics.evaluate([c.reference], [c.prediction]).paper()["tag_f1"].value
            for c in made_up.headline.evaluations["SFT"].clips
        ]
    )
    assert row["mean"] == pytest.approx(scores.mean())
    assert row["sd"] == pytest.approx(scores.std())
    assert row["se_few"] == pytest.approx(scores.std() / 50**0.5)


def test_predictions_can_be_scored_again(made_up: Measured, tmp_path: Path) -> None:
    rows = made_up.prediction_rows()
    assert set(rows) == {
        f"{split}-{system}"
        for split in ("natural", "balanced")
        for system in ("no_tags", "base", "sft", "rl")
    }
    path = tmp_path / "rl.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows["natural-rl"]))
    references = {row["id"]: row["reference"] for row in rows["natural-rl"]}
    again = bench.evaluate(references, read_predictions(path, list(references)))
    assert again.paper().keys() == made_up.headline.evaluations["RL"].paper().keys()
    assert again == made_up.headline.evaluations["RL"]


def test_published_numbers_need_no_deep_learning_framework() -> None:
    script = (
        "import sys\n"
        "from evoxtral import checks, figures, paper, params, tables, tracking\n"
        "from evoxtral.bench import measured, views\n"
        "from evoxtral.report import Report\n"
        "cfg = params.profile('04_benchmark', 'tiny').model_copy(update={'source': 'paper'})\n"
        "found = measured.measure(cfg)\n"
        "tracking.log(cfg, found)\n"
        "print(found.empty, {'torch', 'transformers', 'peft'} & set(sys.modules))\n"
    )
    assert fresh_python(script) == "True set()\n"


def test_each_system_but_the_baseline_gets_a_run_of_the_tracker(
    made_up: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, dict[str, object]] = {}

    @contextmanager
    def tracker(cfg: Benchmark, folder: Path, name: str) -> Iterator[SimpleNamespace]:
        assert folder.is_relative_to(tmp_path)
        yield SimpleNamespace(log=logged.setdefault(name, {}).update)

    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path))
    monkeypatch.setattr(tracking, "tracker", tracker)
    tracking.log(config(), made_up)
    assert logged == {}, "the default is disabled"
    tracking.log(config(tracker="offline"), made_up)
    assert list(logged) == ["base eval", "SFT eval", "RL eval"]
    own = made_up.headline.evaluations["RL"].paper()["tag_f1"].value
    assert logged["RL eval"][f"{bench.PAPER}/tag_f1"] == own
    assert len(logged["RL eval"]["transcripts"].data) == 50
