"""How long near-duplicate filtering takes as a set grows, and how much memory."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

from evoxtral.mix.lsh import near_duplicates_lsh
from evoxtral.mix.neardup import keep_first, near_duplicates
from evoxtral.mix.rouge import words

__all__ = ["SIZES", "near_duplicate_curve", "swap_words"]

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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "method": method,
        "texts": n,
        "found": found,
        "seconds": seconds,
        "million pairs per second": n * (n - 1) / 2e6 / seconds,
        "peak MiB": peak / (2**20 if sys.platform == "darwin" else 2**10),
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
