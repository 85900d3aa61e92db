"""A metric over clips: per-clip counts with a name, so that value and interval share one origin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evoxtral.metrics.counts import EditCounts, MatchCounts
from evoxtral.stats import Ratio


@dataclass(frozen=True, eq=False)
class Metric:
    """One number of a results table.

    Attributes:
        name: Column of the table, e.g. `tag_f1`.
        ratio: Per-clip counts; give it to `evoxtral.stats` for an interval.
        support: Reference items behind the value (words, characters, tags, emphasised words),
            or predicted tags for a rate of predictions.
        n: Clips the metric was computed over.
    """

    name: str
    ratio: Ratio
    support: int
    n: int

    @property
    def value(self) -> float:
        """The metric, a fraction; NaN if no clip defines it."""
        return self.ratio.value


def ratio(
    name: str,
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    support: int,
    n: int | None = None,
) -> Metric:
    """Sum of numerators over sum of denominators; `n` defaults to the clips with a denominator."""
    counts = Ratio(np.asarray(numerators, float), np.asarray(denominators, float))
    return Metric(name, counts, support, counts.n if n is None else n)


def mean(name: str, scores: Sequence[float], *, support: int) -> Metric:
    """Mean over clips; a clip whose score is NaN is left out."""
    kept = [not math.isnan(score) for score in scores]
    return ratio(name, np.where(kept, scores, 0.0), np.asarray(kept), support=support)


def pooled_error_rate(name: str, edits: Sequence[EditCounts]) -> Metric:
    """Errors over reference units, both summed over clips; empty references add insertions only."""
    lengths = [e.reference_length for e in edits]
    return ratio(name, [e.errors for e in edits], lengths, support=sum(lengths), n=len(edits))


def micro_f1(name: str, counts: Sequence[MatchCounts], *, n: int | None = None) -> Metric:
    """F1 of counts summed over clips, each clip's items taken together."""
    return ratio(
        name,
        [2 * c.tp for c in counts],
        [c.predicted + c.support for c in counts],
        support=sum(c.support for c in counts),
        n=len(counts) if n is None else n,
    )


def macro_f1(
    name: str,
    counts: Sequence[Mapping[str, MatchCounts]],
    items: Sequence[str],
    *,
    n: int | None = None,
) -> Metric:
    """F1 of each item from counts summed over clips, averaged over `items`."""
    none = MatchCounts()
    rows = [[clip.get(item, none) for item in items] for clip in counts]
    shape = (len(rows), len(items))
    hits = np.reshape([[2 * c.tp for c in row] for row in rows], shape)
    sizes = np.reshape([[c.predicted + c.support for c in row] for row in rows], shape)
    support = sum(c.support for row in rows for c in row)
    return Metric(name, Ratio(hits, sizes), support, len(counts) if n is None else n)


def total(counts: Mapping[str, MatchCounts]) -> MatchCounts:
    """All items of one clip taken together."""
    return sum(counts.values(), start=MatchCounts())
