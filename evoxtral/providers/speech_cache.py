"""Bought audio by what it was bought for: nothing is paid for twice.

<folder>/ab/ab12….flac   the audio, named by `Line.key`
<folder>/ledger.jsonl    one row for each reply of the provider, usable or not
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from evoxtral import runs
from evoxtral.clips.audio import BadAudioError, decode, encode_flac
from evoxtral.providers.journal import Journal


class SpeechCache:
    """A folder of audio; may serve any number of corpora, one run at a time."""

    def __init__(self, folder: Path) -> None:
        """Look at a cache; the folder is made when something is bought."""
        self._folder = folder

    def open(self) -> Journal:
        """Make ready to buy, under the folder's lock: clear what a kill left; the ledger.

        Raises:
            UserError: The folder cannot be used.
        """
        for path in self._folder.rglob(".*.tmp"):
            path.unlink()
        return Journal(self._folder / "ledger.jsonl")

    def path(self, key: str) -> Path:
        """Where the audio of a key lies or will lie."""
        return self._folder / key[:2] / f"{key}.flac"

    def keys(self) -> frozenset[str]:
        """Keys whose audio is there and sound; files appear whole, so damage is rare."""
        return frozenset(path.stem for path in self._folder.glob("??/*.flac") if _sound(path))

    def put(self, key: str, samples: npt.NDArray[np.float32]) -> None:
        """Keep audio; on disk when this returns, unlike the corpus: it has cost money.

        Args:
            key: Its name.
            samples: Shape (n,), 16 kHz, on the 16-bit grid, which FLAC keeps exactly.
        """
        runs.write_bytes(self.path(key), encode_flac(samples))


def _sound(path: Path) -> bool:
    try:
        decode(path)
    except BadAudioError:
        return False
    return True
