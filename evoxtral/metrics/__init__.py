"""Metrics of tagged transcripts: one definition each, two protocols, raw counts kept.

`paper` reproduces the report's numbers, conventions included; `strict` pools counts and
matches tags by position (`metrics.protocols`). The reward of RAFT is made of the same
per-clip metrics (`metrics.rewards`). All rates are fractions, never percent.

>>> scores = evaluate(["[sighs] not AGAIN"], ["[sighs] not again"])
>>> scores.table("paper")["tag_f1"].value, scores.table("strict")["emphasis_f1"].value
(1.0, 0.0)
"""

from evoxtral.metrics.counts import (
    TOLERANCE_WORDS,
    EditCounts,
    MatchCounts,
    aligned_matches,
    match_multisets,
    places_in_reference,
    total,
)
from evoxtral.metrics.protocols import (
    ClipScore,
    Evaluation,
    Metric,
    Normaliser,
    Protocol,
    anywhere_matches,
    compare,
    english_normaliser,
    evaluate,
    macro_f1,
    mean,
    micro_f1,
    ratio,
    tag_matches,
)
from evoxtral.metrics.rewards import Convention, Reward, RewardWeights, reward

PROTOCOL = "1.0.0"
"""Version of the definitions of both protocols; a change of any number changes it."""
