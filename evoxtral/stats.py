"""Bootstrap intervals for statistics of per-clip counts.

Every number the project reports is a `Ratio`: the mean over groups of (sum over clips of a
numerator) / (sum over clips of a denominator). A mean over clips has denominator 1 for each clip,
a pooled rate has the counts themselves, a macro average has one group per tag. Clips are the
independent units, so clips are resampled: all counts of a clip travel together, and two systems
on the same clips are compared on the same resamples. A system that was trained several times, with
other seeds, has its counts once for each training; its statistic is the mean over trainings, and
trainings are resampled beside clips (the pigeonhole bootstrap, Owen 2007), the same ones of both
systems in a comparison.

Intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, chapter 13). They stay
inside the range of the statistic and exist for constant samples, where BCa does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

RESAMPLES = 9_999
_BATCH_CELLS = 2_000_000  # resampled indices held at once: 16 MB
_DECIMALS = 12
_Name = TypeVar("_Name")


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its bootstrap interval."""

    low: float  # NaN where there is no interval: fewer than two clips, or no value
    high: float
    value: float  # on the clips themselves; NaN if all denominators are zero
    n: int  # clips that enter it, i.e. have a non-zero denominator
    seed_sd: float = np.nan  # standard deviation between trainings; NaN of a single one


@dataclass(frozen=True, eq=False)
class Ratio:
    """Per-clip counts whose statistic is the mean over groups of sum / sum.

    Attributes:
        numerator: Shape (clips,) or (clips, groups), finite.
        denominator: The same shape, finite, not negative. A group whose denominators sum to zero
            has no value and is left out of the mean, in the sample and in any resample.
        repeats: The same of the system's other trainings, on the same clips.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    repeats: tuple[Ratio, ...] = ()

    def __post_init__(self) -> None:
        numerator = np.asarray(self.numerator, dtype=float)
        denominator = np.asarray(self.denominator, dtype=float)
        if not (np.isfinite(numerator).all() and np.isfinite(denominator).all()):
            raise ValueError("counts must be finite; give a clip that has no value 0 over 0")
        columns = (len(numerator), -1) if numerator.size else (len(numerator), 0)
        object.__setattr__(self, "numerator", numerator.reshape(columns))
        object.__setattr__(self, "denominator", denominator.reshape(columns))

    @property
    def n(self) -> int:
        """Number of clips with a non-zero denominator in some group of some training."""
        counted = [(one.denominator > 0).any(axis=1) for one in (self, *self.repeats)]
        return int(np.logical_or.reduce(counted).sum())

    @property
    def values(self) -> np.ndarray:
        """The statistic of each training; NaN where every denominator is zero."""
        sums = (
            (one.numerator.sum(0, keepdims=True), one.denominator.sum(0, keepdims=True))
            for one in (self, *self.repeats)
        )
        return np.concatenate([self.of_sums(*own) for own in sums])

    @property
    def value(self) -> float:
        """The statistic, the mean over trainings that have one; NaN if none has.

        >>> Ratio(np.array([1, 0]), np.array([2, 3])).value
        0.2
        """
        return float(_mean(self.values))

    @staticmethod
    def of_sums(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        """The statistic of counts summed over the clips of each resample.

        Both have shape (resamples, groups), the result (resamples,): NaN where no group has one.
        """
        defined = denominator > 0
        rates = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=defined)
        groups = defined.sum(axis=1)
        empty = np.full(len(numerator), np.nan)
        return np.divide(rates.sum(axis=1), groups, out=empty, where=groups > 0)


def bootstrap_intervals(
    ratios: Mapping[_Name, Ratio], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[_Name, Interval]:
    """95 % bootstrap intervals of statistics of the same clips, on the same resamples.

    Raises:
        ValueError: If the statistics differ in their number of clips, or of trainings above one.

    >>> bootstrap_intervals({"share": Ratio(np.array([0, 1, 1, 1]), np.ones(4))})["share"]
    Interval(low=0.25, high=1.0, value=0.75, n=4, seed_sd=nan)
    """
    resampled = _resample([*ratios.values()], resamples, seed)
    return {
        name: _interval(ratio.value, ratio.values, ratio.n, drawn)
        for (name, ratio), drawn in zip(ratios.items(), resampled, strict=True)
    }


def paired_differences(
    first: Mapping[_Name, Ratio],
    second: Mapping[_Name, Ratio],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[_Name, Interval]:
    """95 % intervals of `first - second`, two systems scored on the same clips in the same order.

    Pairing removes the spread that easy and hard clips add to both systems alike. `value` is the
    difference of their values, `n` the larger number of clips that enter one of the two. Both
    have the same names.

    Raises:
        ValueError: If the numbers of clips differ.
    """
    pairs = {name: (first[name], second[name]) for name in first}
    both = [*(a for a, _ in pairs.values()), *(b for _, b in pairs.values())]
    resampled = _resample(both, resamples, seed)
    differences = resampled[: len(pairs)] - resampled[len(pairs) :]
    return {
        name: _interval(a.value - b.value, a.values - b.values, max(a.n, b.n), drawn)
        for (name, (a, b)), drawn in zip(pairs.items(), differences, strict=True)
    }


def _resample(ratios: Sequence[Ratio], resamples: int, seed: int) -> np.ndarray:
    """Values of each statistic on each resample, shape (statistics, resamples)."""
    trainings = [one for ratio in ratios for one in (ratio, *ratio.repeats)]
    sizes = {len(one.numerator) for one in trainings}
    if len(sizes) != 1:
        raise ValueError(f"statistics must share their clips, got {sorted(sizes)} clips")
    clips = sizes.pop()
    if clips < 2:
        return np.full((len(ratios), resamples), np.nan)
    # One product for all of them: its large factor would be read anew for each by itself.
    halves = [half for one in trainings for half in (one.numerator, one.denominator)]
    counts, ends = np.hstack(halves), np.cumsum([half.shape[1] for half in halves])

    rng, values = np.random.default_rng(seed), []
    for first in range(0, resamples, batch := max(1, _BATCH_CELLS // clips)):
        drawn = rng.integers(0, clips, (min(batch, resamples - first), clips))
        parts = iter(np.split(_multiplicities(drawn, clips) @ counts, ends[:-1], axis=1))
        values.append(np.stack([one.of_sums(next(parts), next(parts)) for one in trainings]))
    return _over_trainings(np.hstack(values), [1 + len(r.repeats) for r in ratios], seed)


def _over_trainings(values: np.ndarray, counts: Sequence[int], seed: int) -> np.ndarray:
    """Means over resampled trainings: (trainings of all statistics, resamples) to one row each."""
    many = max(counts)
    if set(counts) - {1, many}:
        raise ValueError(f"statistics must share their trainings, got {sorted(set(counts))}")
    if many == 1:
        return values
    resamples = values.shape[1]
    drawn = np.random.default_rng([seed, many]).integers(0, many, (resamples, many))
    weights = _multiplicities(drawn, many).T
    own = np.split(values, np.cumsum(counts)[:-1])
    return np.stack([_mean(one, weights if len(one) > 1 else 1.0) for one in own])


def _mean(values: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Weighted mean over the first axis of the values that are defined; NaN where none is."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum(axis=0)
    sums = (weights * np.nan_to_num(values)).sum(axis=0)
    return np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)


def _multiplicities(index: np.ndarray, clips: int) -> np.ndarray:
    """How often each clip was drawn: (resamples, draws) indices to (resamples, clips) counts."""
    offset = np.arange(len(index))[:, None] * clips
    counts = np.bincount((index + offset).ravel(), minlength=len(index) * clips)
    return counts.reshape(len(index), clips).astype(float)


def _interval(value: float, values: np.ndarray, n: int, resampled: np.ndarray) -> Interval:
    """95 % percentile interval over the resamples in which the statistic has a value."""
    defined = resampled[~np.isnan(resampled)]
    apart = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    if np.isnan(value) or not defined.size:
        return Interval(np.nan, np.nan, value, n, apart)
    # Further decimals are noise of the order of summation, which differs between machines.
    low, high = np.quantile(defined, [0.025, 0.975]).round(_DECIMALS)
    return Interval(float(low), float(high), value, n, apart)
