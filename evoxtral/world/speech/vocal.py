"""Non-verbal events, synthesised by a little vocal tract: no two laughs are alike.

A glottal pulse train (Rosenberg's pulse, 1971) and noise are shaped by resonances that move in
time, frame by frame on the short-time spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000
Audio = npt.NDArray[np.float64]
Random = np.random.Generator

_PEAK = 0.67  # share of the open phase in which the flow still rises
_FRAME, _HOP, _FFT = 512, 128, 1024
_UPPER = {3700.0: 250.0, 4700.0: 400.0, 5800.0: 600.0, 7000.0: 800.0}  # bandwidth by formant


def seconds(duration: float) -> int:
    """Samples in so many seconds."""
    return round(duration * SAMPLE_RATE)


def amplitude(decibels: float | Audio) -> float | Audio:
    """Factor on the samples that changes their level by so many dB."""
    return 10 ** (decibels / 20)


def contour(points: npt.ArrayLike, count: int) -> Audio:
    """Piecewise linear curve through equally spaced points, shape (count,)."""
    values = np.asarray(points, dtype=float)
    return np.interp(np.linspace(0, len(values) - 1, count), np.arange(len(values)), values)


def pulses(
    f0: Audio, rng: Random, jitter: float = 0.01, shimmer: float = 0.08, open_quotient: float = 0.6
) -> Audio:
    """Derivative of the glottal flow, of about unit size, from the pitch in Hz; both shape (n,).

    `jitter` and `shimmer` are the standard deviations of a cycle's onset, in cycles, and amplitude,
    `open_quotient` the share of a cycle in which the glottis is open.
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


