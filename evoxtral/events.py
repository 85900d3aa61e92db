"""Vocal events in a transcript, scored in the style of public benchmarks: where an event stands.

Only sounds have a counterpart there; tags without one, most of the vocabulary, are left out.

**NVVSpeech Track 1** (ISCSLP 2026), English part: definitions of its evaluation protocol 1.0.0,
written anew; on 5,000 random pairs of transcripts both give the same counts. Words are lowercased
and bare of punctuation. Predicted places are read in the reference: the words are aligned by
minimal edit distance, and a place that corresponds to several takes the first.

* `f1`: micro F1 of events of the same type, one to one, at most two words apart;
* `distance` (mNTD): mean over clips that have an event of the cheapest alignment of their events in
  order, where a pair of the same type costs its distance as a share of the clip's words, and any
  other pair, a missing and an extra event 1 each; divided by the larger number of events;
* `tagged_wer`: word error rate with each event counted as one word;
* `score`: 0.7 F1 + 0.2 (1 - distance) + 0.1 (1 - min(tagged WER, 1)), here a fraction.

**WESR-Bench** (Yang et al., Findings of ACL 2026): an event counts if its place between the words
is exactly the reference's; F1 of each type, averaged. Its continuous events mark every word spoken
so; a tag here marks only where that begins, which is what is compared.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import yaml
from rapidfuzz.distance import Levenshtein

from evoxtral import metrics, tags
from evoxtral.bench import Protocols, Split
from evoxtral.metrics import Evaluation, MatchCounts, Metric
from evoxtral.stats import Ratio
from evoxtral.tags import Tag, Transcript

NVV, WESR = "nvvspeech-track1-en/1.0.0", "wesr-style/1.0.0"
"""Names and versions of the two protocols."""

_DATA = yaml.safe_load(Path(__file__).with_name("events.yaml").read_text(encoding="utf-8"))

SCHEMES: Mapping[str, str] = _DATA["schemes"]
"""Public vocabularies of vocal events, with their sources."""

COUNTERPARTS: Mapping[str, Mapping[str, str]] = {
    scheme: {tag: names[scheme] for tag, names in _DATA["names"].items() if scheme in names}
    for scheme in SCHEMES
}
"""Names in each scheme by tag."""

_APOSTROPHES = str.maketrans(dict.fromkeys("‘’‛′", "'"))
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_Item = TypeVar("_Item")


def mapping() -> pd.DataFrame:
    """`tag`, `group`, and a column of names for each scheme, None where it has none."""
    rows = [
        (tag, tags.group_of(tag), *map(names.get, SCHEMES)) for tag, names in _DATA["names"].items()
    ]
    return pd.DataFrame(rows, columns=["tag", "group", *SCHEMES])


def coverage(split: Split) -> list[str]:
    """A sentence for each scheme: its source, and how much of a test set it can score."""
    clips = next(iter(split.evaluations.values())).clips
    names = [tag.name for clip in clips for tag in tags.parse(clip.reference).tags]
    said = []
    for scheme, known in COUNTERPARTS.items():
        share = f"{sum(n in known for n in names) / len(names):.1%}" if names else "—"
        found = f"{len(known)} of {len(tags.TAGS)} tags, {share} of {len(names):,} occurrences"
        said.append(f"{scheme}: {SCHEMES[scheme]}; {found}.")
    return said


class NvvCounts(NamedTuple):
    """One clip."""

    events: MatchCounts  # all types together
    distance: float  # of the events, in [0, 1]; NaN if the reference has none
    errors: int  # edits between the words with events
    length: int  # words and events of the reference


def nvv_counts(reference: str, prediction: str, names: Mapping[str, str]) -> NvvCounts:
    """Count one clip of tagged texts; `names` gives the event type by tag.

    >>> counts = nvv_counts("[laughs] so it is", "so [laughs] it is", {"laughs": "laugh"})
    >>> counts.events.tp, round(counts.distance, 3), counts.errors, counts.length
    (1, 0.333, 2, 4)
    """
    wanted, heard = (_plain_words(_events(text, names)) for text in (reference, prediction))
    places = _places(wanted.words, heard.words)
    moved = tuple(Tag(tag.name, places[tag.word_index]) for tag in heard.tags)
    scale, most = max(len(wanted.words), 1), max(len(wanted.tags), len(moved))

    def cost(a: Tag, b: Tag) -> float:
        return min(abs(a.word_index - b.word_index) / scale, 1.0) if a.name == b.name else 1.0

    line, other = _with_events(wanted), _with_events(heard)
    return NvvCounts(
        # Words that are the same on both sides leave the places as they are.
        metrics.total(metrics.aligned_matches(wanted, Transcript(wanted.words, moved))),
        _costs(wanted.tags, moved, cost)[-1][-1] / most if wanted.tags else float("nan"),
        Levenshtein.distance(line, other),
        len(line),
    )


def _nvv(evaluation: Evaluation) -> dict[str, Metric]:
    known = COUNTERPARTS["nvv16"]
    clips = [nvv_counts(c.reference, c.prediction, known) for c in evaluation.clips]
    counts, distances, errors, lengths = zip(*clips, strict=True)
    f1 = metrics.micro_f1("f1", counts)
    found = [
        f1,
        metrics.mean("distance", distances, support=f1.support),
        metrics.ratio("tagged_wer", errors, lengths, support=sum(lengths), n=len(clips)),
    ]
    numerators = np.hstack([metric.ratio.numerator for metric in found])
    denominators = np.hstack([metric.ratio.denominator for metric in found])
    score = Metric("score", _Score(numerators, denominators), f1.support, len(clips))
    return {metric.name: metric for metric in [*found, score]}


class _Score(Ratio):
    """The weighted sum of three rates, in columns F1, distance, tagged WER."""

    def of_sums(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        """The score of counts summed over clips; a rate of nothing is 0."""
        rates = np.zeros_like(numerator)
        np.divide(numerator, denominator, out=rates, where=denominator > 0)
        f1, distance, errors = rates.T
        return 0.7 * f1 + 0.2 * (1 - distance) + 0.1 * (1 - np.minimum(errors, 1))


def _wesr(evaluation: Evaluation) -> dict[str, Metric]:
    sides = (
        [_events(text, COUNTERPARTS["wesr"]) for text in (clip.reference, clip.prediction)]
        for clip in evaluation.clips
    )
    clips = [metrics.aligned_matches(*pair, tolerance=0) for pair in sides]
    types = sorted({name for clip in clips for name in clip})
    micro = metrics.micro_f1("f1", [metrics.total(clip) for clip in clips])
    return {"f1": micro, "f1_macro": metrics.macro_f1("f1_macro", clips, types)}


PROTOCOLS: Protocols = {NVV: _nvv, WESR: _wesr}
"""For `bench.score_frame`."""


def _events(text: str, names: Mapping[str, str]) -> Transcript:
    """The transcript with mapped tags alone, under their names in the scheme."""
    transcript = tags.parse(text)
    marks = (Tag(names[tag.name], tag.word_index) for tag in transcript.tags if tag.name in names)
    return Transcript(transcript.words, tuple(marks))


def _plain_words(transcript: Transcript) -> Transcript:
    """The same in lowercase words without punctuation, each of which may become several or none."""
    words: list[str] = []
    before = [0]
    for word in transcript.words:
        plain = unicodedata.normalize("NFKC", word).translate(_APOSTROPHES).lower()
        words += _WORD.findall(plain)
        before.append(len(words))
    moved = (Tag(tag.name, before[tag.word_index]) for tag in transcript.tags)
    return Transcript(tuple(words), tuple(moved))


def _places(reference: Sequence[str], prediction: Sequence[str]) -> list[int]:
    """First place of the reference for each place of the prediction.

    Among minimal alignments the one that, read from the end, prefers a pair of words to a dropped
    word and that to an inserted one.
    """
    cost = _costs(reference, prediction, operator.ne)
    i, j = len(reference), len(prediction)
    places = [0] * (j + 1)
    while i or j:
        places[j] = i
        if i and j and cost[i][j] == cost[i - 1][j - 1] + (reference[i - 1] != prediction[j - 1]):
            i, j = i - 1, j - 1
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    places[0] = 0
    return places


def _costs(
    first: Sequence[_Item], second: Sequence[_Item], pair: Callable[[_Item, _Item], float]
) -> list[list[float]]:
    """Cost of the cheapest alignment in order of all beginnings, 1 for each item left out."""
    costs = [[float(j) for j in range(len(second) + 1)]]
    for i, a in enumerate(first, start=1):
        above, row = costs[-1], [float(i)]
        for j, b in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + pair(a, b)))
        costs.append(row)
    return costs


def _with_events(transcript: Transcript) -> list[str]:
    """Words with each event as one more item."""
    line = list(transcript.words)
    for tag in reversed(transcript.tags):
        line.insert(tag.word_index, f"[{tag.name}]")
    return line
