"""The three-stage mix as a pure plan: which row of which dataset goes where, and how often.

Stage 1 splits every dataset 5 : 1 into train and test. Stage 2 balances the datasets of a domain:
the smaller ones are resampled to the size of the largest. Stage 3 mixes the domains by a ratio.
Only row numbers are handled here (four bytes a row), so the plan for 192,129 rows is a matter of
milliseconds; `mixer` reads and writes the rows.

Three totals for stage 3, with the numbers of the mixing note (ratio 4 : 3 : 3, six datasets):

* `min`: the largest mix that repeats nothing beyond stage 2: 2,373 = 949 + 712 + 712.
* `sum`: as many rows as went in, drawn again and again: 160,107 = 64,043 + 48,032 + 48,032, for
  which each of HumanEval's 137 rows is drawn 175 times on average.
* `strict`: the largest mix that repeats nothing at all: 913 = 365 + 274 + 274.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evoxtral import UserError

Rows = NDArray[np.int32]
Total = Literal["min", "sum", "strict"]
Resample = Literal["choices", "cover"]


@dataclass(frozen=True)
class Part:
    """Rows of one dataset that may be drawn.

    Attributes:
        name: dataset, unique.
        domain: what the ratio is between: a subject, or a stratum such as plain and tagged.
        rows: (n,) row numbers.
    """

    name: str
    domain: str
    rows: Rows


@dataclass(frozen=True)
class Draws:
    """A mix, shuffled.

    Attributes:
        parts: what was drawn from.
        part: (m,) index into `parts` of each drawn row.
        row: (m,) its row number.
        pools: rows per domain after stage 2.
        counts: rows per domain in the mix.
    """

    parts: tuple[Part, ...]
    part: NDArray[np.int16]
    row: Rows
    pools: dict[str, int]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.row)

    def table(self) -> pd.DataFrame:
        """How hard each dataset is worked.

        Columns: `dataset | domain | rows | drawn | distinct | mean draws | most draws`; the mean
        is over all rows of the part, drawn or not.
        """
        lines = []
        for k, part in enumerate(self.parts):
            _, times = np.unique(self.row[self.part == k], return_counts=True)
            drawn, n = int(times.sum()), len(part.rows)
            most = int(times.max(initial=0))
            lines.append((part.name, part.domain, n, drawn, len(times), drawn / max(n, 1), most))
        names = ["dataset", "domain", "rows", "drawn", "distinct", "mean draws", "most draws"]
        return pd.DataFrame(lines, columns=names)


def apportion(total: int, ratio: Sequence[int]) -> list[int]:
    """Split `total` by a ratio in whole numbers: largest remainder, ties to the earlier part.

    >>> apportion(160_107, [4, 3, 3])
    [64043, 48032, 48032]
    """
    _check_ratio(ratio)
    shares = [Fraction(total * part, sum(ratio)) for part in ratio]
    counts = [int(share) for share in shares]
    order = sorted(range(len(ratio)), key=lambda k: counts[k] - shares[k])
    for k in order[: total - sum(counts)]:
        counts[k] += 1
    return counts


def largest_mix(available: Sequence[int], ratio: Sequence[int]) -> list[int]:
    """Counts of the largest mix in a ratio that takes nothing twice.

    >>> largest_mix([12_500, 148_276, 712], [4, 3, 3])
    [949, 712, 712]
    """
    _check_ratio(ratio)
    whole = sum(ratio)
    total = min(n * whole // part for n, part in zip(available, ratio, strict=True) if part)
    return apportion(total, ratio)


def _check_ratio(ratio: Sequence[int]) -> None:
    if not ratio or min(ratio) < 0 or sum(ratio) == 0:
        raise UserError(f"ratio {list(ratio)}: give parts of 0 or more, one of them positive")


def split_sizes(n: int) -> tuple[int, int]:
    """Rows for train and test of a 5 : 1 split, `n_test = round(n / 6)`.

    >>> split_sizes(7_473)
    (6227, 1246)
    """
    n_test = round(n / 6)
    return n - n_test, n_test


def _rng(seed: int, name: str) -> np.random.Generator:
    """A stream per dataset: adding a dataset does not change the split of another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def split_rows(
    names: Sequence[str], keys: Sequence[int | Sequence[Hashable]], seed: int = 0
) -> tuple[list[Rows], list[Rows]]:
    """Stage 1: train and test rows of each dataset, sorted.

    Rows with the same key are one text and stay on one side, in all datasets together. Sizes are
    exactly those of `split_sizes` unless copies of a text make that impossible; then the test side
    is smaller.

    Args:
        names: datasets.
        keys: per dataset a key for each row, or only its number of rows where every row is its
            own text.
        seed: same seed, same split.

    Returns:
        Train rows and test rows, one array per dataset.
    """
    side: dict[Hashable, bool] = {}
    train, test = [], []
    for name, key in zip(names, keys, strict=True):
        rng = _rng(seed, name)
        if isinstance(key, int):
            in_test = np.zeros(key, dtype=bool)
            in_test[rng.permutation(key)[: split_sizes(key)[1]]] = True
        else:
            in_test = _split_texts(key, side, rng)
        train.append(np.flatnonzero(~in_test).astype(np.int32))
        test.append(np.flatnonzero(in_test).astype(np.int32))
    return train, test


