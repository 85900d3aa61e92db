"""Fine-tuning: it learns, repeats, stops where it should, survives kills, leaves one adapter."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from evoxtral import UserError, params, processes, train
from evoxtral.decode import transcribe
from evoxtral.examples import Examples
from evoxtral.model import (
    ADAPTER_FILE,
    CONFIG_FILE,
    LoraShape,
    Prompter,
    adapter_digest,
    encode,
    load,
    open_base,
    read_cached,
)
from evoxtral.train import (
    ADAPTER,
    LOG,
    SEAL,
    SUMMARY,
    EveryStep,
    FineTuner,
    finetune,
    newest_whole,
    read_log,
)
from helpers import Heard, killed
from small_models import small_base

SHAPE = LoraShape(rank=8, alpha=16, dropout=0.05)
PLAIN_SHAPE = LoraShape(rank=8, alpha=16, dropout=0.0)
CLIPS = 8


def recipe(**changes):
    """Hyperparameters, changed after validation: some tests want what it refuses."""
    own = {"learning_rate": 5e-3, "epochs": 3, "batch": 4, "micro_batch": 2, "seed": 0,
           "neftune_alpha": 5.0, "precision": "float32", "plain_limit": 5.0, "plain_patience": 0,
           "label_smoothing": 0.0, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.0,
           "checkpointing": False}  # fmt: skip
    return params.profile(params.Sft, "tiny").model_copy(update=own | changes)


def quiet(**changes):
    """Without noise; the adapters' shape for it has no dropout either."""
    return recipe(neftune_alpha=0.0, **changes)


class Task:
    """What `finetune` is given, made of the spoken clips."""

    def __init__(self, spoken, heard, base="tiny", clips=CLIPS, texts=None):
        self.base = {"base": str(base), "device": "cpu"}
        prompter, heard = Prompter(open_base(str(base), "cpu")), list(heard)
        # short transcripts: validation then writes few tokens
        first_words = [" ".join(clip.tagged_text.split()[:3]) for clip in spoken.clips[:clips]]
        texts = texts or first_words
        seconds = [clip.seconds for clip in spoken.clips]

        def first(count):
            own = Heard(heard[:count], seconds[:count]), texts[:count], range(count)
            return Examples(*own, prompter, [1.0] * count)

        self.training = first(clips)
        self.watched = {"eval": first(4), "eval_plain_val": first(2)}

    def run(self, folder, cfg=None, start=SHAPE):
        cfg = (cfg or recipe()).model_copy(update=self.base)
        finetune(folder, cfg, start, self.training, self.watched)
        return read_log(folder)


@pytest.fixture
def task(spoken, spoken_features):
    """Tasks for the embedded base."""
    return lambda **options: Task(spoken, spoken_features, **options)


@pytest.fixture(scope="module")
def small(spoken, tmp_path_factory):
    """Tasks for a base that is smaller still and knows nothing: where only the machinery counts."""
    folder = tmp_path_factory.mktemp("base") / "small"
    model = small_base(folder)
    prompter = Prompter(open_base(str(folder), "cpu"))
    mels = (prompter.mels(spoken.audio(clip)) for clip in spoken.clips)
    features = [encode(model, one).clone() for one in mels]

    def task(**options):
        return Task(spoken, features, folder, **options)

    return task


@pytest.fixture(scope="module")
def done(spoken, spoken_features, tmp_path_factory):
    """A finished run that the tests may look at."""
    folder = tmp_path_factory.mktemp("done")
    Task(spoken, spoken_features).run(folder)
    return folder


def weights(tuned):
    return load_file(tuned.adapter / ADAPTER_FILE)


def distance(a, b):
    """Largest difference of two runs' adapters, over the largest weight."""
    a, b = weights(a), weights(b)
    return max((a[n] - b[n]).abs().max().item() / a[n].abs().max().item() for n in a)


