"""Raw counts behind every rate: edit operations, and matched items of two multisets.

Counts add up over clips, so the same objects serve per-clip scores, pooled scores and bootstrap
resamples. Rates are properties and never stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True, slots=True)
class EditCounts:
    """Operations of a minimal edit from a reference to a prediction, in words or characters."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: EditCounts) -> EditCounts:
        return EditCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def reference_length(self) -> int:
        """Units in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit, 0 or more; NaN for an empty reference, which has no rate.

        >>> EditCounts(hits=3, substitutions=1, insertions=1).rate
        0.5
        """
        return self.errors / self.reference_length if self.reference_length else float("nan")


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """Items found in both (tp), only predicted (fp) and only in the reference (fn).

    Where a rate would be 0/0 it is 1 if nothing was there to find and nothing was predicted, and
    0 otherwise: abstaining is perfect on an empty reference and worthless on any other.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def predicted(self) -> int:
        """Items in the prediction."""
        return self.tp + self.fp

    @property
    def support(self) -> int:
        """Items in the reference."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """Share of predicted items that are right, in [0, 1]."""
        return self.tp / self.predicted if self.predicted else float(not self.support)

    @property
    def recall(self) -> float:
        """Share of reference items that were found, in [0, 1]."""
        return self.tp / self.support if self.support else float(not self.predicted)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in [0, 1]; 0 where both are 0.

        >>> MatchCounts(tp=2, fp=1, fn=1).f1 == 2 / 3, MatchCounts().f1, MatchCounts(fp=1).f1
        (True, 1.0, 0.0)
        """
        items = self.predicted + self.support
        return 2 * self.tp / items if items else 1.0


def word_edits(reference: str, prediction: str) -> EditCounts:
    """Word edits by jiwer: words are separated by spaces, nothing else is normalised."""
    output = jiwer.process_words(reference, prediction)
    return _edits(output)


def character_edits(reference: str, prediction: str) -> EditCounts:
    """Character edits by jiwer, inner spaces included."""
    output = jiwer.process_characters(reference, prediction)
    return _edits(output)


def match_multisets(reference: Iterable[str], prediction: Iterable[str]) -> dict[str, MatchCounts]:
    """Match equal items one to one, wherever they stand.

    Returns:
        One entry per distinct item of either side, in alphabetical order.

    >>> match_multisets(["pause", "pause", "sad"], ["pause", "calm"])["pause"]
    MatchCounts(tp=1, fp=0, fn=1)
    """
    wanted, got = Counter(reference), Counter(prediction)
    return {
        item: MatchCounts(
            tp=min(wanted[item], got[item]),
            fp=max(0, got[item] - wanted[item]),
            fn=max(0, wanted[item] - got[item]),
        )
        for item in sorted(wanted.keys() | got.keys())
    }


def _edits(output: jiwer.WordOutput | jiwer.CharacterOutput) -> EditCounts:
    return EditCounts(output.hits, output.substitutions, output.deletions, output.insertions)
