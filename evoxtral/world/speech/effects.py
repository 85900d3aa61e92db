"""What is done to espeak-ng's speech: tremor, breath, tilt, soft clip, stammer."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.signal import butter, lfilter

from evoxtral.world.speech.prosody import Manner
from evoxtral.world.speech.take import SAMPLE_RATE, Audio, Mark, Take, join, seconds, silence

_FADE = seconds(0.006)
_VOWELS = "aeiouAEIOUVQ@03"


def normalise(audio: Audio) -> Audio:
    """Scale to RMS 1 over the samples louder than 5 % of the peak."""
    level = np.abs(audio)
    active = audio[level > 0.05 * level.max(initial=0.0)]
    return audio / np.sqrt(np.mean(active**2)) if active.size else audio


def fade(audio: Audio) -> Audio:
    """Take the edge off both ends, over 6 ms."""
    length = min(_FADE, len(audio) // 2)
    ramp = np.linspace(0, 1, length, endpoint=False)
    faded = audio.copy()
    faded[:length] *= ramp
    faded[len(audio) - length :] *= ramp[::-1]
    return faded


_THIN = butter(2, 350, "highpass", fs=SAMPLE_RATE)


def whispered(audio: Audio) -> Audio:
    """Take away the rest of voice that espeak-ng's whisper keeps below the first formant."""
    return lfilter(*_THIN, audio)


def voice_effects(audio: Audio, manner: Manner, rng: np.random.Generator) -> Audio:
    """Change the sound of a voice; the timing of what is said stays within 2 ms.

    Args:
        audio: Speech at RMS 1, shape (n,).
        manner: Which effects, and how strong.
        rng: Draws rates and phases.

    Returns:
        Speech at RMS 1, shape (n,); the gain of the manner is left to the caller.
    """
    if manner.tremor > 0:
        audio = _tremor(audio, manner.tremor, rng)
    if manner.breath > 0:
        envelope = lfilter([0.01], [1, -0.99], np.abs(audio))
        noise = np.diff(rng.standard_normal(len(audio)), prepend=0.0)
        audio = audio + manner.breath * envelope * noise
    if manner.tilt:
        bright = lfilter([0.79, -0.79], [1, -0.58], audio)
        audio = audio + (10 ** (manner.tilt / 20) - 1) * bright
    if manner.drive > 0:
        audio = np.tanh(manner.drive * 0.35 * audio)
    return normalise(audio)


def _tremor(audio: Audio, depth: float, rng: np.random.Generator) -> Audio:
    """Shake pitch (by up to 5 % at depth 1) and level, at an uneven 5 to 8 Hz."""
    count = len(audio)
    points = int(count / SAMPLE_RATE * 4) + 2
    speed = np.interp(
        np.linspace(0, points - 1, count), np.arange(points), rng.uniform(5, 8, points)
    )
    phase = 2 * np.pi * (np.cumsum(speed) / SAMPLE_RATE + rng.random())
    stretch = 0.05 * depth * SAMPLE_RATE / (2 * np.pi * 6.5)
    time = np.arange(count) + stretch * np.sin(phase)
    # A cubic spline keeps the high frequencies, whose loss would give the tremor away.
    shaken = map_coordinates(audio, [time], order=3, mode="nearest")
    return shaken * (1 - 0.35 * depth * (1 + np.cos(phase)))


def stammer(take: Take, word: Mark, rng: np.random.Generator) -> Take:
    """Say the onset of a word two or three times before the word itself.

    The onset runs into the first vowel: `b-b-but`, `a-a-and`.
    """
    inside = [
        mark
        for mark in take.marks
        if mark.kind == "phoneme" and word.start <= mark.start < word.end
    ]
    vowels = [mark for mark in inside if mark.label[0] in _VOWELS]
    first = vowels[0].start if vowels else word.start
    pieces = [take.cut(0, word.start)]
    for _ in range(rng.integers(2, 4)):
        length = min(first + seconds(rng.uniform(0.04, 0.1)), word.end) - word.start
        onset = take.cut(word.start, word.start + max(length, seconds(0.06)))
        sounds = tuple(mark for mark in onset.marks if mark.kind == "phoneme")
        pieces.append(Take(fade(onset.audio) * rng.uniform(0.75, 1.0), sounds))
        pieces.append(silence(rng.uniform(0.04, 0.13)))
    start = word.start
    stammered = join([*pieces, take.cut(start, len(take.audio))])
    end = len(stammered.audio) - (len(take.audio) - word.end)
    return Take(stammered.audio, (*stammered.marks, Mark(start, end, "style", "stammers")))


def emphasise(audio: Audio, word: Mark, gain: float) -> Audio:
    """Raise one word by `gain` dB, over ramps of 10 ms."""
    ramp = seconds(0.01)
    corners = [word.start - ramp, word.start, word.end, word.end + ramp]
    shape = np.interp(np.arange(len(audio)), corners, [0.0, gain, gain, 0.0])
    return audio * 10 ** (shape / 20)
