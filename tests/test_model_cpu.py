"""Patches for processors: they compute what they replace does, and no more than is asked for."""

from __future__ import annotations

import pytest
import torch

from evoxtral.model import LoraShape, fold, last_logits, narrow, settle
from evoxtral.world.base.model import build_model
from small_models import SMALL, WINDOW, adapted

KEPT, CPU = 4, torch.device("cpu")


def model(*, dropout=0.0, kernel="sdpa", checkpointing=False):
    """A small model in training whose adapters do something."""
    torch.manual_seed(0)
    base = build_model(SMALL, 300).requires_grad_(False)
    tuned = adapted(base, LoraShape(rank=4, alpha=8, dropout=dropout), 0.1)
    base.set_attn_implementation({"text_config": kernel})
    if checkpointing:
        tuned.activation_checkpointing_enable({"use_reentrant": False})
    return tuned.train()


def heard(model, *, padding=False, **asked):
    """Logits of two clips, the second padded before and after."""
    torch.manual_seed(3)
    ids = torch.tensor([[1, *WINDOW, 5, 6, 7, 8]] * 2)
    seen = torch.ones_like(ids)
    if padding:
        ids = torch.cat([torch.zeros(2, 1, dtype=torch.long), ids], dim=1)
        seen = torch.cat([torch.tensor([[1], [0]]), seen], dim=1)
        seen[1, -1] = 0
    mels = torch.randn(2, 80, 200)
    inputs = {"input_ids": ids, "attention_mask": seen, "input_features": mels}
    return model(**inputs, use_cache=False, **asked).logits


def assert_learns_the_same(model, other):
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        if ours.requires_grad:
            assert ours.grad.abs().max() > 0, name
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_folding_changes_neither_logits_nor_gradients():
    plain, folded = model(), model()
    fold(folded)
    torch.testing.assert_close(heard(folded), heard(plain), rtol=1e-4, atol=1e-5)
    for one in (plain, folded):
        heard(one).square().mean().backward()
    assert_learns_the_same(folded, plain)


def test_a_folded_layer_follows_its_adapter_and_a_settled_one_does_not():
    tuned = model()
    settle(tuned)
    before = heard(tuned)
    torch.testing.assert_close(before, heard(model()), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        for name, value in tuned.named_parameters():
            if "lora_B" in name:
                value.mul_(2)
    assert torch.equal(heard(tuned), before)
    fold(tuned)
    assert not torch.allclose(heard(tuned), before, rtol=1e-2)


@pytest.mark.parametrize("change", [fold, settle])
def test_a_layer_with_dropout_stays_as_it_is(change):
    """Its dropout is on the input of A alone."""
    tuned = model(dropout=0.5)
    change(tuned)
    assert not torch.allclose(heard(tuned), heard(model()), rtol=1e-2)


@pytest.mark.parametrize("change", [fold, settle])
def test_weights_in_half_precision_stay_so_and_are_rounded_once(change):
    """The sum is made in float32; a unit matrix reads it off, one row for each input."""
    tuned = model()
    for name, module in tuned.named_modules():
        if name.endswith("base_layer"):
            module.to(torch.bfloat16)
    change(tuned)
    layer = next(m for n, m in tuned.named_modules() if n.endswith("linear_1"))
    unit = torch.eye(layer.in_features, dtype=torch.bfloat16)
    made = layer(unit) - layer(torch.zeros_like(unit))
    update = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert made.dtype == torch.bfloat16
    assert torch.equal(made.T, (layer.base_layer.weight.float() + update).bfloat16())


@pytest.mark.parametrize(
    ("kernel", "kept", "padding", "checkpointing"),
    [("sdpa", KEPT, True, True), ("eager", KEPT, True, False), ("sdpa", 1, False, False)],
)
def test_a_narrowed_layer_gives_the_whole_ones_logits_and_gradients(
    kernel, kept, padding, checkpointing
):
    whole, part = (model(kernel=kernel, checkpointing=checkpointing) for _ in range(2))
    narrow(part.get_base_model())
    found = heard(part, padding=padding, **last_logits(kept, CPU))
    expected = heard(whole, padding=padding, logits_to_keep=kept)
    assert found.shape[1] == kept
    real = (slice(None), slice(0, kept - padding))  # what stands at padding is nobody's
    torch.testing.assert_close(found[real], expected[real])
    for logits in (found, expected):
        logits[real].square().mean().backward()
    assert_learns_the_same(part, whole)