def test_what_is_left_is_an_adapter_and_a_log_of_every_step_and_epoch(done):
    left = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert left == {LOG, SUMMARY, f"{ADAPTER}/{CONFIG_FILE}", f"{ADAPTER}/{ADAPTER_FILE}"}
    config = json.loads((done / ADAPTER / CONFIG_FILE).read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert str(done.parent) not in json.dumps(config)
    tuned = read_log(done)
    assert len(weights(tuned)) == 60
    assert load(open_base("tiny", "cpu").model, done / ADAPTER)
    assert tuned.steps.step.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(tuned.steps.drop(columns="epoch").to_numpy()).all()
    assert tuned.epochs.step.tolist() == [0, 2, 4, 6]
    assert tuned.epochs.epoch.tolist() == [0, 1, 2, 3]
    scored = ["validation_loss", "validation_wer", "validation_tag_f1", "plain_wer"]
    assert tuned.epochs[scored].notna().all(axis=None)
    assert 1 <= tuned.best_epoch <= 3
    assert not tuned.stopped


def test_a_run_repeats_bit_for_bit_and_a_finished_one_is_left_as_it_is(done, task, tmp_path):
    again, first = task().run(tmp_path), read_log(done)
    assert adapter_digest(again.adapter) == adapter_digest(first.adapter)
    pd.testing.assert_frame_equal(again.steps, first.steps, check_exact=True)
    pd.testing.assert_frame_equal(again.epochs, first.epochs, check_exact=True)
    before = (done / LOG).stat().st_mtime_ns
    (done / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    task().run(done)
    assert not (done / "checkpoints").exists()
    assert (done / LOG).stat().st_mtime_ns == before


def test_noise_dropout_smoothing_and_seed_are_there_and_only_in_training(small, tmp_path):
    plain = small().run(tmp_path / "plain", quiet(epochs=1), PLAIN_SHAPE)
    for name, cfg, shape in (
        ("noise", recipe(epochs=1), PLAIN_SHAPE),
        ("dropout", quiet(epochs=1), LoraShape(rank=8, alpha=16, dropout=0.3)),
        ("smoothing", quiet(epochs=1, label_smoothing=0.3), PLAIN_SHAPE),
        ("seed", quiet(epochs=1, seed=1), PLAIN_SHAPE),
    ):
        other = small().run(tmp_path / name, cfg, shape)
        assert distance(plain, other) > 0.01
        pd.testing.assert_series_equal(plain.epochs.iloc[0], other.epochs.iloc[0])
    recomputed = quiet(epochs=1, checkpointing=True)
    assert distance(plain, small().run(tmp_path / "recomputed", recomputed, PLAIN_SHAPE)) < 1e-4


@pytest.mark.parametrize(("schedule", "last"), [("linear", 1 / 8), ("constant", 1), ("cosine", 0)])
def test_the_learning_rate_rises_and_follows_its_schedule(small, tmp_path, schedule, last):
    cfg = quiet(epochs=1, batch=1, micro_batch=1, schedule=schedule, warmup=0.2)
    tuned = small(clips=10).run(tmp_path, cfg, PLAIN_SHAPE)
    rates = tuned.steps.learning_rate / cfg.learning_rate
    assert rates[[0, 1, 2, 9]].tolist() == pytest.approx([0, 0.5, 1, last], abs=0.05)


def test_a_batch_that_does_not_divide_is_refused_before_any_work(small, tmp_path):
    with pytest.raises(UserError, match="batch 4 is no multiple of micro_batch 3"):
        small().run(tmp_path, recipe(micro_batch=3))
    assert not list(tmp_path.iterdir())


def test_of_several_gpus_one_process_takes_one_and_says_how_to_use_all(monkeypatch, capsys):
    def two(args):
        args._n_gpu = 2
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(two))
    args = train.arguments(recipe(), output_dir="unused")
    assert args.n_gpu == 1
    assert args.train_batch_size == 2, "not shared out"
    said = capsys.readouterr().out
    assert said.startswith("one of 2 GPUs is used: start it by `accelerate launch --multi_gpu ")
    assert "--num_processes 2 -m evoxtral run 02_sft --profile tiny`" in said


@pytest.mark.parametrize(("spoilt", "noticed", "kept"), [(3, 4, [2]), (6, 6, [2, 4])])
def test_a_loss_that_is_not_finite_stops_within_a_step(
    small, tmp_path, monkeypatch, spoilt, noticed, kept
):
    """After step 6 validation notices, before a checkpoint of such weights is written."""

    def on_step_end(self, args, state, control, model=None, **_):
        if state.global_step == spoilt:
            next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))

    monkeypatch.setattr(EveryStep, "on_step_end", on_step_end)
    with pytest.raises(UserError, match=rf"not finite at step {noticed}: lower learning_rate"):
        small().run(tmp_path / "nan")
    found = {path.name for path in (tmp_path / "nan" / "checkpoints").glob("*")}
    assert found == {f"checkpoint-{step}" for step in kept}
    assert not (tmp_path / "nan" / ADAPTER).exists()


