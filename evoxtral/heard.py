"""Which texts the embedded base model was trained on, without loading it.

Short sentences recur: a test text that the base has heard, in another voice, is no leak between
training and test of fine-tuning, but a reader should know how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evoxtral import runs, tags
from evoxtral.tags import text_key

FILE = "texts.npy"
"""Beside the shipped checkpoint."""


def fingerprints(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Sorted distinct 64-bit fingerprints of the words of texts, tags and capitals aside."""
    return np.unique(np.array([_fingerprint(text) for text in texts], np.uint64))


def heard_by_base(texts: Sequence[str]) -> list[bool]:
    """Whether the embedded base model was trained on the words of each text."""
    known = _known()
    return [_fingerprint(text) in known for text in texts]


def _fingerprint(text: str) -> int:
    return int(runs.digest(text_key(tags.plain_text(text)))[:16], 16)


@cache
def _known() -> frozenset[int]:
    path = Path(str(files("evoxtral"))) / "world" / "base" / "checkpoint" / FILE
    return frozenset(np.load(path, allow_pickle=False).tolist())
