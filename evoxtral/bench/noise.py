"""Missing labels as a cause of "hallucination" (report, section 6), tested with known noise.

The report suspects that part of its 20 % hallucinated tags were spoken but not annotated. Here the
annotation is spoilt on purpose: a known share of the tags is dropped from the references while the
predictions stay as they are, and the hallucination rate is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evoxtral import UserError, stats, tags
from evoxtral.bench.protocol import EVALUATION_PROTOCOLS
from evoxtral.metrics import ClipScore, Evaluation, aligned_matches, anywhere_matches, tag_matches

NOISE_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)

_COLUMNS = (
    "system", "protocol", "metric", "share", "value", "low", "high", "rise", "rise_low",
    "rise_high", "n",
)  # fmt: skip


def drop_tags(texts: Sequence[str], share: float, *, seed: int = 0) -> list[str]:
    """Remove each tag with a given probability.

    With one seed a larger share drops all that a smaller one does, and more.

    Args:
        texts: Tagged texts.
        share: Probability of a tag to be dropped, in [0, 1].
        seed: Of the draws.

    Raises:
        UserError: The share is no probability.

    >>> drop_tags(["[sad] oh [pause] no"], 1.0)
    ['oh no']
    """
    if not 0 <= share <= 1:
        raise UserError(f"the share of dropped tags is {share}: give a number from 0 to 1")
    draws = np.random.default_rng(seed)
    return [_without(text, draws, share) for text in texts]


def _without(text: str, draws: np.random.Generator, share: float) -> str:
    parts: list[str] = []
    end = 0
    for tag in tags.parse(text).tags:
        if draws.random() < share:
            parts.append(text[end : tag.start])
            end = tag.end
    parts.append(text[end:])
    # A tag separates words even without spaces around it.
    return " ".join(part.strip() for part in parts if part.strip())


def noise_curve(
    evaluations: Mapping[str, Evaluation],
    shares: Sequence[float] = NOISE_SHARES,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Hallucination rate of fixed predictions against the share of labels that are missing.

    Tags are dropped independently of one another, so the intervals over clips hold the
    accident of which were dropped as well.

    Args:
        evaluations: By name of the system, on clean references.
        shares: Of tags dropped from the references.
        seed: Of the draws and of the bootstrap.

    Returns:
        Columns `system`, `protocol`, `metric` (hallucination), `share`, `value` with `low`,
        `high`, its `rise` above the same predictions on clean references with the paired
        interval `rise_low`, `rise_high`, and `n` clips.
    """
    rows: list[tuple[object, ...]] = []
    for system, clean in evaluations.items():
        spoilt = {share: _with_noise(clean, share, seed) for share in shares}
        for name, protocol in EVALUATION_PROTOCOLS.items():
            before = clean.table(protocol)["hallucination"].ratio
            found = {share: own.table(protocol)["hallucination"] for share, own in spoilt.items()}
            after = {str(share): metric.ratio for share, metric in found.items()}
            intervals = stats.bootstrap_intervals(after, seed=seed)
            rises = stats.paired_differences(after, dict.fromkeys(after, before), seed=seed)
            for share, metric in found.items():
                i, rise = intervals[str(share)], rises[str(share)]
                values = (i.value, i.low, i.high, rise.value, rise.low, rise.high, metric.n)
                rows.append((system, name, metric.name, share, *values))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _with_noise(clean: Evaluation, share: float, seed: int) -> Evaluation:
    """The same predictions against references that lack tags; the words stay what they were."""
    references = drop_tags([clip.reference for clip in clean.clips], share, seed=seed)
    return Evaluation(
        tuple(_rescored(clip, text) for clip, text in zip(clean.clips, references, strict=True))
    )


def _rescored(clip: ClipScore, reference: str) -> ClipScore:
    true, predicted = tags.parse(reference), tags.parse(clip.prediction)
    return replace(
        clip,
        reference=reference,
        paper=replace(clip.paper, per_tag=tag_matches(reference, clip.prediction)),
        strict=replace(
            clip.strict,
            per_tag=aligned_matches(true, predicted),
            per_tag_anywhere=anywhere_matches(true, predicted),
        ),
    )


def missing_labels(observed: float, genuine: float) -> float:
    """Share of labels that must be missing for one hallucination rate to show up as another.

    A label that is missing turns the tag that was rightly predicted for it into a false one:
    observed = genuine + share (1 - genuine). Tags that repeat in a clip make it a lower bound.

    Args:
        observed: Hallucination rate on the labels at hand, in [0, 1].
        genuine: Rate on complete labels, in [0, 1), not above the observed one.

    >>> round(missing_labels(0.202, 0.0), 3), round(missing_labels(0.202, 0.1), 3)
    (0.202, 0.113)
    """
    if not 0 <= genuine <= observed <= 1 or genuine == 1:
        raise UserError(
            f"hallucination rates {genuine} (genuine) and {observed} (observed) must be fractions, "
            "the first not above the second"
        )
    return (observed - genuine) / (1 - genuine)
