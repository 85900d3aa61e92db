"""The embedded base: its corpus leaks nothing, training repeats and resumes, the model works."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import VoxtralProcessor, WhisperFeatureExtractor

from evoxtral import UserError, metrics, params, tags
from evoxtral.mix.composition import near_duplicates
from evoxtral.world import base, scripts, speech
from evoxtral.world.base import checkpoint_dir, corpus, model, score, train
from evoxtral.world.base.corpus import Clip
from evoxtral.world.base.model import SHAPE, build_model, load_model, window_arguments
from evoxtral.world.scripts.grammar import GRAMMAR
from evoxtral.world.speech import RenderJob, render_many
from small_models import BANDS, FRAMES, small_shape

SIZES = {"neutral": 60, "refine": 30, "expressive": 20, "dev": 4, "test": 12, "test_voices": 6}
SIZES |= {"expressive_test": 6, "probe": 4}
TINY = small_shape(layers=1)
RECIPE = train.Recipe("neutral", 0, steps=30, batch=4, learning_rate=3e-3)
WORDS = ("we could go", "the car is red", "she laughs", "stop now")
MERGES = 40
MOST_WER = 0.3  # far above the card's score, so that a few clips decide


@pytest.fixture(scope="module")
def planned() -> corpus.Plan:
    return corpus.plan(SIZES, seed=3)


def test_the_plan_leaks_no_test_sentence_or_voice_into_training(planned: corpus.Plan) -> None:
    assert {kind: len(planned[kind]) for kind in corpus.KINDS} | {"probe": 4} == SIZES
    for tag in ("plain", *tags.TAGS):
        assert len(planned[f"probe_train:{tag}"]) == 2 * len(planned[f"probe_test:{tag}"]) == 4
    assert planned == corpus.plan(SIZES, seed=3) != corpus.plan(SIZES, seed=4)
    texts = {kind: [tags.plain_text(job.tagged_text) for job in planned[kind]] for kind in planned}
    tests = texts["dev"] + texts["test"] + texts["test_voices"]
    assert near_duplicates(tests, texts["neutral"] + texts["refine"], corpus.MIN_DISTANCE).empty
    assert not set(texts["expressive"]) & set(texts["expressive_test"])
    held_out = {voice.id for voice in speech.HELD_OUT_VOICES}
    kinds = ("neutral", "refine", "expressive", "dev", "test")
    assert not held_out & {job.voice.id for kind in kinds for job in planned[kind]}
    assert {job.voice.id for job in planned["test_voices"]} == held_out


def test_the_language_model_reads_no_tag_and_no_test_sentence(planned: corpus.Plan) -> None:
    assert not any("[" in job.tagged_text for k in ("neutral", "refine") for job in planned[k])
    nobody = {kind: [] for kind in ("dev", *corpus.TEST_SETS)}
    seen = base.fingerprints(corpus.read_lines(400, 0, nobody))
    likely = scripts.plain_sentences(400, 0, held_out=False)[::7]
    assert np.isin(base.fingerprints(likely), seen).any()
    tested = {
        kind: [SimpleNamespace(text=t) for t in likely[i::4]] for i, kind in enumerate(nobody)
    }
    lines = corpus.read_lines(400, 0, tested)
    assert len(lines) == 400
    assert not np.isin(base.fingerprints(likely), base.fingerprints(lines)).any()
    directions = {name for line in lines for name in tags.find_tags(line)}
    assert set() < directions <= set(GRAMMAR["stage_directions"]) - set(tags.TAGS)
    words = {word for name in GRAMMAR["stage_directions"] for word in name.split()}
    assert {word for tag in tags.TAGS for word in tag.split()} <= words
    assert any(tags.emphasis_words(line) for line in lines)


def test_a_corpus_is_resumed_and_read_back(
    planned: corpus.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "SHARD", 8)
    rows = {"neutral": planned["neutral"][:10], "expressive": planned["expressive"][:4]}
    corpus.make(tmp_path, rows, workers=1)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(files) == ["expressive-0000.npz", "neutral-0000.npz", "neutral-0001.npz"]
    (tmp_path / "neutral-0000.npz").unlink()
    corpus.make(tmp_path, rows, workers=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    kinds, phonemes = corpus.load(tmp_path)
    spoken = kinds["neutral"]
    assert [clip.text for clip in spoken] == [job.tagged_text for job in rows["neutral"]]
    assert phonemes[0] == ""
    for clip in [*spoken, *kinds["expressive"]]:
        frames = len(clip.mel) // 2
        assert len(clip.phonemes) == len(clip.sounds) == len(clip.prosody) == frames
        assert frames <= 400
    voicing = np.concatenate([clip.prosody[:, 1] for clip in spoken]).astype(float)
    speaking = np.concatenate([clip.phonemes for clip in spoken]) > 0
    assert voicing[speaking].mean() > 1.5 * voicing[~speaking].mean()
    assert score.corpus_sizes(kinds)["clips"].tolist() == [4, 10]


def test_a_base_corpus_is_one_of_what_makes_its_features(monkeypatch) -> None:
    asked = {}
    monkeypatch.setattr(corpus.runs, "stage", lambda *_, code: asked.update(code=code))
    corpus.build(params.profile(params.TinyBase, "smoke"))
    assert {"evoxtral.world.base.model", "evoxtral.world.base.corpus"} <= set(asked["code"])


def test_background_noise_is_laid_over_some_clips_within_bounds() -> None:
    audio = np.full(16_000, 0.1, np.float32)
    made = [corpus.add_background(audio, np.random.default_rng(seed)) for seed in range(200)]
    marked = [(sound, *spans[0]) for sound, spans in made if spans]
    assert 0.2 < len(marked) / len(made) < 0.4
    for sound, start, end, name in marked:
        assert name in corpus.SOUNDS
        changed = np.flatnonzero(sound != audio) / 16_000
        assert start - 1e-4 <= changed.min() <= changed.max() <= end <= 1 >= np.abs(sound).max()


def test_prosody_targets_hear_pitch_and_silence() -> None:
    time = np.arange(16_000) / 16_000
    tone = (0.3 * np.sign(np.sin(2 * np.pi * 150 * time))).astype(np.float32)
    frames = corpus.prosody_frames(np.concatenate([tone, np.zeros(16_000, np.float32)]), 100)
    assert frames.shape == (100, 3)
    assert np.abs(frames[5:45, 0]).max() < 0.05, "150 Hz is the unit of pitch"
    assert frames[5:45, 1].min() > 0.8
    assert frames[55:, 0].max() == 0
    assert frames[5:45, 2].min() > frames[55:, 2].max()


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> VoxtralProcessor:
    path = tmp_path_factory.mktemp("tekken") / "tekken.json"
    path.write_text(json.dumps(model.train_tokenizer(WORDS * 20, MERGES, TINY)))
    return model.build_processor(path, TINY)


def run(
    folder: Path, processor: VoxtralProcessor, recipe: train.Recipe = RECIPE
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """Noise whose loudest band says which sentence it is: learnable, and no speech needed."""
    rng, clips = np.random.default_rng(0), []
    for kind, n in zip(rng.integers(4, size=24), 2 * rng.integers(30, 90, size=24), strict=True):
        mel = rng.normal(0, 0.1, (n, 80)).astype(np.float16)
        mel[:, 20 * kind : 20 * kind + 10] += 1.0
        still = np.zeros(n // 2, np.uint8)
        clips.append(Clip(WORDS[kind], "v", mel, -1.0, still + kind, still, np.zeros((n // 2, 3))))
    torch.manual_seed(0)
    made = build_model(TINY, 256 + MERGES + len(model.SPECIAL_TOKENS))
    lines = ["[rain] " + text for text in WORDS] * 8
    kinds = {"neutral": clips, "expressive": clips, "dev": clips[:2]}
    trainer = train.Trainer(made, processor.tokenizer, recipe, kinds, lines, len(WORDS))
    return made.state_dict(), trainer.run(folder)


def test_a_killed_run_resumes_to_the_same_model_and_the_loss_falls(
    tmp_path: Path, processor: VoxtralProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    whole, log = run(tmp_path / "whole", processor)
    heard = [row["transcription"] for row in log if "transcription" in row]
    assert heard[-1] < 0.8 * heard[0]
    assert log[-1]["frames"] < 0.8 * log[0]["frames"]
    advance = train.Trainer._advance

    def die(self: train.Trainer) -> dict[str, float]:
        if self.step == 20:
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr(train.Trainer, "_advance", die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", processor)
    monkeypatch.setattr(train.Trainer, "_advance", advance)
    resumed, resumed_log = run(tmp_path / "killed", processor)
    assert resumed_log == log
    torch.testing.assert_close(whole, resumed, rtol=0, atol=0)
    with pytest.raises(UserError, match=r"loss is not finite at step \d+: lower learning_rate"):
        run(tmp_path, processor, replace(RECIPE, steps=300, learning_rate=1e30))


def tone(hz: float) -> np.ndarray:
    """Log-mel frames of a pure tone, as the model hears it, shape (frames, bands)."""
    audio = np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=1)
    heard = extractor(audio, sampling_rate=16_000, return_tensors="np").input_features[0].T
    return heard.astype(np.float16)


@pytest.mark.parametrize("tract", [0.88, 1.12])
def test_a_perturbed_tract_moves_all_frequencies_and_the_pitch_target(tract: float) -> None:
    mel = tone(1000)
    n = len(mel) // 2
    prosody, still = np.tile(np.float16([0.5, 1.0, 0.7]), (n, 1)), np.zeros(n, np.uint8)
    prosody[:3, 0] = 0  # unvoiced
    taken = train.perturbed(Clip("", "", mel, 0, still, still, prosody), tract, 1.0, len(mel))
    wanted = tone(1000 * tract)[40:60].mean(axis=0).argmax()
    assert abs(taken.mel[40:60].mean(axis=0).argmax() - wanted) <= 1
    np.testing.assert_allclose(taken.prosody[3:, 0], 0.5 + np.log2(tract), atol=1e-3)
    assert not taken.prosody[:3, 0].any()
    np.testing.assert_array_equal(taken.prosody[:, 1:], prosody[:, 1:].astype(np.float32))


def test_a_perturbed_tempo_keeps_frames_and_targets_together() -> None:
    marks = np.arange(40, dtype=np.uint8)
    mel = np.repeat(np.arange(80, dtype=np.float16)[:, None], 80, axis=1)
    clip = Clip("", "", mel, 0, marks, marks[::-1], np.zeros((40, 3), np.float16))
    slower = train.perturbed(clip, 1.0, 1.25, 1000)
    assert len(slower.mel) == 2 * len(slower.sounds) == 2 * len(slower.prosody) == 100
    assert np.abs(slower.mel[::2, 0] / 2 - slower.phonemes).max() <= 1
    assert len(train.perturbed(clip, 1.0, 1.25, 90).mel) == 90, "no longer than the window"


def request(processor: VoxtralProcessor, audio: list[np.ndarray], shape: model.Shape) -> dict:
    """By the call that the base's card documents."""
    form = {"language": "en", "model_id": "tiny", "sampling_rate": 16_000}
    form |= {"format": ["WAV"] * len(audio), "audio_kwargs": window_arguments(shape)}
    return processor.apply_transcription_request(audio=audio, **form)


