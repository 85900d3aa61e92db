"""Scores of a system on a set of clips, under both protocols, with intervals.

One definition each, raw counts kept: the reward of RAFT is made of the same per-clip metrics
(`metrics.rewards`). All rates are fractions, never percent.

>>> scores = evaluate(["[sighs] not AGAIN"], ["[sighs] not again"])
>>> scores.table("paper")["tag_f1"].value, scores.table("strict")["emphasis_f1"].value
(1.0, 0.0)

`paper` computes the report's seven metrics as the code that printed its numbers did (section 4.1).
Each clip is scored, then scores are averaged over clips:

* WER and CER by jiwer on `tags.plain_text`; a clip whose plain reference is empty is left out.
* Tags are compared as multisets, positions ignored. With no tag on either side precision, recall
  and F1 are 1; with tags on one side only they are 0. Emphasised words likewise.
* Hallucination is the share of predicted tags whose *type* is not in the reference, 0 if nothing
  was predicted. It is not 1 - precision: repeats of a type that is in the reference are free.

So predicting no tag at all scores the share of untagged clips (22.0 % on the report's 50 clips) in
tag precision, recall and F1, with no skill. The per-tag table (report, Table 3) pools counts over
clips, and its support counts occurrences.

`strict` reads both texts by `tags.parse`, which repairs brackets and marks, and sums counts over
clips before any rate is taken: no clip is worth a free point, and long clips weigh more. A curly
apostrophe is a straight one, and emphasis may be in any alphabet (`Transcript.plain`).

| metric | definition |
|---|---|
| `wer`, `cer` | corpus errors / corpus length, on words with emphasis lowercased |
| `wer_normalised` | the same after a text normaliser, if one was given |
| `wer_untagged` | corpus word errors of clips whose reference has no tag |
| `tag_f1`, `tag_precision`, `tag_recall` | micro: all tag instances, matched by position |
| `tag_f1_macro` | mean of the F1 of each tag type that the references hold |
| `tag_f1_tagged`, `tag_f1_macro_tagged` | the same on clips whose reference has a tag |
| `tag_f1_anywhere` | micro, positions ignored: what is lost beside it was misplaced |
| `untagged_clean` | untagged clips left without any predicted tag, as a share of them |
| `hallucinated_per_untagged` | predicted tags per untagged clip |
| `hallucination` | predicted tags beyond what the clip holds of that type / predicted tags |
| `emphasis_f1` | micro over emphasised words outside brackets, positions ignored |

Precision and recall are NaN where nothing was predicted, or nothing is there to find.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evoxtral import UserError, stats, tags
from evoxtral.metrics.counts import (
    TOLERANCE_WORDS,
    EditCounts,
    MatchCounts,
    aligned_matches,
    character_edits,
    match_multisets,
    places_in_reference,
    total,
    word_edits,
)
from evoxtral.stats import Interval, Ratio
from evoxtral.tags import Transcript

PROTOCOL = "1.1.0"
"""Version of the definitions of both protocols; a change of any number changes it."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half a character: JSON can spell it, UTF-8 cannot

Protocol = Literal["paper", "strict"]
Normaliser = Callable[[str], str]
_Matches = Mapping[str, MatchCounts]


@dataclass(frozen=True, eq=False)
class Metric:
    """One number of a results table: per-clip counts, so that value and interval share one origin.

    `support` counts the reference items behind it (words, characters, tags, emphasised words), or
    predicted tags for a rate of predictions; `n` the clips it was computed over.
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
    rows = [[clip.get(item, MatchCounts()) for item in items] for clip in counts]
    shape = (len(rows), len(items))
    hits = np.reshape([[2 * c.tp for c in row] for row in rows], shape)
    sizes = np.reshape([[c.predicted + c.support for c in row] for row in rows], shape)
    support = sum(c.support for row in rows for c in row)
    return Metric(name, Ratio(hits, sizes), support, len(counts) if n is None else n)


@dataclass(frozen=True, slots=True)
class Counts:
    """Raw counts of one clip under one protocol."""

    words: EditCounts  # emphasis lowercased
    characters: EditCounts
    per_tag: Mapping[str, MatchCounts]  # anywhere for `paper`, at their place for `strict`
    per_tag_anywhere: Mapping[str, MatchCounts]  # positions ignored
    emphasis: MatchCounts
    words_normalised: EditCounts | None = None  # None without a normaliser

    @property
    def tags(self) -> MatchCounts:
        """All tag instances together."""
        return total(self.per_tag)

    @property
    def tagged(self) -> bool:
        """Whether the reference has a tag."""
        return self.tags.support > 0


def tag_matches(reference: str, prediction: str) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip as the report reads it, positions ignored."""
    return match_multisets(tags.find_tags(reference), tags.find_tags(prediction))


