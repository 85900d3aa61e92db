"""Raw counts behind every rate: edit operations, and matched items of two multisets or places.

Counts add up over clips, so the same objects serve per-clip scores, pooled scores and bootstrap
resamples. Rates are properties and never stored.

Tags are matched by position like this: same tag, at most two words apart, each used once. The
words of both texts are aligned by minimal edit distance, compared without case and punctuation, so
that a word inserted early does not shift every later tag. A place between two words of the
prediction then corresponds to one place of the reference, or to a range of places where words were
dropped; the distance of two tags is the number of reference words between the tag and that range.

Within one tag type the ranges are in order, so matching each in turn with the first free tag in
reach finds a largest one-to-one matching (maximum matching in a convex bipartite graph, Glover
1967); no assignment solver is needed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import jiwer
from rapidfuzz.distance import Levenshtein

from evoxtral.tags import Transcript, one_spelling

TOLERANCE_WORDS = 2

_PUNCTUATION = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class EditCounts:
    """A minimal edit from a reference to a prediction, in words or characters.

    Attributes:
        errors: substitutions, deletions and insertions.
        reference_length: units in the reference.
    """

    errors: int
    reference_length: int

    @property
    def rate(self) -> float:
        """Errors per reference unit, 0 or more; NaN for an empty reference, which has no rate.

        >>> EditCounts(errors=2, reference_length=4).rate
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
    return _edits(jiwer.process_words(reference, prediction))


def character_edits(reference: str, prediction: str) -> EditCounts:
    """Character edits by jiwer, inner spaces included."""
    return _edits(jiwer.process_characters(reference, prediction))


def _edits(found: jiwer.WordOutput | jiwer.CharacterOutput) -> EditCounts:
    replaced = found.substitutions + found.deletions
    return EditCounts(replaced + found.insertions, found.hits + replaced)


def match_multisets(reference: Iterable[str], prediction: Iterable[str]) -> dict[str, MatchCounts]:
    """Match equal items one to one, wherever they stand; an entry per item, in alphabetical order.

    >>> match_multisets(["pause", "pause", "sad"], ["pause", "calm"])["pause"]
    MatchCounts(tp=1, fp=0, fn=1)
    """
    wanted, got = Counter(reference), Counter(prediction)
    both, extra, missed = wanted & got, got - wanted, wanted - got
    items = sorted(wanted.keys() | got.keys())
    return {item: MatchCounts(both[item], extra[item], missed[item]) for item in items}


def total(counts: Mapping[str, MatchCounts]) -> MatchCounts:
    """All items of one clip taken together."""
    return sum(counts.values(), start=MatchCounts())


def aligned_matches(reference: Transcript, prediction: Transcript) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip, by position, at most `TOLERANCE_WORDS` apart.

    One entry per tag type of either side, in alphabetical order.

    >>> from evoxtral.tags import parse
    >>> aligned_matches(parse("one two three four [pause]"), parse("[pause] one two three four"))
    {'pause': MatchCounts(tp=0, fp=1, fn=1)}
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    got: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for tag in reference.tags:
        wanted[tag.name].append(tag.word_index)
    if prediction.tags:
        places = places_in_reference(reference.words, prediction.words)
        for tag in prediction.tags:
            got[tag.name].append(places[tag.word_index])
    matches = {}
    for name in sorted(wanted.keys() | got.keys()):
        tp = _match_in_order(wanted[name], got[name])
        matches[name] = MatchCounts(tp, fp=len(got[name]) - tp, fn=len(wanted[name]) - tp)
    return matches


def places_in_reference(
    reference: Sequence[str], prediction: Sequence[str]
) -> list[tuple[int, int]]:
    """Range of word places of the reference for each word place of the prediction.

    Place i lies before word i, the last one after all words.

    Returns:
        `len(prediction) + 1` pairs (first, last); both never decrease.

    >>> places_in_reference(["a", "b", "c"], ["a", "c"])
    [(0, 0), (1, 2), (3, 3)]
    """
    first: list[int | None] = [None] * (len(prediction) + 1)
    last = [0] * (len(prediction) + 1)
    first[0] = 0
    for operation, i1, i2, j1, j2 in Levenshtein.opcodes(_keys(reference), _keys(prediction)):
        if operation == "delete":
            steps = [(i, j1) for i in range(i1, i2 + 1)]
        elif operation == "insert":
            steps = [(i1, j) for j in range(j1, j2 + 1)]
        else:
            steps = list(zip(range(i1, i2 + 1), range(j1, j2 + 1), strict=True))
        for i, j in steps:
            first[j] = i if first[j] is None else first[j]
            last[j] = i
    return list(zip(first, last, strict=True))


def _match_in_order(wanted: Sequence[int], got: Sequence[tuple[int, int]]) -> int:
    """Size of a largest matching of places to ranges, both in ascending order."""
    i = j = matched = 0
    while i < len(wanted) and j < len(got):
        low, high = got[j][0] - TOLERANCE_WORDS, got[j][1] + TOLERANCE_WORDS
        if wanted[i] < low:
            i += 1
        elif wanted[i] > high:
            j += 1
        else:
            i, j, matched = i + 1, j + 1, matched + 1
    return matched


def _keys(words: Sequence[str]) -> list[str]:
    """Words without case and punctuation; a word of punctuation alone stays itself."""
    return [_PUNCTUATION.sub("", one_spelling(word).lower()) or word for word in words]
