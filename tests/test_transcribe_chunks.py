"""Chunks hold all speech, fit the window, and are cut at pauses where there are any."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.transcribe.chunks import FRAME, Span, plan_chunks

RATE = 16_000
WINDOW = 8 * RATE


def sound(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Speech-like in its level: noise whose loudness wavers ten times a second."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    return (level * rng.uniform(0.5, 1, n) * rng.choice([-1, 1], n)).astype(np.float32)


def quiet(seconds: float, level: float = 0.0) -> np.ndarray:
    return sound(seconds, level, seed=1)


def laid_out(parts: list[tuple[float, float]], floor: float = 0.0) -> tuple[np.ndarray, list[Span]]:
    """Stretches of sound, each followed by a pause, and where they lie."""
    pieces, places, at = [], [], 0
    for loud, pause in parts:
        pieces += [sound(loud), quiet(pause, floor)]
        places.append(Span(at, at + len(pieces[-2])))
        at += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces), places


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 7.7), st.floats(0.4, 4.0)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 0.003]),
)
def test_no_speech_is_lost_or_cut_where_pauses_allow(parts, floor):
    audio, places = laid_out(parts, floor)
    chunks = plan_chunks(audio, WINDOW)
    for place in places:
        holding = [c for c in chunks if c.start <= place.start and place.end <= c.end]
        assert len(holding) == 1, (place, chunks)
    assert all(0 <= c.start < c.end <= len(audio) and c.end - c.start <= WINDOW for c in chunks)
    assert all(a.end <= b.start for a, b in pairwise(chunks))


@settings(deadline=None, max_examples=30)
@given(st.floats(8.5, 40), st.integers(0, 5))
def test_speech_without_a_pause_is_cut_at_its_quietest(seconds, seed):
    audio = sound(seconds, seed=seed)
    dips = np.arange(6 * RATE, len(audio) - RATE, 6 * RATE)
    for dip in dips:  # too short for a pause, but the quietest moment of every window
        audio[dip - 800 : dip + 800] *= 0.05
    chunks = plan_chunks(audio, WINDOW)
    assert chunks[0].start == 0
    assert chunks[-1].end == len(audio)
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert all(c.end - c.start <= WINDOW for c in chunks)
    cuts = [c.end for c in chunks[:-1]]
    dipped = [cut for cut in cuts if np.abs(dips - cut).min() <= 1600]
    assert len(dipped) >= len(cuts) - 1, "only the last stretch may have no dip left to cut at"


def test_the_longest_pause_of_the_second_half_ends_a_chunk():
    audio, places = laid_out([(3, 0.5), (1.5, 1.2), (1.0, 0.4), (6, 0.4)])
    chunks = plan_chunks(audio, WINDOW)
    assert len(chunks) == 2
    assert places[1].end <= chunks[0].end < places[2].start


def test_long_silences_belong_to_no_chunk():
    audio, _ = laid_out([(1, 2.5), (1, 60), (1, 0.5)])
    chunks = plan_chunks(audio, WINDOW)
    assert len(chunks) == 3
    assert sum(c.end - c.start for c in chunks) <= 3.7 * RATE


@pytest.mark.parametrize("level", [0.0, 0.0005])
def test_nothing_is_no_speech(level):
    assert plan_chunks(quiet(20, level), WINDOW) == []


@pytest.mark.parametrize("samples", [0, 1, FRAME - 1, FRAME + 1])
def test_a_recording_may_be_shorter_than_a_frame(samples):
    assert plan_chunks(np.zeros(samples, np.float32), WINDOW) == []
    loud = plan_chunks(np.full(samples, 0.5, np.float32), WINDOW)
    assert loud == ([Span(0, samples)] if samples else [])


def test_even_noise_is_heard():
    audio = sound(20, 0.02)
    chunks = plan_chunks(audio, WINDOW)
    assert sum(c.end - c.start for c in chunks) == len(audio)


def test_a_quiet_speaker_beside_a_loud_one_is_heard():
    audio = np.concatenate([sound(4, 0.5), quiet(1), sound(3, 0.005), quiet(1), sound(4, 0.5)])
    chunks = plan_chunks(audio, WINDOW)
    assert any(c.start <= 5 * RATE and c.end >= 8 * RATE for c in chunks)


def test_a_window_is_a_second_at_least():
    with pytest.raises(ValueError, match="shorter than a second"):
        plan_chunks(sound(3), RATE - 1)
