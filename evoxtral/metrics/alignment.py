"""Tags matched by position: same tag, at most two words apart, each used once.

Word positions of a prediction are read in the reference. The words of both are aligned by minimal
edit distance, compared without case and punctuation, so that a word inserted early does not shift
every later tag. A place between two words of the prediction then corresponds to one place of the
reference, or to a range of places where words were dropped; the distance of two tags is the
number of reference words between the tag and that range.

Within one tag type the ranges are in order, so matching each in turn with the first free tag in
reach finds a largest one-to-one matching (maximum matching in a convex bipartite graph, Glover
1967); no assignment solver is needed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from evoxtral.metrics.counts import MatchCounts
from evoxtral.tags import Transcript

TOLERANCE_WORDS = 2

_PUNCTUATION = re.compile(r"[\W_]+")


def aligned_matches(
    reference: Transcript, prediction: Transcript, *, tolerance: int = TOLERANCE_WORDS
) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip, by position.

    Args:
        reference: What was said.
        prediction: What was transcribed.
        tolerance: Largest distance of two matched tags, in reference words.

    Returns:
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
        tp = _match_in_order(wanted[name], got[name], tolerance)
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


def _match_in_order(wanted: Sequence[int], got: Sequence[tuple[int, int]], tolerance: int) -> int:
    """Size of a largest matching of places to ranges, both in ascending order."""
    i = j = matched = 0
    while i < len(wanted) and j < len(got):
        low, high = got[j][0] - tolerance, got[j][1] + tolerance
        if wanted[i] < low:
            i += 1
        elif wanted[i] > high:
            j += 1
        else:
            i, j, matched = i + 1, j + 1, matched + 1
    return matched


def _keys(words: Sequence[str]) -> list[str]:
    """Words without case and punctuation; a word of punctuation alone stays itself."""
    return [_PUNCTUATION.sub("", word.lower()) or word for word in words]
