"""A narrowed last layer gives the logits asked for, teaches the same, and computes no others."""

from __future__ import annotations

import pytest
import torch

from evoxtral.model import LoraShape, attach, last_logits, narrow, open_base
from evoxtral.world.base.model import build_model
from small_models import SMALL

KEPT, CPU = 4, torch.device("cpu")


def adapted(kernel="sdpa", *, checkpointing=False):
    """A small model in training whose adapters do something."""
    torch.manual_seed(0)
    tuned = attach(
        build_model(SMALL, 300).requires_grad_(False), LoraShape(4, 8, dropout=0.0), seed=1
    )
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    tuned.get_base_model().set_attn_implementation({"text_config": kernel})
    if checkpointing:
        tuned.activation_checkpointing_enable({"use_reentrant": False})
    return tuned.train()


def heard(model, padding, kept=KEPT, **asked):
    """Logits of the last positions of two clips, the second padded before and after."""
    torch.manual_seed(3)
    ids = torch.tensor([[1, *[24] * 25, 5, 6, 7, 8]] * 2)
    seen = torch.ones_like(ids)
    if padding:
        ids = torch.cat([torch.zeros(2, 1, dtype=torch.long), ids], dim=1)
        seen = torch.cat([torch.tensor([[1], [0]]), seen], dim=1)
        seen[1, -1] = 0
    return model(
        input_ids=ids,
        attention_mask=seen,
        input_features=torch.randn(2, 80, 200),
        logits_to_keep=kept,
        use_cache=False,
        **asked,
    ).logits


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize(("kept", "padding"), [(KEPT, False), (KEPT, True), (1, False)])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_logits_and_gradients_are_those_of_the_whole_layer(kernel, kept, padding, checkpointing):
    whole, part = (adapted(kernel, checkpointing=checkpointing) for _ in range(2))
    narrow(part.get_base_model())
    expected, found = heard(whole, padding, kept), heard(part, padding, kept, wanted=kept)
    assert found.shape[1] == kept
    real = (slice(None), slice(0, kept - padding))  # what stands at padding is nobody's
    torch.testing.assert_close(found[real], expected[real])
    for logits in (found, expected):
        logits[real].square().mean().backward()
    for (name, ours), theirs in zip(part.named_parameters(), whole.parameters(), strict=True):
        if ours.requires_grad:
            assert ours.grad.abs().max() > 0, name
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_only_the_positions_asked_for_are_computed():
    model, rows = adapted(), []
    narrow(model.get_base_model())
    for layer in model.get_base_model().model.language_model.layers:
        layer.mlp.register_forward_hook(lambda _, inputs, __: rows.append(inputs[0].shape[1]))
    heard(model, padding=False, wanted=KEPT)
    assert rows == [30] * (len(rows) - 1) + [KEPT]


def test_after_a_cache_that_holds_something_the_layer_is_whole():
    whole, part = adapted().eval(), adapted().eval()
    narrow(part.get_base_model())
    made = []
    for model, asked in ((whole, {"logits_to_keep": 1}), (part, last_logits(1, CPU))):
        heard = {"input_ids": torch.tensor([[1, *[24] * 25, 5]]), "use_cache": True}
        begun = model(**heard, input_features=torch.ones(1, 80, 200), **asked)
        more = torch.tensor([[6, 7, 8]])
        cache = begun.past_key_values
        made += [begun.logits, model(input_ids=more, past_key_values=cache, **asked).logits]
    for expected, found in zip(made[:2], made[2:], strict=True):
        torch.testing.assert_close(found, expected)


def test_an_opened_model_computes_its_last_layer_where_it_is_asked():
    model, rows = open_base("tiny", "cpu").model, []
    model.model.language_model.layers[-1].mlp.register_forward_hook(
        lambda _, inputs, __: rows.append(inputs[0].shape[1])
    )
    model(input_ids=torch.tensor([[1, 5, 6, 7]]), **last_logits(2, model.device))
    assert rows == [2]


def test_without_the_argument_nothing_changes():
    whole, part = adapted().eval(), adapted().eval()
    narrow(part.get_base_model())
    assert torch.equal(heard(part, padding=True), heard(whole, padding=True))
    made = [
        model.generate(
            input_ids=torch.tensor([[1, *[24] * 25, 5]]),
            input_features=torch.ones(1, 80, 200),
            max_new_tokens=6,
            do_sample=False,
        )
        for model in (whole, part)
    ]
    assert torch.equal(*made)
