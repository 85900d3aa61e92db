"""k completions per clip: one clip at a time, against a shared prefill of many clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from evoxtral import metrics, stats
from evoxtral.decode import Decoding, decode, plan_batches
from evoxtral.model import Features
from evoxtral.raft.sampling import Sampling
from evoxtral.speed import plain
from evoxtral.speed.evaluate import OURS, WITH_CACHE, check_texts, needs, one_by_one, together
from evoxtral.speed.measure import Comparison, alternate, clocked
from evoxtral.speed.subject import Subject

__all__ = ["K_AT_ONCE", "TARGETS", "draw_one_by_one", "draw_together", "sampling"]

K_AT_ONCE = "one clip at a time, k sequences"
TARGETS = {4: 10.0}
"""Speed-up to reach, by k."""

Groups = list[list[str]]
"""Completions by clip."""


def sampling(
    subject: Subject, how: Sampling, repeats: int, convention: metrics.Convention
) -> Comparison:
    """Measure sampling; both ways draw from the same distribution.

    Args:
        subject: clips and models.
        how: k, temperature, nucleus, and the clips that ours prefills at once.
        repeats: rounds that count.
        convention: of the reward.

    Returns:
        Its facts hold the mean rewards of both ways, and the 95 % interval (over clips) of the
        straightforward one, inside which ours should lie.

    Raises:
        RuntimeError: the greedy texts of the two ways differ although the weights are float32.
    """
    features = subject.cached()
    same = check_texts(
        one_by_one(subject), together(subject, features, how.batch), exact=subject.exact
    )
    ways = {
        K_AT_ONCE: clocked(lambda number: draw_one_by_one(subject, how, number)),
        OURS: clocked(lambda number: draw_together(subject, features, how, number)),
        WITH_CACHE: clocked(lambda number: draw_together(subject, subject.rebuilt(), how, number)),
    }
    rounds, made = alternate(ways, repeats)
    facts = {
        "k": how.k,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "batch": how.batch,
        "max_new_tokens": subject.setup.max_new_tokens,
        "same_greedy_texts": same,
        **_rewards(subject, [one[K_AT_ONCE] for one in made], [one[OURS] for one in made],
                   convention),
    }  # fmt: skip
    return Comparison(
        f"sampling, k = {how.k}",
        "completion",
        len(subject.clips) * how.k,
        rounds,
        (K_AT_ONCE,),
        (OURS, WITH_CACHE),
        TARGETS.get(how.k),
        facts,
        needs(subject, features, made[-1][OURS], K_AT_ONCE),
    )


def draw_one_by_one(subject: Subject, how: Sampling, number: int) -> Groups:
    """Completions by `generate(num_return_sequences=k)`, clip after clip."""
    setup = subject.setup
    torch.manual_seed(how.seed + number)
    options = {
        "max_new_tokens": setup.max_new_tokens,
        "do_sample": True,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "top_k": 0,  # its default of 50 would cut the distribution a second time
        "num_return_sequences": how.k,
    }
    return [
        plain.write(
            subject.plain, setup.prompter, setup.base.name, setup.sounds.audio(clip), **options
        )
        for clip in subject.clips
    ]


def draw_together(subject: Subject, features: Features, how: Sampling, number: int) -> Groups:
    """Completions by ours, as `raft.sampling` plans and seeds them."""
    setup, windows = subject.setup, features.windows
    settings = Decoding(setup.max_new_tokens, how.temperature, how.top_p)
    made: dict[int, list[str]] = {}
    for rows in plan_batches(windows, subject.seconds, how.batch):
        groups = decode(
            subject.ours,
            setup.prompter.prompt(windows[rows[0]]),
            torch.cat([features[i] for i in rows]),
            settings,
            setup.prompter.eos,
            [[(how.seed, number, i, index) for index in range(how.k)] for i in rows],
            how.k,
        )
        for i, group in zip(rows, groups, strict=True):
            made[i] = [setup.prompter.text(one.ids) for one in group]
    return [made[i] for i in range(len(subject.clips))]


def _rewards(
    subject: Subject,
    plain_rounds: Sequence[Groups],
    our_rounds: Sequence[Groups],
    convention: metrics.Convention,
) -> dict[str, Any]:
    theirs = _mean_by_clip(subject, plain_rounds, convention)
    ours = _mean_by_clip(subject, our_rounds, convention)
    interval = stats.bootstrap_interval(stats.Ratio(theirs, np.ones_like(theirs)))
    return {
        "reward_plain": interval.value,
        "reward_low": interval.low,
        "reward_high": interval.high,
        "reward_ours": float(ours.mean()),
        "reward_inside": bool(interval.low <= ours.mean() <= interval.high),
    }


def _mean_by_clip(
    subject: Subject, rounds: Sequence[Groups], convention: metrics.Convention
) -> np.ndarray:
    """Mean reward of each clip's completions over all rounds, shape (clips,)."""
    return np.array(
        [
            np.mean(
                [
                    metrics.reward(clip.tagged_text, text, convention=convention).total
                    for groups in rounds
                    for text in groups[i]
                ]
            )
            for i, clip in enumerate(subject.clips)
        ]
    )
