"""Drawing a token: the inverse of the cumulative distribution, checked against the distribution."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evoxtral.decode import Decoding, decode
from evoxtral.decode.decode import sample
from evoxtral.model import read_cached
from evoxtral.world.base.model import Architecture, build_model

GRID = 2000


def expected(logits, temperature, top_p):
    """The distribution by its definition, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    kept, mass = [], 0.0
    for token in np.argsort(-probabilities, kind="stable"):
        kept.append(token)
        mass += probabilities[token]
        if mass >= top_p:
            break
    nucleus = np.zeros_like(probabilities)
    nucleus[kept] = probabilities[kept]
    return nucleus / nucleus.sum()


def shares(logits, temperature, top_p):
    """How often each token comes over evenly spaced random numbers."""
    uniform = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    rows = torch.tensor(logits).expand(GRID, -1)
    chosen = sample(rows, uniform, Decoding(1, temperature, top_p))
    return np.bincount(chosen.numpy(), minlength=len(logits)) / GRID


logit = st.integers(-160, 160).map(lambda n: n / 16)


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(logit, min_size=1, max_size=12),
    temperature=st.floats(0.2, 4),
    top_p=st.floats(0.05, 1),
)
def test_every_token_comes_as_often_as_it_should(logits, temperature, top_p):
    wanted = expected(logits, temperature, top_p)
    made = shares(logits, temperature, top_p)
    if np.isclose(np.cumsum(np.sort(wanted)[::-1]), top_p, atol=1e-5).any():
        return  # whether the last token belongs to the nucleus is a matter of rounding
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1.5 / GRID)


@given(logits=st.lists(logit, min_size=2, max_size=12), uniform=st.floats(0, 1, exclude_max=True))
def test_a_nucleus_of_almost_nothing_is_greedy(logits, uniform):
    chosen = sample(
        torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64), Decoding(1, 1.0, 1e-9)
    )
    assert logits[chosen[0]] == max(logits)


@given(logits=st.lists(logit, min_size=1, max_size=12), uniform=st.floats(0, 1, exclude_max=True))
def test_a_token_of_no_probability_never_comes(logits, uniform):
    rows = torch.tensor([[*logits, -torch.inf, -1e9]])
    for top_p in (1.0, 0.999):
        chosen = sample(rows, torch.tensor([uniform], dtype=torch.float64), Decoding(1, 1.0, top_p))
        assert chosen[0] < len(logits)


def test_the_ends_of_the_unit_interval_are_tokens():
    rows = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    last = np.nextafter(1.0, 0.0)
    for value, rank in ((0.0, 0), (last, -1)):
        chosen = sample(rows, torch.full((50,), value, dtype=torch.float64), Decoding(1, 1.0))
        assert torch.equal(chosen, rows.argsort(dim=-1, descending=True)[:, rank])


def test_rows_do_not_touch_each_other():
    generator = torch.Generator().manual_seed(0)
    rows, uniform = torch.randn(20, 9, generator=generator), torch.rand(20, generator=generator)
    how = Decoding(1, 0.7, 0.8)
    together = sample(rows, uniform, how)
    alone = [sample(rows[i : i + 1], uniform[i : i + 1], how)[0] for i in range(20)]
    assert together.tolist() == torch.stack(alone).tolist()


def test_first_tokens_of_2000_completions_follow_the_models_distribution():
    shape = Architecture(2, 80, 32, 1, 2, 32, 1, 2, 1)
    torch.manual_seed(0)
    model = build_model(shape, 40).requires_grad_(False).eval()
    model.lm_head.weight.mul_(30)
    features = torch.randn(1, shape.frames, shape.encoder_width)
    prompt = [1, *[24] * shape.audio_tokens, 4]
    how = Decoding(1, temperature=1.3, top_p=0.9)
    seeds = [[(3, index) for index in range(2000)]]
    made = decode(read_cached(model), prompt, features, how, 2, seeds, 2000)[0]
    counts = np.bincount([one.ids[0] if one.ids else 2 for one in made], minlength=40)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt]), input_features=features).logits[0, -1]
    wanted = expected(logits.numpy(), 1.3, 0.9)
    assert counts[wanted == 0].sum() == 0
    kept = wanted > 0
    assert kept.sum() > 5
    assert stats.chisquare(counts[kept], 2000 * wanted[kept]).pvalue > 1e-3
