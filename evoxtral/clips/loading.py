"""A dataset in memory: clips by split, and where their audio lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from evoxtral import UserError
from evoxtral.clips.audio import read_audio
from evoxtral.clips.clip import Clip, RowError
from evoxtral.clips.folder import read_clip, read_rows


@dataclass(frozen=True)
class Dataset:
    """Clips by split.

    Attributes:
        root: What was loaded, absolute.
        splits: Clips in file order; every id is unique over all splits.
        paths: Absolute path of the audio by clip id.
    """

    root: Path
    splits: Mapping[str, list[Clip]]
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, root: Path, clips: Iterable[tuple[Clip, Path]]) -> Dataset:
        """Sort clips and their audio files into splits."""
        splits: dict[str, list[Clip]] = {}
        paths = {}
        for clip, path in clips:
            splits.setdefault(clip.split, []).append(clip)
            paths[clip.id] = path
        return cls(root, MappingProxyType(splits), MappingProxyType(paths))

    def __getitem__(self, split: str) -> list[Clip]:
        """Clips of a split.

        Raises:
            UserError: There is no such split.
        """
        if split not in self.splits:
            raise UserError(
                f"{self.root} has no split {split!r}: choose one of {', '.join(self.splits)}"
            )
        return self.splits[split]

    @property
    def clips(self) -> list[Clip]:
        """All clips, split after split."""
        return [clip for clips in self.splits.values() for clip in clips]

    def audio_path(self, clip: Clip) -> Path:
        """Absolute path of the audio."""
        return self.paths[clip.id]

    def audio(self, clip: Clip) -> npt.NDArray[np.float32]:
        """Samples, shape (n,), 16 kHz mono.

        Raises:
            UserError: The file is damaged.
        """
        return read_audio(self.audio_path(clip))


def load(source: Path | str) -> Dataset:
    """Read the metadata of a dataset and check that its files are there; no audio is decoded.

    Args:
        source: See `folder.read_rows`.

    Raises:
        UserError: A row is bad or an id comes twice; names file and line. `validate` lists all
            faults and goes on without the bad rows.
    """
    clips: dict[str, tuple[Clip, Path]] = {}
    root = Path(source).absolute()
    for row in read_rows(root):
        try:
            clip, path = read_clip(row)
            if clip.id in clips:
                raise RowError(f"the id {clip.id!r} comes twice")
        except RowError as error:
            raise UserError(f"{row.place}: {error}; mend the line or remove it") from error
        clips[clip.id] = (clip, path)
    return Dataset.of(root, clips.values())
