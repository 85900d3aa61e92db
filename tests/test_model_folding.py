"""Folded adapters are the same function as peft's, and teach the adapters the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evoxtral.model import LoraShape, attach, fold, settle
from evoxtral.world.base.model import build_model
from small_models import SMALL

SHAPE = LoraShape(rank=4, alpha=8, dropout=0.0)


def adapted(shape=SHAPE):
    """A small model whose adapters, projector's included, do something."""
    torch.manual_seed(0)
    model = build_model(SMALL, 300).requires_grad_(False)
    tuned = attach(model, shape, seed=1)
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return tuned.train()


def heard(model):
    """Logits of a window of sound and some words, for whatever the model's encoder is."""
    torch.manual_seed(3)
    mels = torch.randn(1, 80, 200)
    ids = torch.tensor([[1, *[24] * 25, 5, 6, 7]])
    return model(input_ids=ids, input_features=mels).logits


def learnt(model):
    """Gradients of something of the logits, by name."""
    heard(model).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def test_folding_changes_neither_logits_nor_gradients():
    plain, folded = adapted(), adapted()
    fold(folded)
    torch.testing.assert_close(heard(folded), heard(plain), rtol=1e-4, atol=1e-5)
    expected, found = learnt(plain), learnt(folded)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6)


def test_a_folded_layer_follows_its_adapter_and_a_settled_one_does_not():
    model = adapted()
    settle(model)
    before = heard(model)
    torch.testing.assert_close(before, heard(adapted()), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.mul_(2)
    assert torch.equal(heard(model), before)
    fold(model)
    assert not torch.allclose(heard(model), before, rtol=1e-2)


@pytest.mark.parametrize("change", [fold, settle])
def test_a_layer_with_dropout_stays_as_it_is(change):
    """Its dropout is on the input of A alone."""
    model = adapted(replace(SHAPE, dropout=0.5))
    change(model)
    assert not torch.allclose(heard(model), heard(adapted()), rtol=1e-2)


@pytest.mark.parametrize("change", [fold, settle])
def test_weights_in_half_precision_stay_so_and_are_rounded_once(change):
    """The sum is made in float32; a unit matrix reads it off, one row for each input."""
    model = adapted()
    for name, module in model.named_modules():
        if name.endswith("base_layer"):
            module.to(torch.bfloat16)
    change(model)
    layer = next(m for n, m in model.named_modules() if n.endswith("linear_1"))
    unit = torch.eye(layer.in_features, dtype=torch.bfloat16)
    made = layer(unit) - layer(torch.zeros_like(unit))
    update = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert made.dtype == torch.bfloat16
    assert torch.equal(made.T, (layer.base_layer.weight.float() + update).bfloat16())
