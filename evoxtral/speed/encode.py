"""Encoder features of clips: one clip at a time, against the cache's blocks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from evoxtral.clips import Clip
from evoxtral.model import Features
from evoxtral.pipeline import Setup
from evoxtral.speed import floors, plain
from evoxtral.speed.measure import Comparison, alternate, clocked
from evoxtral.speed.subject import cached, precision, rebuilt, shapes

__all__ = ["ONE", "OURS", "encode_clips", "hear_one_by_one", "largest_difference"]

ONE = "one clip at a time, a file each"
OURS = "ours"

_CLOSE = {"float32": 0.02, "bfloat16": 0.05}
"""Largest relative difference of a clip's features: the plain way rounds audio to 16 bits."""


def encode_clips(setup: Setup, clips: Sequence[Clip], repeats: int) -> Comparison:
    """Measure reading audio, log-mels, encoder and writing.

    Args:
        setup: base, prompter, audio.
        clips: those that are heard.
        repeats: rounds that count.

    Raises:
        RuntimeError: the two ways hear different things.
    """
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            ONE: clocked(lambda _: hear_one_by_one(setup, clips, Path(folder))),
            OURS: clocked(lambda _: rebuilt(setup, clips)),
        }
        apart = largest_difference(ways[ONE](0).made, cached(setup, clips))
        if not apart < _CLOSE[precision(setup)]:
            raise RuntimeError(
                f"features of the two ways are {apart:.2g} apart: the speed of wrong results says "
                "nothing"
            )
        rounds, _ = alternate(ways, repeats)
    facts = {
        "largest_relative_difference": apart,
        "audio_seconds": round(sum(clip.seconds or 0.0 for clip in clips), 1),
    }
    windows = sum(cached(setup, clips).windows)
    need = floors.encoding(shapes(setup), windows, precision(setup))
    return Comparison(
        "encode", "clip", len(clips), rounds, (ONE,), (OURS,), None, facts,
        {ONE: [need], OURS: [need]},
    )  # fmt: skip


def hear_one_by_one(setup: Setup, clips: Sequence[Clip], folder: Path) -> list[Path]:
    """Features of each clip by processor and encoder, saved to a file of its own.

    Returns:
        The files.
    """
    tower = setup.base.model.model.audio_tower
    weight = next(tower.parameters())
    files = []
    for number, clip in enumerate(clips):
        asked = plain.request(setup.prompter, setup.base.name, [setup.sounds.audio(clip)])
        with torch.no_grad():
            heard = tower(asked["input_features"].to(weight.device, weight.dtype))
        files.append(folder / f"{number}.pt")
        torch.save(heard.last_hidden_state.cpu(), files[-1])
    return files


def largest_difference(files: Sequence[Path], features: Features) -> float:
    """Largest distance between two ways' features of a clip, relative to their size."""
    return max(_distance(torch.load(file), features[clip]) for clip, file in enumerate(files))


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first.float() - second.float()).norm() / second.float().norm())
