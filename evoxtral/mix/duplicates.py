"""Near-duplicate texts by ROUGE-L, exact: every pair is compared.

The composition note (section 3, the Self-Instruct rule) asks that no two training texts reach
ROUGE-L 0.7. With tokens = lowercased runs of `[a-z0-9]` and F = 2 LCS / (|a| + |b|), the score is
rapidfuzz's Indel similarity of the two word sequences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import Indel

THRESHOLD = 0.7

_ROWS = 256  # of a block: bounds the memory to that many scores per text
_EPSILON = 1e-9  # an integer is compared with a rounded product such as 0.3 * 30
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


def near_duplicates(
    texts: Sequence[str], threshold: float = THRESHOLD, workers: int | None = None
) -> pd.DataFrame:
    """All pairs of texts whose ROUGE-L reaches the threshold, in (0, 1].

    Args:
        texts: tagged or plain: tag words count as words.
        threshold: the note asks for 0.7.
        workers: cores; every core by default.

    Returns:
        `first | second | rouge_l`, positions with first < second, sorted.

    >>> near_duplicates(["a b c d", "x y", "a b c e"]).to_dict("records")
    [{'first': 0, 'second': 2, 'rouge_l': 0.75}]
    """
    pairs = near_duplicates_between(texts, texts, threshold, workers)
    return pairs[pairs["first"] < pairs["second"]].reset_index(drop=True)


def near_duplicates_between(
    first: Sequence[str],
    second: Sequence[str],
    threshold: float = THRESHOLD,
    workers: int | None = None,
) -> pd.DataFrame:
    """The same across two sets, such as training and test: `first` and `second` are positions."""
    letters: dict[str, str] = {}  # one character for each word: strings compare fastest
    rows, columns = (
        ["".join(letters.setdefault(w, chr(len(letters))) for w in words(text)) for text in texts]
        for texts in (first, second)
    )
    lengths = [np.array([len(text) for text in texts], int) for texts in (rows, columns)]
    found = [np.empty((0, 3))]
    for start in range(0, len(rows), _ROWS):
        block = slice(start, start + _ROWS)
        distance = process.cdist(
            rows[block], columns, scorer=Indel.distance, dtype=np.int32, workers=workers or -1
        )
        total = np.add.outer(lengths[0][block], lengths[1])
        i, j = np.nonzero(distance <= (1 - threshold) * total + _EPSILON)
        score = 1 - distance[i, j] / np.maximum(total[i, j], 1)
        found.append(np.column_stack([i + start, j, score]))
    frame = pd.DataFrame(np.concatenate(found), columns=["first", "second", "rouge_l"])
    return frame.astype({"first": int, "second": int})


def keep_first(
    texts: Sequence[str], threshold: float = THRESHOLD, workers: int | None = None
) -> list[int]:
    """Positions kept when each text is dropped that is near a text kept before it.

    >>> keep_first(["a b c d", "a b c e", "x y"])
    [0, 2]
    """
    dropped: set[int] = set()
    pairs = near_duplicates(texts, threshold, workers)
    for first, second in zip(pairs["first"], pairs["second"], strict=True):
        if first not in dropped:
            dropped.add(second)
    return [i for i in range(len(texts)) if i not in dropped]
