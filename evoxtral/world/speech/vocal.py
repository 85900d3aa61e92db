"""Non-verbal events, synthesised by a little vocal tract: no two laughs are alike.

A glottal pulse train (Rosenberg's pulse, 1971) and noise are shaped by resonances that move in
time. The filter works frame by frame on the short-time spectrum, so nothing loops over samples.
Each maker draws its own counts, lengths, pitch and timbre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000
Audio = npt.NDArray[np.float64]

# Share of the open phase in which the flow still rises.
_PEAK = 0.67
_FRAME, _HOP, _FFT = 512, 128, 1024
_UPPER = ((3700.0, 250.0), (4700.0, 400.0), (5800.0, 600.0), (7000.0, 800.0))


def seconds(duration: float) -> int:
    """Samples in so many seconds."""
    return round(duration * SAMPLE_RATE)


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
    """Derivative of the glottal flow, of about unit size, shape (n,).

    Args:
        f0: Pitch in Hz at each sample, shape (n,).
        rng: Draws the irregularity of each cycle.
        jitter: Standard deviation of a cycle's onset, in cycles.
        shimmer: Standard deviation of a cycle's amplitude.
        open_quotient: Share of a cycle in which the glottis is open.
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
    """Pass a source through resonances that move from one setting to the next, at unit RMS.

    Args:
        source: Samples, shape (n,).
        formants: Frequencies in Hz, shape (settings, resonances): settings are equally spaced in
            time and joined by straight lines.
        bandwidths: In Hz, shape (resonances,).
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


_TRACT = {"female": 1.15, "male": 1.0}


def vocalise(tag: str, f0: float, gender: str, rng: np.random.Generator) -> Audio:
    """One vocal event of a speaker, shape (n,), relative to speech at RMS 1.

    Args:
        tag: A key of `EVENTS`.
        f0: The speaker's neutral pitch in Hz.
        gender: `female` or `male`; sets the length of the vocal tract.
        rng: Draws everything else.
    """
    maker, low, high = EVENTS[tag]
    tract = _TRACT[gender] * rng.uniform(0.95, 1.05)
    audio = maker(f0, tract, rng)
    level = 10 ** (rng.uniform(low, high) / 20)
    return level * audio / (_active_rms(audio) + 1e-12)


def _active_rms(audio: Audio) -> float:
    """RMS of the louder half, so that gaps inside an event do not count."""
    energy = np.sort(audio**2)
    return float(np.sqrt(np.mean(energy[len(energy) // 2 :])))


def _swell(count: int, attack: float, release: float) -> Audio:
    """Smooth rise and fall; attack and release are shares of the length."""
    place = np.linspace(0, 1, count)
    rise = np.clip(place / attack, 0, 1)
    fall = np.clip((1 - place) / release, 0, 1)
    return np.sin(np.pi / 2 * rise) ** 2 * np.sin(np.pi / 2 * fall) ** 2


def _wander(count: int, hertz: float, rng: np.random.Generator) -> Audio:
    """Slow random curve of about unit size that changes `hertz` times a second."""
    points = max(4, int(count / 16000 * hertz) + 2)
    return contour(rng.standard_normal(points), count)


def _laugh(f0: float, tract: float, rng: np.random.Generator) -> Audio:
    """Calls of `ha`, four to six a second, mostly falling and fading; often a breath at the end."""
    calls = int(rng.integers(3, 8))
    period = rng.uniform(0.16, 0.23) * np.linspace(1, rng.uniform(0.95, 1.3), calls)
    pitch = f0 * rng.uniform(1.3, 2.1) * np.linspace(1, rng.uniform(0.65, 1.05), calls)
    strength = np.linspace(1, rng.uniform(0.3, 0.8), calls) * rng.uniform(0.75, 1.0, calls)
    vowel = tract * np.array([rng.uniform(480, 820), rng.uniform(1150, 1850), 2600])
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
        pieces += [
            np.zeros(seconds(0.05)),
            rng.uniform(0.12, 0.3) * inhale * _swell(count, 0.6, 0.3),
        ]
    return np.concatenate(pieces)


def _call(count: int, f0: float, vowel: Audio, voicing: float, rng: np.random.Generator) -> Audio:
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


def _breath(count: int, formants: Audio, rng: np.random.Generator) -> Audio:
    """Turbulent air through a tract that stands still, at RMS 1."""
    return resonate(rng.standard_normal(count), [formants], [250, 300, 350])


def _sigh(f0: float, tract: float, rng: np.random.Generator) -> Audio:
    """An inhalation, then a long breath out whose resonances sink, often with a fading voice."""
    inhale_count = seconds(rng.uniform(0.2, 0.4))
    count = seconds(rng.uniform(0.6, 1.1))
    inhale = _breath(inhale_count, tract * np.array([560, 1650, 2700]), rng)
    high = tract * np.array([rng.uniform(700, 900), rng.uniform(1500, 1900), 2700])
    low = tract * np.array([rng.uniform(380, 480), rng.uniform(950, 1150), 2300])
    noise = resonate(
        rng.standard_normal(count), [high, (2 * high + 3 * low) / 5, low], [160, 220, 300]
    )
    voice = resonate(
        pulses(f0 * contour([1.25, 1.05, 0.8], count), rng, jitter=0.03, open_quotient=0.85),
        [high, low],
        [120, 200, 300],
    )
    share = rng.uniform(0.15, 0.7) if rng.random() < 0.6 else 0.0
    breath = (noise + share * voice * contour([1, 0.8, 0.1, 0], count)) * _swell(count, 0.15, 0.8)
    pieces = [breath]
    if rng.random() < 0.75:
        gap = np.zeros(seconds(rng.uniform(0.03, 0.1)))
        pieces = [0.45 * inhale * _swell(inhale_count, 0.6, 0.35), gap, breath]
    return np.concatenate(pieces)


def _gasp(f0: float, tract: float, rng: np.random.Generator) -> Audio:
    """A sharp breath in: noise that grows, resonances that climb, an abrupt end."""
    count = seconds(rng.uniform(0.25, 0.5))
    climb = rng.uniform(1.2, 1.5)
    start = tract * np.array([rng.uniform(600, 800), rng.uniform(1400, 1700), 2600])
    noise = resonate(
        rng.standard_normal(count), [start, start * climb**0.5, start * climb], [200, 260, 320]
    )
    voice = resonate(
        pulses(f0 * rng.uniform(1.5, 2.3) * contour([0.9, 1.2], count), rng, jitter=0.05),
        [start, start * climb],
        [120, 200, 300],
    )
    share = rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0
    growth = np.linspace(0.02, 1, count) ** rng.uniform(1.0, 2.0)
    release = np.clip((count - np.arange(count)) / seconds(0.03), 0, 1)
    return (noise + share * voice) * growth * release


def _clear_throat(f0: float, tract: float, rng: np.random.Generator) -> Audio:
    """Two or three rough, creaking bursts."""
    pieces = []
    bursts = rng.choice([2, 2, 2, 3])
    vowel = tract * np.array([rng.uniform(450, 620), rng.uniform(1050, 1350), 2400])
    for burst in range(bursts):
        count = seconds(rng.uniform(0.13, 0.24) * (1.35 if burst == bursts - 1 else 1))
        creak = rng.uniform(45, 75) * np.sqrt(f0 / 100) * contour([1.15, 1, 0.8], count)
        tone = pulses(creak, rng, jitter=0.12, shimmer=0.5, open_quotient=0.35)
        rasp = rng.standard_normal(count) * (0.35 + np.abs(tone))
        sound = resonate(
            tone + rng.uniform(0.7, 1.2) * rasp,
            [vowel * 0.92, vowel, vowel * 0.85],
            [140, 200, 280],
        )
        pieces += [
            rng.uniform(0.6, 1) * sound * _swell(count, 0.08, 0.5),
            np.zeros(seconds(rng.uniform(0.04, 0.12))),
        ]
    return np.concatenate(pieces[:-1])


def _cry(f0: float, tract: float, rng: np.random.Generator) -> Audio:
    """Shaking, falling whimpers with sniffs or broken breaths between them."""
    pieces = []
    whimpers = int(rng.integers(2, 4))
    for whimper in range(whimpers):
        count = seconds(rng.uniform(0.28, 0.5))
        shake = np.sin(2 * np.pi * np.cumsum(rng.uniform(6, 9) + _wander(count, 5, rng)) / 16000)
        pitch = f0 * rng.uniform(1.4, 1.9) * contour([0.95, 1.12, 1.0, 0.78], count)
        tone = pulses(
            pitch * (1 + 0.05 * shake), rng, jitter=0.03, shimmer=0.15, open_quotient=0.75
        )
        vowel = tract * np.array([rng.uniform(380, 520), rng.uniform(1300, 1700), 2500])
        tone = tone + rng.uniform(0.15, 0.4) * rng.standard_normal(count)
        body = resonate(tone, [vowel, vowel * [1.15, 0.95, 1], vowel * 0.9], [90, 140, 200])
        pieces.append(
            body * (1 - 0.45 * (0.5 + 0.5 * shake)) * _swell(count, 0.2, 0.45) * 0.92**whimper
        )
        if whimper < whimpers - 1 or rng.random() < 0.5:
            pieces.append(_sniff(tract, rng))
    return np.concatenate(pieces)


def _sniff(tract: float, rng: np.random.Generator) -> Audio:
    """A short breath in through the nose: high, thin, quiet."""
    count = seconds(rng.uniform(0.1, 0.2))
    noise = resonate(rng.standard_normal(count), tract * np.array([[1300, 2500, 3300]]), [500] * 3)
    noise = np.diff(noise, prepend=0.0)
    gap = np.zeros(seconds(rng.uniform(0.03, 0.1)))
    return np.concatenate([gap, rng.uniform(0.3, 0.7) * noise * _swell(count, 0.5, 0.25), gap])


EVENTS: dict[str, tuple[Callable[[float, float, np.random.Generator], Audio], float, float]] = {
    "laughs": (_laugh, -2.0, 3.0),
    "sighs": (_sigh, -9.0, -3.0),
    "gasps": (_gasp, -7.0, -1.0),
    "clears throat": (_clear_throat, -5.0, 0.0),
    "crying": (_cry, -4.0, 1.0),
}
"""Maker of each event and its range of levels in dB relative to speech."""
