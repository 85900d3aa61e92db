"""Near-duplicate filtering: beside a table per pair in plain Python, and as a set grows."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from evoxtral.mix.lsh import near_duplicates_lsh
from evoxtral.mix.neardup import EPSILON, THRESHOLD, keep_first, near_duplicates
from evoxtral.mix.rouge import words
from evoxtral.speed.measure import Comparison, alternate, clocked
from evoxtral.speed.memory import peak_mebibytes

__all__ = [
    "BY_TABLE",
    "OURS",
    "SIZES",
    "filtering",
    "keep_first_by_table",
    "longest_common",
    "near_duplicate_curve",
    "swap_words",
]

BY_TABLE = "a table for each pair, plain Python"
OURS = "ours"

SIZES = (1_010, 2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000)


def swap_words(texts: Sequence[str], n: int, share: float = 0.5, seed: int = 0) -> list[str]:
    """`n` texts: the given ones, then variants with a share of the words replaced.

    Replacements are drawn from all words of the texts, so lengths and word frequencies, on which
    the filter's work depends, stay those of the original.

    Args:
        texts: the originals, kept as they are.
        n: texts wanted; fewer than there are cuts the originals.
        share: words replaced in a variant, in (0, 1]. At 0.5 variants are no near-duplicates of
            their origin, at 0.2 most are.
        seed: same seed, same texts.
    """
    rng = np.random.default_rng(seed)
    tokens = [np.array(words(text)) for text in texts]
    pool = np.concatenate(tokens)
    grown = list(texts[:n])
    for k in range(len(grown), n):
        variant = tokens[k % len(tokens)].astype(pool.dtype)
        places = rng.permutation(len(variant))[: max(1, round(share * len(variant)))]
        variant[places] = rng.choice(pool, len(places))
        grown.append(" ".join(variant))
    return grown


def filtering(texts: Sequence[str], repeats: int) -> Comparison:
    """Measure the filter that keeps the first of texts that are alike.

    Args:
        texts: few enough for the plain way, which compares some thousand pairs in a second.
        repeats: rounds that count.

    Raises:
        RuntimeError: the two ways keep different texts.
    """
    ways = {
        BY_TABLE: clocked(lambda _: keep_first_by_table(texts)),
        OURS: clocked(lambda _: [int(i) for i in keep_first(texts)]),
    }
    rounds, made = alternate(ways, repeats, _check)
    pairs = len(texts) * (len(texts) - 1) // 2
    facts = {"texts": len(texts), "pairs": pairs, "kept": len(made[-1][OURS])}
    return Comparison(
        "near-duplicates", "thousand pairs", pairs / 1000, rounds, (BY_TABLE,), (OURS,), None, facts
    )


def _check(made: Mapping[str, Sequence[int]]) -> None:
    if list(made[BY_TABLE]) != list(made[OURS]):
        raise RuntimeError(
            "the two ways keep different texts: the speed of wrong results says nothing"
        )


def keep_first_by_table(texts: Sequence[str]) -> list[int]:
    """Places of the texts that are like none of those kept before, by ROUGE-L pair by pair."""
    kept: list[tuple[int, list[str]]] = []
    for place, text in enumerate(texts):
        own = words(text)
        like = (
            2 * longest_common(own, other) >= THRESHOLD * (len(own) + len(other)) - EPSILON
            for _, other in kept
        )
        if not any(like):
            kept.append((place, own))
    return [place for place, _ in kept]


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by the textbook's table.

    >>> longest_common("the cat sat down".split(), "the cat lay down".split())
    3
    """
    row = [0] * (len(second) + 1)
    for a in first:
        before = 0
        for k, b in enumerate(second, start=1):
            above = row[k]
            row[k] = before + 1 if a == b else max(above, row[k - 1])
            before = above
    return row[-1]


def _measure(texts: Sequence[str], n: int, share: float, method: str, workers: int | None) -> dict:
    """One point of the curve; runs in a process of its own, whose peak memory it reports."""
    grown = swap_words(texts, n, share)
    start = time.perf_counter()
    if method == "keep_first":
        found = n - len(keep_first(grown, workers=workers))
    elif method == "near_duplicates":
        found = len(near_duplicates(grown, workers=workers))
    else:
        found = len(near_duplicates_lsh(grown))
    seconds = time.perf_counter() - start
    return {
        "method": method,
        "texts": n,
        "found": found,
        "seconds": seconds,
        "million pairs per second": n * (n - 1) / 2e6 / seconds,
        "peak MiB": peak_mebibytes(),
    }


def near_duplicate_curve(
    texts: Sequence[str],
    sizes: Sequence[int] = SIZES,
    workers: int | None = None,
    *,
    share: float = 0.5,
    methods: Sequence[str] = ("keep_first",),
) -> pd.DataFrame:
    """Time and peak memory of the filter on growing sets of `swap_words` variants.

    Args:
        texts: originals, such as the released scripts.
        sizes: texts per point.
        workers: cores; every core by default. The LSH search uses one.
        share: of words swapped.
        methods: any of `keep_first`, `near_duplicates` and `lsh`.

    Returns:
        `method | texts | found | seconds | million pairs per second | peak MiB`; `found` is the
        number of texts dropped, or of pairs.
    """
    context = multiprocessing.get_context("spawn")
    rows = []
    for method in methods:
        for n in sizes:
            with context.Pool(1) as pool:
                rows.append(pool.apply(_measure, (list(texts), n, share, method, workers)))
    return pd.DataFrame(rows)
