"""The embedded base model: a small Voxtral that ships with the package, and how it is made.

Here, without a framework: where it lies and which texts it has heard or read. A test text that it
knows in another voice, or without sound, is no leak of its tags, but a reader should know how many
there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evoxtral import runs, tags

TEXTS = "texts.npy"  # fingerprints of the texts learnt from, beside the shipped checkpoint


def checkpoint_dir() -> Path:
    """Folder of the checkpoint that ships with the package."""
    return Path(__file__).parent / "checkpoint"


def fingerprints(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Sorted distinct 64-bit fingerprints of the words of texts, tags and capitals aside."""
    return np.unique(np.array([*map(_fingerprint, texts)], np.uint64))


def heard_by_base(texts: Sequence[str]) -> list[bool]:
    """Whether the embedded base model has heard or read the words of each text."""
    return [_fingerprint(text) in _known() for text in texts]


def _fingerprint(text: str) -> int:
    return int(runs.digest(tags.text_key(tags.plain_text(text)))[:16], 16)


@cache
def _known() -> frozenset[int]:
    return frozenset(np.load(checkpoint_dir() / TEXTS, allow_pickle=False).tolist())