def _split_texts(
    keys: Sequence[Hashable], side: dict[Hashable, bool], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(n,) True for test rows; `side` remembers the side of every text met so far."""
    members: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        members.setdefault(key, []).append(row)
    left = split_sizes(len(keys))[1] - sum(len(m) for k, m in members.items() if side.get(k))
    undecided = [key for key in members if key not in side]
    for k in rng.permutation(len(undecided)):
        size = len(members[undecided[k]])
        side[undecided[k]] = size <= left
        left -= size * (size <= left)
    return np.array([side[key] for key in keys], dtype=bool)


def check_leakage(
    train: Sequence[Rows], test: Sequence[Rows], keys: Sequence[Sequence[Hashable]]
) -> None:
    """Verify that no text is on both sides.

    Raises:
        UserError: a text stands in train and test, of one dataset or of two.
    """
    seen = {key[row] for rows, key in zip(train, keys, strict=True) for row in rows}
    both = seen & {key[row] for rows, key in zip(test, keys, strict=True) for row in rows}
    if both:
        raise UserError(f"texts in both train and test: {len(both)}; split again with split_rows")


def _repeat(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """`count` draws as even as possible: whole copies, then a sample without replacement."""
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


def _balance(
    sizes: Sequence[int], rows: Rows, total: Total, resample: Resample, rng: np.random.Generator
) -> Rows:
    """Stage 2 for one dataset of a domain whose datasets have these sizes."""
    if total == "strict":
        return rng.permutation(rows)[: min(sizes)]
    if len(rows) == max(sizes):
        return rows
    if resample == "choices":
        return rng.choice(rows, max(sizes), replace=True)
    return _repeat(rows, max(sizes), rng)


def draw_mix(
    parts: Sequence[Part],
    ratio: Mapping[str, int],
    total: Total = "sum",
    *,
    resample: Resample = "choices",
    seed: int = 0,
) -> Draws:
    """Stages 2 and 3: balance the parts of each domain, then mix the domains.

    Inside a domain the parts have equal shares of the mix, to one row.

    Args:
        parts: datasets, each with the rows that may be drawn.
        ratio: parts per domain, in order, such as `{"math": 4, "qa": 3, "code": 3}`.
        total: `min`, `sum` or `strict`, see the module.
        resample: how a smaller dataset grows in stage 2. `choices` draws with replacement, as the
            note does, and leaves out a third of the rows where it grows by little; `cover` draws
            every row once before any twice.
        seed: same seed, same draws.

    Raises:
        UserError: a domain without rows or without a ratio, or the other way round.
    """
    _check_parts(parts, ratio)
    sizes = {d: [len(part.rows) for part in parts if part.domain == d] for d in ratio}
    balanced = [
        _balance(sizes[part.domain], part.rows, total, resample, _rng(seed, part.name))
        for part in parts
    ]
    pools = dict.fromkeys(ratio, 0)
    for part, rows in zip(parts, balanced, strict=True):
        pools[part.domain] += len(rows)
    if total == "sum":
        counts = apportion(sum(map(sum, sizes.values())), list(ratio.values()))
    else:
        counts = largest_mix(list(pools.values()), list(ratio.values()))
    per_domain = dict(zip(ratio, counts, strict=True))
    left = {d: apportion(count, [1] * len(sizes[d])) for d, count in per_domain.items()}
    rng = np.random.default_rng(seed)
    taken = [
        _repeat(rows, left[part.domain].pop(0), rng)
        for part, rows in zip(parts, balanced, strict=True)
    ]
    order = rng.permutation(sum(counts))
    of = np.repeat(np.arange(len(parts), dtype=np.int16), [len(rows) for rows in taken])
    row = np.concatenate(taken)[order].astype(np.int32)
    return Draws(tuple(parts), of[order], row, pools, per_domain)


def _check_parts(parts: Sequence[Part], ratio: Mapping[str, int]) -> None:
    _check_ratio(list(ratio.values()))
    found = {part.domain for part in parts}
    if found != set(ratio):
        raise UserError(
            f"the ratio names {sorted(ratio)}, the data {sorted(found)}: make them equal"
        )
    empty = [part.name for part in parts if not len(part.rows)]
    if empty:
        raise UserError(f"dataset {empty[0]!r} has no rows to draw: leave it out")
