"""02 and 03 below their notebooks: the smoke profile's clips, the embedded base, real stages."""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from wandb.proto.wandb_internal_pb2 import Record

from evoxtral import UserError, bench, figures, metrics, params, pipeline, raft, runs, tags
from evoxtral.metrics.rewards import RewardWeights, reward
from evoxtral.mix import balance
from evoxtral.params import Raft, Sft
from evoxtral.pipeline import Setup, open_setup, tracker, transcripts
from helpers import killed


@pytest.fixture(scope="module", autouse=True)
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """The smoke profile's clips and the embedded base, in stages that this module shares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOXTRAL_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield open_setup(_sft())


def _sft(**changed: object) -> Sft:
    return params.profile(params.Sft, "smoke").model_copy(update=changed)


def _raft(**changed: object) -> Raft:
    return params.profile(params.Raft, "smoke").model_copy(update=changed)


def test_examples_are_drawn_as_often_as_the_mix_says(setup: Setup) -> None:
    targets, clips = pipeline.training_mix(setup), setup.clips("train")
    examples = pipeline.examples(setup, "train", targets, encoder_learns=False)
    mix = balance.read_mix(balance.training_mix(setup.mix_cfg, setup.source).path).set_index("id")
    assert Counter(clips[i].id for i in examples.draws) == mix["draws"].to_dict()
    weights = {clips[i].id: examples.weights[i] for i in examples.draws}
    assert weights == mix["weight"].to_dict()


def test_sft_learns_keeps_the_best_epoch_and_is_reused(setup: Setup) -> None:
    cfg = _sft(epochs=3)
    [tuned] = pipeline.sft_adapters(cfg, setup)
    first, last = tuned.steps["loss"].iloc[0], tuned.steps["loss"].iloc[-1]
    assert last < first
    assert list(tuned.epochs["epoch"].round()) == [0, 1, 2, 3]
    losses = tuned.epochs.set_index(tuned.epochs["epoch"].round())["validation_loss"]
    assert losses[tuned.best_epoch] == losses.loc[1:].min()
    before = len(runs.used_stages())
    assert pipeline.sft_adapters(cfg, setup)[0].adapter == tuned.adapter
    assert not any(stage.executed for stage in runs.used_stages()[before:])


def test_an_online_tracker_without_a_key_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    online = tracker(_sft(tracker="online"), tmp_path, "SFT")
    with pytest.raises(UserError, match="wandb login"), online:
        pass


def read_records(run: Path) -> list[Record]:
    """What an offline run would send: LevelDB's log format behind a header of seven bytes."""
    [file] = run.glob("*.wandb")
    data, place, parts, records = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32_768 - place % 32_768) < 7:  # the rest of a block is padding
            place += left
            continue
        size, kind = struct.unpack("<4xHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(Record.FromString(parts))
            parts = b""
    return records


@pytest.mark.slow
def test_the_tracker_keeps_its_run_inside_the_stage(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "canary" + 40 * "0")
    [tuned] = pipeline.sft_adapters(_sft(tracker="offline", learning_rate=5e-4), setup)
    [made] = (tuned.adapter.parent / "wandb").glob("offline-run-*")
    own = tmp_path / "elsewhere"
    made.rename(own)  # as one does to sync from another machine
    files = [path for path in own.rglob("*") if path.is_file()]
    assert sum(path.read_bytes()[:4] == b"RIFF" for path in files) == len(setup.clips("validation"))
    weights = own / "files" / "adapter" / "adapter_model.safetensors"
    assert weights.read_bytes() == (tuned.adapter / weights.name).read_bytes()
    records = read_records(own)
    named = {file.path for record in records for file in record.files.files}
    assert any(name.startswith("media/audio/transcripts") for name in named)
    assert "adapter/adapter_model.safetensors" in named
    assert not [name for name in named if not (own / "files" / name).is_file()]
    assert not any(record.HasField("artifact") for record in records), "their paths are absolute"
    [*_, config] = [change for record in records for change in record.config.update
                    if change.key == "output_dir"]  # fmt: skip
    assert config.value_json == "null", "a dead path"
    logged = b"".join(path.read_bytes() for path in files)
    assert b"lora_rank" in logged
    assert b"eval/wer" in logged
    assert b"canary" not in logged


def test_the_tables_of_02_say_what_was_done(setup: Setup) -> None:
    cfg = _sft()
    [tuned] = pipeline.sft_adapters(cfg, setup)
    settings = pipeline.settings(cfg, setup, tuned)
    assert settings["Learning rate"] == cfg.learning_rate
    weights = load_file(tuned.adapter / "adapter_model.safetensors")
    trained = sum(weight.numel() for weight in weights.values())
    assert str(settings["Trainable parameters"]).startswith(f"{trained:,} of ")
    plain = tuned.epochs.set_index("epoch")["plain_wer"]
    most = f"{100 * (plain.max() - plain.iloc[0]):+.1f} points, after epoch {plain.idxmax():.0f}"
    assert str(settings["Early stopping"]).endswith(f": it never was; most was {most}")
    assert settings["Examples per epoch"] == pipeline.training_mix(setup)["draws"].sum()
    tokens = pipeline.example(setup)
    learnt = "".join(text for text, label in tokens if label)
    texts = {clip.tagged_text for clip in setup.clips("train")}
    assert any(text in learnt and tags.find_tags(text) for text in texts)
    assert not any(label for _, label in tokens[:100])  # a window of audio


def test_transcripts_of_the_base_are_scored_in_the_clips_order(setup: Setup) -> None:
    heard = transcripts(setup, "natural")
    references = [clip.tagged_text for clip in setup.clips("natural")]
    right = metrics.evaluate(references, heard).table("strict")["wer"].value
    turned = metrics.evaluate(references, heard[1:] + heard[:1]).table("strict")["wer"].value
    assert right < turned
    scored = pipeline.evaluate(setup, "natural", {"base": [None]})
    assert scored["base"].table("strict")["wer"].value == right
    with pytest.raises(UserError, match="no split 'nowhere': name one it has"):
        setup.clips("nowhere")


# Predictions from elsewhere

GOOD = ['{"id": "a", "text": "x"}', '{"id": "b", "text": ""}']


def predicted(folder: Path, *lines: str, ids: str = "ab") -> list[str]:
    (folder / "own.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pipeline.read_predictions(folder / "own.jsonl", list(ids))


def test_predictions_come_in_the_order_of_the_split(tmp_path: Path) -> None:
    lines = "\ufeff" + GOOD[0], "", '{"id":"b","text":"é\u2028","x":[1]}'
    assert predicted(tmp_path, *lines, ids="ba") == ["é\u2028", "x"]
    with pytest.raises(UserError, match="there is no such file"):
        pipeline.read_predictions(tmp_path / "none.jsonl", ["a"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*GOOD, '{"id": "c", "text": "x"}'], "clip 'c' is not in the split; give"),
        ([GOOD[0], "", GOOD[0], GOOD[1]], "clip 'a' has 2 lines"),
        (["[1]", *GOOD], "line 1: expected a JSON object"),
        ([GOOD[0], "{", GOOD[1]], "line 2: not valid JSON"),
        (['{"id": 7, "text": "x"}'], "row 1: id: Input should be a valid string"),
        (['{"id": "a"}'], "row 1: text: Field required"),
        ([json.dumps({"id": "a", "text": "x" * 20_001})], "row 1: text: String should have at mos"),
        (GOOD[1:], "clip 'a' has 0 lines"),
    ],
)
def test_what_is_wrong_with_predictions_is_named(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=rf"own\.jsonl[:,] {re.escape(said)}"):
        predicted(tmp_path, *lines)


