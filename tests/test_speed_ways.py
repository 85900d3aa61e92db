"""The straightforward ways do what they say, ours does less, and both make the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaModel, VoxtralEncoder

from evoxtral import UserError, params, sft
from evoxtral import clips as dataset
from evoxtral.datamix import Source
from evoxtral.model import LoraShape, attach
from evoxtral.params import DataMix, Sft
from evoxtral.pipeline import Setup
from evoxtral.raft.sampling import Sampling
from evoxtral.speed import encode, evaluate, finetuning, plain, points, sampling
from evoxtral.speed.finetuning import Tuning
from evoxtral.speed.points import Point, Where
from evoxtral.speed.subject import Subject, spread

K = 3
HOW = Sampling(k=K, temperature=0.7, top_p=0.9, batch=4, seed=0)


@dataclass
class Counts:
    """What passes through encoder, language model and output layer."""

    heard: list[int] = field(default_factory=list)  # windows of each call
    prefilled: list[int] = field(default_factory=list)  # rows of each call that is no single step
    read: int = 0  # audio files


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    found = Counts()
    hear, think, read = VoxtralEncoder.forward, LlamaModel.forward, dataset.Dataset.audio

    def hears(self, input_features, *args, **options):
        found.heard.append(len(input_features))
        return hear(self, input_features, *args, **options)

    def thinks(self, *args, inputs_embeds, **options):
        if inputs_embeds.shape[1] > 1:
            found.prefilled.append(len(inputs_embeds))
        return think(self, *args, inputs_embeds=inputs_embeds, **options)

    def reads(self, clip):
        found.read += 1
        return read(self, clip)

    monkeypatch.setattr(VoxtralEncoder, "forward", hears)
    monkeypatch.setattr(LlamaModel, "forward", thinks)
    monkeypatch.setattr(dataset.Dataset, "audio", reads)
    return found


@pytest.fixture(scope="module", autouse=True)
def _runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty folder for the caches of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOXTRAL_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="module")
def setup(spoken: dataset.Dataset) -> Setup:
    """The spoken clips and the embedded base."""
    cfg = params.profile(Sft.notebook, "smoke")
    source = Source("generated", spoken.splits, spoken, None, 8.0, None, 0)
    return Setup(cfg, params.profile(DataMix.notebook, "smoke"), source)


@pytest.fixture(scope="module")
def subject(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Two clips, and an adapter that changes what is written."""
    folder = tmp_path_factory.mktemp("adapter")
    model = attach(setup.fresh().model, LoraShape(rank=8, alpha=16, dropout=0.0), seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.01)
    model.save_pretrained(folder, save_embedding_layers=False)
    made = Subject(setup, setup.clips("natural")[:2], folder)
    made.cached()  # so that tests count what comes after
    return made


@pytest.fixture(scope="module")
def tuning(setup: Setup) -> Tuning:
    """One step of four clips, in bfloat16 whatever the processor is quicker in."""
    cfg = sft.parameters_of("smoke")
    recipe = sft.recipe(cfg, LoraShape(rank=8, alpha=16, dropout=0.0))
    recipe = replace(recipe, batch=4, micro_batch=4, precision="bfloat16")
    return Tuning(setup, setup.clips("train")[:4], recipe)


def test_one_clip_at_a_time_hears_and_reads_each_clip(subject: Subject, counts: Counts) -> None:
    theirs = evaluate.one_by_one(subject)
    assert counts.heard == [1] * 2
    assert counts.prefilled == [1] * 2
    assert counts.read == 2
    assert any("lora_A" in name for name, _ in subject.plain.named_parameters())
    counts.heard.clear()
    counts.prefilled.clear()
    assert evaluate.together(subject, subject.cached(), batch=4) == theirs
    assert counts.heard == []
    assert counts.prefilled == [2]
    assert counts.read == 2
    assert not any("lora_A" in name for name, _ in subject.ours.named_parameters())


