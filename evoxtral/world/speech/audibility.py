"""How audible is each tag to a listener who has never heard the voice?

Clips with a tag and without it (same text and voice) are told apart by a line through statistics
of the sound, learnt from the training voices and tested on the held-out ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import uniform_filter1d
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from evoxtral.tags import group_of
from evoxtral.world import speech
from evoxtral.world.speech import SAMPLE_RATE

_PERCENTILES = (10, 50, 90)

Features = npt.NDArray[np.floating]


def audibility(
    tags: Sequence[str],
    texts: Sequence[str],
    *,
    train_pairs: int,
    test_pairs: int,
    seed: int,
    workers: int | None = None,
) -> pd.DataFrame:
    """Area under the ROC curve of a linear probe for each tag, on voices it has not heard.

    A text of two words or more for each pair; the untagged clips are shared by all tags. Returns
    `tag | auc | n`, the test clips counted, half of them tagged.
    """
    jobs = []
    for number, tag in enumerate(("", *tags)):
        for pair, text in enumerate(texts[: train_pairs + test_pairs]):
            rng = np.random.default_rng([seed, number, pair])
            voices = speech.TRAINING_VOICES if pair < train_pairs else speech.HELD_OUT_VOICES
            said = place(tag, text, rng) if tag else text
            voice = voices[pair % len(voices)]
            jobs.append(speech.RenderJob(said, voice, int(rng.integers(2**31))))
    heard = [log_mel_statistics(clip.audio) for clip in speech.render_many(jobs, workers)]
    plain, *tagged = (
        np.split(clips, [train_pairs]) for clips in np.split(np.stack(heard), len(tags) + 1)
    )
    areas = [linear_probe(*zip(clips, plain, strict=True), 0.02) for clips in tagged]
    return pd.DataFrame({"tag": tags, "auc": areas, "n": 2 * test_pairs})


def linear_probe(
    train: tuple[Features, Features], test: tuple[Features, Features], inverse_penalty: float
) -> float:
    """Area under the ROC curve, on unheard clips, of a logistic regression on scaled features.

    `train` and `test` are features of clips with a tag and without it, each of shape (clips, d),
    which count equally; `inverse_penalty` is `C` of the regression.
    """
    learnt, asked = (np.repeat([1, 0], [len(part) for part in side]) for side in (train, test))
    line = LogisticRegression(C=inverse_penalty, max_iter=2000, class_weight="balanced")
    probe = make_pipeline(StandardScaler(), line)
    # The fit makes many small products, and a second thread beside torch's slows them tenfold.
    with threadpool_limits(1, user_api="blas"):
        probe.fit(np.concatenate(train), learnt)
    return float(roc_auc_score(asked, probe.decision_function(np.concatenate(test))))


def place(tag: str, text: str, rng: np.random.Generator) -> str:
    """Put one tag into a plain text where it makes sense.

    An emotion or a delivery opens the text, a pause falls between two words, a vocal event
    between two sentences or at either end.

    >>> place("calm", "We left. It rained.", np.random.default_rng(0))
    '[calm] We left. It rained.'
    """
    group = group_of(tag)
    parts = text.split() if group == "pause" else re.split(r"(?<=[.?!])\s+", text)
    spot = 0
    if group == "pause":
        spot = int(rng.integers(1, max(2, len(parts))))
    elif group == "nonverbal":
        spot = int(rng.integers(0, len(parts) + 1))
    return " ".join([*parts[:spot], f"[{tag}]", *parts[spot:]])


def log_mel_statistics(audio: npt.NDArray[np.float32]) -> Features:
    """Describe a clip, 16 kHz, by 250 numbers that know nothing of words, nor of the level.

    Per mel band mean, deviation, percentiles and the change over 30 ms; then rhythm (runs of quiet,
    modulation of the level), pitch and voicing.
    """
    spectrum = np.abs(np.fft.rfft(_blocks(audio), 512)) ** 2
    mel = np.log10(spectrum @ _mel_filters().T + 1e-10)
    mel -= np.percentile(mel.max(axis=1), 90)
    change = mel[3:] - mel[:-3]
    energy = uniform_filter1d(np.log10(spectrum.sum(axis=1) + 1e-10), 3)
    energy -= np.percentile(energy, 90)
    speaking = energy > -2.0
    bands = np.percentile(mel[speaking], _PERCENTILES, axis=0).ravel()
    shape = (mel.mean(axis=0), mel.std(axis=0), np.abs(change).mean(axis=0), change.std(axis=0))
    return np.concatenate([bands, *shape, _rhythm(energy), _melody(audio, speaking[::2])])


def _blocks(signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Windows of 400 samples, 160 apart, shape (n, 400)."""
    blocks = np.lib.stride_tricks.sliding_window_view(signal, 400)[::160]
    return blocks * np.hanning(400).astype(np.float32)


@cache
def _mel_filters() -> npt.NDArray[np.float32]:
    """Triangles equally spaced on the mel scale (HTK), shape (32 bands, bins)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, 34) / 2595) - 1)
    bins = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def _rhythm(energy: Features) -> Features:
    """Longest quiet between sounds at four levels, pace, modulation of the level."""
    quiet = (np.diff(np.flatnonzero(energy >= level)) for level in (-1.0, -1.5, -2.0, -2.5))
    runs = [(int(steps.max(initial=1)) - 1) / 100 for steps in quiet]
    rise = np.diff(energy)
    modulation = np.abs(np.fft.rfft(energy - energy.mean(), 1024))[: 20 * 1024 // 100]
    spread = np.log10([chunk.mean() + 1e-6 for chunk in np.array_split(modulation, 10)])
    pace = [len(energy) / 100, rise.std(), np.abs(rise).mean(), (energy < -1.5).mean()]
    return np.array([*runs, *pace, *spread])


def _melody(audio: npt.NDArray[np.float32], speaking: npt.NDArray[np.bool_]) -> Features:
    """Statistics of pitch, in octaves above 60 Hz, and of the strength of voicing, every 20 ms.

    The highest peak of the autocorrelation between 60 and 500 Hz, divided by that of the window.
    """
    halved = audio[: len(audio) // 2 * 2].reshape(-1, 2).mean(axis=1)
    rate, low, high = SAMPLE_RATE // 2, 16, 134
    power = np.abs(np.fft.rfft(_blocks(halved), 1024)) ** 2
    correlation = np.fft.irfft(power)[:, :high] + 1e-9
    window = np.correlate(np.hanning(400), np.hanning(400), "full")[399 : 399 + high]
    lags = (correlation / correlation[:, :1] * (window[0] / window))[:, low:]
    frames = min(len(lags), len(speaking))
    lags, speaking = lags[:frames], speaking[:frames]
    pitch, strength = np.log2(rate / (lags.argmax(axis=1) + low) / 60), lags.max(axis=1)
    voiced = speaking & (strength > 0.45)
    heard = pitch[voiced] if voiced.sum() > 4 else np.zeros(5)
    steps = np.abs(np.diff(heard))
    steps = steps[steps < 0.3]
    smoothness = steps.mean() if steps.size else 0.0
    shape = [heard.std(), smoothness, heard[-8:].mean() - heard.mean()]
    voicing = [voiced.sum() / speaking.sum(), np.median(strength[speaking])]
    return np.array([*np.percentile(heard, _PERCENTILES), *shape, *voicing])
