"""Vocal events: varied, finite, of plausible length and level."""

from __future__ import annotations

import numpy as np
import pytest

from evoxtral.world.speech.vocal import EVENTS, pulses, vocalise

SECONDS = {
    "laughs": (0.4, 2.6),
    "sighs": (0.55, 1.7),
    "gasps": (0.2, 0.55),
    "clears throat": (0.3, 1.1),
    "crying": (0.7, 2.8),
}


@pytest.mark.parametrize("tag", EVENTS)
def test_no_two_events_are_alike(tag: str) -> None:
    takes = [vocalise(tag, 110, "male", np.random.default_rng(seed)) for seed in range(30)]
    lengths = np.array([len(take) for take in takes]) / 16000
    low, high = SECONDS[tag]
    assert low <= lengths.min() < lengths.max() <= high
    assert lengths.std() > 0.05 * lengths.mean()
    assert all(np.isfinite(take).all() for take in takes)
    levels = [20 * np.log10(np.sqrt(np.mean(take**2))) for take in takes]
    assert -16 < min(levels) < max(levels) < 4


def test_pulses_repeat_at_the_pitch_asked_for() -> None:
    tone = pulses(np.full(8000, 125.0), np.random.default_rng(0), jitter=0.0, shimmer=0.0)
    assert np.corrcoef(tone[128:], tone[:-128])[0, 1] > 0.999
    assert np.sqrt(np.mean(tone**2)) == pytest.approx(1, abs=0.05)
    assert abs(tone.mean()) < 0.02
