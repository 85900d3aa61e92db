"""The order of examples: all of them, like with like, and long and short batches mixed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evoxtral.train.examples import FILLER
from evoxtral.train.trainer import LengthSampler

LENGTHS = np.random.default_rng(0).integers(100, 200, 1_003).tolist()
BATCH = 8


def batches(sampler):
    order = list(sampler)
    return [order[i : i + BATCH] for i in range(0, len(order), BATCH)]


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


def test_the_first_batch_has_the_longest_example():
    first = batches(LengthSampler(LENGTHS, BATCH, seed=0))[0]
    assert max(LENGTHS) in [LENGTHS[i] for i in first]


def test_examples_of_a_batch_are_of_like_length_and_neighbouring_batches_are_not():
    means, spreads = [], []
    for own in batches(LengthSampler(LENGTHS, BATCH, seed=0))[1:-1]:
        values = [LENGTHS[i] for i in own]
        means.append(np.mean(values))
        spreads.append(max(values) - min(values))
    assert np.median(spreads) < 5
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_the_order_is_one_of_seed_and_epoch():
    one, again, other = (LengthSampler(LENGTHS, BATCH, seed=seed) for seed in (0, 0, 1))
    assert list(one) == list(again)
    assert list(one) != list(other)
    again.set_epoch(1)
    assert list(one) != list(again)
