"""Decoding: token for token what `generate` writes, and every completion for itself."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from evoxtral import UserError
from evoxtral.decode import Decoded, Decoding, decode
from evoxtral.model import LoraShape, Prompter, attach, encode, narrow, open_base, read_cached
from evoxtral.world.base.model import build_model
from small_models import SMALL

EOS = 2
WINDOW = [24] * SMALL.audio_tokens


def random_model(seed=0, vocabulary=60):
    """Writes nonsense of every length: few tokens, and an end that is as likely as any."""
    torch.manual_seed(seed)
    model = build_model(SMALL, vocabulary).requires_grad_(False).eval()
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "embed" not in name:  # far from Voxtral's timid start
            weight.normal_(std=2 * weight[0].numel() ** -0.5)
    model.model.language_model.embed_tokens.weight.normal_()
    return model


def random_features(clips, windows=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = clips * windows, SMALL.frames, SMALL.encoder_width
    return torch.randn(shape, generator=generator)


def generated(model, prompt, features, max_new_tokens, windows=1):
    """What `generate` writes, 32 clips at a time, as tokens without the end."""
    made = []
    for heard in features.split(32 * windows):
        ids = torch.tensor([prompt] * (len(heard) // windows))
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                input_features=heard,
                max_new_tokens=max_new_tokens,
                do_sample=False,
            )
        for row in out[:, len(prompt) :].tolist():
            end = row.index(EOS) if EOS in row else len(row)
            made.append(Decoded(row[:end], EOS in row))
    return made


def greedy(model, prompt, features, max_new_tokens):
    return [own[0] for own in decode(model, prompt, features, Decoding(max_new_tokens), EOS)]


def variations(spoken, prompter, count, seed):
    """Sounds that no corpus has: parts of clips, loud and quiet, and noise over some."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        audio = spoken.audio(spoken.clips[i % len(spoken.clips)])
        start = rng.integers(len(audio) // 2)
        part = audio[start : start + rng.integers(4000, len(audio))]
        noise = rng.normal(0, rng.choice([0, 0.003]), len(part))
        yield prompter.mels((rng.uniform(0.2, 1) * part + noise).astype(np.float32))


@pytest.mark.slow
def test_greedy_is_generate_on_208_sounds_with_the_base(spoken):
    """Token for token in float32; the two batch differently, and no near-tie flips here."""
    base = open_base("tiny", "cpu")
    prompter = Prompter(base)
    sounds = torch.cat(list(variations(spoken, prompter, 208, seed=1)))
    features = torch.cat([encode(base.model, some).clone() for some in sounds.split(16)])
    wanted = generated(base.model, prompter.prompt(1), sounds, 24)
    made = greedy(read_cached(base.model), prompter.prompt(1), features, 24)
    assert made == wanted
    assert len({len(one.ids) for one in made}) > 10
    assert len({tuple(one.ids) for one in made}) > 150


@pytest.mark.parametrize("windows", [1, 2])
def test_greedy_is_generate_with_random_models(windows):
    prompt = [1, 3, *WINDOW * windows, 4, 30]
    lengths = set()
    for seed in range(4):
        model = read_cached(random_model(seed))
        features = random_features(50, windows, seed)
        made = greedy(model, prompt, features, 24)
        assert made == generated(model, prompt, features, 24, windows)
        lengths |= {len(one.ids) for one in made}
    assert len(lengths) > 5


def test_greedy_is_generate_with_an_adapter_attached():
    model = read_cached(random_model())
    tuned = attach(model, LoraShape(rank=4), seed=0).eval()
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            value.data.normal_(std=0.1)
    prompt = [1, *WINDOW, 4]
    made = greedy(tuned, prompt, random_features(20), 16)
    assert made == generated(tuned, prompt, random_features(20), 16)


def test_greedy_is_generate_with_a_narrowed_last_layer_that_sees_one_position_of_the_prompt():
    model, plain = read_cached(random_model()), read_cached(random_model())
    narrow(model)
    prompt, features, seen = [1, *WINDOW, 4], random_features(20), []
    model.model.language_model.layers[-1].mlp.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[1])
    )
    assert greedy(model, prompt, features, 16) == generated(plain, prompt, features, 16)
    assert set(seen) == {1}


def test_greedy_is_generate_with_the_encoder_in_place():
    model = random_model()
    mels = torch.randn(8, SMALL.mel_bins, 2 * SMALL.frames)
    prompt = [1, *WINDOW, 4]
    assert greedy(model, prompt, mels, 16) == generated(model, prompt, mels, 16)


def test_greedy_repeats_itself_k_times():
    model = read_cached(random_model())
    made = decode(model, [1, *WINDOW], random_features(5), Decoding(12), EOS, k=3)
    single = decode(model, [1, *WINDOW], random_features(5), Decoding(12), EOS)
    assert made == [own * 3 for own in single]


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


