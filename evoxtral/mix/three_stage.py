"""The mixing note: split each dataset 5 : 1, balance those of a domain, mix the domains by a ratio.

Three totals for the last stage, with the note's numbers (ratio 4 : 3 : 3, six datasets):

* `min`: the largest mix that repeats nothing beyond stage 2: 2,373 = 949 + 712 + 712.
* `sum`: as many rows as went in, drawn again and again: 160,107 = 64,043 + 48,032 + 48,032, for
  which each of HumanEval's 137 rows is drawn 175 times on average.
* `strict`: the largest mix that repeats nothing at all: 913 = 365 + 274 + 274.

The note's 87,599 rows of SQuAD 2.0 are those of 1.1, its 427 of MBPP all of the sanitized version.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Total = Literal["sum", "min", "strict"]

SIZES = {
    "gsm8k": ("math", 7_473), "math": ("math", 7_500), "squad2": ("qa", 87_599),
    "hotpotqa": ("qa", 88_966), "humaneval": ("code", 164), "mbpp": ("code", 427),
}  # fmt: skip
"""Domain and rows of each of the note's datasets."""

RATIO = {"math": 4, "qa": 3, "code": 3}


def apportion(total: int, ratio: Sequence[int]) -> list[int]:
    """Split `total` by a ratio in whole numbers: largest remainder, ties to the earlier part.

    >>> apportion(160_107, [4, 3, 3])
    [64043, 48032, 48032]
    """
    shares = [Fraction(total * part, sum(ratio)) for part in ratio]
    counts = [int(share) for share in shares]
    order = sorted(range(len(ratio)), key=lambda k: counts[k] - shares[k])
    for k in order[: total - sum(counts)]:
        counts[k] += 1
    return counts


def _rng(seed: int, name: str) -> np.random.Generator:
    """A stream per dataset: adding a dataset does not change the split of another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def split_rows(rows: pd.DataFrame, seed: int = 0) -> NDArray[np.str_]:
    """Stage 1: `train`, or `test` for a sixth of each `dataset` of the rows."""
    sides = np.full(len(rows), "train")
    for name, own in rows.groupby("dataset", sort=False).indices.items():
        sides[_rng(seed, name).permutation(own)[: round(len(own) / 6)]] = "test"
    return sides


def draw_mix(
    rows: pd.DataFrame, ratio: Mapping[str, int], total: Total = "sum", seed: int = 0
) -> pd.DataFrame:
    """Stages 2 and 3: the rows of `domain | dataset` that are drawn, shuffled, with repeats.

    `ratio` has parts by domain; the datasets of a domain get equal shares, to one row. Without
    repeats a domain that has no rows leaves nothing of the others.
    """
    sizes = rows.groupby(["domain", "dataset"], sort=False).size()
    even = sizes.groupby("domain").agg("min" if total == "strict" else "max")
    pools = (even * sizes.groupby("domain").size()).reindex(ratio, fill_value=0)
    parts = sum(ratio.values())
    fits = min(int(pools[domain]) * parts // part for domain, part in ratio.items())
    if not fits:
        return rows.head(0)
    counts = apportion(len(rows) if total == "sum" else fits, list(ratio.values()))
    rng, drawn = np.random.default_rng(seed), []
    for domain, count in zip(ratio, counts, strict=True):
        names = sizes[domain].index
        for name, share in zip(names, apportion(count, [1] * len(names)), strict=True):
            own = np.flatnonzero((rows["domain"] == domain) & (rows["dataset"] == name))
            if total == "strict":
                own = _rng(seed, name).permutation(own)[: even[domain]]
            elif len(own) < even[domain]:
                own = _rng(seed, name).choice(own, even[domain])
            copies, rest = divmod(share, len(own))
            drawn += [np.tile(own, copies), rng.permutation(own)[:rest]]
    return rows.iloc[rng.permutation(np.concatenate(drawn))]


def plan_six(seed: int = 0) -> dict[str, pd.DataFrame]:
    """The note's six datasets on paper.

    `splits`: `dataset | domain | total | train | test | balanced`, the last after stage 2, and a
    row of sums; `mixes`: `mix | side | math | qa | code | total`; `draws` of the training mix
    `sum`: `dataset | domain | rows | drawn | distinct | mean draws | most draws`.
    """
    six = [(name, *own) for name, own in SIZES.items()]
    splits = pd.DataFrame(six, columns=["dataset", "domain", "total"])
    rows = splits.loc[splits.index.repeat(splits["total"])].reset_index(names="key")
    rows["key"] = rows.index
    rows["side"] = split_rows(rows, seed)
    mixes, mixed = [], {}
    for total in ("sum", "min", "strict"):
        for side in ("train", "test"):
            own = mixed[total, side] = draw_mix(rows[rows["side"] == side], RATIO, total, seed)
            counts = own["domain"].value_counts()[list(RATIO)]
            mixes.append({"mix": total, "side": side, **counts, "total": len(own)})
    sizes = pd.crosstab(rows["dataset"], rows["side"])[["train", "test"]]
    splits = splits.join(sizes, on="dataset")
    times = mixed["sum", "train"].value_counts(["dataset", "key"]).groupby("dataset")
    draws = splits[["dataset", "domain", "train"]].join(
        times.agg(["sum", "size", "max"]), on="dataset"
    )
    draws.columns = ["dataset", "domain", "rows", "drawn", "distinct", "most draws"]
    draws.insert(5, "mean draws", draws["drawn"] / draws["rows"])
    splits["balanced"] = splits.groupby("domain")["train"].transform("max")
    splits.loc[len(splits)] = {"dataset": "all", "domain": "", **splits.iloc[:, 2:].sum()}
    return {"splits": splits, "mixes": pd.DataFrame(mixes), "draws": draws}