def anywhere_matches(reference: Transcript, prediction: Transcript) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip read by `tags.parse`, positions ignored."""
    return match_multisets([t.name for t in reference.tags], [t.name for t in prediction.tags])


def hallucinated(per_tag: Mapping[str, MatchCounts]) -> float:
    """Share of predicted tags whose type is not in the reference; 0 if nothing was predicted.

    >>> hallucinated(match_multisets(["sad"], ["sad", "sad", "calm"])) == 1 / 3
    True
    """
    predicted = sum(counts.predicted for counts in per_tag.values())
    absent = sum(counts.fp for counts in per_tag.values() if not counts.support)
    return absent / predicted if predicted else 0.0


def excess(per_tag: Mapping[str, MatchCounts]) -> float:
    """Share of predicted tags beyond the reference's count of their type; 0 if none predicted.

    >>> excess(match_multisets(["sad"], ["sad", "sad", "calm"])) == 2 / 3
    True
    """
    counts = total(per_tag)
    return counts.fp / counts.predicted if counts.predicted else 0.0


def _counts(
    plain: Sequence[str], emphasis: Sequence[Sequence[str]], placed: _Matches, anywhere: _Matches
) -> Counts:
    loud = total(match_multisets(*emphasis))
    return Counts(word_edits(*plain), character_edits(*plain), placed, anywhere, loud)


def _paper(*texts: str) -> Counts:
    found = tag_matches(*texts)
    plain, loud = ([read(t) for t in texts] for read in (tags.plain_text, tags.emphasis_words))
    return _counts(plain, loud, found, found)


def _strict(reference: str, prediction: str, normalise: Normaliser | None) -> Counts:
    sides = tags.parse(reference), tags.parse(prediction)
    plain = [side.plain for side in sides]
    loud = [side.emphasis for side in sides]
    counts = _counts(plain, loud, aligned_matches(*sides), anywhere_matches(*sides))
    if normalise is None:
        return counts
    return replace(counts, words_normalised=word_edits(*map(normalise, plain)))


def _paper_metrics(clips: Sequence[Counts]) -> list[Metric]:
    found = [clip.tags for clip in clips]
    support = sum(counts.support for counts in found)
    words = sum(clip.words.reference_length for clip in clips)
    characters = sum(clip.characters.reference_length for clip in clips)
    emphasised = sum(clip.emphasis.support for clip in clips)
    predicted = sum(counts.predicted for counts in found)
    return [
        mean("wer", [clip.words.rate for clip in clips], support=words),
        mean("cer", [clip.characters.rate for clip in clips], support=characters),
        mean("tag_f1", [counts.f1 for counts in found], support=support),
        mean("tag_precision", [counts.precision for counts in found], support=support),
        mean("tag_recall", [counts.recall for counts in found], support=support),
        mean("emphasis_f1", [clip.emphasis.f1 for clip in clips], support=emphasised),
        mean("hallucination", [hallucinated(c.per_tag) for c in clips], support=predicted),
    ]


def _strict_metrics(clips: Sequence[Counts]) -> list[Metric]:
    placed = [clip.tags for clip in clips]
    anywhere = [total(clip.per_tag_anywhere) for clip in clips]
    support, predicted = [c.support for c in placed], [c.predicted for c in placed]
    hits, sizes = [c.tp for c in placed], {"support": sum(support), "n": len(clips)}
    types = sorted({tag for clip in clips for tag, c in clip.per_tag.items() if c.support})
    # Untagged clips stay in as empty rows: a paired comparison needs every clip in its place.
    tagged = [clip.per_tag if clip.tagged else {} for clip in clips]
    count = sum(clip.tagged for clip in clips)
    untagged = [not clip.tagged for clip in clips]
    extra = [counts.fp for counts in anywhere]
    invented = [0 if clip.tagged else clip.tags.predicted for clip in clips]
    clean = [not clip.tagged and not clip.tags.predicted for clip in clips]
    normalised = [clip.words_normalised for clip in clips if clip.words_normalised is not None]
    plain = [EditCounts(0, 0) if clip.tagged else clip.words for clip in clips]
    return [
        pooled_error_rate("wer", [clip.words for clip in clips]),
        pooled_error_rate("cer", [clip.characters for clip in clips]),
        *([pooled_error_rate("wer_normalised", normalised)] if normalised else []),
        replace(pooled_error_rate("wer_untagged", plain), n=sum(untagged)),
        micro_f1("tag_f1", placed),
        ratio("tag_precision", hits, predicted, **sizes),
        ratio("tag_recall", hits, support, **sizes),
        macro_f1("tag_f1_macro", [clip.per_tag for clip in clips], types),
        micro_f1("tag_f1_tagged", [total(counts) for counts in tagged], n=count),
        macro_f1("tag_f1_macro_tagged", tagged, types, n=count),
        micro_f1("tag_f1_anywhere", anywhere),
        ratio("hallucination", extra, predicted, support=sum(predicted), n=len(clips)),
        ratio("untagged_clean", clean, untagged, support=0),
        ratio("hallucinated_per_untagged", invented, untagged, support=sum(invented)),
        micro_f1("emphasis_f1", [clip.emphasis for clip in clips]),
    ]


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip: its texts and raw counts under both protocols."""

    id: str
    reference: str
    prediction: str
    paper: Counts
    strict: Counts

    def counts(self, protocol: Protocol) -> Counts:
        """Raw counts under one protocol."""
        return self.paper if protocol == "paper" else self.strict