@pytest.mark.parametrize("k", [1, 4, 8])
def test_the_prompt_is_read_once_per_clip_whatever_k(k):
    model = read_cached(random_model())
    prompt = [1, 3, *WINDOW, 4]
    with watched(model.model.language_model) as shapes:
        decode(model, prompt, random_features(6), SAMPLED, EOS, seeds(range(6), k), k)
    assert shapes[0] == (6, len(prompt))
    assert shapes[1][0] <= 6 * k
    assert {positions for _, positions in shapes[1:]} == {1}
    assert sum(rows * positions for rows, positions in shapes if positions > 1) == 6 * len(prompt)


def test_the_prompts_of_many_clips_are_read_a_few_at_a_time():
    model, clips = read_cached(random_model()), 40
    with watched(model.model.language_model) as shapes:
        greedy(model, [1, *WINDOW], random_features(clips), 4)
    prompts = [rows for rows, positions in shapes if positions > 1]
    assert sum(prompts) == clips
    assert max(prompts) < clips / 2
    assert shapes[len(prompts)] == (clips, 1)


def test_the_encoder_reads_each_window_once_whatever_k():
    model = random_model()
    seen = []
    model.model.audio_tower.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    mels = torch.randn(3, SMALL.mel_bins, 2 * SMALL.frames)
    decode(model, [1, *WINDOW], mels, SAMPLED, EOS, seeds(range(3), 4), 4)
    assert seen == [3]


def test_ended_rows_leave_the_batch():
    model = read_cached(random_model())
    with watched(model.model.language_model) as shapes:
        made = decode(
            model, [1, *WINDOW], random_features(20), SAMPLED, EOS, seeds(range(20), 4), 4
        )
    rows = [count for count, positions in shapes if positions == 1]
    alive = [sum(len(one.ids) > step for own in made for one in own) for step in range(len(rows))]
    assert rows == sorted(rows, reverse=True)
    assert all(a <= r <= a / 0.75 + 1 for r, a in zip(rows, alive, strict=True))


def test_waiting_for_ended_rows_or_not_changes_nothing(monkeypatch):
    module = sys.modules["evoxtral.decode.decode"]  # the package exports a function of this name
    model = read_cached(random_model()).double()
    results = []
    for share in (0.0, 0.25, 1.0):
        monkeypatch.setattr(module, "_DROP_AT", share)
        features = random_features(20).double()
        results.append(decode(model, [1, *WINDOW], features, SAMPLED, EOS, seeds(range(20), 4), 4))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 1.0), (torch.float32, 0.98)])
def test_a_completion_depends_on_seed_clip_and_index_only(dtype, share):
    """Exactly so in float64; in float32 a draw may fall between two roundings of one boundary."""
    model = read_cached(random_model()).to(dtype)
    features, prompt, clips = random_features(12).to(dtype), [1, *WINDOW], list(range(12))
    whole = decode(model, prompt, features, SAMPLED, EOS, seeds(clips, 4), 4)

    def redone(batches, k):
        made = {}
        for rows in batches:
            own = decode(model, prompt, features[rows], SAMPLED, EOS, seeds(rows, k), k)
            made |= dict(zip(rows, own, strict=True))
        return [made[clip] for clip in clips]

    for batches, k in (
        ([clips[::-1]], 4),
        ([clips[:5], clips[5:]], 4),
        ([[clip] for clip in clips], 4),
        ([clips], 2),
        ([clips[3:], clips[:3]], 1),
    ):
        pairs = [
            (a, b)
            for mine, theirs in zip(redone(batches, k), whole, strict=True)
            for a, b in zip(mine, theirs[:k], strict=True)
        ]
        assert np.mean([a == b for a, b in pairs]) >= share
    assert len({tuple(one.ids) for own in whole for one in own}) > 30
    other = decode(model, prompt, features, SAMPLED, EOS, seeds(clips, 4, seed=8), 4)
    assert other != whole


def test_a_limit_ends_what_has_no_end():
    model = read_cached(random_model())
    for limit in (1, 2, 7):
        made = greedy(model, [1, *WINDOW], random_features(30), limit)
        assert all(len(one.ids) == limit for one in made if not one.finished)
        assert all(len(one.ids) < limit for one in made if one.finished)
        assert any(not one.finished for one in made)


def test_sampling_needs_seeds():
    with pytest.raises(ValueError, match="needs seeds"):
        decode(read_cached(random_model()), [1, *WINDOW], random_features(1), SAMPLED, EOS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_p": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"^{name} is .*: it must be"):
        Decoding(**{"max_new_tokens": 5} | wrong)
