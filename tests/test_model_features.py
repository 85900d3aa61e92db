"""The cache: the same model without its encoder, and the encoder once per clip."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from evoxtral.clips import Dataset
from evoxtral.model import (
    CachedEncoder,
    LogMels,
    LoraShape,
    Prompter,
    attach,
    cache_features,
    encode,
    features,
    open_base,
    read_cached,
)
from evoxtral.train import Examples, collate
from evoxtral.train.trainer import token_loss

BATCHED = 1e-4
"""How far features, of size about 1, may be off in other company: float32 sums in another order."""


pytestmark = pytest.mark.usefixtures("own_runs")


@pytest.fixture
def base():
    return open_base("tiny", "cpu")


@contextmanager
def encoded(base):
    """Counts the windows that pass through the encoder."""
    seen = []
    hook = base.model.model.audio_tower.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    try:
        yield seen
    finally:
        hook.remove()


def test_the_encoder_runs_once_per_clip_and_never_again(base, spoken, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 5)
    clips = spoken["train"]
    with encoded(base) as seen:
        made = cache_features(base, clips, spoken, "test", "train")
    assert sum(seen) == len(clips) == len(made)
    with encoded(base) as seen:
        again = cache_features(base, clips, spoken, "test", "train")
        assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    assert seen == []


def test_no_encoder_runs_where_the_cache_is_read(base, spoken, spoken_features):
    """The cached model has none: nothing can run it in training, sampling or evaluation."""
    tower = base.model.model.audio_tower
    model = read_cached(base.model)
    assert isinstance(model.model.audio_tower, CachedEncoder)
    assert not any(module is tower for module in model.modules())
    assert not any("audio_tower" in name for name, _ in model.named_parameters())


def test_cached_features_are_the_encoders(base, spoken, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 5)
    clips = spoken.clips
    made = cache_features(base, clips, spoken, "test", "all")
    prompter = Prompter(base)
    assert made.windows == (1,) * len(clips)
    for i, clip in enumerate(clips):
        alone = encode(base.model, prompter.mels(spoken.audio(clip)))
        assert made[i].shape == alone.shape == (1, 400, 144)
        torch.testing.assert_close(made[i], alone, rtol=0, atol=BATCHED)
    for beyond in (len(clips), -1):
        with pytest.raises(IndexError):
            made[beyond]


def test_features_do_not_depend_on_block_or_company(base, spoken, monkeypatch):
    clips = spoken["train"]
    monkeypatch.setattr(features, "BLOCK", 5)
    first = list(cache_features(base, clips, spoken, "one", "train"))
    monkeypatch.setattr(features, "_AT_ONCE", 3)
    monkeypatch.setattr(features, "BLOCK", 4)
    reversed_ = cache_features(base, clips[::-1], spoken, "two", "train")
    for i in range(len(clips)):
        torch.testing.assert_close(reversed_[len(clips) - 1 - i], first[i], rtol=0, atol=BATCHED)


def test_features_do_not_depend_on_the_number_of_threads(base, spoken, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 4)
    before = torch.get_num_threads()
    made = {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with monkeypatch.context() as patch:
                patch.setenv("EVOXTRAL_RUNS", str(spoken.root / f"threads-{threads}"))
                made[threads] = torch.cat(
                    list(cache_features(base, spoken["train"], spoken, "test", "train"))
                )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[1], made[2])


def long_sounds(spoken, clips, windows):
    """The clips, some of them repeated until they take several windows."""

    class Long(Dataset):
        def audio(self, clip):
            return np.tile(super().audio(clip), 4)[: 8 * 16_000 * windows[clip.id] - 100]

    return Long(spoken.root, spoken.splits, spoken.paths)


def test_clips_of_several_windows_keep_their_places(base, spoken, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 3)
    clips = spoken["train"][:7]
    wanted = [1, 2, 1, 1, 1, 2, 1]
    sounds = long_sounds(spoken, clips, {c.id: w for c, w in zip(clips, wanted, strict=True)})
    prompter = Prompter(base)
    mels = LogMels(sounds, clips, prompter)
    made = cache_features(base, clips, sounds, "test", "long")
    assert list(made.windows) == list(mels.windows) == wanted
    for i in range(len(clips)):
        alone = encode(base.model, mels[i])
        torch.testing.assert_close(made[i], alone, rtol=0, atol=BATCHED)


def test_a_killed_cache_goes_on_with_the_block_it_was_at(base, spoken, own_runs, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 3)
    clips = spoken["train"]
    write = features.artifacts.write_bytes

    def die_at_the_third(path, data):
        if "000006" in path.name:
            raise KeyboardInterrupt
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(features.artifacts, "write_bytes", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            cache_features(base, clips, spoken, "test", "train")
    kept = list(own_runs.glob("test/features-*.partial/clips-*.safetensors"))
    assert 2 <= len(kept) < 4, "the two before it, perhaps the one beside it"
    with encoded(base) as seen:
        resumed = cache_features(base, clips, spoken, "test", "train")
    assert sum(seen) == 12 - 3 * len(kept)
    blocks = {path.name: path.read_bytes() for path in resumed.folder.glob("*.safetensors")}
    assert len(blocks) == 4
    shutil.rmtree(own_runs)
    whole = cache_features(base, clips, spoken, "test", "train")
    assert whole.folder == resumed.folder
    assert {p.name: p.read_bytes() for p in whole.folder.glob("*.safetensors")} == blocks


def test_other_sounds_or_weights_are_another_cache(base, spoken):
    clips = spoken["train"][:4]
    folders = [cache_features(base, clips, spoken, "test", "train").folder]
    folders.append(cache_features(base, clips[::-1], spoken, "test", "train").folder)
    changed = [clips[0].model_copy(update={"sha256": "0" * 64}), *clips[1:]]
    folders.append(cache_features(base, changed, spoken, "test", "train").folder)
    half = open_base("tiny", "cpu", "bfloat16")
    folders.append(cache_features(half, clips, spoken, "test", "train").folder)
    assert len(set(folders)) == 4


def test_an_adapter_or_another_language_model_keeps_the_cache(base, spoken):
    clips = spoken["train"][:4]
    made = cache_features(base, clips, spoken, "test", "train")
    other = open_base("tiny", "cpu")
    attach(other.model, LoraShape(rank=4), seed=0)
    with encoded(other) as seen:
        assert cache_features(other, clips, spoken, "test", "train").folder == made.folder
    assert seen == []


def test_texts_do_not_change_the_cache(base, spoken):
    clips = spoken["train"][:4]
    made = cache_features(base, clips, spoken, "test", "train")
    rewritten = [clip.model_copy(update={"tagged_text": "Something else."}) for clip in clips]
    assert cache_features(base, rewritten, spoken, "test", "train").folder == made.folder


def examples(base, spoken, heard, count=6):
    texts = [clip.tagged_text for clip in spoken.clips]
    return Examples(heard, texts, range(count), Prompter(base), [1.0] * len(texts))


def learnt(base, batch, cached):
    """Loss and gradients of adapters with the encoder in place or the cache instead of it."""
    model = read_cached(base.model) if cached else base.model
    tuned = attach(model, LoraShape(rank=4, dropout=0.0), seed=1)
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            torch.manual_seed(len(name))
            value.data.normal_(std=0.02)
    labels, weights = batch.pop("labels"), batch.pop("weights")
    loss = token_loss(tuned(**batch, use_cache=False).logits, labels, weights, None)
    loss.backward()
    return loss.item(), {n: p.grad for n, p in tuned.named_parameters() if p.grad is not None}


def test_cached_equals_uncached_in_loss_and_gradients(spoken, spoken_mels, spoken_features):
    results = []
    for heard, cached in ((spoken_mels, False), (spoken_features, True)):
        base = open_base("tiny", "cpu")
        own = examples(base, spoken, heard)
        batch = collate([own[i] for i in range(len(own))], own.prompter.pad)
        results.append(learnt(base, batch, cached))
    (loss, gradients), (cached_loss, cached_gradients) = results
    assert cached_loss == pytest.approx(loss, rel=1e-5)
    assert gradients.keys() == cached_gradients.keys()
    assert len(gradients) == 2 * (4 * 7 + 2)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(cached_gradients[name], gradient, rtol=1e-3, atol=1e-5)


def test_cached_equals_uncached_in_greedy_tokens(base, spoken_mels, spoken_features):
    prompter = Prompter(base)
    ids = torch.tensor([prompter.prompt(1)] * len(spoken_mels))
    options = {"max_new_tokens": 40, "do_sample": False}
    with torch.inference_mode():
        mels = torch.cat(list(spoken_mels))
        wanted = base.model.generate(input_ids=ids, input_features=mels, **options)
        cached = torch.cat(list(spoken_features))
        made = read_cached(base.model).generate(input_ids=ids, input_features=cached, **options)
    assert wanted.shape[1] > ids.shape[1] + 10
    assert torch.equal(made, wanted)
