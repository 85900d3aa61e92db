"""The frozen encoder's features: computed once per clip, kept between runs, memory-mapped.

A frozen encoder gives the same features in every epoch, in every sampling run and in every
evaluation; it is 19 % of a training step and all of it is saved. The cache of a split is a stage
keyed by the encoder's weights and the clips' sounds, in blocks of safetensors, each written
atomically: a killed run goes on with the block it was at. It holds what comes *before* the
projector, because adapters sit on the projector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn
from transformers import VoxtralForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from evoxtral import runs
from evoxtral.clips import Clip, Dataset
from evoxtral.model.loading import Voxtral
from evoxtral.model.prompts import Prompter
from evoxtral.model.threads import side_by_side
from evoxtral.progress import progress

BLOCK = 64
"""Clips per file."""

_AT_ONCE = 4  # windows in the encoder at a time; on a processor a tenth faster than 8
_WINDOWS = "windows"
_INDEX = "windows.json"
_CODE = ("evoxtral.model.features", "evoxtral.model.prompts", "evoxtral.model.threads")


class CachedEncoder(nn.Module):
    """Stands where the audio encoder stood and takes its features instead of log-mels.

    Everything around it (projector, language model, `generate`, adapters, data parallelism) runs
    unchanged on cached features, and the encoder's weights leave the memory.
    """

    def forward(self, input_features: Tensor, **_: object) -> BaseModelOutputWithPooling:
        """Pass features through, shape (windows, frames, width)."""
        return BaseModelOutputWithPooling(last_hidden_state=input_features)


def read_cached(model: VoxtralForConditionalGeneration) -> VoxtralForConditionalGeneration:
    """Replace a model's encoder by the cache; changes the model itself."""
    model.model.audio_tower = CachedEncoder()
    return model


@torch.inference_mode()
def encode(model: VoxtralForConditionalGeneration, mels: Tensor) -> Tensor:
    """Encoder features, shape (windows, frames, width), of log-mels (windows, bands, 2 frames)."""
    tower = model.model.audio_tower
    weight = next(tower.parameters())
    return tower(mels.to(weight.device, weight.dtype)).last_hidden_state


@dataclass(frozen=True, eq=False)
class Features:
    """Cached features of a list of clips, read from disk as they are asked for.

    Attributes:
        folder: of the stage.
        windows: windows of each clip.
    """

    folder: Path
    windows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, clip: int) -> Tensor:
        """Features of a clip, shape (windows, frames, width)."""
        if not 0 <= clip < len(self):
            raise IndexError(clip)
        first = clip - clip % BLOCK
        start = sum(self.windows[first:clip])
        return _mapped(_block(self.folder, first))[start : start + self.windows[clip]]


@lru_cache(maxsize=512)
def _mapped(block: Path) -> Any:
    """What slices a block's features; to map the file anew for each clip takes three times as long.

    It stays open, as the blocks of a finished stage never change.
    """
    return safetensors.safe_open(block, "pt").get_slice("features")


class Listened(Protocol):
    """What a model hears of clips: cached features, or log-mels if its encoder learns too."""

    @property
    def windows(self) -> Sequence[int]:
        """Windows of each clip."""

    def __len__(self) -> int: ...

    def __getitem__(self, clip: int) -> Tensor: ...


class LogMels:
    """What an encoder that learns too is fed: log-mels, made anew each time they are asked for.

    Attributes:
        windows: windows of each clip.
    """

    def __init__(self, sounds: Dataset, clips: Sequence[Clip], prompter: Prompter) -> None:
        self._sounds, self._clips, self._prompter = sounds, clips, prompter
        self.windows = tuple(prompter.windows(len(sounds.audio(clip))) for clip in clips)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, clip: int) -> Tensor:
        """Log-mels of a clip, shape (windows, bands, 2 frames)."""
        return self._prompter.mels(self._sounds.audio(self._clips[clip]))


def _block(folder: Path, first: int) -> Path:
    return folder / f"clips-{first:06d}.safetensors"


def cache_features(
    base: Voxtral, clips: Sequence[Clip], sounds: Dataset, profile: str, what: str
) -> Features:
    """The stage that holds the encoder's features of clips; builds what is missing of it.

    Args:
        base: whose encoder listens.
        clips: in the order in which they are asked for later.
        sounds: the dataset that reads their audio.
        profile: whose folder holds the stage.
        what: named in the progress bar: the split.
    """
    prompter = Prompter(base)
    params = {
        "encoder": base.encoder_digest,
        "clips": runs.digest([[clip.id, clip.sha256] for clip in clips]),
        "precision": str(next(base.model.parameters()).dtype),
    }

    def make(folder: Path) -> None:
        _encode_all(folder, base, prompter, clips, sounds, what)

    made = runs.stage("features", profile, params, make, code=_CODE)
    return Features(made.path, tuple(runs.read_json(made.path / _INDEX)))


def _encode_all(
    folder: Path,
    base: Voxtral,
    prompter: Prompter,
    clips: Sequence[Clip],
    sounds: Dataset,
    what: str,
) -> None:
    starts = range(0, len(clips), BLOCK)
    todo = [i for i in starts if not _block(folder, i).exists()]
    done = len(clips) - sum(len(clips[i : i + BLOCK]) for i in todo)

    def make(first: int) -> int:
        chosen = clips[first : first + BLOCK]
        mels = [prompter.mels(sounds.audio(clip)) for clip in chosen]
        made = [encode(base.model, some).cpu() for some in torch.cat(mels).split(_AT_ONCE)]
        block = save({"features": torch.cat(made)}, {_WINDOWS: json.dumps([*map(len, mels)])})
        runs.write_bytes(_block(folder, first), block)
        return len(chosen)

    with (
        progress(len(clips), f"features of {what}", unit="clip", done=done) as bar,
        side_by_side(next(base.model.parameters()).device) as pool,
    ):
        for count in pool.map(make, todo):
            bar.update(count)
    windows = [count for first in starts for count in _windows(_block(folder, first))]
    runs.write_json(folder / _INDEX, windows)


def _windows(block: Path) -> list[int]:
    with safetensors.safe_open(block, "pt") as opened:
        return json.loads(opened.metadata()[_WINDOWS])
