"""Vocal events in a transcript, scored in the style of public benchmarks: where an event stands.

Only sounds have a counterpart there: the style and emotion tags of the report, most of its
vocabulary, cannot be anchored outside. `COUNTERPARTS` says what becomes what; tags without one are
left out of both sides. Brackets are read by `tags.parse`.

**NVVSpeech Track 1** (ISCSLP 2026), English part: definitions of its evaluation protocol 1.0.0,
written anew; on 5,000 random pairs of transcripts both give the same counts for every pair. Words
are lowercased and bare of punctuation. Predicted places are read in the reference: the words are
aligned by minimal edit distance, and a place that corresponds to several takes the first.

* `f1`: micro F1 of events of the same type, one to one, at most two words apart;
* `distance` (mNTD): mean over clips that have an event of the cheapest alignment of their events in
  order, where a pair of the same type costs its distance as a share of the clip's words, and any
  other pair, a missing and an extra event 1 each; divided by the larger number of events;
* `tagged_wer`: word error rate with each event counted as one word;
* `score`: 0.7 F1 + 0.2 (1 - distance) + 0.1 (1 - min(tagged WER, 1)), here a fraction.

**WESR-Bench** (Yang et al., Findings of ACL 2026): an event counts if its place between the words
is exactly the reference's; F1 of each type, averaged. Its continuous events mark every word that is
spoken so; a tag here marks only where that begins, which is what is compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from evoxtral import metrics, tags
from evoxtral.bench import Protocols, Split
from evoxtral.metrics import Evaluation, MatchCounts, Metric
from evoxtral.stats import Ratio
from evoxtral.tags import Tag, Transcript

NVV, WESR = "nvvspeech-track1-en/1.0.0", "wesr-style/1.0.0"
"""Names and versions of the two protocols."""

SCHEMES = {
    "nvv16": "NVVSpeech Track 1, 16 types (github.com/NVVSpeech-Challenge/"
    "NVVSpeech-Challenge-Track1-Evaluation, protocol 1.0.0)",
    "wesr": "WESR-Bench, 15 discrete and 6 continuous types (arXiv:2601.04508)",
    "nvv45": "NVV-SuperBench, 45 types (arXiv:2604.16211)",
}
"""Public vocabularies of vocal events, with their sources."""

# WESR's `inhale` is no gasp.
COUNTERPARTS: Mapping[str, Mapping[str, str]] = {
    "nvv16": {"laughs": "laugh", "sighs": "sigh", "gasps": "gasp",
              "clears throat": "throat clearing", "crying": "cry"},
    "wesr": {"laughs": "laughs", "sighs": "sigh", "clears throat": "clear_throat",
             "crying": "cry", "whispers": "whispering", "shouts": "shouting"},
    "nvv45": {"laughs": "laugh", "sighs": "sigh", "gasps": "gasp",
              "clears throat": "throat clearing", "crying": "crying"},
}  # fmt: skip
"""Names in each scheme by tag."""

COLLAR = 2
"""Largest distance of two matched events in words (English)."""

_ORDER = (
    "laughs", "sighs", "gasps", "clears throat", "crying", "whispers", "shouts", "stammers",
    "pause", "excited", "sad", "angry", "nervous", "calm", "frustrated", "confused", "scared",
)  # fmt: skip
_WEIGHTS = (0.7, 0.2, 0.1)
_APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛′", "'"))
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

_Event = tuple[str, int]
_Item = TypeVar("_Item")


def mapping() -> pd.DataFrame:
    """`tag`, `group`, and a column of names for each scheme, None where it has none."""
    frame = pd.DataFrame({"tag": _ORDER, "group": [tags.group_of(tag) for tag in _ORDER]})
    return frame.assign(
        **{name: [known.get(tag) for tag in _ORDER] for name, known in COUNTERPARTS.items()}
    )


def coverage(split: Split) -> list[str]:
    """A sentence for each scheme: its source, and how much of a test set it can score."""
    references = [clip.reference for clip in next(iter(split.evaluations.values())).clips]
    names = [tag.name for text in references for tag in tags.parse(text).tags]
    said = []
    for scheme, source in SCHEMES.items():
        known = COUNTERPARTS[scheme]
        share = f"{sum(n in known for n in names) / len(names):.1%}" if names else "—"
        said.append(
            f"{scheme}: {source}; {len(known)} of {len(_ORDER)} tags, {share} of {len(names):,} "
            "occurrences."
        )
    return said


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
    """Count one clip of tagged texts; `mapping` gives the event type by tag.

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


def _nvv(evaluation: Evaluation) -> dict[str, Metric]:
    """`f1`, `distance`, `tagged_wer` and `score`, see the module."""
    known = COUNTERPARTS["nvv16"]
    clips = [nvv_counts(c.reference, c.prediction, known) for c in evaluation.clips]
    support, lengths = sum(clip.events.support for clip in clips), [clip.length for clip in clips]
    errors, words = [clip.errors for clip in clips], sum(lengths)
    found = [
        metrics.micro_f1("f1", [clip.events for clip in clips]),
        metrics.mean("distance", [clip.distance for clip in clips], support=support),
        metrics.ratio("tagged_wer", errors, lengths, support=words, n=len(clips)),
    ]
    combined = _Score(
        np.hstack([metric.ratio.numerator for metric in found]),
        np.hstack([metric.ratio.denominator for metric in found]),
    )
    return {m.name: m for m in [*found, Metric("score", combined, support, len(clips))]}


class _Score(Ratio):
    """The weighted sum of three rates, in columns F1, distance, tagged WER."""

    def of_sums(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        """The score of counts summed over clips; a rate of nothing is 0."""
        rates = np.zeros_like(numerator)
        np.divide(numerator, denominator, out=rates, where=denominator > 0)
        f1, distance, errors = rates.T
        terms = (f1, 1 - distance, 1 - np.minimum(errors, 1))
        return sum(w * term for w, term in zip(_WEIGHTS, terms, strict=True))


def _wesr(evaluation: Evaluation) -> dict[str, Metric]:
    """`f1` and its mean over types, `f1_macro`, see the module."""
    known = COUNTERPARTS["wesr"]
    clips = [
        metrics.aligned_matches(
            _events(c.reference, known), _events(c.prediction, known), tolerance=0
        )
        for c in evaluation.clips
    ]
    types = sorted({name for clip in clips for name in clip})
    micro = metrics.micro_f1("f1", [metrics.total(clip) for clip in clips])
    return {"f1": micro, "f1_macro": metrics.macro_f1("f1_macro", clips, types)}


PROTOCOLS: Protocols = {NVV: _nvv, WESR: _wesr}
"""For `bench.score_frame`."""


def _events(text: str, known: Mapping[str, str]) -> Transcript:
    """The transcript with mapped tags alone, under their names in the scheme."""
    transcript = tags.parse(text)
    marks = [tag for tag in transcript.tags if tag.name in known]
    return Transcript(transcript.words, tuple(Tag(known[t.name], t.word_index) for t in marks))


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
