"""Evoxtral-Bench: scores of systems' predictions (`evoxtral.predictions`) on a split.

* `scores`: both protocols of `evoxtral.metrics` with intervals, as frames.
* `confusion`, `counts`: which tag is written for which, and how many.
* `position`, `nvv`: scores in the style of public benchmarks of vocal events.
* `noise`: hallucination against the share of labels that are missing.
* `compare_paper`, `choice`: beside the published numbers, and which model for which use.
* `protocol`: names and versions of the protocols.
"""

from evoxtral.bench.choice import NO_DIFFERENCE, USES, Use, choose
from evoxtral.bench.compare_paper import changes, core_comparison, per_tag_comparison, verdict
from evoxtral.bench.confusion import INVENTED, MISSED, OTHER, confusion, pair_tags
from evoxtral.bench.counts import count_bias, count_pairs
from evoxtral.bench.noise import NOISE_SHARES, drop_tags, missing_labels, noise_curve
from evoxtral.bench.position import SCHEMES, coverage, mapping, position_scores
from evoxtral.bench.protocol import NVV, PAPER, STRICT, WESR
from evoxtral.bench.scores import (
    NO_TAGS,
    Scores,
    core_frame,
    evaluate,
    no_tags,
    per_tag_frame,
    score,
)
