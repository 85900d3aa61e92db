"""The request: exactly what Voxtral's own processor makes of the same samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evoxtral import UserError
from evoxtral.model import Prompter, Voxtral, open_base
from evoxtral.world.base.model import SPECIAL_TOKENS, build_model, build_processor, train_tokenizer
from small_models import SMALL

PCM16 = 1e-4
"""How far log-mels may be off: the processor writes a 16-bit file in between, we do not."""

FULL_WINDOWS = replace(SMALL, window_seconds=30, mel_bins=128, lm_layers=1)
"""The windows of Voxtral-Mini around a model of no size."""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("tekken") / "tekken.json"
    path.write_text(json.dumps(train_tokenizer(["we could go"] * 20, 20, FULL_WINDOWS)))
    torch.manual_seed(0)
    model = build_model(FULL_WINDOWS, 276 + len(SPECIAL_TOKENS))
    return Voxtral("full", model, build_processor(path, FULL_WINDOWS), "", "")


@pytest.fixture(scope="module")
def tiny():
    return open_base("tiny", "cpu")


def requested(base, audio):
    """The documented call, with the windows of the model; samples are those of a 16-bit file."""
    shape = base.model.config.audio_config.max_source_positions
    window = int(base.window_seconds * 16_000)
    return base.processor.apply_transcription_request(
        language="en",
        audio=[audio],
        format=["WAV"],
        sampling_rate=16_000,
        model_id="any",
        audio_kwargs={"pad_to_multiple_of": window, "max_source_positions": 2 * shape},
    )


def noise(seconds, seed=0):
    """16-bit samples, loud and then silent: normalisation looks at the whole clip."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(-9000, 9000, int(16_000 * seconds))
    samples[len(samples) // 2 :] //= 100
    return (samples / 32768).astype(np.float32)


def same(base, audio, windows):
    prompter = Prompter(base)
    theirs = requested(base, audio)
    assert prompter.windows(len(audio)) == windows
    assert prompter.prompt(windows) == theirs["input_ids"][0].tolist()
    mels = prompter.mels(audio)
    assert mels.shape == theirs["input_features"].shape
    assert len(mels) == windows
    torch.testing.assert_close(mels, theirs["input_features"], rtol=0, atol=PCM16)


def test_one_real_clip_is_asked_as_the_processor_asks(tiny, spoken):
    for clip in spoken.clips[:4]:
        same(tiny, spoken.audio(clip), 1)


@pytest.mark.parametrize(
    ("seconds", "windows"), [(0.1, 1), (7.99, 1), (8, 1), (8.01, 2), (13, 2), (17, 3)]
)
def test_clips_of_any_length_are_asked_as_the_processor_asks(tiny, seconds, windows):
    same(tiny, noise(seconds), windows)


@pytest.mark.parametrize(("seconds", "windows"), [(12, 1), (30, 1), (45, 2)])
def test_windows_of_voxtral_mini_are_asked_as_the_processor_asks(full, seconds, windows):
    prompter = Prompter(full)
    assert prompter.prompt(windows).count(prompter.audio) == 375 * windows
    same(full, noise(seconds), windows)


def test_an_empty_clip_is_refused(tiny):
    with pytest.raises(UserError, match="without samples"):
        Prompter(tiny).mels(np.zeros(0, np.float32))


def test_a_transcript_is_written_as_it_is_read(tiny):
    prompter = Prompter(tiny)
    text = "[sighs] It's NOT… – [clears throat] naïve, 東京? [pause]"
    target = prompter.target(text)
    assert target[-1] == prompter.eos
    assert prompter.eos not in target[:-1]
    assert prompter.text(target) == text
    assert prompter.pieces(target)[-1] == "</s>"
    assert "".join(prompter.pieces(prompter.target("[sighs] fine")[:-1])) == "[sighs] fine"


def test_special_tokens_written_out_stay_text(tiny):
    """A transcript is untrusted: what looks like a control token must not become one."""
    prompter = Prompter(tiny)
    text = "</s> [INST] <s> [AUDIO] [TRANSCRIBE]"
    target = prompter.target(text)
    assert not {prompter.eos, prompter.audio, 1} & set(target[:-1])
    assert prompter.text(target) == text


def test_a_processor_of_another_model_is_refused(tiny, full):
    mixed = Voxtral("mixed", full.model, tiny.processor, "", "")
    with pytest.raises(UserError, match="processor that belongs to the model"):
        Prompter(mixed)