# RAFT


@pytest.fixture(scope="module")
def start(setup: Setup) -> Path:
    """The smoke profile's SFT adapter."""
    return raft.start_adapters(_raft(), setup)[0]


def test_raft_runs_its_rounds_and_curates(setup: Setup, start: Path) -> None:
    cfg = _raft(rounds=2, temperature=1.5, top_p=1.0, k=3)
    first, second = raft.refine(raft.recipe_of(cfg), setup, start, "RAFT")
    clips = {clip.id for clip in setup.clips("raft_prompts")}
    parts = [set(one.scored["clip"]) for one in (first, second)]
    assert parts[0] | parts[1] == clips
    assert not parts[0] & parts[1]
    assert first.curated.kept == 12 - 1
    assert second.tuned.adapter != first.tuned.adapter


def test_every_seed_is_a_training_of_its_own(setup: Setup, start: Path) -> None:
    cfg = _raft(seeds=2, compare="none")
    recipe = raft.recipe_of(cfg).model_copy(update={"clips": 6})
    starts = raft.start_adapters(cfg, setup)
    assert starts[0] == start
    made = raft.repeat(recipe, setup, starts, "RAFT")
    systems = raft.compared(recipe, setup, starts, made)
    assert all(len(set(adapters)) == 2 for adapters in systems.values())
    found = pipeline.evaluate(setup, "test", systems)["RL"]
    each = [pipeline.evaluate(setup, "test", {"RL": [own]})["RL"] for own in systems["RL"]]
    assert [own.clips for own in (found, *found.repeats)] == [own.clips for own in each]
    values = [own.table("strict")["wer"].value for own in each]
    assert found.table("strict")["wer"].value == pytest.approx(sum(values) / 2)
    assert made[0][0].scored["text"].tolist() != made[1][0].scored["text"].tolist()