@dataclass(frozen=True)
class Evaluation:
    """Per-clip scores of one system, in a fixed order of clips.

    `repeats` are the system's other trainings, with other seeds, on the same clips: metrics are
    means over all of them, everything else is of the first.
    """

    clips: tuple[ClipScore, ...]
    repeats: tuple[Evaluation, ...] = ()

    def table(self, protocol: Protocol) -> dict[str, Metric]:
        """The metrics of a protocol by name; see the module."""
        metrics = {"paper": _paper_metrics, "strict": _strict_metrics}[protocol]
        own = {m.name: m for m in metrics([clip.counts(protocol) for clip in self.clips])}
        return _repeated(own, [other.table(protocol) for other in self.repeats])

    def tag_counts(self, protocol: Protocol) -> dict[str, MatchCounts]:
        """Counts of each tag type of either side, pooled over clips; the vocabulary first."""
        pooled: dict[str, MatchCounts] = {}
        for clip in self.clips:
            for tag, counts in clip.counts(protocol).per_tag.items():
                pooled[tag] = pooled.get(tag, MatchCounts()) + counts
        known = [tag for tag in tags.TAGS if tag in pooled]
        return {tag: pooled[tag] for tag in [*known, *sorted(pooled.keys() - set(known))]}

    def per_tag(self, protocol: Protocol) -> dict[str, Metric]:
        """F1 of each tag type, counts pooled over clips, in the order of `tag_counts`.

        `support` counts occurrences in the references (report, Table 3), `n` the clips they are in.
        """
        per_clip = [clip.counts(protocol).per_tag for clip in self.clips]
        table = {}
        for tag in self.tag_counts(protocol):
            counts = [clip.get(tag, MatchCounts()) for clip in per_clip]
            table[tag] = micro_f1(tag, counts, n=sum(c.support > 0 for c in counts))
        return _repeated(table, [other.per_tag(protocol) for other in self.repeats])

    def full_table(self, protocol: Protocol) -> dict[str, Metric]:
        """The table, and F1 of each tag type as `f1[tag]`."""
        per_tag = {f"f1[{tag}]": m for tag, m in self.per_tag(protocol).items()}
        return self.table(protocol) | per_tag

    def intervals(self, protocol: Protocol) -> dict[str, Interval]:
        """95 % bootstrap interval over clips of each metric of `full_table`."""
        ratios = {name: m.ratio for name, m in self.full_table(protocol).items()}
        return stats.bootstrap_intervals(ratios)

    def only(self, kept: Collection[str]) -> Evaluation:
        """Only the clips with these ids."""
        clips = tuple(clip for clip in self.clips if clip.id in kept)
        return Evaluation(clips, tuple(other.only(kept) for other in self.repeats))


