"""Batches of features with their frame targets, and the read-outs trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from evoxtral.tiny import targets
from evoxtral.tiny.architecture import FRAME_RATE, Architecture
from evoxtral.tiny.corpus import Utterances

__all__ = ["Heads", "Labels", "Pool"]

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
        self, index: Sequence[int], rng: np.random.Generator, room: float, device: torch.device
    ) -> tuple[Tensor, Labels]:
        """Features with SpecAugment, shape (batch, bands, mel frames), and frame targets.

        Args:
            index: row numbers.
            rng: source of the masks.
            room: length of the window between that of the longest utterance (0) and the window
                of inference (1).
            device: where the tensors go.
        """
        rows, longest = self.rows, max(len(self.rows.mels[i]) for i in index)
        wanted = longest + room * (self.full - longest)
        length = min(self.full, math.ceil(wanted / _MULTIPLE) * _MULTIPLE)
        bands = rows.mels[0].shape[1]
        mels = np.empty((len(index), length, bands), np.float32)
        phonemes = np.zeros((len(index), length // 2), np.int64)
        sounds = np.zeros_like(phonemes)
        prosody = np.zeros((len(index), length // 2, 3), np.float32)
        for row, i in enumerate(index):
            n, floor = len(rows.mels[i]), rows.floors[i]
            mels[row, :n], mels[row, n:] = rows.mels[i], floor
            low, start = rng.integers(0, bands - 10), rng.integers(0, max(1, n - 30))
            mels[row, :, low : low + rng.integers(0, 10)] = floor
            mels[row, start : start + rng.integers(0, 25)] = floor
            phonemes[row, : n // 2] = rows.phonemes[i]
            sounds[row, : n // 2] = rows.sounds[i]
            prosody[row, : n // 2] = rows.prosody[i]
        move = [torch.from_numpy(a).to(device) for a in (mels, phonemes, sounds, prosody)]
        return move[0].transpose(1, 2), Labels(*move[1:])


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
