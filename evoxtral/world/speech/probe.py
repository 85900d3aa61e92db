"""Are the tags audible? A linear probe on simple statistics of the sound.

For each tag, clips with it and without it (same text, same voice, seeds of their own) are told
apart by logistic regression on log-mel statistics, trained on some voices and tested on others. The
area under the ROC curve says how audible the tag is, and no more: 0.5 is not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evoxtral.world.speech.take import SAMPLE_RATE

_WINDOW, _HOP, _BANDS = 400, 160, 32
_PERCENTILES = (10, 50, 90)
_INVERSE_PENALTY = 0.02

Features = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TagAuc:
    """How audible a tag is.

    Attributes:
        tag: Its name.
        auc: Area under the ROC curve on the test clips, 0 to 1.
        n: Number of test clips, half of them tagged.
    """

    tag: str
    auc: float
    n: int


@cache
def _mel_filters() -> npt.NDArray[np.float32]:
    """Triangles equally spaced on the mel scale (HTK), shape (bands, bins)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def _blocks(signal: npt.NDArray[np.float32], size: int, hop: int) -> npt.NDArray[np.float32]:
    """Windowed blocks, shape (at least 8, size)."""
    padded = np.pad(signal, (0, max(0, size + 8 * hop - len(signal))))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return blocks * np.hanning(size).astype(np.float32)


def _voicing(
    audio: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Pitch in octaves above 60 Hz and strength of voicing (0 to 1), every 20 ms.

    Highest peak of the autocorrelation between 60 and 500 Hz, divided by that of the window.
    """
    halved = audio[: len(audio) // 2 * 2].reshape(-1, 2).mean(axis=1)
    rate, low, high = SAMPLE_RATE // 2, 16, 134
    power = np.abs(np.fft.rfft(_blocks(halved, 400, 160), 1024)) ** 2
    correlation = np.fft.irfft(power)[:, :high] + 1e-9
    window = np.correlate(np.hanning(400), np.hanning(400), "full")[399 : 399 + high]
    strength = correlation / correlation[:, :1] * (window[0] / window)
    lags = strength[:, low:]
    return np.log2(rate / (lags.argmax(axis=1) + low) / 60), lags.max(axis=1)


def _longest_run(quiet: npt.NDArray[np.bool_]) -> int:
    """Length of the longest run of True between two False."""
    edges = np.flatnonzero(~quiet)
    return int(np.diff(edges).max(initial=1)) - 1


def log_mel_statistics(audio: npt.NDArray[np.float32]) -> Features:
    """Describe a clip by 250 numbers that know nothing of words.

    Per mel band mean, deviation, percentiles and mean and deviation of the change over 30 ms (all
    relative to the clip's loudest band, so that recording level is not a cue); then rhythm (runs
    of quiet, modulation of the level), pitch and voicing.

    Args:
        audio: 16 kHz, shape (n,).

    Returns:
        Features, shape (d,).
    """
    spectrum = np.abs(np.fft.rfft(_blocks(audio, _WINDOW, _HOP), 512)) ** 2
    mel = np.log10(spectrum @ _mel_filters().T + 1e-10)
    mel -= np.percentile(mel.max(axis=1), 90)
    change = mel[3:] - mel[:-3]
    energy = uniform_filter1d(np.log10(spectrum.sum(axis=1) + 1e-10), 3)
    energy -= np.percentile(energy, 90)
    speaking = energy > -2.0
    bands = np.percentile(mel[speaking], _PERCENTILES, axis=0).ravel()
    shape = (mel.mean(axis=0), mel.std(axis=0), np.abs(change).mean(axis=0), change.std(axis=0))
    return np.concatenate([bands, *shape, _rhythm(energy), _melody(audio, speaking)])


def _rhythm(energy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    runs = [_longest_run(energy < threshold) / 100 for threshold in (-1.0, -1.5, -2.0, -2.5)]
    rise = np.diff(energy)
    centred = energy - energy.mean()
    modulation = np.abs(np.fft.rfft(centred, 1024))[: 20 * 1024 // 100]
    spread = np.log10([chunk.mean() + 1e-6 for chunk in np.array_split(modulation, 10)])
    pace = [len(energy) / 100, rise.std(), np.abs(rise).mean(), (energy < -1.5).mean()]
    return np.array([*runs, *pace, *spread])


def _melody(
    audio: npt.NDArray[np.float32], speaking: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    pitch, strength = _voicing(audio)
    speaking = speaking[::2][: len(pitch)]
    pitch, strength = pitch[: len(speaking)], strength[: len(speaking)]
    voiced = speaking & (strength > 0.45)
    heard = pitch[voiced] if voiced.sum() > 4 else np.zeros(5)
    steps = np.abs(np.diff(heard))
    late = heard[-8:].mean() - heard.mean()
    return np.array(
        [
            *np.percentile(heard, _PERCENTILES),
            heard.std(),
            steps[steps < 0.3].mean() if (steps < 0.3).any() else 0.0,
            late,
            voiced.sum() / max(1, speaking.sum()),
            np.median(strength[speaking]) if speaking.any() else 0.0,
        ]
    )


def tag_auc(tag: str, train: tuple[Features, Features], test: tuple[Features, Features]) -> TagAuc:
    """Train the probe of one tag and test it on other clips, best of other voices.

    Args:
        tag: Name, for the result.
        train: `log_mel_statistics` of clips with the tag and of clips without it, each of shape
            (clips, d).
        test: The same of unheard clips.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=2000))
    probe.fit(*_labelled(train))
    features, truth = _labelled(test)
    score = roc_auc_score(truth, probe.decision_function(features))
    return TagAuc(tag, float(score), len(truth))


def _labelled(clips: tuple[Features, Features]) -> tuple[Features, npt.NDArray[np.int64]]:
    return np.concatenate(clips), np.repeat([1, 0], [len(part) for part in clips])
