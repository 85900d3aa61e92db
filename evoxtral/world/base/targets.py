"""What the encoder is asked to hear, frame by frame (20 ms).

espeak-ng says when each phoneme starts, so the encoder can be trained framewise. Phonemes alone
would let it forget *how* something was said; pitch, voicing and the kind of non-speech sound keep
expression in its features, as years of varied audio do for a real encoder. No target names an
emotion or a delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from evoxtral.world.base.architecture import FRAME_RATE, SAMPLE_RATE

SOUNDS = ("none", "background", "laughs", "sighs", "gasps", "clears throat", "crying")
"""Classes of non-speech sound; index 0 is speech or silence."""

_HOP = SAMPLE_RATE // FRAME_RATE
_SPAN = 1024
_LOWEST_HZ, _HIGHEST_HZ = 60, 500


def _fill(frames: int, spans: Iterable[tuple[float, float, int]]) -> NDArray[np.uint8]:
    labels = np.zeros(frames, np.uint8)
    for start, end, label in spans:
        labels[round(start * FRAME_RATE) : max(round(end * FRAME_RATE), 0)] = label
    return labels


def phoneme_frames(
    phonemes: Sequence[tuple[float, float, str]], index: dict[str, int], frames: int
) -> NDArray[np.uint8]:
    """Phoneme class of each frame, shape (frames,); 0 is silence or an unknown symbol."""
    return _fill(frames, ((start, end, index.get(name, 0)) for start, end, name in phonemes))


def sound_frames(events: Sequence[tuple[float, float, str]], frames: int) -> NDArray[np.uint8]:
    """Index into `SOUNDS` of each frame, shape (frames,); `[pause]` is silence."""
    known = ((s, e, SOUNDS.index(name)) for s, e, name in events if name in SOUNDS)
    return _fill(frames, known)


def prosody_frames(audio: NDArray[np.float32], frames: int) -> NDArray[np.float16]:
    """Pitch, voicing and loudness of each frame.

    Args:
        audio: 16 kHz mono samples, shape (n,).
        frames: frames to return.

    Returns:
        Shape (frames, 3): log2 of the pitch in units of 150 Hz (0 where unvoiced); voicing, the
        height of the normalised autocorrelation's peak between 60 and 500 Hz, in [0, 1];
        loudness, log10 of the mean square, scaled to about [0, 1].
    """
    padded = np.zeros(frames * _HOP + _SPAN, np.float32)
    keep = min(len(audio), frames * _HOP)
    padded[_SPAN // 2 : _SPAN // 2 + keep] = audio[:keep]
    views = np.lib.stride_tricks.sliding_window_view(padded, _SPAN)[::_HOP][:frames]
    windowed = views * np.hanning(_SPAN).astype(np.float32)
    spectrum = fft.rfft(windowed, 2 * _SPAN, axis=1)
    correlation = fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :_SPAN]
    energy = correlation[:, :1] + 1e-6
    shortest, longest = SAMPLE_RATE // _HIGHEST_HZ, SAMPLE_RATE // _LOWEST_HZ
    lags = correlation[:, shortest:longest] / energy
    best = lags.argmax(axis=1)
    voicing = np.clip(lags[np.arange(frames), best], 0.0, 1.0)
    pitch = np.log2(SAMPLE_RATE / (best + shortest) / 150.0)
    loudness = np.log10(np.mean(views**2, axis=1) + 1e-8) / 8.0 + 1.0
    voiced = (voicing > 0.4) & (loudness > 0.4)
    return np.stack([np.where(voiced, pitch, 0.0), voicing, loudness], axis=1).astype(np.float16)
