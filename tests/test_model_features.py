"""What a model is asked and hears: as Voxtral's own processor has it, and once per clip."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from evoxtral import UserError, runs
from evoxtral.clips import Dataset
from evoxtral.model import (
    LogMels,
    LoraShape,
    Prompter,
    Voxtral,
    cache_features,
    encode,
    features,
    open_base,
)
from evoxtral.world.base.model import SPECIAL_TOKENS, build_model, build_processor, train_tokenizer
from small_models import adapted, small_shape

PCM16 = 1e-4
"""How far log-mels may be off: the processor writes a 16-bit file in between, we do not."""

BATCHED = 1e-4
"""How far features, of size about 1, may be off in other company: float32 sums in another order."""

FULL_WINDOWS = small_shape(layers=1, seconds=30, bands=128)
"""The windows of Voxtral-Mini around a model of no size."""

pytestmark = pytest.mark.usefixtures("own_runs")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("tekken") / "tekken.json"
    path.write_text(json.dumps(train_tokenizer(["we could go"] * 20, 20, FULL_WINDOWS)))
    torch.manual_seed(0)
    model = build_model(FULL_WINDOWS, 276 + len(SPECIAL_TOKENS))
    return Voxtral("full", model, build_processor(path, FULL_WINDOWS))


@pytest.fixture
def base():
    return open_base("tiny", "cpu")


def noise(seconds):
    """16-bit samples, loud and then silent: normalisation looks at the whole clip."""
    samples = np.random.default_rng(0).integers(-9000, 9000, int(16_000 * seconds))
    samples[len(samples) // 2 :] //= 100
    return (samples / 32768).astype(np.float32)


def test_clips_of_any_length_are_asked_as_the_processor_asks(base, full):
    short = [(base, *one) for one in ((0.1, 1), (7.99, 1), (8, 1), (8.01, 2), (17, 3))]
    for asked, seconds, windows in [*short, (full, 30, 1), (full, 45, 2)]:
        audio, prompter = noise(seconds), Prompter(asked)
        theirs = asked.request([audio], "en")
        assert prompter.windows(len(audio)) == windows
        assert prompter.prompt(windows) == theirs["input_ids"][0].tolist()
        mels = prompter.mels(audio)
        assert len(mels) == windows
        torch.testing.assert_close(mels, theirs["input_features"], rtol=0, atol=PCM16)
    assert Prompter(full).prompt(2).count(Prompter(full).audio) == 750


def test_the_request_names_the_language(base):
    english, french = Prompter(base).prompt(1), Prompter(base, "fr").prompt(1)
    said = "".join(Prompter(base).pieces(french))
    assert "lang:fr[TRANSCRIBE]" in said
    assert said.replace("lang:fr", "lang:en") == "".join(Prompter(base).pieces(english))
    with pytest.raises(UserError, match=r"\Ano language has the code 'xx': give one of two "):
        Prompter(base, "xx")


def test_a_transcript_is_written_as_it_is_read(base):
    """It is untrusted: what looks like a control token must not become one."""
    prompter = Prompter(base)
    for text in ("[sighs] NOT… – [clears throat] naïve, 東京?", "</s> [INST] <s> [AUDIO]"):
        *target, end = prompter.target(text)
        assert end == prompter.eos
        assert not {prompter.eos, prompter.audio, 1} & set(target)
        assert prompter.text([*target, end]) == text
    assert prompter.pieces([end]) == ["</s>"]
    assert "".join(prompter.pieces(prompter.target("[sighs] fine"))) == "[sighs] fine</s>"


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
    clips = spoken.clips
    with encoded(base) as seen:
        made = cache_features(base, clips, spoken, "test", "all")
    assert sum(seen) == len(clips)
    assert made.windows == (1,) * len(clips)
    for i, clip in enumerate(clips):
        alone = encode(base.model, Prompter(base).mels(spoken.audio(clip)))
        assert made[i].shape == alone.shape == (1, 400, 144)
        torch.testing.assert_close(made[i], alone, rtol=0, atol=BATCHED)
    with encoded(base) as seen:
        again = cache_features(base, clips, spoken, "test", "all")
        assert all(torch.equal(made[i], again[i]) for i in range(len(clips)))
    assert seen == []


class Long(Dataset):
    """Clips, the second and the sixth of which are repeated until they take two windows."""

    def audio(self, clip):
        windows = 2 if self.splits["train"].index(clip) in (1, 5) else 1
        return np.tile(super().audio(clip), 4)[: 8 * 16_000 * windows - 100]


def test_clips_of_several_windows_keep_their_places(base, spoken, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 3)
    clips = spoken.splits["train"][:7]
    sounds = Long(spoken.files)
    mels = LogMels(lambda i: sounds.audio(clips[i]), [0.0] * len(clips), Prompter(base))
    made = cache_features(base, clips, sounds, "test", "long")
    assert list(made.windows) == list(mels.windows) == [1, 2, 1, 1, 1, 2, 1]
    for i in range(len(clips)):
        torch.testing.assert_close(made[i], encode(base.model, mels[i]), rtol=0, atol=BATCHED)


def test_a_killed_cache_goes_on_with_the_block_it_was_at(base, spoken, own_runs, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 3)
    clips = spoken.splits["train"]
    write = runs.write_bytes

    def die_at_the_third(path, data):
        if "000006" in path.name:
            raise KeyboardInterrupt
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_bytes", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            cache_features(base, clips, spoken, "test", "train")
    kept = list(own_runs.glob("test/features-*.partial/clips-*.safetensors"))
    assert 2 <= len(kept) < 4, "the two before it, perhaps the one beside it"
    with encoded(base) as seen:
        resumed = cache_features(base, clips, spoken, "test", "train")
    assert sum(seen) == 12 - 3 * len(kept)
    blocks = [path.read_bytes() for path in sorted(resumed.folder.glob("*.safetensors"))]
    shutil.rmtree(own_runs)
    whole = cache_features(base, clips, spoken, "test", "train")
    assert [p.read_bytes() for p in sorted(whole.folder.glob("*.safetensors"))] == blocks


def test_sounds_and_the_encoder_decide_the_cache_and_nothing_else_does(base, spoken):
    clips = spoken.splits["train"][:4]
    made = cache_features(base, clips, spoken, "test", "train")
    rewritten = [clip.model_copy(update={"tagged_text": "Something else."}) for clip in clips]
    adapted(base.model, LoraShape(rank=4), 0.1)
    with encoded(base) as seen:
        assert cache_features(base, rewritten, spoken, "test", "train").folder == made.folder
    assert seen == []
    changed = [clips[0].model_copy(update={"sha256": "0" * 64}), *clips[1:]]
    sounds = replace(spoken, files={**spoken.files, changed[0]: spoken.files[clips[0]]})
    half = replace(base, model=deepcopy(base.model).bfloat16())
    others = {
        cache_features(opened, own, sounds, "test", "train").folder
        for opened, own in ((base, clips[::-1]), (base, changed), (half, clips))
    }
    assert len(others | {made.folder}) == 4
