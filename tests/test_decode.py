"""Decoding: token for token what `generate` writes, and every completion for itself."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import decode as decoding
from evoxtral.decode import Decoded, Decoding, decode, plan_batches, sample, transcribe
from evoxtral.model import Prompter, narrow, open_base, read_cached
from evoxtral.world.base.model import build_model
from helpers import Heard
from small_models import BANDS, FRAMES, SMALL, WIDTH, WINDOW

EOS = 2


def random_model(seed=0):
    """Writes nonsense of every length: few tokens, and an end that is as likely as any."""
    torch.manual_seed(seed)
    model = build_model(SMALL, 60).requires_grad_(False).eval()
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "embed" not in name:  # far from Voxtral's timid start
            weight.normal_(std=2 * weight[0].numel() ** -0.5)
    model.model.language_model.embed_tokens.weight.normal_()
    return model


def random_features(clips, windows=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = clips * windows, FRAMES, WIDTH
    return torch.randn(shape, generator=generator)


def generated(model, prompt, features, max_new_tokens, windows=1):
    """What `generate` writes, 32 clips at a time, as tokens without the end."""
    made = []
    for heard in features.split(32 * windows):
        ids = torch.tensor([prompt] * (len(heard) // windows))
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, input_features=heard, max_new_tokens=max_new_tokens, do_sample=False
            )
        for row in out[:, len(prompt) :].tolist():
            end = row.index(EOS) if EOS in row else len(row)
            made.append(Decoded(row[:end], EOS in row))
    return made


def decoded(model, prompt, features, settings, *seeds, windows=1):
    """What `decode` makes of all clips, each of so many windows."""
    heard, prompter = (
        Heard(features.split(windows)),
        SimpleNamespace(prompt=lambda _: prompt, eos=EOS),
    )
    return decode(model, prompter, heard, range(len(heard.windows)), settings, *seeds)


@pytest.mark.parametrize("windows", [1, 2])
def test_greedy_is_generate_with_random_models(windows):
    prompt = [1, 3, *WINDOW * windows, 4, 30]
    lengths = set()
    for seed in range(4):
        model, plain = (read_cached(random_model(seed)) for _ in range(2))
        narrow(model)
        features = random_features(50, windows, seed)
        made = [one for [one] in decoded(model, prompt, features, Decoding(24), windows=windows)]
        assert made == generated(plain, prompt, features, 24, windows)
        lengths |= {len(one.ids) for one in made}
    assert len(lengths) > 5


@contextmanager
def watched(module):
    """Shapes of what enters the language model: (rows, positions) of each call."""
    shapes = []
    hook = module.register_forward_pre_hook(
        lambda _, args, options: shapes.append(tuple(options["inputs_embeds"].shape[:2])),
        with_kwargs=True,
    )
    try:
        yield shapes
    finally:
        hook.remove()


SAMPLED = Decoding(16, temperature=1.0)


def seeds(clips, k, seed=7):
    return [[(seed, clip, index) for index in range(k)] for clip in clips]


def test_sound_and_prompt_are_read_once_per_clip_whatever_k():
    k, model, prompt, windows = 4, random_model(), [1, 3, *WINDOW, 4], []
    model.model.audio_tower.register_forward_pre_hook(lambda _, args: windows.append(len(args[0])))
    mels = torch.randn(6, BANDS, 2 * FRAMES)
    with watched(model.model.language_model) as shapes:
        decoded(model, prompt, mels, SAMPLED, seeds(range(6), k))
    assert windows == [6]
    assert shapes[0] == (6, len(prompt))
    assert shapes[1][0] <= 6 * k
    assert {positions for _, positions in shapes[1:]} == {1}


def test_ended_rows_leave_the_batch_and_nothing_changes_by_it(monkeypatch):
    model, features = read_cached(random_model()).double(), random_features(20).double()
    results, calls = [], []
    for share in (0.0, 0.25, 1.0):
        monkeypatch.setattr(decoding, "_DROP_AT", share)
        with watched(model.model.language_model) as shapes:
            results.append(decoded(model, [1, *WINDOW], features, SAMPLED, seeds(range(20), 4)))
        calls.append([count for count, positions in shapes if positions == 1])
    assert results[0] == results[1] == results[2]
    done = [one for own in results[0] for one in own]
    alive = [sum(len(one.ids) > step for one in done) for step in range(len(calls[1]))]
    assert all(a <= r <= a / 0.75 + 1 for r, a in zip(calls[1], alive, strict=True))
    assert calls[1] == sorted(calls[1], reverse=True)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 1.0), (torch.float32, 0.9)])
def test_a_completion_depends_on_seed_clip_and_index_only(dtype, share):
    """Exactly so in float64; in float32 a draw may fall between two roundings of one boundary."""
    model = read_cached(random_model()).to(dtype)
    features, prompt, clips = random_features(12).to(dtype), [1, *WINDOW], list(range(12))
    whole = decoded(model, prompt, features, SAMPLED, seeds(clips, 4))
    for batches, k in (
        ([clips[::-1]], 4),
        ([[clip] for clip in clips], 4),
        ([clips[3:], clips[:3]], 2),
    ):
        same = []
        for rows in batches:
            own = decoded(model, prompt, features[rows], SAMPLED, seeds(rows, k))
            same += [made == whole[row][:k] for row, made in zip(rows, own, strict=True)]
        assert np.mean(same) >= share
    assert len({tuple(one.ids) for own in whole for one in own}) > 30
    other = decoded(model, prompt, features, SAMPLED, seeds(clips, 4, seed=8))
    assert other != whole


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


logit = st.integers(-160, 160).map(lambda n: n / 16)


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(logit, min_size=1, max_size=12),
    temperature=st.floats(0.2, 4),
    top_p=st.floats(0.05, 1),
)
def test_every_token_comes_as_often_as_it_should(logits, temperature, top_p):
    wanted = expected(logits, temperature, top_p)
    uniform = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    rows = torch.tensor(logits).expand(GRID, -1)
    chosen = sample(rows, uniform, Decoding(1, temperature, top_p))
    made = np.bincount(chosen.numpy(), minlength=len(logits)) / GRID
    if np.isclose(np.cumsum(np.sort(wanted)[::-1]), top_p, atol=1e-5).any():
        return  # whether the last token belongs to the nucleus is a matter of rounding
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1.5 / GRID)


clip = st.tuples(st.integers(1, 4), st.floats(0.1, 30))


@given(clips=st.lists(clip, max_size=60), size=st.integers(1, 9))
def test_a_plan_holds_every_clip_once_in_batches_of_one_prompt(clips, size):
    windows, seconds = [w for w, _ in clips], [s for _, s in clips]
    heard = SimpleNamespace(windows=windows, seconds=seconds)
    planned = plan_batches(heard, range(len(clips)), size)
    assert sorted(row for batch in planned for row in batch) == list(range(len(clips)))
    assert all(1 <= len(batch) <= size for batch in planned)
    assert all(len({windows[row] for row in batch}) == 1 for batch in planned)
    order = [(-windows[row], -seconds[row], row) for batch in planned for row in batch]
    assert order == sorted(order), "ties go by row: another process plans the same"
    full = sum(-(-count // size) for count in Counter(windows).values())
    assert len(planned) == full, "no batch is smaller than it must be"


@pytest.mark.parametrize(("batch", "threads"), [(5, 3), (64, 1)])
def test_transcripts_come_in_the_clips_order(spoken, spoken_features, capsys, batch, threads):
    """Several batches at once, on one model."""
    base = open_base("tiny", "cpu")
    model, prompter = read_cached(base.model), Prompter(base)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = transcribe(model, prompter, spoken_features, 30, batch, "spoken")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert "transcripts of spoken" in capsys.readouterr().out
    for i in range(len(spoken.clips)):
        assert [[made[i]]] == decode(model, prompter, spoken_features, [i], Decoding(30))
    assert any("garden" in prompter.text(one.ids) for one in made), "the base hears words"
