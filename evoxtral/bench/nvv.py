"""Track 1 of the NVVSpeech challenge (ISCSLP 2026): vocal events in a transcript, English part.

Definitions of its evaluation protocol 1.0.0 (NVVSpeech-Challenge-Track1-Evaluation, 2026), written
anew; on 5,000 random pairs of transcripts both give the same counts for every pair. Words are
lowercased and bare of punctuation. Predicted places are read in the reference: the words are
aligned by minimal edit distance, and a place that corresponds to several takes the first.

* `f1`: micro F1 of events of the same type, one to one, at most two words apart;
* `distance` (mNTD): mean over clips that have an event of the cheapest alignment of their events in
  order, where a pair of the same type costs its distance as a share of the clip's words, and any
  other pair, a missing and an extra event 1 each; divided by the larger number of events;
* `tagged_wer`: word error rate with each event counted as one word;
* `score`: 0.7 F1 + 0.2 (1 - distance) + 0.1 (1 - min(tagged WER, 1)), here a fraction.

The challenge refuses a transcript with an unknown tag or a broken bracket. Here tags without a
counterpart are left out of both sides, and brackets are read by `tags.parse`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from rapidfuzz.distance import Levenshtein

from evoxtral import tags
from evoxtral.metrics import MatchCounts, Metric, mean, micro_f1, ratio
from evoxtral.stats import Ratio

COLLAR = 2
"""Largest distance of two matched events in words (English)."""

_WEIGHTS = (0.7, 0.2, 0.1)
_APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛′", "'"))
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

_Event = tuple[str, int]
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class NvvCounts:
    """One clip.

    Attributes:
        events: Matches of events, all types together.
        distance: Normalised distance of the events in [0, 1]; NaN if the reference has none.
        errors: Edits between the words with events.
        length: Words and events of the reference.
    """

    events: MatchCounts
    distance: float
    errors: int
    length: int


def nvv_counts(reference: str, prediction: str, mapping: Mapping[str, str]) -> NvvCounts:
    """Count one clip.

    Args:
        reference: Tagged text.
        prediction: Tagged text.
        mapping: Event type by tag; other tags are left out.

    >>> counts = nvv_counts("[laughs] so it is", "so [laughs] it is", {"laughs": "laugh"})
    >>> counts.events.tp, round(counts.distance, 3), counts.errors, counts.length
    (1, 0.333, 2, 4)
    """
    words, wanted = _read(reference, mapping)
    spoken, heard = _read(prediction, mapping)
    places = _anchors(words, spoken)
    got = [(name, places[place]) for name, place in heard]
    hits = sum(_hits(name, wanted, got) for name in {name for name, _ in wanted})
    distance = float("nan")
    if wanted:
        cost = _alignment_cost(wanted, got, lambda a, b: _event_cost(a, b, max(len(words), 1)))
        distance = cost / max(len(wanted), len(got))
    line = _with_events(words, wanted)
    return NvvCounts(
        events=MatchCounts(hits, len(got) - hits, len(wanted) - hits),
        distance=distance,
        errors=Levenshtein.distance(line, _with_events(spoken, heard)),
        length=len(line),
    )


def nvv_metrics(clips: Sequence[NvvCounts]) -> dict[str, Metric]:
    """`f1`, `distance`, `tagged_wer` and `score` over clips, see the module."""
    support = sum(clip.events.support for clip in clips)
    metrics = [
        micro_f1("f1", [clip.events for clip in clips]),
        mean("distance", [clip.distance for clip in clips], support=support),
        ratio(
            "tagged_wer",
            [clip.errors for clip in clips],
            [clip.length for clip in clips],
            support=sum(clip.length for clip in clips),
            n=len(clips),
        ),
    ]
    parts = [metric.ratio for metric in metrics]
    combined = _Score(
        np.hstack([part.numerator for part in parts]),
        np.hstack([part.denominator for part in parts]),
    )
    return {m.name: m for m in [*metrics, Metric("score", combined, support, len(clips))]}


class _Score(Ratio):
    """The weighted sum of three rates, in columns F1, distance, tagged WER."""

    def of_sums(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        """The score of counts summed over clips; a rate of nothing is 0."""
        rates = np.zeros_like(numerator)
        np.divide(numerator, denominator, out=rates, where=denominator > 0)
        f1, distance, errors = rates.T
        terms = (f1, 1 - distance, 1 - np.minimum(errors, 1))
        return sum(w * term for w, term in zip(_WEIGHTS, terms, strict=True))


def _read(text: str, mapping: Mapping[str, str]) -> tuple[list[str], list[_Event]]:
    """Words, and events with the number of words before each."""
    transcript = tags.parse(text)
    words: list[str] = []
    before = [0]
    for word in transcript.words:
        plain = unicodedata.normalize("NFKC", word).translate(_APOSTROPHES).lower()
        words += _WORD.findall(plain)
        before.append(len(words))
    marks = [tag for tag in transcript.tags if tag.name in mapping]
    return words, [(mapping[tag.name], before[tag.word_index]) for tag in marks]


def _anchors(reference: Sequence[str], prediction: Sequence[str]) -> list[int]:
    """First place of the reference for each place of the prediction.

    Among minimal alignments the one that, read from the end, prefers a pair of words to a dropped
    word and that to an inserted one.
    """
    cost = [list(range(len(prediction) + 1))]
    for i, word in enumerate(reference, start=1):
        row = [i]
        for j, other in enumerate(prediction, start=1):
            pair = cost[i - 1][j - 1] + (word != other)
            row.append(min(cost[i - 1][j] + 1, row[j - 1] + 1, pair))
        cost.append(row)
    i, j = len(reference), len(prediction)
    anchors = [0] * (j + 1)
    while i or j:
        anchors[j] = i
        unequal = i and j and reference[i - 1] != prediction[j - 1]
        if i and j and cost[i][j] == cost[i - 1][j - 1] + unequal:
            i, j = i - 1, j - 1
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    anchors[0] = 0
    return anchors


def _hits(name: str, wanted: Sequence[_Event], got: Sequence[_Event]) -> int:
    """Size of a largest one-to-one matching of events of one type within the collar."""
    first = [place for own, place in wanted if own == name]
    second = [place for own, place in got if own == name]
    # A pair out of reach costs as much as leaving both out, so the cheapest alignment has one
    # unit less than all events for each end of a pair.
    cost = _alignment_cost(first, second, lambda a, b: 2 * (abs(a - b) > COLLAR))
    return round((len(first) + len(second) - cost) / 2)


def _event_cost(first: _Event, second: _Event, words: int) -> float:
    return min(abs(first[1] - second[1]) / words, 1.0) if first[0] == second[0] else 1.0


def _alignment_cost(
    first: Sequence[_Item], second: Sequence[_Item], pair: Callable[[_Item, _Item], float]
) -> float:
    """Cost of the cheapest alignment in order, 1 for each item left out."""
    above = [float(j) for j in range(len(second) + 1)]
    for i, a in enumerate(first, start=1):
        row = [float(i)]
        for j, b in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + pair(a, b)))
        above = row
    return above[-1]


def _with_events(words: Sequence[str], events: Sequence[_Event]) -> list[str]:
    """Words with each event as one more item."""
    line: list[str] = []
    done = 0
    for name, place in events:
        line += [*words[done:place], f"[{name}]"]
        done = place
    return [*line, *words[done:]]