def forget_words(task):
    """A task whose plain split is of the base's own words, which training then unlearns."""
    own = task(texts=["[sad]"] * CLIPS)
    plain, prompter = own.watched["eval_plain_val"], own.training.prompter
    cached, limit = read_cached(open_base("tiny", "cpu").model), 2 * len(prompter.target("[sad]"))
    said = transcribe(cached, prompter, plain.heard, limit, 8)
    own.watched["eval_plain_val"] = replace(plain, texts=[prompter.text(one.ids) for one in said])
    return own


def test_training_stops_where_plain_speech_suffers_and_stays_so_after_a_kill(
    task, tmp_path, monkeypatch
):
    """With a patience of one it bears one epoch beyond the limit, and stops at the second."""
    cfg = quiet(epochs=8, plain_limit=0.02, plain_patience=1)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_finish", die)
        with pytest.raises(KeyboardInterrupt):
            forget_words(task).run(tmp_path, cfg, PLAIN_SHAPE)
    tuned = forget_words(task).run(tmp_path, cfg, PLAIN_SHAPE)
    assert tuned.stopped
    assert len(tuned.epochs) < 9
    assert tuned.epochs.plain_wer[0] == 0
    beyond = "".join("+" if wer > 0.02 else "-" for wer in tuned.epochs.plain_wer)
    assert beyond.index("++") == len(beyond) - 2


@pytest.mark.parametrize(
    ("losses", "plain", "chosen"),
    [
        ([9, 3, 1, 2], [0.1, 0.1, 0.11, 0.1], 2),
        ([9, 3, 1, 2], [0.1, 0.1, 0.2, 0.1], 3),
        ([9, 3, 2, 1], [0.1, 0.2, 0.1, 0.3], 2),
        ([9, 3, 1, 2], [0.1, 0.2, 0.3, 0.2], 2),
        ([0, 3, 2, 2], [0.1, 0.0, 0.0, 0.0], 2),
    ],
)
def test_the_best_epoch_is_the_lowest_loss_within_the_limit(losses, plain, chosen):
    """If no epoch keeps to the limit, the lowest loss decides; the base itself is none."""
    steps = range(len(losses))
    epochs = pd.DataFrame(
        {"step": steps, "epoch": steps, "validation_loss": losses, "plain_wer": plain}
    )
    assert train.best_epoch(epochs, 0.02).epoch == chosen
    lowest = 1 + int(np.argmin(losses[1:]))
    assert train.best_epoch(epochs.drop(columns="plain_wer"), 0.02).epoch == lowest


def limited(monkeypatch, rows, from_step=0):
    """Training has memory for so many examples at a time, from a step on."""
    compute, seen = FineTuner.compute_loss, []

    def too_much(self, model, inputs, *args, **options):
        if model.training:
            seen.append((self.state.global_step, len(inputs["input_ids"])))
            if len(inputs["input_ids"]) > rows and self.state.global_step >= from_step:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute(self, model, inputs, *args, **options)

    monkeypatch.setattr(FineTuner, "compute_loss", too_much)
    return seen


