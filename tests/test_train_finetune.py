"""Fine-tuning: it learns, repeats, stops where it should, and leaves one adapter."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback

from evoxtral import UserError
from evoxtral.model import (
    LoraShape,
    Prompter,
    adapter_digest,
    encode,
    load,
    open_base,
    read_cached,
)
from evoxtral.train import ADAPTER, LOG, Examples, Recipe, Watched, finetune, read_log
from evoxtral.train.finetune import _arguments, _best
from evoxtral.train.trainer import FineTuner
from helpers import Heard
from small_models import small_base

RECIPE = Recipe(
    LoraShape(rank=8, alpha=16, dropout=0.05),
    learning_rate=5e-3,
    epochs=3,
    batch=4,
    micro_batch=2,
    neftune_alpha=5.0,
    precision="float32",
    plain_limit=5.0,
)
CLIPS = 8
ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors"}


class Part:
    """The first clips of what is heard."""

    def __init__(self, heard, count):
        self.windows, self.heard = heard.windows[:count], heard

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, clip):
        return self.heard[clip]


def first_words(text):
    """Short transcripts: validation then writes few tokens."""
    return " ".join(text.split()[:3])


class Task:
    """What `finetune` is given, made of the spoken clips; the base is opened anew each time."""

    def __init__(self, spoken, heard, base="tiny", clips=CLIPS, texts=None):
        self.base = open_base(str(base), "cpu")
        prompter = Prompter(self.base)
        texts = texts or [first_words(clip.tagged_text) for clip in spoken.clips[:clips]]
        seconds = [clip.seconds for clip in spoken.clips]
        self.training = Examples(Part(heard, clips), texts, range(clips), prompter, [1.0] * clips)
        self.validation = Examples(Part(heard, 4), texts[:4], range(4), prompter, [1.0] * 4)
        self.watched = [
            Watched("validation", Part(heard, 4), seconds[:4], texts[:4]),
            Watched("plain_val", Part(heard, 2), seconds[:2], texts[:2]),
        ]

    def run(self, folder, recipe=RECIPE, **options):
        finetune(folder, self.base, recipe, self.training, self.validation, self.watched, **options)
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
    mels = [prompter.mels(spoken.audio(clip)) for clip in spoken.clips]
    made = Heard(mels), Heard([encode(model, one).clone() for one in mels])

    def task(encoder=False, **options):
        return Task(spoken, made[0 if encoder else 1], folder, **options)

    return task


@pytest.fixture(scope="module")
def done(spoken, spoken_features, tmp_path_factory):
    """A finished run that the tests may look at."""
    folder = tmp_path_factory.mktemp("done")
    Task(spoken, spoken_features).run(folder)
    return folder


def weights(tuned):
    return load_file(tuned.adapter / "adapter_model.safetensors")


def distance(a, b):
    """Largest difference of two runs' adapters, over the largest weight."""
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys()
    return max((a[n] - b[n]).abs().max().item() / a[n].abs().max().item() for n in a)


@pytest.mark.slow
def test_the_loss_falls_on_a_handful_of_clips(task, tmp_path):
    own = task()
    own.watched = own.watched[:1]
    tuned = own.run(tmp_path, replace(RECIPE, epochs=10))
    assert tuned.steps.loss.iloc[-3:].mean() < 0.3 * tuned.steps.loss.iloc[0]
    assert tuned.epochs.validation_loss.iloc[-1] < 0.3 * tuned.epochs.validation_loss.iloc[0]
    assert tuned.epochs.validation_wer.iloc[-1] < tuned.epochs.validation_wer.iloc[0]


