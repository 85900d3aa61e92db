"""Source and filter: the little vocal tract that laughs, sighs and gasps.

A glottal pulse train (Rosenberg's pulse, 1971) and noise are shaped by resonances that move in
time. The filter works frame by frame on the short-time spectrum, so nothing loops over samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evoxtral.world.speech.take import SAMPLE_RATE, Audio

# Share of the open phase in which the flow still rises.
_PEAK = 0.67
_FRAME, _HOP, _FFT = 512, 128, 1024
_UPPER = ((3700.0, 250.0), (4700.0, 400.0), (5800.0, 600.0), (7000.0, 800.0))


def contour(points: npt.ArrayLike, count: int) -> Audio:
    """Piecewise linear curve through equally spaced points, shape (count,)."""
    values = np.asarray(points, dtype=float)
    return np.interp(np.linspace(0, len(values) - 1, count), np.arange(len(values)), values)


def pulses(
    f0: Audio,
    rng: np.random.Generator,
    *,
    jitter: float = 0.01,
    shimmer: float = 0.08,
    open_quotient: float = 0.6,
) -> Audio:
    """Derivative of the glottal flow.

    Args:
        f0: Pitch in Hz at each sample, shape (n,).
        rng: Draws the irregularity of each cycle.
        jitter: Standard deviation of a cycle's onset, in cycles.
        shimmer: Standard deviation of a cycle's amplitude.
        open_quotient: Share of a cycle in which the glottis is open.

    Returns:
        Samples of about unit size, shape (n,).
    """
    phase = np.cumsum(f0) / SAMPLE_RATE + rng.random()
    cycles = int(phase[-1]) + 3
    shift = jitter * rng.standard_normal(cycles)
    phase = np.maximum(phase + np.interp(phase, np.arange(cycles), shift), 0.0)
    cycle = phase.astype(int)
    position = (phase - cycle) / open_quotient
    rising = np.sin(np.pi * position / _PEAK) / _PEAK
    falling = -np.sin(np.pi / 2 * (position - _PEAK) / (1 - _PEAK)) / (1 - _PEAK)
    shape = np.where(position < _PEAK, rising, np.where(position < 1, falling, 0.0))
    shape /= np.sqrt(open_quotient * (1 / _PEAK + 1 / (1 - _PEAK)) / 2)
    loudness = np.maximum(1 + shimmer * rng.standard_normal(cycles + 1), 0.1)
    return shape * loudness[cycle]


def resonate(source: Audio, formants: npt.ArrayLike, bandwidths: npt.ArrayLike) -> Audio:
    """Pass a source through resonances that move from one setting to the next.

    Args:
        source: Samples, shape (n,).
        formants: Frequencies in Hz, shape (settings, resonances): settings are equally spaced in
            time and joined by straight lines.
        bandwidths: In Hz, shape (resonances,).

    Returns:
        Samples at unit RMS, shape (n,).
    """
    frames = len(source) // _HOP + 5
    padded = np.zeros((frames - 1) * _HOP + _FRAME)
    padded[_FRAME - _HOP : _FRAME - _HOP + len(source)] = source
    blocks = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    window = np.hanning(_FRAME + 1)[:-1]
    spectrum = np.fft.rfft(blocks * window, _FFT) * _response(formants, bandwidths, frames)
    shaped = np.fft.irfft(spectrum, _FFT)
    output = np.zeros(len(padded) + _FFT)
    step = _FFT // _HOP
    for lane in range(step):
        lanes = shaped[lane::step]
        start = lane * _HOP
        output[start : start + lanes.size] += lanes.ravel()
    audio = output[_FRAME - _HOP : _FRAME - _HOP + len(source)]
    return audio / (np.sqrt(np.mean(audio**2)) + 1e-12)


def _response(formants: npt.ArrayLike, bandwidths: npt.ArrayLike, frames: int) -> npt.NDArray:
    """Product of two-pole resonators, shape (frames, bins); the upper resonances stand still."""
    tracks = np.atleast_2d(np.asarray(formants, dtype=float))
    moving = np.stack([contour(track, frames) for track in tracks.T], axis=1)
    fixed = np.tile([frequency for frequency, _ in _UPPER], (frames, 1))
    frequency = np.concatenate([moving, fixed], axis=1)
    width = np.concatenate([np.asarray(bandwidths, dtype=float), [b for _, b in _UPPER]])
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    delay = np.exp(-2j * np.pi * np.arange(_FFT // 2 + 1) / _FFT)
    cosine = 2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE)
    response = np.ones((frames, len(delay)), dtype=complex)
    for column in range(frequency.shape[1]):
        tracks = cosine[:, column, None]
        square = radius[column] ** 2
        response *= (1 - tracks + square) / (1 - tracks * delay + square * delay**2)
    return response
