"""Near-duplicate texts by ROUGE-L: exact, in tiles, on several cores, in flat memory.

The composition note (section 3, the Self-Instruct rule) asks that no two training texts reach
ROUGE-L 0.7. With tokens = lowercased runs of `[a-z0-9]` and F = 2 LCS / (|a| + |b|), the score is
rapidfuzz's Indel similarity of the two word sequences.

Computing an LCS for every pair is what makes this slow, and almost all of it is avoidable
without giving up exactness. Write a text as the set of its (word, occurrence) elements: LCS is at
most the number of shared elements. Count those elements in `BUCKETS` hash buckets: the dot product
of two count vectors is at least the number of shared elements, since collisions only add. So a
pair with `2 dot < t (|a| + |b|)` cannot reach the threshold t, and dots of all pairs are one
matrix product. Only survivors get an LCS. (The length test `2 min / (|a| + |b|) < t` is implied.)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Indel
from threadpoolctl import threadpool_limits

from evoxtral import UserError
from evoxtral.mix.rouge import Coded, encode

THRESHOLD = 0.7
TILE_ROWS = 1024
TILE_COLUMNS = 4096
# Above this share of candidates one dense LCS call over the tile beats pair-by-pair calls.
DENSE_SHARE = 0.15
# The bound is computed in float32: loosening it by more than its rounding keeps it a bound.
LOOSENED = 1 - 1e-4
# `2 LCS >= t (|a| + |b|)` compares an integer with a rounded product such as 0.7 * 30.
EPSILON = 1e-9

_Hits = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def verify(
    coded: Coded,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    threshold: float,
) -> _Hits:
    """Of candidate pairs (left[k], right[k]), those whose true ROUGE-L reaches the threshold."""
    distance = process.cpdist(
        [coded.codes[i] for i in left],
        [coded.codes[j] for j in right],
        scorer=Indel.distance,
        dtype=np.int32,
    )
    return _reaching(coded, left, right, distance, threshold)


def _reaching(
    coded: Coded,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    distance: NDArray[np.int32],
    threshold: float,
) -> _Hits:
    total = coded.lengths[left] + coded.lengths[right]
    hit = distance <= (1 - threshold) * total + EPSILON
    score = 1 - distance[hit] / np.maximum(total[hit], 1)
    return left[hit], right[hit], score


def _tile(
    coded: Coded, rows: NDArray[np.int64], columns: NDArray[np.int64], threshold: float
) -> _Hits:
    """Matching pairs of `rows` x `columns` (positions in `coded`) with row < column."""
    bound = coded.counts[rows].astype(np.float32) @ coded.counts[columns].astype(np.float32).T
    half = np.float32(threshold / 2 * LOOSENED)
    bound -= half * coded.lengths[rows].astype(np.float32)[:, None]
    possible = bound >= half * coded.lengths[columns].astype(np.float32)
    possible &= rows[:, None] < columns
    i, j = np.nonzero(possible)
    left, right = rows[i], columns[j]
    if len(i) <= DENSE_SHARE * possible.size:
        return verify(coded, left, right, threshold)
    distance = process.cdist(
        [coded.codes[k] for k in rows],
        [coded.codes[k] for k in columns],
        scorer=Indel.distance,
        dtype=np.int32,
    )
    return _reaching(coded, left, right, distance[i, j], threshold)


def _blocks(positions: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def _check(threshold: float, workers: int | None) -> int:
    if not 0 < threshold <= 1:
        raise UserError(f"ROUGE-L threshold is {threshold}: give a number in (0, 1]")
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: give at least 1, or nothing for every core")
    return workers or os.cpu_count() or 1


def pairs_frame(parts: Sequence[_Hits], offset: int = 0) -> pd.DataFrame:
    """Found pairs as a sorted `first | second | rouge_l`; the second set starts at `offset`."""
    none: _Hits = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    columns = zip(none, *parts, strict=True)
    left, right, score = (np.concatenate(column) for column in columns)
    frame = pd.DataFrame({"first": left, "second": right - offset, "rouge_l": score})
    return frame.sort_values(["first", "second"], ignore_index=True)


def near_duplicates(
    texts: Sequence[str], threshold: float = THRESHOLD, workers: int | None = None
) -> pd.DataFrame:
    """All pairs of texts whose ROUGE-L reaches the threshold; exact.

    Args:
        texts: the texts, tagged or plain: tag words count as words.
        threshold: in (0, 1]; the note asks for 0.7.
        workers: cores; every core by default. The answer does not depend on it.

    Returns:
        `first | second | rouge_l`, positions with first < second, sorted. Memory grows with the
        number of texts and of pairs found, never with n squared.

    Raises:
        UserError: threshold or workers out of range.

    >>> near_duplicates(["a b c d", "x y", "a b c e"]).to_dict("records")
    [{'first': 0, 'second': 2, 'rouge_l': 0.75}]
    """
    cores = _check(threshold, workers)
    coded = encode(texts)
    everything = np.arange(len(coded))
    parts: list[_Hits] = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        for rows in _blocks(everything, TILE_ROWS):
            tiles = _blocks(everything[rows[0] :], TILE_COLUMNS)
            parts.extend(pool.map(partial(_tile, coded, rows, threshold=threshold), tiles))
    return pairs_frame(parts)


def near_duplicates_between(
    first: Sequence[str],
    second: Sequence[str],
    threshold: float = THRESHOLD,
    workers: int | None = None,
) -> pd.DataFrame:
    """Pairs across two sets, such as train and test: the leakage an exact match misses.

    Returns:
        `first | second | rouge_l`: position in `first`, position in `second`.

    Raises:
        UserError: threshold or workers out of range.
    """
    cores = _check(threshold, workers)
    coded = encode([*first, *second])
    columns = np.arange(len(first), len(coded))
    parts: list[_Hits] = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        for rows in _blocks(np.arange(len(first)), TILE_ROWS):
            tiles = _blocks(columns, TILE_COLUMNS)
            parts.extend(pool.map(partial(_tile, coded, rows, threshold=threshold), tiles))
    return pairs_frame(parts, offset=len(first))


def keep_first(
    texts: Sequence[str], threshold: float = THRESHOLD, workers: int | None = None
) -> list[int]:
    """Positions kept when each text is dropped that is near a text kept before it; exact.

    Greedy and therefore dependent on the order of the texts. Memory stays flat however many
    duplicates there are: a block is compared with the kept texts only, and no pair is stored.

    Args:
        texts: the texts in order of preference.
        threshold: ROUGE-L from which two texts are duplicates, in (0, 1].
        workers: cores; every core by default.

    Returns:
        Kept positions, increasing.

    Raises:
        UserError: threshold or workers out of range.

    >>> keep_first(["a b c d", "a b c e", "x y"])
    [0, 2]
    """
    cores = _check(threshold, workers)
    coded = encode(texts)
    kept = np.empty(0, np.int64)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        for rows in _blocks(np.arange(len(coded)), TILE_ROWS):
            tiles = _blocks(kept, TILE_COLUMNS)
            found = pool.map(partial(_tile, coded, columns=rows, threshold=threshold), tiles)
            near = [right for _, right, _ in found]
            fresh = np.setdiff1d(rows, np.concatenate(near)) if near else rows
            kept = np.concatenate([kept, _greedy(coded, fresh, threshold)])
    return kept.tolist()


def _greedy(coded: Coded, fresh: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Positions of one block kept greedily; pairs come sorted, so a first text is settled."""
    dropped: set[int] = set()
    left, right, _ = _tile(coded, fresh, fresh, threshold)
    for first, second in zip(left.tolist(), right.tolist(), strict=True):
        if first not in dropped:
            dropped.add(second)
    return np.array([i for i in fresh.tolist() if i not in dropped], dtype=np.int64)