def test_what_is_said_of_a_round_stands_in_its_stages_files(setup: Setup, start: Path) -> None:
    """Facts, Figure 1, the settings and the example clip, recounted from rows and the stamp."""
    recipe = raft.recipe_of(_raft(untagged=0.3, k=3, temperature=1.5, top_p=1.0))
    [last] = raft.refine(recipe, setup, start, "RAFT")
    facts, folder = raft.facts(recipe, last), last.tuned.adapter.parent
    references = {clip.id: clip.tagged_text for clip in setup.clips(recipe.prompts)}
    made = [one.path for one in runs.used_stages() if one.name == "completions"][-1]
    drawn = list(runs.read_jsonl(made / raft.COMPLETIONS))
    earned: dict[str, dict[str, float]] = {}
    for row in drawn:
        own = reward(references[row["clip"]], row["text"], convention=recipe.convention)
        earned.setdefault(row["clip"], {})[row["text"]] = round(own.total, 12)
    best = sorted(max(own.values()) for own in earned.values())
    learnt = {kind: {} for kind in ("completion", "reference")}
    for row in runs.read_jsonl(folder / pipeline.TARGETS):
        learnt[row["source"]][row["clip"]] = row["text"]
    completions, plain = learnt["completion"], learnt["reference"]
    assert plain.items() <= references.items()
    assert not any(tags.find_tags(text) for text in plain.values())
    rewards = [earned[clip][text] for clip, text in completions.items()]
    kept = len(references) - len(references) // 10
    stamp = runs.read_json(folder / runs.STAMP)["params"]
    assert facts.items() >= {
        "sampled_clips": len(earned), "ranked_clips": len(earned), "curated_clips": kept,
        "learnt_completions": len(rewards), "learnt_references": len(plain),
        "set_aside": kept - len(rewards), "rl_epochs": stamp["epochs"],
        "rl_learning_rate": stamp["learning_rate"],
    }.items()  # fmt: skip
    assert facts["mean_reward"] == pytest.approx(sum(rewards) / len(rewards))
    assert min(rewards) >= best[-kept]
    losses = last.tuned.steps["loss"]
    assert facts["rl_final_loss"] == losses.iloc[-1], "the last tenth of three steps is one"
    said = figures.raft_pipeline(facts).get_label()
    assert (
        f"Fine-tune, {len(rewards)} completions, mean reward {facts['mean_reward']:.3f}, " in said
    )
    assert f"{len(plain)} untagged clips" in said
    reference, rows, index = raft.furthest_apart(setup, recipe, last)
    [clip], shown = set(rows["clip"]), rows.set_index("index")
    assert references[clip] == reference
    assert shown.loc[index, "text"] == completions[clip]
    spreads = {clip: max(own.values()) - min(own.values()) for clip, own in earned.items()}
    assert spreads[clip] == pytest.approx(max(spreads[clip] for clip in completions))


