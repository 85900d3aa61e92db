"""ROUGE-L between texts, and texts coded for comparing very many of them."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel

from evoxtral import UserError

BUCKETS = 256

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Tokens of ROUGE-L: lowercased runs of `[a-z0-9]`; brackets of tags fall away.

    >>> words("[sighs] I CAN'T wait, 24 hours!")
    ['sighs', 'i', 'can', 't', 'wait', '24', 'hours']
    """
    return _WORD.findall(text.lower())


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F of two texts, in [0, 1]; two texts without any word are equal (1).

    >>> rouge_l("the cat sat down", "the cat lay down")
    0.75
    """
    return Indel.normalized_similarity(words(first), words(second))


@dataclass(frozen=True)
class Coded:
    """Texts as the kernels read them.

    Attributes:
        codes: one character per word, the same word the same character.
        lengths: (n,) words per text.
        elements: (sum of lengths,) ids of the (word, occurrence) elements, text after text.
        counts: (n, BUCKETS) elements per hash bucket.
    """

    codes: list[str]
    lengths: NDArray[np.int64]
    elements: NDArray[np.int64]
    counts: NDArray[np.unsignedinteger]

    def __len__(self) -> int:
        return len(self.codes)


def encode(texts: Sequence[str]) -> Coded:
    """Code texts for the kernels; sets to be compared must be coded in one call.

    Raises:
        UserError: more distinct words than there are Unicode code points (1.1 million).
    """
    vocabulary: dict[str, int] = {}
    element_ids: dict[tuple[int, int], int] = {}
    codes: list[str] = []
    elements: list[int] = []
    for text in texts:
        ids = [vocabulary.setdefault(word, len(vocabulary)) for word in words(text)]
        if len(vocabulary) > sys.maxunicode:
            raise UserError(
                "near-duplicates: over 1.1 million distinct words; compare smaller sets"
            )
        codes.append("".join(map(chr, ids)))
        seen: Counter[int] = Counter()
        for word in ids:
            elements.append(element_ids.setdefault((word, seen[word]), len(element_ids)))
            seen[word] += 1
    lengths = np.array([len(code) for code in codes], dtype=np.int64)
    flat = np.array(elements, dtype=np.int64)
    return Coded(codes, lengths, flat, _bucket_counts(flat, lengths, len(element_ids)))


def _bucket_counts(
    elements: NDArray[np.int64], lengths: NDArray[np.int64], n_elements: int
) -> NDArray[np.unsignedinteger]:
    """(n, BUCKETS) counts; the commonest elements get a bucket of their own, the rest share."""
    order = np.argsort(-np.bincount(elements, minlength=n_elements), kind="stable")
    rank = np.empty(n_elements, dtype=np.int64)
    rank[order] = np.arange(n_elements)
    own = BUCKETS // 2
    bucket = np.where(rank < own, rank, own + rank % (BUCKETS - own))
    longest = int(lengths.max(initial=0))
    counts = np.zeros((len(lengths), BUCKETS), dtype=np.min_scalar_type(longest))
    np.add.at(counts, (np.repeat(np.arange(len(lengths)), lengths), bucket[elements]), 1)
    return counts