def test_out_of_memory_it_goes_on_with_fewer_at_a_time(small, tmp_path, monkeypatch, capsys):
    cfg = quiet(epochs=2, micro_batch=4, learning_rate=1e-3)
    undisturbed = small().run(tmp_path / "undisturbed", cfg, PLAIN_SHAPE)
    said = "out of memory with {} examples at a time: going on with {}, accumulated over {}".format
    seen = limited(monkeypatch, 1, from_step=3)
    tuned = small().run(tmp_path / "disturbed", cfg, PLAIN_SHAPE)
    out = capsys.readouterr().out.splitlines()
    told = [line for line in out if line.startswith("out of memory")]
    assert told == [said(4, 2, 2), said(2, 1, 4)]
    ones = [(step, 1) for step in (2, 3) for _ in range(4)]
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (2, 2), (2, 2), (3, 2), *ones]
    assert tuned.steps.step.tolist() == [1, 2, 3, 4]
    assert tuned.epochs.step.tolist() == [0, 2, 4]
    np.testing.assert_allclose(tuned.steps.loss, undisturbed.steps.loss, rtol=1e-3)
    assert distance(tuned, undisturbed) < 0.01


def test_what_is_no_lack_of_memory_ends_it(small, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the sizes of tensors must match")

    monkeypatch.setattr(FineTuner, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        small().run(tmp_path)


def test_half_divides_the_batch_and_several_processes_start_again(monkeypatch):
    for batch, before, after in ((16, 16, 8), (12, 6, 3), (10, 5, 2), (7, 7, 1)):
        made = train.smaller(recipe(batch=batch, micro_batch=before))
        assert made == recipe(batch=batch, micro_batch=after)
    with pytest.raises(UserError, match="with 1 examples at a time: set checkpointing to true"):
        train.smaller(recipe(micro_batch=1))
    monkeypatch.setattr(processes, "_team", processes._Team(0, 2))
    with pytest.raises(UserError, match="with 8 examples at a time: set micro_batch to 4;"):
        train.smaller(recipe(batch=16, micro_batch=16))


KILLED = recipe(epochs=4)


@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.check)]
)
def test_killed_anywhere_and_resumed_it_is_the_same_adapter(small, tmp_path, kills):
    """While a checkpoint is written or a little later."""
    rng, died, whole = random.Random(kills), 0, small().run(tmp_path / "whole", KILLED)
    for attempt in range(kills):
        own = tmp_path / str(attempt)
        saved = own / "checkpoints" / f"checkpoint-{2 * (1 + attempt % 4)}"
        pause = rng.uniform(0, 0.03)
        work = partial(small().run, own, KILLED)
        died += killed(work, lambda s=saved, p=pause: s.exists() and not time.sleep(p))
        tuned = small().run(own, KILLED)
        assert adapter_digest(tuned.adapter) == adapter_digest(whole.adapter), f"kill {attempt}"
        pd.testing.assert_frame_equal(tuned.epochs, whole.epochs, check_exact=True)
        assert not (own / "checkpoints").exists()
    assert died > kills / 2


def test_a_checkpoint_that_is_not_whole_is_passed_over(small, tmp_path):
    own = tmp_path / "checkpoints"
    killed(partial(small().run, tmp_path, KILLED), (own / "checkpoint-6" / SEAL).exists)
    shutil.rmtree(own / "checkpoint-8", ignore_errors=True)
    (own / "checkpoint-999").mkdir()
    assert newest_whole(own) == own / "checkpoint-6"
    (own / "checkpoint-6" / SEAL).unlink()
    assert newest_whole(own) == own / "checkpoint-4"
    with (own / "checkpoint-4" / "adapter_model.safetensors").open("r+b") as weights:
        weights.write(b"damaged")
    assert newest_whole(own) == own / "checkpoint-2"
