"""The base model's training: resumable, repeatable, and it learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    MistralCommonBackend,
    VoxtralForConditionalGeneration,
    WhisperFeatureExtractor,
)

from evoxtral import UserError
from evoxtral.world.base import corpus, model, train
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.model import (
    SPECIAL_TOKENS,
    build_model,
    build_processor,
    encode,
    train_tokenizer,
)
from small_models import SMALL

SHAPE = replace(SMALL, lm_layers=1)
RECIPE = train.Recipe(steps=8, batch=4, learning_rate=3e-3, checkpoint_seconds=0, log_every=2)
WORDS = ("we could go", "the car is red", "she laughs", "stop now")
MERGES = 40


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> MistralCommonBackend:
    path = tmp_path_factory.mktemp("tekken") / "tekken.json"
    path.write_text(json.dumps(train_tokenizer(WORDS * 20, MERGES, SHAPE)))
    return build_processor(path, SHAPE).tokenizer


def utterances(seed: int, count: int = 24) -> Utterances:
    """Noise whose loudest band says which sentence it is: learnable, and no speech needed."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(WORDS), size=count)
    lengths = 2 * rng.integers(30, 90, size=count)
    mels = [rng.normal(0, 0.1, (n, 80)).astype(np.float16) for n in lengths]
    for mel, kind in zip(mels, kinds, strict=True):
        mel[:, 20 * kind : 20 * kind + 10] += 1.0
    return Utterances(
        texts=[WORDS[k] for k in kinds],
        voices=["v"] * count,
        mels=mels,
        floors=[-1.0] * count,
        phonemes=[np.full(n // 2, k, np.uint8) for n, k in zip(lengths, kinds, strict=True)],
        sounds=[np.zeros(n // 2, np.uint8) for n in lengths],
        prosody=[np.zeros((n // 2, 3), np.float16) for n in lengths],
    )


def run(
    folder: Path, tokenizer: MistralCommonBackend, recipe: train.Recipe
) -> tuple[VoxtralForConditionalGeneration, list[dict[str, float]]]:
    torch.manual_seed(0)
    model = build_model(SHAPE, 256 + MERGES + len(SPECIAL_TOKENS))
    lines = ["[rain] " + text for text in WORDS] * 8
    material = train.Material(utterances(0), utterances(1), lines, len(WORDS))
    log = train.train(folder, model, tokenizer, material, recipe, SHAPE)
    return model, log


def weights(model: VoxtralForConditionalGeneration) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_training_repeats_bit_for_bit_and_the_loss_falls(
    tmp_path: Path, tokenizer: MistralCommonBackend
) -> None:
    longer = replace(RECIPE, steps=30)
    first, log = run(tmp_path / "a", tokenizer, longer)
    second, again = run(tmp_path / "b", tokenizer, longer)
    assert log == again
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=0)
    heard = [row["transcription"] for row in log if "transcription" in row]
    assert heard[-1] < 0.8 * heard[0]
    assert log[-1]["frames"] < 0.8 * log[0]["frames"]


def test_a_killed_run_resumes_to_the_same_model(
    tmp_path: Path, tokenizer: MistralCommonBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, log = run(tmp_path / "whole", tokenizer, RECIPE)
    advance = train._Trainer.advance

    def die(self: train._Trainer) -> dict[str, float]:
        if self.step == 5:
            raise KeyboardInterrupt
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(train._Trainer, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", tokenizer, RECIPE)
    resumed, resumed_log = run(tmp_path / "killed", tokenizer, RECIPE)
    assert resumed_log == log
    torch.testing.assert_close(weights(whole), weights(resumed), rtol=0, atol=0)


def test_a_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, tokenizer: MistralCommonBackend
) -> None:
    with pytest.raises(UserError, match=r"loss is not finite at step \d+: lower learning_rate"):
        run(tmp_path, tokenizer, replace(RECIPE, steps=300, learning_rate=1e30))


def test_encode_is_voxtrals_own_encoder(tokenizer: MistralCommonBackend) -> None:
    torch.manual_seed(0)
    model = build_model(SHAPE, 400).eval()
    mels = torch.randn(2, SHAPE.mel_bins, 2 * SHAPE.frames)
    with torch.no_grad():
        ours = encode(model, mels)
        theirs = model.model.audio_tower(mels).last_hidden_state
    torch.testing.assert_close(ours, theirs)


def test_the_prompt_is_the_processors(tmp_path: Path) -> None:
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(train_tokenizer(WORDS * 20, MERGES, SHAPE)))
    processor = build_processor(path, SHAPE)
    samples = 16_000 * SHAPE.window_seconds
    request = processor.apply_transcription_request(
        audio=[np.zeros(samples // 2, np.float32)],
        model_id="tiny",
        language="en",
        sampling_rate=16_000,
        format=["WAV"],
        audio_kwargs={"pad_to_multiple_of": samples, "max_source_positions": 2 * SHAPE.frames},
    )
    ours = model.prompt_ids(processor.tokenizer, SHAPE.audio_tokens)
    assert request["input_ids"][0].tolist() == ours


def test_prosody_targets_hear_pitch_and_silence() -> None:
    time = np.arange(16_000) / 16_000
    tone = (0.3 * np.sign(np.sin(2 * np.pi * 150 * time))).astype(np.float32)
    audio = np.concatenate([tone, np.zeros(16_000, np.float32)])
    frames = corpus.prosody_frames(audio, 100)
    assert frames.shape == (100, 3)
    assert np.abs(frames[5:45, 0]).max() < 0.05, "150 Hz is the unit of pitch"
    assert frames[5:45, 1].min() > 0.8
    assert frames[55:, 0].max() == 0
    assert frames[5:45, 2].min() > frames[55:, 2].max()
    octave = corpus.prosody_frames(np.interp(time * 2, time, tone, period=1.0), 40)
    assert np.abs(octave[5:20, 0] - 1).max() < 0.1


def test_spans_become_frame_labels() -> None:
    labels = corpus.phoneme_frames([(0.02, 0.06, "a"), (0.06, 0.1, "zz")], {"a": 3}, 6)
    assert labels.tolist() == [0, 3, 3, 0, 0, 0]
    sounds = corpus.sound_frames([(0.0, 0.04, "laughs"), (0.04, 0.1, "pause")], 5)
    assert sounds.tolist() == [corpus.SOUNDS.index("laughs")] * 2 + [0] * 3


def tone(hz: float) -> np.ndarray:
    """Log-mel frames of a pure tone, as the model hears it, shape (frames, bands)."""
    audio = np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=SHAPE.mel_bins, chunk_length=1)
    heard = extractor(audio, sampling_rate=16_000, return_tensors="np").input_features[0].T
    return heard.astype(np.float16)


@pytest.mark.parametrize("tract", [0.88, 1.12])
def test_a_perturbed_tract_moves_all_frequencies_and_the_pitch_target(tract: float) -> None:
    n = len(tone(1000)) // 2
    prosody = np.tile(np.float16([0.5, 1.0, 0.7]), (n, 1))
    prosody[:3, 0] = 0  # unvoiced
    still = np.zeros(n, np.uint8)
    taken = train.perturbed(train.Take(tone(1000), still, still, prosody), tract, 1.0, 2 * n)
    wanted = tone(1000 * tract)[40:60].mean(axis=0).argmax()
    assert abs(taken.mel[40:60].mean(axis=0).argmax() - wanted) <= 1
    np.testing.assert_allclose(taken.prosody[3:, 0], 0.5 + np.log2(tract), atol=1e-3)
    assert not taken.prosody[:3, 0].any()
    np.testing.assert_array_equal(taken.prosody[:, 1:], prosody[:, 1:].astype(np.float32))


def test_a_perturbed_tempo_keeps_frames_and_targets_together() -> None:
    marks = np.arange(40, dtype=np.uint8)
    mel = np.repeat(np.arange(80, dtype=np.float16)[:, None], 80, axis=1)
    take = train.Take(mel, marks, marks[::-1], np.zeros((40, 3), np.float16))
    slower = train.perturbed(take, 1.0, 1.25, 1000)
    assert len(slower.mel) == 100
    assert len(slower.phonemes) == len(slower.sounds) == len(slower.prosody) == 50
    assert np.abs(slower.mel[::2, 0] / 2 - slower.phonemes).max() <= 1
    assert len(train.perturbed(take, 1.0, 1.25, 90).mel) == 90, "no longer than the window"
    same = train.perturbed(take, 1.0, 1.0, 1000)
    np.testing.assert_allclose(same.mel, mel)
    np.testing.assert_array_equal(same.phonemes, marks)
