"""RAFT, rejection sampling fine-tuning: sample, score, select, curate (report section 3.3).

This is the part that needs no model: completions in, training set out.

>>> from evoxtral.metrics import RewardWeights
>>> completions = [Completion("a", 0, "oh", 1, True), Completion("a", 1, "[sad] oh", 2, True)]
>>> scored = score(completions, {"a": "[sad] oh"}, RewardWeights())
>>> completion_targets(curate(best_of(scored), "exact").rows)["text"].tolist()
['[sad] oh']
"""

from evoxtral.raft.best_of_k import best_of_curve, best_of_weights
from evoxtral.raft.curation import Curated, Rule, curate
from evoxtral.raft.records import Completion, append_completions, read_completions, to_frame
from evoxtral.raft.scoring import TERMS, group_table, score
from evoxtral.raft.selection import Tie, best_of, drop_flat, random_of, ranked
from evoxtral.raft.targets import completion_targets, control_references, mix_untagged
