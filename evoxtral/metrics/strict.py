"""Protocol `strict`: pooled counts, tags matched by position, untagged clips counted apart.

Both texts are read by `tags.parse`, which repairs broken brackets. Counts are summed over clips
before any rate is taken, so no clip is worth a free point and long clips weigh more.

| metric | definition |
|---|---|
| `wer`, `cer` | corpus errors / corpus length, on words with emphasis lowercased |
| `wer_normalised` | the same after a text normaliser, if one was given |
| `tag_f1`, `tag_precision`, `tag_recall` | micro: all tag instances, matched by `alignment` |
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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evoxtral import tags
from evoxtral.metrics import metric
from evoxtral.metrics.alignment import aligned_matches
from evoxtral.metrics.counts import (
    EditCounts,
    MatchCounts,
    character_edits,
    match_multisets,
    word_edits,
)
from evoxtral.metrics.metric import Metric
from evoxtral.tags import Transcript

Normaliser = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class StrictCounts:
    """Raw counts of one clip under `strict`.

    Attributes:
        words: Word edits, emphasis lowercased.
        characters: Character edits of the same texts.
        words_normalised: Word edits of the normalised texts; None without a normaliser.
        per_tag: Matches by tag type and position.
        per_tag_anywhere: Matches by tag type alone.
        emphasis: Matches of emphasised words.
    """

    words: EditCounts
    characters: EditCounts
    words_normalised: EditCounts | None
    per_tag: Mapping[str, MatchCounts]
    per_tag_anywhere: Mapping[str, MatchCounts]
    emphasis: MatchCounts

    @property
    def tags(self) -> MatchCounts:
        """All tag instances together, matched by position."""
        return metric.total(self.per_tag)

    @property
    def tags_anywhere(self) -> MatchCounts:
        """All tag instances together, positions ignored."""
        return metric.total(self.per_tag_anywhere)

    @property
    def tagged(self) -> bool:
        """Whether the reference has a tag."""
        return self.tags.support > 0


def strict_counts(
    reference: str, prediction: str, *, normalise: Normaliser | None = None
) -> StrictCounts:
    """Count one clip; both texts tagged."""
    wanted, got = tags.parse(reference), tags.parse(prediction)
    plain = tags.plain_text(wanted.text), tags.plain_text(got.text)
    emphasis = match_multisets(tags.emphasis_words(wanted.text), tags.emphasis_words(got.text))
    normalised = None
    if normalise is not None:
        normalised = word_edits(normalise(plain[0]), normalise(plain[1]))
    return StrictCounts(
        words=word_edits(*plain),
        characters=character_edits(*plain),
        words_normalised=normalised,
        per_tag=aligned_matches(wanted, got),
        per_tag_anywhere=anywhere_matches(wanted, got),
        emphasis=metric.total(emphasis),
    )


def anywhere_matches(reference: Transcript, prediction: Transcript) -> dict[str, MatchCounts]:
    """Matches of each tag type in one clip, positions ignored."""
    return match_multisets(
        [tag.name for tag in reference.tags], [tag.name for tag in prediction.tags]
    )


def excess(per_tag: Mapping[str, MatchCounts]) -> float:
    """Share of predicted tags beyond the reference's count of their type; 0 if none predicted.

    >>> excess(match_multisets(["sad"], ["sad", "sad", "calm"])) == 2 / 3
    True
    """
    counts = metric.total(per_tag)
    return counts.fp / counts.predicted if counts.predicted else 0.0


def strict_metrics(clips: Sequence[StrictCounts]) -> dict[str, Metric]:
    """All metrics of the protocol, see the module's table."""
    metrics = [*_edit_metrics(clips), *_tag_metrics(clips), *_untagged_metrics(clips)]
    metrics.append(metric.micro_f1("emphasis_f1", [clip.emphasis for clip in clips]))
    return {m.name: m for m in metrics}


def _edit_metrics(clips: Sequence[StrictCounts]) -> list[Metric]:
    metrics = [
        metric.pooled_error_rate("wer", [clip.words for clip in clips]),
        metric.pooled_error_rate("cer", [clip.characters for clip in clips]),
    ]
    normalised = [clip.words_normalised for clip in clips if clip.words_normalised is not None]
    if normalised:
        metrics.append(metric.pooled_error_rate("wer_normalised", normalised))
    return metrics


def _tag_metrics(clips: Sequence[StrictCounts]) -> list[Metric]:
    placed = [clip.tags for clip in clips]
    anywhere = [clip.tags_anywhere for clip in clips]
    hits = [c.tp for c in placed]
    extra = [c.fp for c in anywhere]
    support = [c.support for c in placed]
    predicted = [c.predicted for c in placed]
    counts = {"support": sum(support), "n": len(clips)}
    types = sorted({tag for clip in clips for tag, c in clip.per_tag.items() if c.support})
    return [
        metric.micro_f1("tag_f1", placed),
        metric.ratio("tag_precision", hits, predicted, **counts),
        metric.ratio("tag_recall", hits, support, **counts),
        metric.macro_f1("tag_f1_macro", [clip.per_tag for clip in clips], types),
        *_tagged_metrics(clips, types),
        metric.micro_f1("tag_f1_anywhere", anywhere),
        metric.ratio("hallucination", extra, predicted, support=sum(predicted), n=len(clips)),
    ]


def _tagged_metrics(clips: Sequence[StrictCounts], types: Sequence[str]) -> list[Metric]:
    # Untagged clips stay in as empty rows: a paired comparison needs every clip in its place.
    per_tag = [clip.per_tag if clip.tagged else {} for clip in clips]
    tagged = sum(clip.tagged for clip in clips)
    return [
        metric.micro_f1("tag_f1_tagged", [metric.total(counts) for counts in per_tag], n=tagged),
        metric.macro_f1("tag_f1_macro_tagged", per_tag, types, n=tagged),
    ]


def _untagged_metrics(clips: Sequence[StrictCounts]) -> list[Metric]:
    untagged = [not clip.tagged for clip in clips]
    predicted = [clip.tags.predicted if not clip.tagged else 0 for clip in clips]
    clean = [not clip.tagged and not clip.tags.predicted for clip in clips]
    return [
        metric.ratio("untagged_clean", clean, untagged, support=0),
        metric.ratio("hallucinated_per_untagged", predicted, untagged, support=sum(predicted)),
    ]
