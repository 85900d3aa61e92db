"""Out of memory: fewer examples at a time, the same steps, the same adapter in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from evoxtral import UserError, processes
from evoxtral.model import LoraShape, Prompter, open_base
from evoxtral.train import Examples, Recipe, finetune, read_log
from evoxtral.train.memory import exhausted, smaller
from evoxtral.train.trainer import FineTuner

RECIPE = Recipe(
    LoraShape(rank=4, alpha=8, dropout=0.0),
    learning_rate=1e-3,
    epochs=2,
    batch=4,
    micro_batch=4,
    neftune_alpha=0.0,
    precision="float32",
)


@pytest.fixture(scope="module")
def train(spoken, spoken_features):
    """Fine-tune the embedded base on eight clips; returns the adapter's weights and the log."""

    def run(folder, recipe=RECIPE):
        base = open_base("tiny", "cpu")
        texts = [" ".join(clip.tagged_text.split()[:3]) for clip in spoken.clips]
        prompter = Prompter(base)
        examples = Examples(spoken_features, texts, range(8), prompter, [1.0] * 16)
        finetune(folder, base, recipe, examples, examples, [])
        tuned = read_log(folder)
        return load_file(tuned.adapter / "adapter_model.safetensors"), tuned

    return run


@pytest.fixture(scope="module")
def undisturbed(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed"))


def limited(monkeypatch, rows, from_step=0):
    """Training has memory for so many examples at a time, from a step on."""
    compute = FineTuner.compute_loss
    seen = []

    def too_much(self, model, inputs, *args, **options):
        seen.append((self.state.global_step, len(inputs["input_ids"])))
        if len(inputs["input_ids"]) > rows and self.state.global_step >= from_step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute(self, model, inputs, *args, **options)

    monkeypatch.setattr(FineTuner, "compute_loss", too_much)
    return seen


def distance(a, b):
    assert a.keys() == b.keys()
    flat = [torch.cat([own[name].flatten() for name in sorted(own)]) for own in (a, b)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


def test_it_halves_until_it_fits_and_says_so(train, tmp_path, monkeypatch, capsys, undisturbed):
    seen = limited(monkeypatch, rows=1)
    weights, tuned = train(tmp_path)
    said = [line for line in capsys.readouterr().out.splitlines() if "out of memory" in line]
    assert said == [
        "out of memory with 4 examples at a time: going on from the last checkpoint with 2, "
        "accumulated over 2",
        "out of memory with 2 examples at a time: going on from the last checkpoint with 1, "
        "accumulated over 4",
    ]
    assert [rows for _, rows in seen] == [4, 2] + [1] * 16
    assert len(tuned.steps) == len(undisturbed[1].steps) == 4
    assert distance(weights, undisturbed[0]) < 1e-5


def test_it_goes_on_from_the_last_checkpoint(train, tmp_path, monkeypatch, undisturbed):
    seen = limited(monkeypatch, rows=2, from_step=3)
    weights, tuned = train(tmp_path)
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (2, 2), (2, 2), (3, 2), (3, 2)]
    assert tuned.steps["step"].tolist() == [1, 2, 3, 4]
    assert tuned.epochs["step"].tolist() == [0, 2, 4]
    losses = [own.steps["loss"].tolist() for own in (tuned, undisturbed[1])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert distance(weights, undisturbed[0]) < 1e-5


def test_one_example_that_is_too_much_ends_it(train, tmp_path, monkeypatch):
    limited(monkeypatch, rows=0)
    with pytest.raises(UserError, match="with one example at a time: set checkpointing to true"):
        train(tmp_path, replace(RECIPE, micro_batch=1))


def test_another_error_is_not_mistaken_for_it(train, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the sizes of tensors must match")

    monkeypatch.setattr(FineTuner, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        train(tmp_path)


def test_what_torch_says_when_the_machine_has_no_memory_left():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 52)
    assert exhausted(caught.value)
    assert exhausted(torch.OutOfMemoryError("any words"))
    assert not exhausted(RuntimeError("out of luck"))


@pytest.mark.parametrize(
    ("batch", "before", "after"), [(16, 16, 8), (12, 6, 3), (10, 5, 2), (7, 7, 1)]
)
def test_half_divides_the_batch(batch, before, after):
    made = smaller(replace(RECIPE, batch=batch, micro_batch=before))
    assert made == replace(RECIPE, batch=batch, micro_batch=after)


def test_several_processes_start_again(monkeypatch):
    monkeypatch.setattr(processes, "_team", processes._Team(0, 2))
    recipe = replace(RECIPE, batch=16, micro_batch=16)
    with pytest.raises(UserError, match="with 8 examples at a time: set micro_batch to 4 and run"):
        smaller(recipe)
