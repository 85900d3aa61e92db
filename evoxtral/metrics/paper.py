"""Protocol `paper`: the seven metrics as the code that printed the report's numbers computed them.

Report section 4.1. Each clip is scored, then scores are averaged over clips:

* WER and CER by jiwer on `tags.plain_text`; a clip whose plain reference is empty is left out.
* Tags are compared as multisets, positions ignored. With no tag on either side precision, recall
  and F1 are 1; with tags on one side only they are 0. Emphasised words likewise.
* Hallucination is the share of predicted tags whose *type* is not in the reference, 0 if nothing
  was predicted. It is not 1 - precision: repeats of a type that is in the reference are free.

Consequence: predicting no tag at all scores the share of untagged clips (22.0 % on the report's
50 clips) in tag precision, recall and F1, with no skill.

The per-tag table (report, Table 3) pools counts over clips, and its support counts occurrences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evoxtral import tags
from evoxtral.metrics import metric
from evoxtral.metrics.counts import (
    EditCounts,
    MatchCounts,
    character_edits,
    match_multisets,
    word_edits,
)
from evoxtral.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class PaperCounts:
    """Raw counts of one clip under `paper`."""

    words: EditCounts
    characters: EditCounts
    per_tag: Mapping[str, MatchCounts]
    emphasis: MatchCounts

    @property
    def tags(self) -> MatchCounts:
        """All tags together."""
        return metric.total(self.per_tag)

    @property
    def hallucination(self) -> float:
        """Share of predicted tags whose type is not in the reference, in [0, 1]."""
        return hallucinated(self.per_tag)


def paper_counts(reference: str, prediction: str) -> PaperCounts:
    """Count one clip; both texts tagged."""
    plain = tags.plain_text(reference), tags.plain_text(prediction)
    emphasis = match_multisets(tags.emphasis_words(reference), tags.emphasis_words(prediction))
    return PaperCounts(
        words=word_edits(*plain),
        characters=character_edits(*plain),
        per_tag=tag_matches(reference, prediction),
        emphasis=metric.total(emphasis),
    )


def tag_matches(reference: str, prediction: str) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip, positions ignored."""
    return match_multisets(tags.find_tags(reference), tags.find_tags(prediction))


def hallucinated(per_tag: Mapping[str, MatchCounts]) -> float:
    """Share of predicted tags whose type is not in the reference; 0 if nothing was predicted.

    >>> hallucinated(match_multisets(["sad"], ["sad", "sad", "calm"])) == 1 / 3
    True
    """
    predicted = sum(counts.predicted for counts in per_tag.values())
    absent = sum(counts.fp for counts in per_tag.values() if not counts.support)
    return absent / predicted if predicted else 0.0


def paper_metrics(clips: Sequence[PaperCounts]) -> dict[str, Metric]:
    """The report's seven metrics, each the mean over clips."""
    all_tags = [clip.tags for clip in clips]
    words = sum(clip.words.reference_length for clip in clips)
    characters = sum(clip.characters.reference_length for clip in clips)
    support = sum(counts.support for counts in all_tags)
    predicted = sum(counts.predicted for counts in all_tags)
    emphasised = sum(clip.emphasis.support for clip in clips)
    metrics = (
        metric.mean("wer", [clip.words.rate for clip in clips], support=words),
        metric.mean("cer", [clip.characters.rate for clip in clips], support=characters),
        metric.mean("tag_f1", [counts.f1 for counts in all_tags], support=support),
        metric.mean("tag_precision", [counts.precision for counts in all_tags], support=support),
        metric.mean("tag_recall", [counts.recall for counts in all_tags], support=support),
        metric.mean("emphasis_f1", [clip.emphasis.f1 for clip in clips], support=emphasised),
        metric.mean("hallucination", [clip.hallucination for clip in clips], support=predicted),
    )
    return {m.name: m for m in metrics}
