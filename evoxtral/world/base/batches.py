"""Batches of features with their frame targets, and the read-outs trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from evoxtral.world.base import targets
from evoxtral.world.base.architecture import FRAME_RATE, SAMPLE_RATE, Architecture
from evoxtral.world.base.corpus import Utterances

_MULTIPLE = 4 * 2 * 5  # mel frames: 4 encoder frames per audio token, stride 2, 5 tokens


@dataclass(frozen=True)
class Labels:
    """Frame targets of a batch.

    Attributes:
        phonemes: classes, shape (batch, frames).
        sounds: classes, shape (batch, frames).
        prosody: pitch, voicing and loudness, shape (batch, frames, 3).
    """

    phonemes: Tensor
    sounds: Tensor
    prosody: Tensor


@dataclass(frozen=True)
class Take:
    """One utterance as a batch shows it; fields as in `Utterances`."""

    mel: NDArray[np.floating]
    phonemes: NDArray[np.uint8]
    sounds: NDArray[np.uint8]
    prosody: NDArray[np.floating]


@cache
def _bands_hz(bands: int) -> NDArray[np.float64]:
    """Centre of each mel band in Hz, as Whisper's feature extractor places them."""
    highest = hertz_to_mel(SAMPLE_RATE / 2, mel_scale="slaney")
    return mel_to_hertz(np.linspace(0.0, highest, bands + 2)[1:-1], mel_scale="slaney")


def perturbed(take: Take, tract: float, tempo: float, longest: int) -> Take:
    """The same words from a smaller or larger person, quicker or slower.

    Args:
        take: the utterance.
        tract: factor on all frequencies; the pitch target follows.
        tempo: factor on the length.
        longest: most mel frames that may come out.
    """
    hz = _bands_hz(take.mel.shape[1])
    band = np.interp(hz / tract, hz, np.arange(len(hz)))
    frames = min(longest, 2 * round(len(take.mel) * tempo / 2))
    when = np.linspace(0, len(take.mel) - 1, frames)
    mel = _between(_between(take.mel.astype(np.float32), when).T, band).T
    nearest = np.linspace(0, len(take.phonemes) - 1, frames // 2).round().astype(int)
    prosody = take.prosody[nearest].astype(np.float32)
    prosody[:, 0] += np.log2(tract) * (prosody[:, 0] != 0)
    return Take(mel, take.phonemes[nearest], take.sounds[nearest], prosody)


def _between(rows: NDArray[np.float32], where: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at fractional positions, linearly interpolated."""
    low = np.minimum(where.astype(int), len(rows) - 2)
    part = (where - low).astype(np.float32)[:, None]
    return rows[low] * (1 - part) + rows[low + 1] * part


class Pool:
    """Utterances sorted by length, from which batches of like length are drawn."""

    def __init__(self, rows: Utterances, shape: Architecture) -> None:
        self.rows = rows
        self.full = shape.window_seconds * FRAME_RATE * 2
        self.order = np.argsort([len(mel) for mel in rows.mels], kind="stable")

    def draw(self, rng: np.random.Generator, size: int, share: float) -> list[int]:
        """Row numbers of a batch from the shortest `share` of the pool."""
        reach = max(size, int(len(self.order) * share))
        span = min(reach, max(4 * size, len(self.order) // 20))
        start = int(rng.integers(0, reach - span + 1))
        return self.order[start + rng.choice(span, size, replace=False)].tolist()

    def tensors(
        self,
        index: Sequence[int],
        rng: np.random.Generator,
        room: float,
        device: torch.device,
        perturb: float = 0.0,
    ) -> tuple[Tensor, Labels]:
        """Features with SpecAugment, shape (batch, bands, mel frames), and frame targets.

        Args:
            index: row numbers.
            rng: source of the masks.
            room: length of the window between that of the longest utterance (0) and the window
                of inference (1).
            device: where the tensors go.
            perturb: largest relative change of vocal tract and of tempo, drawn per utterance.
        """
        takes = [self._take(i, rng, perturb) for i in index]
        floors, longest = self.rows.floors, max(len(take.mel) for take in takes)
        wanted = longest + room * (self.full - longest)
        length = min(self.full, math.ceil(wanted / _MULTIPLE) * _MULTIPLE)
        bands = takes[0].mel.shape[1]
        mels = np.empty((len(index), length, bands), np.float32)
        phonemes = np.zeros((len(index), length // 2), np.int64)
        sounds = np.zeros_like(phonemes)
        prosody = np.zeros((len(index), length // 2, 3), np.float32)
        for row, (i, take) in enumerate(zip(index, takes, strict=True)):
            n, floor = len(take.mel), floors[i]
            mels[row, :n], mels[row, n:] = take.mel, floor
            low, start = rng.integers(0, bands - 10), rng.integers(0, max(1, n - 30))
            mels[row, :, low : low + rng.integers(0, 10)] = floor
            mels[row, start : start + rng.integers(0, 25)] = floor
            phonemes[row, : n // 2] = take.phonemes
            sounds[row, : n // 2] = take.sounds
            prosody[row, : n // 2] = take.prosody
        move = [torch.from_numpy(a).to(device) for a in (mels, phonemes, sounds, prosody)]
        return move[0].transpose(1, 2), Labels(*move[1:])

    def _take(self, i: int, rng: np.random.Generator, perturb: float) -> Take:
        rows = self.rows
        take = Take(rows.mels[i], rows.phonemes[i], rows.sounds[i], rows.prosody[i])
        if not perturb:
            return take
        tract, tempo = rng.uniform(1 - perturb, 1 + perturb, size=2)
        return perturbed(take, tract, tempo, self.full)


class Heads(nn.Module):
    """Framewise read-outs of the encoder, thrown away after training."""

    def __init__(self, width: int, phonemes: int) -> None:
        super().__init__()
        self.phoneme = nn.Linear(width, phonemes)
        self.sound = nn.Linear(width, len(targets.SOUNDS))
        self.prosody = nn.Linear(width, 3)

    def loss(self, features: Tensor, labels: Labels) -> Tensor:
        """Sum of the three framewise losses.

        Args:
            features: encoder features, shape (batch, frames, width), float32.
            labels: targets of the same frames.
        """
        cross_entropy = nn.functional.cross_entropy
        phoneme = cross_entropy(self.phoneme(features).flatten(0, 1), labels.phonemes.flatten())
        sound = cross_entropy(self.sound(features).flatten(0, 1), labels.sounds.flatten())
        prosody = nn.functional.smooth_l1_loss(self.prosody(features), labels.prosody, beta=0.1)
        return phoneme + sound + 2.0 * prosody