def test_k_sequences_are_heard_and_prefilled_k_fold(subject: Subject, counts: Counts) -> None:
    made = sampling.draw_one_by_one(subject, HOW, 0)
    assert [len(group) for group in made] == [K] * 2
    assert counts.heard == [K] * 2
    assert counts.prefilled == [K] * 2
    counts.heard.clear()
    counts.prefilled.clear()
    ours = sampling.draw_together(subject, subject.cached(), HOW, 0)
    assert [len(group) for group in ours] == [K] * 2
    assert counts.heard == []
    assert counts.prefilled == [2]
    assert ours == sampling.draw_together(subject, subject.cached(), HOW, 0)
    assert ours != sampling.draw_together(subject, subject.cached(), HOW, 1)


def test_the_plain_trainer_hears_each_clip_in_each_epoch(
    tuning: Tuning, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = finetuning.cached(tuning.setup, tuning.clips)
    assert (counts.heard, counts.read) == ([4], 4)
    for epoch in (1, 2):
        tuning.theirs(features, micro_batch=2)
        assert counts.heard == [4, *[2, 2] * epoch]
        assert counts.read == 4 + 4 * epoch
    columns = logits(tuning, monkeypatch)
    tuning.ours(features)
    assert (counts.heard, counts.read) == ([4, 2, 2, 2, 2], 12)
    longest = tuning.examples(features).longest_target
    assert columns == [1 + 8 * math.ceil(longest / 8)]


def test_the_plain_trainer_computes_logits_everywhere(
    tuning: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = finetuning.cached(tuning.setup, tuning.clips)
    columns = logits(tuning, monkeypatch)
    tuning.theirs(features, micro_batch=4)
    assert columns == [max(tuning.examples(features).lengths)]


def logits(tuning: Tuning, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Columns for which logits are computed, a number per forward pass from now on."""
    columns: list[int] = []
    linear = torch.nn.functional.linear
    vocabulary = tuning.setup.base.model.config.text_config.vocab_size

    def seen(x, weight, bias=None):
        if weight.shape[0] == vocabulary:
            columns.append(x.shape[1])
        return linear(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", seen)
    return columns


def test_batches_of_the_plain_trainer_mask_prompts(setup: Setup) -> None:
    clips = setup.clips("train")[:3]
    samples = plain.Samples(setup.sounds, clips)
    batch = plain.Collator(setup.prompter, "tiny")([samples[i] for i in range(3)])
    for row, clip in enumerate(clips):
        target = setup.prompter.target(clip.tagged_text)
        kept = batch["labels"][row] != -100
        assert batch["labels"][row][kept].tolist() == target
        assert batch["input_ids"][row][kept].tolist() == target
        prompt = setup.prompter.prompt(1)
        assert batch["input_ids"][row][: len(prompt)].tolist() == prompt
        assert batch["attention_mask"][row].sum() == len(prompt) + len(target)
        mels = setup.prompter.mels(setup.sounds.audio(clip))
        np.testing.assert_allclose(batch["input_features"][row], mels[0], atol=2e-2)


def test_finetuning_is_compared_on_equal_terms(tuning: Tuning) -> None:
    made = finetuning.finetuning(tuning, repeats=1)
    assert made.facts["largest_relative_difference"] < 1e-3
    assert made.facts["cache_seconds_per_clip"] > 0
    assert set(made.rounds["way"]) == {*made.plain, *made.ours, finetuning.CACHE}
    assert made.plain == ("plain Trainer, micro-batch 2", "plain Trainer, micro-batch 4")
    assert made.units == 1
    (trained,) = made.needs[finetuning.OURS]
    heard, also_trained = made.needs["plain Trainer, micro-batch 2"]
    assert trained == also_trained
    assert (heard.precision, trained.precision) == ("float32", "bfloat16")


def test_a_wrong_step_is_not_timed(tuning: Tuning, monkeypatch: pytest.MonkeyPatch) -> None:
    others = plain.Samples(tuning.setup.sounds, tuning.setup.clips("train")[4:8])
    monkeypatch.setattr(Tuning, "samples", lambda *_: others)
    with pytest.raises(RuntimeError, match="the speed of wrong results says nothing"):
        finetuning.finetuning(tuning, repeats=1)


def test_whole_steps_are_asked_for(tuning: Tuning) -> None:
    with pytest.raises(UserError, match="3 clips make no whole steps of 4"):
        replace(tuning, clips=tuning.clips[:3])
    with pytest.raises(UserError, match="must be even"):
        replace(tuning, recipe=replace(tuning.recipe, batch=7))


def test_evaluation_is_compared_on_equal_texts(subject: Subject) -> None:
    made = evaluate.evaluate(subject, batch=4, repeats=1)
    assert made.facts["same_texts"] == made.units == 2
    assert made.ratios["ours"].tolist() == [evaluate.OURS, evaluate.WITH_CACHE]
    assert {way: len(needs) for way, needs in made.needs.items()} == {
        evaluate.ONE: 3, evaluate.OURS: 2, evaluate.WITH_CACHE: 3
    }  # fmt: skip
    assert made.needs[evaluate.ONE][1:] == made.needs[evaluate.OURS]
    with pytest.raises(RuntimeError, match="1 of 2 greedy texts are not those of `generate`"):
        evaluate.check_texts(["a", "b"], ["a", "c"], exact=True)
    assert evaluate.check_texts(["a", "b"], ["a", "c"], exact=False) == 1


def test_sampling_is_compared_on_equal_rewards(subject: Subject) -> None:
    made = sampling.sampling(subject, HOW, repeats=1, convention="strict")
    facts = made.facts
    assert facts["same_greedy_texts"] == 2
    assert facts["reward_low"] <= facts["reward_plain"] <= facts["reward_high"]
    within = facts["reward_low"] <= facts["reward_ours"] <= facts["reward_high"]
    assert facts["reward_inside"] is within
    assert made.units == 2 * K
    assert made.target is None


def test_encoding_is_compared_on_equal_features(setup: Setup, tmp_path: Path) -> None:
    clips = setup.clips("train")[:3]
    made = encode.encode_clips(setup, clips, repeats=1)
    assert made.facts["largest_relative_difference"] < 1e-3
    assert made.units == 3
    files = encode.hear_one_by_one(setup, clips[::-1], tmp_path)
    assert encode.largest_difference(files, finetuning.cached(setup, clips)) > 0.02


def test_other_features_are_not_timed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "largest_difference", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match=r"features of the two ways are 0\.5 apart"):
        encode.encode_clips(setup, setup.clips("train")[:3], repeats=1)


@pytest.mark.parametrize(("way", "prefills"), [("ours", 1), ("plain", K)])
def test_a_point_counts_what_is_prefilled(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, way: str, prefills: int
) -> None:
    monkeypatch.setattr(points, "open_subject", lambda *_: subject)
    where = Where("smoke", subject.adapter, 2, 1)
    found = points._measure(Point("sampling", way, 2, 4, K), where)
    positions = 2 * len(subject.setup.prompter.prompt(1))
    assert found["prefilled"] == prefills * positions
    assert found["seconds"] > 0
    assert found["peak"] >= found["before"] > 100


def test_points_of_training_and_encoding(
    subject: Subject, tuning: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "open_subject", lambda *_: subject)
    monkeypatch.setattr(points, "open_tuning", lambda *_: tuning)
    where = Where("smoke", subject.adapter, 2, 1)
    for point in (
        Point("SFT", "ours", 4, 2),
        Point("encode", "ours", 2),
        Point("encode", "plain", 2),
        Point("evaluation", "ours", 2, 2),
    ):
        assert points._measure(point, where)["seconds"] > 0


def test_points_on_several_curves_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Point] = []

    class Pool:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, _: object, point: Point, where: Where) -> Pool:
            asked.append(point)
            return self

        def result(self) -> dict[str, float]:
            return {"seconds": 1.0}

    monkeypatch.setattr(points, "ProcessPoolExecutor", Pool)
    one, two = Point("encode", "ours", 2), Point("encode", "ours", 4)
    frame = points.measure_points(
        {"size": [one, two], "batch": [one]}, Where("smoke", Path(), 4, 1)
    )
    assert asked == [one, two]
    assert frame["curve"].tolist() == ["size", "size", "batch"]
    assert frame["size"].tolist() == [2, 4, 2]


def test_clips_are_spread_over_the_split(setup: Setup) -> None:
    clips = setup.clips("train")
    assert spread(clips, 4) == [clips[i] for i in (0, 3, 6, 9)]
    assert spread(clips, 12) == clips
    with pytest.raises(UserError, match="13 clips were asked for: the split has 12"):
        spread(clips, 13)
