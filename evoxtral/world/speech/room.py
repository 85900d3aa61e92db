"""Where the speaker stands: level, room and background noise."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter, oaconvolve

from evoxtral.world.speech.take import Audio, seconds


def reverberate(audio: Audio, rng: np.random.Generator) -> Audio:
    """A small furnished room: 80 to 250 ms of decay, 8 to 20 dB below the direct sound."""
    decay = rng.uniform(0.08, 0.25)
    count = seconds(decay)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail = lfilter([0.5], [1, -0.5], tail)
    tail[: seconds(0.003)] = 0.0
    tail *= 10 ** (rng.uniform(-20, -8) / 20) / np.sqrt(np.sum(tail**2))
    return audio + oaconvolve(audio, tail)[: len(audio)]


def background(count: int, rng: np.random.Generator) -> Audio:
    """Steady noise at RMS 1, between white and brown."""
    colour = rng.uniform(0.0, 0.95)
    noise = lfilter([1.0], [1, -colour], rng.standard_normal(count, dtype=np.float32))
    return noise * np.sqrt(1 - colour**2)