def test_what_is_left_is_an_adapter_and_a_log(done):
    left = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert left == {LOG, "summary.json", *(f"{ADAPTER}/{name}" for name in ADAPTER_FILES)}
    config = json.loads((done / ADAPTER / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert str(done.parent) not in json.dumps(config)
    names = weights(read_log(done))
    assert not any("audio_tower" in name for name in names)
    assert len(names) == 60
    assert load(open_base("tiny", "cpu").model, done / ADAPTER)


def test_the_log_has_every_step_and_epoch(done):
    tuned = read_log(done)
    assert tuned.steps.step.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(tuned.steps.drop(columns="epoch").to_numpy()).all()
    assert tuned.epochs.step.tolist() == [0, 2, 4, 6]
    assert tuned.epochs.epoch.tolist() == [0, 1, 2, 3]
    scored = {"validation_loss", "validation_wer", "validation_tag_f1", "plain_wer"}
    assert scored <= set(tuned.epochs)
    assert tuned.epochs[list(scored)].notna().all(axis=None)
    assert 1 <= tuned.best_epoch <= 3
    assert not tuned.stopped


def test_the_first_validation_is_of_the_base(done, task, tmp_path):
    other = task().run(tmp_path, replace(RECIPE, learning_rate=1e-3, epochs=1))
    mine, theirs = (tuned.epochs.iloc[0] for tuned in (read_log(done), other))
    pd.testing.assert_series_equal(mine, theirs)


def test_a_run_repeats_bit_for_bit(done, task, tmp_path):
    again, first = task().run(tmp_path), read_log(done)
    assert adapter_digest(again.adapter) == adapter_digest(first.adapter)
    pd.testing.assert_frame_equal(again.steps, first.steps, check_exact=True)
    pd.testing.assert_frame_equal(again.epochs, first.epochs, check_exact=True)


def test_another_seed_is_another_run(small, tmp_path):
    one, other = (
        small().run(tmp_path / str(seed), replace(RECIPE, epochs=1, seed=seed)) for seed in (0, 1)
    )
    assert distance(one, other) > 0.01


def test_a_finished_run_is_left_as_it_is(done, task):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file()}
    (done / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    task().run(done)
    assert not (done / "checkpoints").exists()
    assert {p: p.stat().st_mtime_ns for p in done.rglob("*") if p.is_file()} == before


QUIET = replace(RECIPE, lora=LoraShape(rank=8, alpha=16, dropout=0.0), neftune_alpha=0.0)


def test_micro_batches_do_not_change_what_is_learnt(small, tmp_path):
    """Their clips differ in length, and the loss is per token of the whole step."""
    tuned = [
        small().run(tmp_path / str(size), replace(QUIET, epochs=1, micro_batch=size))
        for size in (4, 2, 1)
    ]
    assert distance(tuned[0], tuned[1]) < 0.01
    assert distance(tuned[0], tuned[2]) < 0.01
    losses = [one.steps.loss.to_numpy() for one in tuned]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-3)


def test_recomputing_activations_changes_nothing_but_memory(small, tmp_path):
    one = replace(QUIET, epochs=1)
    plain = small().run(tmp_path / "plain", one)
    again = small().run(tmp_path / "again", replace(one, checkpointing=True))
    assert distance(plain, again) < 1e-4


def test_operations_are_counted_as_the_trainer_counts_them(small, tmp_path, monkeypatch):
    ours, counted = FineTuner.floating_point_ops, []

    def both(self, inputs):
        counted.append((ours(self, inputs), Trainer.floating_point_ops(self, inputs)))
        return counted[-1][0]

    monkeypatch.setattr(FineTuner, "floating_point_ops", both)
    small().run(tmp_path, replace(QUIET, epochs=1))
    assert counted
    assert all(made == theirs > 0 for made, theirs in counted)


def test_noise_dropout_and_smoothing_are_there_and_only_in_training(small, tmp_path):
    one = replace(QUIET, epochs=1)
    plain = small().run(tmp_path / "plain", one)
    for name, changed in (
        ("noise", {"neftune_alpha": 5.0}),
        ("dropout", {"lora": LoraShape(rank=8, alpha=16, dropout=0.3)}),
        ("smoothing", {"label_smoothing": 0.3}),
    ):
        other = small().run(tmp_path / name, replace(one, **changed))
        assert distance(plain, other) > 0.01
        pd.testing.assert_series_equal(plain.epochs.iloc[0], other.epochs.iloc[0])


@pytest.mark.parametrize("schedule", ["linear", "constant", "cosine"])
def test_the_learning_rate_follows_its_schedule(small, tmp_path, schedule):
    own = small()
    own.training = replace(own.training, draws=[0, 1] * 5)
    recipe = replace(QUIET, epochs=1, batch=1, micro_batch=1, schedule=schedule, warmup=0.2)
    tuned = own.run(tmp_path, recipe)
    rates = tuned.steps.learning_rate.to_numpy() / RECIPE.learning_rate
    steps = np.arange(10)
    after = {
        "linear": 1 - (steps - 2) / 8,
        "constant": np.ones(10),
        "cosine": 0.5 + 0.5 * np.cos(np.pi * (steps - 2) / 8),
    }
    wanted = np.where(steps < 2, steps / 2, after[schedule])
    np.testing.assert_allclose(rates, wanted, atol=0.01)


def test_the_encoder_learns_too_where_that_is_asked_for(small, tmp_path):
    shape = replace(RECIPE.lora, encoder_lora=True)
    tuned = small(encoder=True, clips=4).run(tmp_path, replace(RECIPE, lora=shape, epochs=3))
    moved = weights(tuned)
    inside = [name for name in moved if "audio_tower" in name and "lora_B" in name]
    assert len(inside) == 3
    assert all(moved[name].abs().max() > 0 for name in inside)


def test_start_goes_on_from_an_adapter(done, task, tmp_path):
    slow = replace(QUIET, epochs=1, learning_rate=1e-7)
    tuned = task().run(tmp_path, slow, start=done / ADAPTER)
    assert distance(read_log(done), tuned) < 1e-3
    first, last = read_log(done).epochs, tuned.epochs
    chosen = first[first.epoch == read_log(done).best_epoch].validation_loss.item()
    assert last.validation_loss.iloc[0] == pytest.approx(chosen, rel=1e-4)


def test_a_base_on_the_cpu_is_trained_there_though_there_is_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = _arguments(QUIET, tmp_path, torch.device("cpu"), "none", resumed=False)
    assert chosen.device.type == "cpu"
    assert not chosen.dataloader_pin_memory


@pytest.mark.parametrize(("batch", "micro"), [(4, 3), (5, 2)])
def test_a_batch_that_does_not_divide_is_refused_before_any_work(small, tmp_path, batch, micro):
    one = small()
    with pytest.raises(UserError, match=f"batch {batch} is no multiple of micro_batch {micro}"):
        one.run(tmp_path, replace(RECIPE, batch=batch, micro_batch=micro))
    assert not list(tmp_path.iterdir())
    assert list(one.base.model.model.audio_tower.parameters()), "the base is as it was"


class Poison(TrainerCallback):
    """Makes a weight NaN at the end of a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, model=None, **_):
        if state.global_step == self.step:
            with torch.no_grad():
                next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))


@pytest.mark.parametrize(
    ("spoilt", "noticed", "kept"), [(1, 2, []), (3, 4, [2]), (4, 4, [2]), (6, 6, [2, 4])]
)
def test_a_loss_that_is_not_finite_stops_within_a_step(small, tmp_path, spoilt, noticed, kept):
    """After steps 4 and 6 validation notices, before a checkpoint of such weights is written."""
    with pytest.raises(UserError, match=rf"not finite at step {noticed}: lower learning_rate"):
        small().run(tmp_path, callbacks=[Poison(spoilt)])
    found = {path.name: path for path in (tmp_path / "checkpoints").glob("*")}
    assert set(found) == {f"checkpoint-{step}" for step in kept}
    assert not (tmp_path / ADAPTER).exists()
    for folder in found.values():
        good = load_file(folder / "adapter_model.safetensors")
        assert all(torch.isfinite(value).all() for value in good.values())


def test_the_checkpoint_that_was_kept_is_good_enough_to_go_on_from(small, tmp_path):
    with pytest.raises(UserError):
        small().run(tmp_path / "nan", callbacks=[Poison(3)])
    mended, whole = small().run(tmp_path / "nan"), small().run(tmp_path / "whole")
    assert adapter_digest(mended.adapter) == adapter_digest(whole.adapter)
    pd.testing.assert_frame_equal(mended.epochs, whole.epochs, check_exact=True)
    pd.testing.assert_frame_equal(mended.steps, whole.steps, check_exact=True)


def test_a_learning_rate_far_too_high_ends_in_a_sentence(small, tmp_path):
    with pytest.raises(UserError, match="lower learning_rate"):
        small().run(tmp_path, replace(RECIPE, learning_rate=1e38, max_grad_norm=1e9))


def forget_words(task):
    """A task whose plain split is of the base's own words, which training then unlearns."""
    own = task(texts=["[sad]"] * CLIPS)
    plain, limit = own.watched[1], 2 * own.training.longest_target
    cached = read_cached(open_base("tiny", "cpu").model)
    said = plain.heard(cached, own.training.prompter, limit, 8)
    own.watched[1] = replace(plain, texts=said)
    return own


def test_training_stops_where_plain_speech_suffers(task, tmp_path):
    own = forget_words(task)
    tuned = own.run(tmp_path, replace(QUIET, epochs=8, plain_limit=0.02))
    plain = tuned.epochs.plain_wer.to_numpy()
    assert tuned.stopped
    assert len(plain) < 9
    assert plain[0] == 0
    assert plain[-1] > 0.02
    assert all(value <= 0.02 for value in plain[:-1]), "it stops at the first epoch beyond"


def test_patience_bears_some_epochs_beyond_the_limit(task, tmp_path):
    patient = replace(QUIET, epochs=8, plain_limit=0.02, plain_patience=2)
    tuned = forget_words(task).run(tmp_path, patient)
    beyond = (tuned.epochs.plain_wer > 0.02).tolist()
    assert tuned.stopped
    assert beyond[-3:] == [True] * 3
    assert [True] * 3 not in [beyond[i : i + 3] for i in range(len(beyond) - 3)]


def test_a_run_killed_after_it_stopped_itself_does_not_go_on(task, tmp_path, monkeypatch):
    module = sys.modules["evoxtral.train.finetune"]  # the package exports a function of this name
    recipe = replace(QUIET, epochs=8, plain_limit=0.02)
    forget_words(task).run(tmp_path / "whole", recipe)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_finish", die)
        with pytest.raises(KeyboardInterrupt):
            forget_words(task).run(tmp_path / "killed", recipe)
    tuned = forget_words(task).run(tmp_path / "killed", recipe)
    assert tuned.stopped
    pd.testing.assert_frame_equal(tuned.epochs, read_log(tmp_path / "whole").epochs)
    assert distance(tuned, read_log(tmp_path / "whole")) == 0


def epochs(losses, plain):
    steps = range(len(losses))
    return pd.DataFrame(
        {"step": steps, "epoch": steps, "validation_loss": losses, "plain_wer": plain}
    )


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
    assert _best(epochs(losses, plain), 0.02).epoch == chosen
    assert _best(epochs(losses, plain).drop(columns="plain_wer"), 0.02).epoch == (
        1 + int(np.argmin(losses[1:]))
    )
