"""Examples: what is learnt and in which order, and that the short way to its loss is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evoxtral.examples import FILLER, IGNORED, Examples, LengthSampler, collate
from evoxtral.model import LoraShape, Prompter, open_base, read_cached
from evoxtral.train import token_loss
from helpers import Heard
from small_models import adapted

TEXTS = (
    "[sighs] Fine.",
    "Nobody ran past the hospital on Sunday, and nobody will read his book.",
    "[whispers] It's a secret. [pause] Go!",
    "No.",
)


def two_windows(features):
    """The features, the third clip with a second window."""
    own = list(features)
    return Heard([own[0], own[1], torch.cat([own[2], own[6]]), own[3]])


@pytest.fixture
def base():
    return open_base("tiny", "cpu")


@pytest.fixture
def examples(base, spoken_features):
    heard = two_windows(spoken_features)
    return Examples(heard, TEXTS, (0, 1, 2, 3), Prompter(base), (1.0, 0.5, 2.0, 1.0))


def batch_of(examples):
    batch = collate([examples[row] for row in range(len(examples))], examples.prompter.pad)
    return batch | {"input_features": batch["input_features"].double()}


def test_transcripts_start_in_one_column_and_labels_are_they(examples):
    batch = batch_of(examples)
    prompter = examples.prompter
    ids, seen, labels = batch["input_ids"], batch["attention_mask"], batch["labels"]
    longest = max(len(prompter.target(text)) for text in TEXTS)
    columns = 8 * math.ceil(longest / 8)
    column = ids.shape[1] - columns
    assert batch["logits_to_keep"] == labels.shape[1] == columns + 1
    for i, text in enumerate(TEXTS):
        target = prompter.target(text)
        assert ids[i, column : column + len(target)].tolist() == target
        assert labels[i].tolist() == [IGNORED, *target, *[IGNORED] * (columns - len(target))]
        own = ids[i][seen[i].bool()].tolist()
        assert own == prompter.prompt(examples.heard.windows[i]) + target
        assert len(own) == examples.lengths[i]
        assert (ids[i][~seen[i].bool()] == prompter.pad).all()
    assert batch["input_features"].shape[0] == 5
    assert batch["weights"].tolist() == [1.0, 0.5, 2.0, 1.0]


def learnt(model, batch, loss):
    """Loss and gradients of adapters, in float64: a difference is not one of rounding."""
    tuned = adapted(model, LoraShape(rank=4, dropout=0.0), 0.05).double()
    made = loss(tuned(**batch, use_cache=False))
    made.backward()
    return made.item(), {n: p.grad for n, p in tuned.named_parameters() if p.grad is not None}


def test_without_weights_and_from_the_cache_it_is_voxtrals_own_loss(base, examples, spoken_mels):
    batch = batch_of(examples)
    labels, weights = batch.pop("labels"), torch.ones(4)
    del batch["weights"]
    whole = {name: batch[name] for name in ("input_ids", "attention_mask")}
    whole["input_features"] = torch.cat(two_windows(spoken_mels).tensors).double()
    whole["labels"] = torch.full_like(whole["input_ids"], IGNORED)
    whole["labels"][:, -labels.shape[1] :] = labels
    loss, gradients = learnt(base.model, whole, lambda out: out.loss)
    tokens, cached = labels.ne(IGNORED).sum(), read_cached(open_base("tiny", "cpu").model)
    own = learnt(cached, batch, lambda out: token_loss(out.logits, labels, weights, tokens))
    assert own[0] == pytest.approx(loss, rel=1e-5)
    assert own[1].keys() == gradients.keys()
    assert len(gradients) == 2 * (4 * 7 + 2)
    for name, value in gradients.items():
        most = value.abs().max()
        assert most > 0
        torch.testing.assert_close(own[1][name], value, rtol=1e-3, atol=1e-4 * most)


def test_a_weight_is_a_factor_of_a_clips_loss():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 7)
    labels = torch.tensor([[IGNORED, 1, 2, 3], [IGNORED, 4, IGNORED, IGNORED]])
    each = [token_loss(logits, labels, weights, 1) for weights in torch.eye(2)]
    both = token_loss(logits, labels, torch.tensor([0.5, 3.0]), 1)
    torch.testing.assert_close(both, 0.5 * each[0] + 3 * each[1])
    mean = token_loss(logits, labels, torch.ones(2), 4)
    torch.testing.assert_close(mean, (each[0] + each[1]) / 4)


def test_label_smoothing_is_in_the_gradient_and_not_in_the_value():
    """By its definition: a label has 1 - s of the probability, and every token s / vocabulary."""
    torch.manual_seed(0)
    smoothing, vocabulary = 0.1, 7
    logits = torch.randn(1, 3, vocabulary, dtype=torch.double, requires_grad=True)
    labels = torch.tensor([[IGNORED, 4, 2]])
    plain = token_loss(logits, labels, torch.ones(1), 2)
    smooth = token_loss(logits, labels, torch.ones(1), 2, smoothing)
    torch.testing.assert_close(smooth, plain)
    wanted = torch.full((2, vocabulary), smoothing / vocabulary, dtype=torch.double)
    wanted[[0, 1], [4, 2]] += 1 - smoothing
    expected = (logits[0, :2].softmax(dim=-1) - wanted) / 2
    [found] = torch.autograd.grad(smooth, logits)
    torch.testing.assert_close(found[0, :2], expected, rtol=1e-5, atol=1e-7)
    assert not found[0, 2].any()


LENGTHS = np.random.default_rng(0).integers(100, 200, 1_003).tolist()


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    batch=st.integers(1, 9),
    even=st.integers(1, 4),
)
def test_every_example_comes_once_and_the_end_is_filled_up(lengths, batch, even):
    sampler = LengthSampler(lengths, batch, seed=0, even=even)
    order = list(sampler)
    assert len(order) == len(sampler)
    assert len(order) % even == 0
    kept = order[: len(lengths)]
    assert sorted(kept) == list(range(len(lengths)))
    assert order[len(lengths) :] == [FILLER] * (len(order) - len(lengths))


def test_the_order_is_one_of_seed_and_epoch():
    one, again, other = (LengthSampler(LENGTHS, 8, seed=seed) for seed in (0, 0, 1))
    assert list(one) == list(again)
    assert list(one) != list(other)
    again.set_epoch(1)
    assert list(one) != list(again)