def test_encoder_prompt_and_sizes_are_voxtrals_own(processor: VoxtralProcessor) -> None:
    torch.manual_seed(0)
    made = build_model(TINY, 400).eval()
    mels = torch.randn(2, BANDS, 2 * FRAMES)
    with torch.no_grad():
        theirs = made.model.audio_tower(mels).last_hidden_state
        torch.testing.assert_close(model.encode(made, mels), theirs)
    wanted = request(processor, [np.zeros(16_000, np.float32)], TINY)["input_ids"][0]
    assert model.prompt_ids(processor.tokenizer, FRAMES // 4) == wanted.tolist()
    frame = score.architecture_sizes(merges=800).set_index("part")
    assert frame.loc["all parameters", "mini"] == 4_676_271_104
    assert frame.loc["audio positions per window"].tolist() == [100, 375]
    parts = ["audio encoder", "projector", "language model", "output layer"]
    assert (frame.loc[parts].sum() == frame.loc["all parameters"]).all()


def test_the_shipped_checkpoint_transcribes_and_writes_no_tag(monkeypatch) -> None:
    files = [path for path in checkpoint_dir().iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".csv", ".npy", ".md"}
    card = (checkpoint_dir() / "README.md").read_text(encoding="utf-8")
    assert json.dumps(window_arguments(SHAPE)) in card
    drawn = scripts.plain_sentences(96, seed=90_001)
    texts = [text for text in drawn if 4 <= len(text.split()) <= 10][:24]
    voices = speech.TRAINING_VOICES
    jobs = [RenderJob(t, voices[i % len(voices)], i) for i, t in enumerate(texts)]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded, processor = load_model(checkpoint_dir())
    inputs = request(processor, [clip.audio for clip in render_many(jobs, workers=1)], SHAPE)
    with torch.inference_mode():
        tokens = loaded.generate(**inputs, max_new_tokens=48, do_sample=False)
    tokens = tokens[:, inputs["input_ids"].shape[1] :]
    heard = processor.batch_decode(tokens, skip_special_tokens=True)
    found = metrics.evaluate(texts, heard, normalise=metrics.normaliser())
    wer = found.table("strict")["wer_normalised"].value
    assert wer < MOST_WER, list(zip(texts, heard, strict=True))[:5]
    assert not any("[" in text for text in heard)


def test_what_the_base_was_trained_on_is_known_by_its_words(monkeypatch) -> None:
    """Tags, capitals and punctuation are how, not what; the order counts."""
    assert len(base._known()) > 1000
    trained = base.fingerprints(["It is late.", "[sad] it is LATE", "it is not late"])
    assert (len(trained), trained.dtype) == (2, np.uint64)
    monkeypatch.setattr(base, "_known", lambda: frozenset(trained.tolist()))
    texts = ["[sighs] It is LATE.", "Late it is.", "Something else."]
    assert base.heard_by_base(texts) == [True, False, False]
