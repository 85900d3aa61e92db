"""The quality checklist of the composition note (section 6), row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd

from evoxtral.mix.composition import VOICES, duplicate_table, voice_verdict
from evoxtral.mix.goals import (
    EXAMPLES_PER_TAG,
    MINIMUMS,
    RARE,
    Goal,
    Verdict,
    axis_goals,
    density_goals,
    position_goals,
    tag_count_goals,
)
from evoxtral.mix.items import Features

CONTEXTS = 3
OVERSAMPLING = (2.0, 5.0)

_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_Row = tuple[str, str, str, Verdict]


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    return "no" if "no" in found else "not known" if "not known" in found else "yes"


def _shares(goals: list[Goal]) -> str:
    return ", ".join(f"{goal.row.split(' (')[0]} {100 * goal.measured():.1f} %" for goal in goals)


def _density(features: Features) -> _Row:
    tagged = [item.tagged_text for item in features.items if "[" in item.tagged_text]
    sentences = [part for text in tagged for part in _SENTENCE.split(text)]
    bare = float(np.mean(["[" not in part for part in sentences])) if sentences else float("nan")
    filled = sum(goal.hits.any() for goal in density_goals(features))
    verdict: Verdict = "yes" if filled == 4 and 0 < bare < 1 else "no"
    measured = f"{filled} of 4 strata; {100 * bare:.0f} % of sentences untagged"
    target = "all four strata; tagged texts have untagged sentences"
    return "tag density varies naturally", target, measured, verdict


def _examples(features: Features) -> _Row:
    goals = tag_count_goals(features)
    verdicts = [goal.verdict() for goal in goals]
    least = min(goals, key=lambda goal: goal.measured())
    measured = f"{verdicts.count('yes')} of {len(goals)}; least {least.row} {least.measured():.0f}"
    target = f"each of {len(goals)} tags in ≥ {EXAMPLES_PER_TAG} examples"
    return "all target tags are frequent enough", target, measured, _all(verdicts)


def _rare(features: Features, natural: Features | None) -> _Row:
    factors, verdicts = [], []
    for tag in RARE:
        hits = features.has(tag)
        share = Goal("tags", tag, hits, features.tagged, MINIMUMS[tag][0])
        domains = {features.items[i].domain for i in hits.nonzero()[0]}
        verdict: Verdict = share.verdict()
        if natural is not None:
            before = Goal("tags", tag, natural.has(tag), natural.tagged, 0).measured()
            factors.append(share.measured() / before if before else float("inf"))
            if OVERSAMPLING[0] <= factors[-1] <= OVERSAMPLING[1]:
                verdict = "yes"
        elif verdict == "no":
            verdict = "not known"
        verdicts.append(verdict if len(domains) >= CONTEXTS else "no")
    spread = f"factors {min(factors):.1f}–{max(factors):.1f}; " if factors else "factor not known; "
    measured = f"{spread}{verdicts.count('yes')} of {len(RARE)} tags pass"
    target = f"rare tags 2–5x or at their minimum share, in ≥ {CONTEXTS} domains"
    return "rare tags are oversampled in diverse contexts", target, measured, _all(verdicts)


def _plain(features: Features) -> _Row:
    goal = density_goals(features)[0]
    measured = f"{100 * goal.measured():.1f} %"
    return "plain examples against hallucination", goal.target, measured, goal.verdict()


def _voices(features: Features) -> _Row:
    n_voices, verdict = voice_verdict(features)
    measured = f"{n_voices} voices" if n_voices else "no voice named"
    return "speaker diversity", f"≥ {VOICES} voices (6–8)", measured, verdict


def _axis(features: Features, name: str, check: str, window_seconds: float | None) -> _Row:
    goals = [goal for goal in axis_goals(features, window_seconds) if goal.table == name]
    if not goals:
        return check, "each category ≥ half an equal share", "not known", "not known"
    verdict = _all(goal.verdict() for goal in goals)
    return check, f"each category {goals[0].target}", _shares(goals), verdict


def _duplicates(features: Features, workers: int | None) -> _Row:
    row = duplicate_table(features, workers).iloc[0]
    measured = f"{row['measured']} pairs; {row['texts'] - row['kept']} texts too many"
    return "no two texts alike", "ROUGE-L < 0.7 for every pair", measured, row["pass"]


def _places(features: Features, table: str, check: str) -> _Row:
    goals = [goal for goal in position_goals(features) if goal.table == table]
    verdict = _all(goal.verdict() for goal in goals)
    return check, f"each {goals[0].target}", _shares(goals), verdict


def checklist(
    features: Features,
    window_seconds: float | None = None,
    natural: Features | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """The ten checks as `check | target | measured | pass`, in the note's order.

    Where the note names no number the target states our rule. Tags outside the vocabulary count
    in density, position and spacing.

    Args:
        features: the set to be judged.
        window_seconds: the model's window, for length strata; `None` for real data.
        natural: the set before oversampling, to which factors are relative.
        workers: cores for the near-duplicate search.
    """
    rows: list[Callable[[], _Row]] = [
        partial(_density, features),
        partial(_examples, features),
        partial(_rare, features, natural),
        partial(_plain, features),
        partial(_voices, features),
        partial(_axis, features, "length", "audio length varies", window_seconds),
        partial(_axis, features, "valence", "emotional valence is balanced", window_seconds),
        partial(_duplicates, features, workers),
        partial(_places, features, "position", "tag positions vary"),
        partial(_places, features, "spacing", "tags closely and widely spaced"),
    ]
    return pd.DataFrame([row() for row in rows], columns=["check", "target", "measured", "pass"])