def _repeated(
    table: dict[str, Metric], others: Sequence[Mapping[str, Metric]]
) -> dict[str, Metric]:
    """Metrics of a first training with the counts of others, for those that all have."""
    return {
        name: replace(
            metric,
            ratio=replace(metric.ratio, repeats=tuple(other[name].ratio for other in others)),
        )
        for name, metric in table.items()
        if all(name in other for other in others)
    }


def evaluate(
    references: Iterable[str],
    predictions: Iterable[str],
    *,
    ids: Iterable[str] | None = None,
    normalise: Normaliser | None = None,
) -> Evaluation:
    """Score a system: one prediction for every reference, in the same order.

    Args:
        references: Tagged texts, as a list or a column.
        predictions: Tagged texts, not trusted to be well-formed; none can be left out.
        ids: Clip names, all different; by default the positions `"0"`, `"1"`, …
        normalise: Text normaliser for `wer_normalised`, which is left out without one.

    Raises:
        UserError: No clips, lengths that differ, an id that occurs twice, or what is no text.

    >>> evaluate(["[sad] oh", "well"], ["oh", "well"]).table("paper")["tag_f1"].value
    0.5
    """
    references, predictions = list(references), list(predictions)
    ids = [str(i) for i in range(len(references))] if ids is None else list(ids)
    if not references:
        raise UserError("there are no clips to score; give at least one reference")
    if not len(references) == len(predictions) == len(ids):
        raise UserError(
            f"{len(references)} references, {len(predictions)} predictions and {len(ids)} ids "
            "do not match; give exactly one of each per clip"
        )
    if len(set(ids)) < len(ids):
        raise UserError("two clips have the same id; give each clip an id of its own")
    rows = list(zip(ids, references, predictions, strict=True))
    for number, (name, *texts) in enumerate(rows, 1):
        for what, text in zip(("reference", "prediction"), texts, strict=True):
            if not isinstance(text, str) or _SURROGATE.search(text):
                raise UserError(
                    f"row {number}, clip {name!r}: the {what} is {text!r:.60}, not a Unicode text; "
                    "give a string, empty where nothing was said"
                )
    return Evaluation(
        tuple(
            ClipScore(name, wanted, got, _paper(wanted, got), _strict(wanted, got, normalise))
            for name, wanted, got in rows
        )
    )


def normaliser(language: str = "en") -> Normaliser:
    """Whisper's normaliser (Radford et al. 2022): case, punctuation; of English numbers, fillers.

    It deletes `[...]`, `(...)` and words such as "um", so give it text without tags. The table of
    British spellings is left empty, since it is part of Whisper's checkpoint and not of the
    library: "colour" and "color" remain different words. `language` is a code of two letters.
    """
    from transformers.models.whisper import english_normalizer as whisper

    if language != "en":
        return whisper.BasicTextNormalizer()
    english = whisper.EnglishTextNormalizer({})
    # Compiled here, since scipy imports numpy.f2py, which shrinks the cache of `re` to fewer
    # patterns than one call of the normaliser uses: 7 times slower.
    english.replacers = {re.compile(p): text for p, text in english.replacers.items()}
    return english
