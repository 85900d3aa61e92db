"""The checkpoint that ships: loads offline through the standard classes, and transcribes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoProcessor,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
)

from evoxtral import metrics
from evoxtral.world import scripts, speech
from evoxtral.world.base import checkpoint_dir
from evoxtral.world.base.model import Architecture, load_model, window_arguments
from evoxtral.world.speech import RenderJob, render_many

MOST_BYTES = 25_000_000
CLIPS = 24
MOST_WER = 0.3
"""Far above the card's score, so that a few clips decide; a broken model writes nonsense."""


@pytest.fixture(scope="module")
def loaded() -> tuple[VoxtralForConditionalGeneration, VoxtralProcessor]:
    return load_model(checkpoint_dir())


def transcribe(
    model: VoxtralForConditionalGeneration, processor: VoxtralProcessor, audio: list[np.ndarray]
) -> list[str]:
    """The documented call."""
    inputs = processor.apply_transcription_request(
        language="en",
        audio=audio,
        format=["WAV"] * len(audio),
        sampling_rate=speech.SAMPLE_RATE,
        model_id="tiny",
        audio_kwargs=window_arguments(Architecture()),
    )
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=48, do_sample=False)
    prompt = inputs["input_ids"].shape[1]
    return processor.batch_decode(tokens[:, prompt:], skip_special_tokens=True)


def test_it_is_small_and_holds_no_pickle() -> None:
    files = [path for path in checkpoint_dir().iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".csv", ".npy", ".md"}


def test_it_loads_through_the_auto_classes_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    processor = AutoProcessor.from_pretrained(checkpoint_dir())
    model = VoxtralForConditionalGeneration.from_pretrained(checkpoint_dir())
    shape = Architecture()
    assert isinstance(processor, VoxtralProcessor)
    assert processor.feature_extractor.chunk_length == shape.window_seconds
    assert model.config.audio_config.max_source_positions == shape.frames
    assert model.config.audio_token_id == 24


def test_it_transcribes_unheard_sentences_and_writes_no_tag(
    loaded: tuple[VoxtralForConditionalGeneration, VoxtralProcessor],
) -> None:
    texts = [
        text
        for text in scripts.plain_sentences(4 * CLIPS, seed=90_001)
        if 4 <= len(text.split()) <= 10
    ][:CLIPS]
    voices = [voice.id for voice in speech.TRAINING_VOICES]
    jobs = [RenderJob(str(i), t, voices[i % len(voices)], i) for i, t in enumerate(texts)]
    audio = [clip.audio for _, clip in render_many(jobs, workers=1)]
    heard = transcribe(*loaded, audio)
    scores = metrics.evaluate(texts, heard, normalise=metrics.english_normaliser()).strict()
    assert scores["wer_normalised"].value < MOST_WER, list(zip(texts, heard, strict=True))[:5]
    assert not any("[" in text for text in heard)


def test_the_card_shows_the_call_and_the_scores(repo: Path) -> None:
    card = (checkpoint_dir() / "README.md").read_text(encoding="utf-8")
    assert json.dumps(window_arguments(Architecture())) in card
    assert "neutral, held-out voices" in card
    assert r"\[whispers\]" in card
