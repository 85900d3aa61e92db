"""The reward of rejection sampling: R = 0.4 (1 - WER) + 0.4 Tag F1 + 0.2 (1 - hallucination).

Report section 3.3, equation 1. Every term is in [0, 1] and so is R; accuracy is max(0, 1 - WER),
since WER has no upper bound. The terms are the per-clip metrics of the two protocols:

| term | `report` | `strict` |
|---|---|---|
| WER | plain text as spelt | `Transcript.plain`: brackets and marks repaired |
| WER, reference without words | 0 whatever was predicted | 0 if no word was, else 1 |
| Tag F1 | multisets, positions ignored | same tag, within two words |
| hallucination | predicted tags of a type the reference lacks | predicted tags beyond its count |

In both, tags on one side only score F1 0, tags on neither F1 1; predicting nothing hallucinates
nothing, so abstaining on a tagged clip still earns the last term.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Literal

from evoxtral import UserError, tags
from evoxtral.metrics import (
    aligned_matches,
    anywhere_matches,
    excess,
    hallucinated,
    tag_matches,
    total,
    word_edits,
)

Convention = Literal["report", "strict"]


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """Weights of the three terms: not negative, sum 1.

    Raises:
        UserError: If they are not.
    """

    accuracy: float = 0.4
    tags: float = 0.4
    hallucination: float = 0.2

    def __post_init__(self) -> None:
        weights = astuple(self)
        if min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-9):
            raise UserError(f"reward weights {weights} must not be negative and must sum to 1")


@dataclass(frozen=True, slots=True)
class Reward:
    """Reward of one prediction and its terms; `wer` is 0 or more, the others are in [0, 1]."""

    wer: float
    tag_f1: float
    hallucination: float
    total: float


REPORT_WEIGHTS = RewardWeights()


def reward(
    reference: str,
    prediction: str,
    weights: RewardWeights = REPORT_WEIGHTS,
    *,
    convention: Convention = "report",
) -> Reward:
    """Terms and weighted sum for one prediction, not trusted to be well-formed.

    >>> reward("[sighs] not again", "[sighs] [sad] not again").hallucination
    0.5
    """
    if convention == "report":
        edits = word_edits(tags.plain_text(reference), tags.plain_text(prediction))
        matches = tag_matches(reference, prediction)
        wrong, without_words = hallucinated(matches), 0.0
    else:
        wanted, got = tags.parse(reference), tags.parse(prediction)
        edits = word_edits(wanted.plain, got.plain)
        matches = aligned_matches(wanted, got)
        wrong, without_words = excess(anywhere_matches(wanted, got)), float(edits.errors > 0)
    wer = edits.rate if edits.reference_length else without_words
    tag_f1 = total(matches).f1
    score = (
        weights.accuracy * max(0.0, 1.0 - wer)
        + weights.tags * tag_f1
        + weights.hallucination * (1.0 - wrong)
    )
    return Reward(wer, tag_f1, wrong, score)
