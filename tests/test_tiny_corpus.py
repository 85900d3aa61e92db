"""The base model's corpus: planned without leaks, resumed shard by shard, read back whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from evoxtral import tags
from evoxtral.mix.duplicates import rouge_l
from evoxtral.world import scripts, speech
from evoxtral.world.base import corpus
from evoxtral.world.base.model import FRAME_RATE, Architecture

SIZES = corpus.CorpusSizes(
    neutral=60, refine=30, expressive=20, dev=4, test=12, test_voices=6, expressive_test=6, probe=4
)
SHAPE = Architecture()


@pytest.fixture(scope="module")
def planned() -> list[corpus.Utterance]:
    return corpus.plan(SIZES, seed=3)


def kind(planned: list[corpus.Utterance], name: str) -> list[corpus.Utterance]:
    return [row for row in planned if row.kind == name]


def test_the_plan_has_every_kind_in_the_sizes_asked_for(planned: list[corpus.Utterance]) -> None:
    sizes = dataclasses.asdict(SIZES)
    for name in sizes.keys() - {"probe"}:
        assert len(kind(planned, name)) == sizes[name]
    for tag in ("plain", *tags.TAGS):
        assert len(kind(planned, f"probe_train:{tag}")) == SIZES.probe
        assert len(kind(planned, f"probe_test:{tag}")) == SIZES.probe // 2
    assert len({row.key for row in planned}) == len(planned)
    assert planned == corpus.plan(SIZES, seed=3)
    assert planned != corpus.plan(SIZES, seed=4)


def test_no_test_sentence_is_close_to_a_training_sentence(planned: list[corpus.Utterance]) -> None:
    tested = [row.text for name in ("dev", "test", "test_voices") for row in kind(planned, name)]
    for text in tested:
        trained = [*kind(planned, "neutral"), *kind(planned, "refine")]
        nearest = max(rouge_l(text, row.text) for row in trained)
        assert nearest < corpus.MIN_DISTANCE
    heard = {tags.plain_text(row.text) for row in kind(planned, "expressive")}
    unseen = {tags.plain_text(row.text) for row in kind(planned, "expressive_test")}
    assert not heard & unseen


def test_training_never_hears_a_held_out_voice(planned: list[corpus.Utterance]) -> None:
    held_out = {voice.id for voice in speech.VOICES if voice.held_out}
    trained = ("neutral", "refine", "expressive", "dev", "test")
    assert not held_out & {row.voice for name in trained for row in kind(planned, name)}
    assert {row.voice for row in kind(planned, "test_voices")} == held_out


def test_the_language_model_reads_no_tag(planned: list[corpus.Utterance]) -> None:
    for name in ("neutral", "refine"):
        assert not any("[" in row.text for row in kind(planned, name))
    lines = corpus.read_lines(400, seed=0)
    assert lines == corpus.read_lines(400, seed=0)
    directions = {name for line in lines for name in tags.find_tags(line)}
    assert directions
    assert directions <= set(corpus.STAGE_DIRECTIONS)
    assert not directions & set(tags.TAGS)
    assert any(tags.emphasis_words(line) for line in lines)


def test_stage_directions_hold_every_word_of_the_tags_and_no_other() -> None:
    words = {word for name in corpus.STAGE_DIRECTIONS for word in name.split()}
    assert {word for tag in tags.TAGS for word in tag.split()} <= words
    assert not set(corpus.STAGE_DIRECTIONS) & set(tags.TAGS)
    assert scripts.EMPHASIS_WORDS <= scripts.LEXICON


def test_a_corpus_is_resumed_and_read_back(
    planned: list[corpus.Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "SHARD", 8)
    rows = [*kind(planned, "neutral")[:10], *kind(planned, "expressive")[:4]]
    corpus.make(tmp_path, rows, SHAPE, workers=1)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(files) == ["expressive-0000.npz", "neutral-0000.npz", "neutral-0001.npz"]
    (tmp_path / "neutral-0000.npz").unlink()
    corpus.make(tmp_path, rows, SHAPE, workers=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    kinds, phonemes = corpus.load(tmp_path, SHAPE)
    assert kinds["neutral"].texts == [row.text for row in rows[:10]]
    assert phonemes[0] == ""
    for name, spoken in kinds.items():
        for i, mel in enumerate(spoken.mels):
            frames = len(mel) // 2
            assert mel.shape[1] == SHAPE.mel_bins
            assert frames <= SHAPE.window_seconds * FRAME_RATE
            assert len(spoken.phonemes[i]) == len(spoken.sounds[i]) == frames
            assert spoken.prosody[i].shape == (frames, 3)
            assert (spoken.phonemes[i] > 0).any(), f"{name} {i}: no speech"
    spoken = kinds["neutral"]
    voicing = np.concatenate([prosody[:, 1] for prosody in spoken.prosody]).astype(float)
    speech_frames = np.concatenate(spoken.phonemes) > 0
    assert voicing[speech_frames].mean() > 1.5 * voicing[~speech_frames].mean()


def test_background_noise_is_laid_over_some_clips_within_bounds() -> None:
    audio = np.full(16_000, 0.1, np.float32)
    made = [corpus.add_background(audio, np.random.default_rng(seed)) for seed in range(200)]
    marked = [(sound, spans[0]) for sound, spans in made if spans]
    assert 0.2 < len(marked) / len(made) < 0.4
    for sound, (start, end, name) in marked:
        assert name in corpus.SOUNDS
        assert 0 <= start < end <= 1
        assert np.abs(sound).max() <= 1
        assert np.abs(sound - audio).max() > 0
        untouched = np.ones(16_000, bool)
        untouched[round(start * 16_000) : round(end * 16_000)] = False
        np.testing.assert_array_equal(sound[untouched], audio[untouched])
