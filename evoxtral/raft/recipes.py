"""The experiment's plan: which recipes of RAFT are compared, written down before any is run.

Validation chooses among them, not the test set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from evoxtral import runs
from evoxtral.metrics import Convention, RewardWeights
from evoxtral.params import Raft
from evoxtral.raft.curation import Rule

Select = Literal["best", "random", "reference"]

SFT_CONTINUED = "SFT continued"
RANDOM = "random of k"
REPORT = "report's recipe"


@dataclass(frozen=True)
class RaftRecipe:
    """What decides the training set of the last step.

    Attributes:
        prompts: split that is sampled.
        k: completions per clip.
        temperature: of sampling.
        top_p: nucleus.
        weights: of the reward's terms.
        convention: of the reward.
        clips: most clips to sample, the first of the split; None takes all.
        select: the best completion by reward, a random one, or the reference in its place.
        curation: rule by which the worst clips are dropped.
        drop_share: share of clips it drops.
        drop_flat: leave out clips whose completions all earn the same.
        untagged: share of untagged clips with their references; 0 leaves the set as it is.
        rounds: times to sample, select and fine-tune; each takes its own part of the prompts.
    """

    prompts: str
    k: int
    temperature: float
    top_p: float
    weights: RewardWeights
    convention: Convention
    curation: Rule
    drop_share: float
    drop_flat: bool
    untagged: float
    rounds: int
    clips: int | None = None
    select: Select = "best"


def of_parameters(cfg: Raft) -> RaftRecipe:
    """The recipe that the notebook's parameters name.

    Raises:
        UserError: the weights of the reward do not sum to 1, or the folder that `adapter` names
            holds none.
    """
    if cfg.adapter:
        from evoxtral.model import check_adapter  # loads torch

        check_adapter(runs.named(cfg.adapter))
    weights = RewardWeights(cfg.accuracy_weight, cfg.tag_weight, cfg.hallucination_weight)
    names = {
        "prompts", "k", "temperature", "top_p", "convention", "curation", "drop_share",
        "drop_flat", "untagged", "rounds",
    }  # fmt: skip
    return RaftRecipe(weights=weights, **cfg.model_dump(include=names))


def controls(own: RaftRecipe, prompts: int) -> dict[str, RaftRecipe]:
    """What a gain has to be told from: the same clips with other texts, and the report's recipe.

    Args:
        own: this run's recipe.
        prompts: clips that it samples; the report's recipe takes no more of the training split.
    """
    return {
        SFT_CONTINUED: replace(own, select="reference"),
        RANDOM: replace(own, select="random"),
        REPORT: replace(
            own, prompts="train", convention="report", curation="report", drop_flat=False,
            untagged=0.0, rounds=1, clips=prompts,
        ),
    }  # fmt: skip


def grid(own: RaftRecipe, prompts: int) -> dict[str, RaftRecipe]:
    """One change at a time from the report's recipe to ours, and beyond it; as for `controls`."""
    report = controls(own, prompts)[REPORT]
    unseen = replace(report, prompts="raft_prompts", curation="exact")
    strict = replace(unseen, convention="strict")
    negatives = replace(strict, untagged=0.15)
    return {
        "unseen prompts": unseen,
        "+ strict reward": strict,
        "+ untagged 15%": negatives,
        "+ flat groups dropped": replace(negatives, drop_flat=True),
        "+ hotter": replace(negatives, temperature=1.2 * own.temperature),
        "+ two rounds": replace(negatives, rounds=2),
    }
