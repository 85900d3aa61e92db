"""Scores of a system on a set of clips, under both protocols, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from evoxtral import UserError, stats, tags
from evoxtral.metrics import metric
from evoxtral.metrics.counts import MatchCounts
from evoxtral.metrics.metric import Metric
from evoxtral.metrics.paper import PaperCounts, paper_counts, paper_metrics
from evoxtral.metrics.strict import Normaliser, StrictCounts, strict_counts, strict_metrics
from evoxtral.stats import Interval, Ratio

Protocol = Literal["paper", "strict"]


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip: its texts and raw counts under both protocols."""

    id: str
    reference: str
    prediction: str
    paper: PaperCounts
    strict: StrictCounts

    @property
    def tagged(self) -> bool:
        """Whether the reference has a tag."""
        return self.strict.tagged

    def counts(self, protocol: Protocol) -> PaperCounts | StrictCounts:
        """Raw counts under one protocol."""
        return {"paper": self.paper, "strict": self.strict}[_known(protocol)]


@dataclass(frozen=True)
class Evaluation:
    """Per-clip scores of one system, in a fixed order of clips."""

    clips: tuple[ClipScore, ...]

    def paper(self) -> dict[str, Metric]:
        """The report's seven metrics by its own conventions, see `metrics.paper`."""
        return paper_metrics([clip.paper for clip in self.clips])

    def strict(self) -> dict[str, Metric]:
        """Pooled and position-aware metrics, see `metrics.strict`."""
        return strict_metrics([clip.strict for clip in self.clips])

    def table(self, protocol: Protocol) -> dict[str, Metric]:
        """`paper()` or `strict()`, by the protocol's name."""
        return {"paper": self.paper, "strict": self.strict}[_known(protocol)]()

    def tag_counts(self, protocol: Protocol) -> dict[str, MatchCounts]:
        """Counts of each tag type pooled over clips.

        Returns:
            The tags of either side: those of the vocabulary first, in its order, then the others.
        """
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
        empty = MatchCounts()
        table = {}
        for tag in self.tag_counts(protocol):
            counts = [clip.get(tag, empty) for clip in per_clip]
            table[tag] = metric.micro_f1(tag, counts, n=sum(c.support > 0 for c in counts))
        return table

    def intervals(self, protocol: Protocol, *, seed: int = 0) -> dict[str, Interval]:
        """95 % bootstrap interval over clips of each metric, per-tag F1 included as `f1[tag]`."""
        return stats.bootstrap_intervals(self._ratios(protocol), seed=seed)

    def tagged(self) -> Evaluation:
        """Only the clips whose reference has a tag."""
        return Evaluation(tuple(clip for clip in self.clips if clip.tagged))

    def untagged(self) -> Evaluation:
        """Only the clips whose reference has no tag."""
        return Evaluation(tuple(clip for clip in self.clips if not clip.tagged))

    def _ratios(self, protocol: Protocol) -> dict[str, Ratio]:
        per_tag = {f"f1[{tag}]": m for tag, m in self.per_tag(protocol).items()}
        return {name: m.ratio for name, m in (self.table(protocol) | per_tag).items()}


def score_clip(
    reference: str, prediction: str, *, clip_id: str = "", normalise: Normaliser | None = None
) -> ClipScore:
    """Raw counts of one clip under both protocols.

    Args:
        reference: Tagged text of what was said.
        prediction: Tagged text of what was transcribed, not trusted to be well-formed.
        clip_id: Name of the clip.
        normalise: Text normaliser for `wer_normalised`, e.g. `english_normaliser()`.

    >>> score_clip("[sighs] I said NO", "[sighs] I said so").paper.tags
    MatchCounts(tp=1, fp=0, fn=0)
    """
    return ClipScore(
        id=clip_id,
        reference=reference,
        prediction=prediction,
        paper=paper_counts(reference, prediction),
        strict=strict_counts(reference, prediction, normalise=normalise),
    )


def evaluate(
    references: Sequence[str],
    predictions: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    normalise: Normaliser | None = None,
) -> Evaluation:
    """Score a system: one prediction for every reference, in the same order.

    Args:
        references: Tagged texts.
        predictions: Tagged texts; an empty one counts as such, none can be left out.
        ids: Clip names, all different; by default the positions `"0"`, `"1"`, …
        normalise: Text normaliser for `wer_normalised`, which is left out without one.

    Raises:
        UserError: If there are no clips, the lengths differ, or an id occurs twice.

    >>> evaluate(["[sad] oh", "well"], ["oh", "well"]).paper()["tag_f1"].value
    0.5
    """
    ids = [str(i) for i in range(len(references))] if ids is None else ids
    if not references:
        raise UserError("there are no clips to score; give at least one reference")
    if not len(references) == len(predictions) == len(ids):
        raise UserError(
            f"{len(references)} references, {len(predictions)} predictions and {len(ids)} ids "
            "do not match; give exactly one of each per clip"
        )
    if len(set(ids)) < len(ids):
        raise UserError("two clips have the same id; give each clip an id of its own")
    return Evaluation(
        tuple(
            score_clip(reference, prediction, clip_id=name, normalise=normalise)
            for reference, prediction, name in zip(references, predictions, ids, strict=True)
        )
    )


def compare(
    first: Evaluation, second: Evaluation, protocol: Protocol, *, seed: int = 0
) -> dict[str, Interval]:
    """95 % paired bootstrap interval of `first - second` for each metric both have.

    A tag that only one system predicts and no reference holds has no difference.

    Raises:
        UserError: If the two were not scored on the same clips in the same order.
    """
    clips = [[(clip.id, clip.reference) for clip in e.clips] for e in (first, second)]
    if clips[0] != clips[1]:
        raise UserError("only scores of the same clips can be paired; evaluate both on one split")
    ours, theirs = first._ratios(protocol), second._ratios(protocol)
    shared = [name for name in ours if name in theirs]
    return stats.paired_differences(
        {name: ours[name] for name in shared}, {name: theirs[name] for name in shared}, seed=seed
    )


def _known(protocol: Protocol) -> Protocol:
    if protocol not in get_args(Protocol):
        raise UserError(f"unknown protocol {protocol!r}; use one of {get_args(Protocol)}")
    return protocol