def resonate(source: Audio, formants: npt.ArrayLike, bandwidths: Sequence[float]) -> Audio:
    """Pass a source, shape (n,), through resonances that move in time; the output has unit RMS.

    The formants, in Hz and of shape (settings, resonances), are equally spaced in time and joined
    by straight lines; the bandwidths, in Hz, shape (resonances,), stay.
    """
    frames = len(source) // _HOP + 5
    padded = np.zeros((frames - 1) * _HOP + _FRAME)
    within = slice(_FRAME - _HOP, _FRAME - _HOP + len(source))
    padded[within] = source
    blocks = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    spectrum = np.fft.rfft(blocks * np.hanning(_FRAME + 1)[:-1], _FFT)
    # Two-pole resonators, one after the other; the upper ones stand still.
    tracks = [*np.asarray(formants, dtype=float).T, *([hertz] for hertz in _UPPER)]
    delay = np.exp(-2j * np.pi * np.arange(_FFT // 2 + 1) / _FFT)
    response = np.ones(spectrum.shape, dtype=complex)
    for track, width in zip(tracks, (*bandwidths, *_UPPER.values()), strict=True):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        hertz = contour(track, frames)
        cosine = (2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE))[:, None]
        response *= (1 - cosine + radius**2) / (1 - cosine * delay + radius**2 * delay**2)
    shaped = np.fft.irfft(spectrum * response, _FFT)
    output = np.zeros(len(padded) + _FFT)
    step = _FFT // _HOP
    for lane in range(step):
        lanes = shaped[lane::step]
        output[lane * _HOP : lane * _HOP + lanes.size] += lanes.ravel()
    audio = output[within]
    return audio / (np.sqrt(np.mean(audio**2)) + 1e-12)


def vocalise(tag: str, f0: float, gender: str, level: tuple[float, float], rng: Random) -> Audio:
    """One vocal event, shape (n,), of a `female` or `male` speaker with a pitch of `f0` Hz.

    The level is drawn from a range in dB relative to speech, which has RMS 1.
    """
    tract = {"female": 1.15, "male": 1.0}[gender] * rng.uniform(0.95, 1.05)
    audio = _MAKERS[tag](f0, tract, rng)
    energy = np.sort(audio**2)
    active = np.sqrt(np.mean(energy[len(energy) // 2 :]))  # gaps inside an event do not count
    return amplitude(rng.uniform(*level)) * audio / (active + 1e-12)


def _formants(
    tract: float, rng: Random, low: Sequence[float], high: Sequence[float], top: float
) -> Audio:
    """Lower resonances drawn from a range, and the next one above them, in Hz."""
    return tract * np.array([*rng.uniform(low, high), top])


def _swell(count: int, attack: float, release: float) -> Audio:
    """Smooth rise and fall; attack and release are shares of the length."""
    place = np.linspace(0, 1, count)
    rise, fall = np.clip(place / attack, 0, 1), np.clip((1 - place) / release, 0, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def _breath(count: int, formants: Audio, rng: Random) -> Audio:
    """Turbulent air through a tract that stands still, at RMS 1."""
    return resonate(rng.standard_normal(count), [formants], [250, 300, 350])


def _laugh(f0: float, tract: float, rng: Random) -> Audio:
    """Calls of `ha`, four to six a second, mostly falling and fading; often a breath at the end."""
    calls = int(rng.integers(3, 8))
    period = rng.uniform(0.16, 0.23) * np.linspace(1, rng.uniform(0.95, 1.3), calls)
    pitch = f0 * rng.uniform(1.3, 2.1) * np.linspace(1, rng.uniform(0.65, 1.05), calls)
    strength = np.linspace(1, rng.uniform(0.3, 0.8), calls) * rng.uniform(0.75, 1.0, calls)
    vowel = _formants(tract, rng, [480, 1150], [820, 1850], 2600)
    voicing = rng.uniform(0.4, 1.0)
    pieces = []
    for call in range(calls):
        count = seconds(period[call] * rng.uniform(0.85, 1.15))
        colour = vowel * rng.uniform(0.93, 1.07, 3)
        lilt = pitch[call] * rng.uniform(0.93, 1.07)
        pieces.append(strength[call] * _call(count, lilt, colour, voicing, rng))
    if rng.random() < 0.6:
        count = seconds(rng.uniform(0.2, 0.45))
        inhale = _breath(count, tract * np.array([850, 1800, 2900]), rng)
        breath = rng.uniform(0.12, 0.3) * inhale * _swell(count, 0.6, 0.3)
        pieces += [np.zeros(seconds(0.05)), breath]
    return np.concatenate(pieces)


def _call(count: int, f0: float, vowel: Audio, voicing: float, rng: Random) -> Audio:
    """One `ha`: aspiration, then a voiced arch that dies into breath."""
    aspirated = int(count * rng.uniform(0.28, 0.42))
    voiced = int(count * rng.uniform(0.4, 0.56))
    pitch = f0 * contour([0.92, rng.uniform(1.03, 1.2), rng.uniform(0.82, 0.98)], voiced)
    tone = pulses(pitch, rng, jitter=0.02) + (1.2 - voicing) * rng.standard_normal(voiced)
    body = resonate(tone, [vowel * 0.95, vowel, vowel * 0.93], [90, 120, 180])
    output = np.zeros(count)
    output[:aspirated] = 0.3 * _breath(aspirated, vowel, rng) * _swell(aspirated, 0.7, 0.3)
    output[aspirated : aspirated + voiced] += body * _swell(voiced, 0.25, 0.55)
    return output


def _sigh(f0: float, tract: float, rng: Random) -> Audio:
    """An inhalation, then a long breath out whose resonances sink, often with a fading voice."""
    short, count = seconds(rng.uniform(0.2, 0.4)), seconds(rng.uniform(0.6, 1.1))
    inhale = _breath(short, tract * np.array([560, 1650, 2700]), rng)
    high = _formants(tract, rng, [700, 1500], [900, 1900], 2700)
    low = _formants(tract, rng, [380, 950], [480, 1150], 2300)
    path = [high, (2 * high + 3 * low) / 5, low]
    noise = resonate(rng.standard_normal(count), path, [160, 220, 300])
    pitch = f0 * contour([1.25, 1.05, 0.8], count)
    tone = pulses(pitch, rng, jitter=0.03, open_quotient=0.85)
    voice = resonate(tone, [high, low], [120, 200, 300])
    share = rng.uniform(0.15, 0.7) if rng.random() < 0.6 else 0.0
    breath = (noise + share * voice * contour([1, 0.8, 0.1, 0], count)) * _swell(count, 0.15, 0.8)
    if rng.random() >= 0.75:
        return breath
    gap = np.zeros(seconds(rng.uniform(0.03, 0.1)))
    return np.concatenate([0.45 * inhale * _swell(short, 0.6, 0.35), gap, breath])


def _gasp(f0: float, tract: float, rng: Random) -> Audio:
    """A sharp breath in: noise that grows, resonances that climb, an abrupt end."""
    count = seconds(rng.uniform(0.25, 0.5))
    climb = rng.uniform(1.2, 1.5)
    start = _formants(tract, rng, [600, 1400], [800, 1700], 2600)
    path = [start, start * climb**0.5, start * climb]
    noise = resonate(rng.standard_normal(count), path, [200, 260, 320])
    tone = pulses(f0 * rng.uniform(1.5, 2.3) * contour([0.9, 1.2], count), rng, jitter=0.05)
    voice = resonate(tone, path[::2], [120, 200, 300])
    share = rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0
    growth = np.linspace(0.02, 1, count) ** rng.uniform(1.0, 2.0)
    release = np.clip((count - np.arange(count)) / seconds(0.03), 0, 1)
    return (noise + share * voice) * growth * release


def _clear_throat(f0: float, tract: float, rng: Random) -> Audio:
    """Two or three rough, creaking bursts."""
    pieces = []
    bursts = rng.choice([2, 2, 2, 3])
    vowel = _formants(tract, rng, [450, 1050], [620, 1350], 2400)
    for burst in range(bursts):
        count = seconds(rng.uniform(0.13, 0.24) * (1.35 if burst == bursts - 1 else 1))
        creak = rng.uniform(45, 75) * np.sqrt(f0 / 100) * contour([1.15, 1, 0.8], count)
        tone = pulses(creak, rng, jitter=0.12, shimmer=0.5, open_quotient=0.35)
        rasp = rng.standard_normal(count) * (0.35 + np.abs(tone))
        source = tone + rng.uniform(0.7, 1.2) * rasp
        sound = resonate(source, [vowel * 0.92, vowel, vowel * 0.85], [140, 200, 280])
        pieces.append(rng.uniform(0.6, 1) * sound * _swell(count, 0.08, 0.5))
        pieces.append(np.zeros(seconds(rng.uniform(0.04, 0.12))))
    return np.concatenate(pieces[:-1])


def _cry(f0: float, tract: float, rng: Random) -> Audio:
    """Shaking, falling whimpers with sniffs or broken breaths between them."""
    pieces = []
    whimpers = int(rng.integers(2, 4))
    for whimper in range(whimpers):
        count = seconds(rng.uniform(0.28, 0.5))
        hertz = rng.uniform(6, 9)
        points = max(4, int(count / SAMPLE_RATE * 5) + 2)
        hertz = hertz + contour(rng.standard_normal(points), count)
        shake = np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)
        pitch = f0 * rng.uniform(1.4, 1.9) * contour([0.95, 1.12, 1.0, 0.78], count)
        pitch = pitch * (1 + 0.05 * shake)
        tone = pulses(pitch, rng, jitter=0.03, shimmer=0.15, open_quotient=0.75)
        vowel = _formants(tract, rng, [380, 1300], [520, 1700], 2500)
        tone = tone + rng.uniform(0.15, 0.4) * rng.standard_normal(count)
        body = resonate(tone, [vowel, vowel * [1.15, 0.95, 1], vowel * 0.9], [90, 140, 200])
        body = body * (1 - 0.45 * (0.5 + 0.5 * shake))
        pieces.append(body * _swell(count, 0.2, 0.45) * 0.92**whimper)
        if whimper < whimpers - 1 or rng.random() < 0.5:
            pieces.append(_sniff(tract, rng))
    return np.concatenate(pieces)


def _sniff(tract: float, rng: Random) -> Audio:
    """A short breath in through the nose: high, thin, quiet."""
    count = seconds(rng.uniform(0.1, 0.2))
    noise = resonate(rng.standard_normal(count), tract * np.array([[1300, 2500, 3300]]), [500] * 3)
    noise = np.diff(noise, prepend=0.0)
    gap = np.zeros(seconds(rng.uniform(0.03, 0.1)))
    return np.concatenate([gap, rng.uniform(0.3, 0.7) * noise * _swell(count, 0.5, 0.25), gap])


_MAKERS = {
    "laughs": _laugh,
    "sighs": _sigh,
    "gasps": _gasp,
    "clears throat": _clear_throat,
    "crying": _cry,
}