@pytest.mark.parametrize(
    ("rule", "said"), [("exact", "R > 0.6 and 20 at 0.6"), ("report", "R > 0.6")]
)
def test_a_threshold_amid_ties_is_not_said_to_be_exceeded(
    setup: Setup, start: Path, rule: str, said: str
) -> None:
    rewards = [0.9] * 708 + [0.6] * 79 + [0.2] * 21
    best = pd.DataFrame({"clip": [f"c{i:03}" for i in range(808)], "reward": rewards})
    [last] = raft.refine(raft.recipe_of(_raft()), setup, start, "RAFT")
    last = replace(last, curated=raft.curate(best, rule, 0.1))
    facts = raft.facts(raft.recipe_of(_raft()), last)
    assert facts["kept_rule"] == said
    assert facts["curated_clips"] == (728 if rule == "exact" else 708)


def test_controls_differ_in_one_thing() -> None:
    own = raft.recipe_of(_raft(untagged=0.1, compare="controls"))
    report = {"prompts", "convention", "curation", "untagged", "clips"}
    for control, made in raft.others(own, 12).items():
        changed = {name for name, value in own if value != getattr(made, name)}
        assert changed
        assert changed <= (report if control == "report's recipe" else {"select"})


def test_training_sets_of_the_recipes() -> None:
    rows = [
        {"clip": f"c{i}", "index": j, "text": f"[sad] t{i}{j}", "tokens": 3, "finished": True,
         "reward": 0.1 * i + 0.01 * j, "wer": 0.0, "tag_f1": 1.0, "hallucination": 0.0}
        for i in range(10) for j in range(3)
    ]  # fmt: skip
    scored = pd.DataFrame(rows)
    references = {f"c{i}": f"[sad] reference {i}" for i in range(10)}
    own = raft.recipe_of(_raft(drop_share=0.2, untagged=0.0))
    made = {}
    for select in ("best", "random", "reference"):
        recipe = own.model_copy(update={"select": select})
        curated = raft.select(scored, recipe, 0)
        made[select] = raft.training_set(curated, references, recipe, 0)
    kept = [f"c{i}" for i in range(2, 10)]
    assert all(list(targets["clip"]) == kept for targets in made.values())
    assert list(made["best"]["text"]) == [f"[sad] t{i}2" for i in range(2, 10)]
    assert list(made["reference"]["text"]) == [references[clip] for clip in kept]
    assert list(made["random"]["text"]) != list(made["best"]["text"])
    flat = own.model_copy(update={"drop_flat": True})
    tied = scored["clip"].isin(["c8", "c9"])
    kept = raft.select(scored.assign(reward=scored["reward"].mask(tied, 1.0)), flat, 0)
    assert set(kept.best["clip"]) == {f"c{i}" for i in range(8)}
    with pytest.raises(UserError, match="no clip has completions whose rewards differ"):
        raft.select(scored.assign(reward=1.0), flat, 0)


def test_reward_weights_are_checked_before_any_work() -> None:
    with pytest.raises(UserError, match="must sum to 1"):
        raft.recipe_of(_raft(tag_weight=0.9))
    with pytest.raises(UserError, match=r"nowhere holds no adapter_model\.safetensors"):
        raft.recipe_of(_raft(adapter="nowhere"))
    assert raft.recipe_of(_raft()).weights == RewardWeights()


def test_a_benchmark_of_no_adapter_stops_before_any_training() -> None:
    cfg = params.profile(params.Benchmark, "smoke", {"adapter": "nowhere"})
    before = {stage.name for stage in runs.used_stages()}
    with pytest.raises(UserError, match="nowhere holds no adapter_model"):
        bench.measure(cfg)
    assert {stage.name for stage in runs.used_stages()} - before <= {"corpus"}


@pytest.mark.slow
def test_killed_sampling_ends_with_the_same_bytes(
    setup: Setup, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = raft.recipe_of(_raft(k=4, temperature=1.0, sample_batch=2))
    sample = partial(raft.sample, setup, recipe, setup.clips("raft_prompts"), start, 7)
    whole = sample()
    setup.heard("raft_prompts")
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path))

    def written() -> int:
        return sum(path.read_bytes().count(b"\n") for path in tmp_path.rglob("part*.jsonl"))

    for least in (1, 30):
        assert killed(sample, lambda least=least: written() >= least)
        assert least <= written() < len(whole)
    pd.testing.assert_frame_equal(sample(), whole)
    assert not whole.duplicated(["clip", "index"]).any()
    assert len(whole) == 24 * 4
