"""Metrics of tagged transcripts: one definition each, two protocols, raw counts kept.

`paper` reproduces the report's numbers, conventions included (`metrics.paper`); `strict` pools
counts and matches tags by position (`metrics.strict`). The reward of RAFT is made of the same
per-clip metrics (`metrics.rewards`). All rates are fractions, never percent.

>>> scores = evaluate(["[sighs] not AGAIN"], ["[sighs] not again"])
>>> scores.paper()["tag_f1"].value, scores.strict()["emphasis_f1"].value
(1.0, 0.0)
"""

from evoxtral.metrics.counts import EditCounts, MatchCounts
from evoxtral.metrics.evaluation import (
    ClipScore,
    Evaluation,
    Protocol,
    compare,
    evaluate,
    score_clip,
)
from evoxtral.metrics.metric import Metric
from evoxtral.metrics.normaliser import english_normaliser
from evoxtral.metrics.paper import PaperCounts
from evoxtral.metrics.rewards import Convention, Reward, RewardWeights, reward
from evoxtral.metrics.strict import Normaliser, StrictCounts

PROTOCOL = "1.0.0"
"""Version of the definitions of both protocols; a change of any number changes it."""
