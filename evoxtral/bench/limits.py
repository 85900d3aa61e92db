"""The limits that the report states (section 6), each with what was measured about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import tags
from evoxtral.bench.noise import missing_labels
from evoxtral.bench.protocol import PAPER
from evoxtral.bench.systems import RL, SFT
from evoxtral.metrics import Evaluation
from evoxtral.stats import Interval
from evoxtral.tables.model import Format

if TYPE_CHECKING:
    from evoxtral.bench.measured import Measured
    from evoxtral.paper import Published


_PERCENT, _POINTS = Format("percent", 1), Format("points", 1)
_F1 = Format("number", 2)
RARE = 5
"""Below so many occurrences the report calls a tag's F1 unreliable."""


def limits(measured: Measured, published: Published, noise: pd.DataFrame) -> pd.DataFrame:
    """The report's six limits.

    Args:
        measured: systems on the splits.
        published: the printed numbers.
        noise: `bench.noise_curve` of one system.

    Returns:
        Columns `limit`, `said` (by the report) and `measured`, in sentences.
    """
    numbers = published.numbers
    rare = int((published.per_tag["support"] < RARE).sum())
    rows = [
        (
            "Synthetic training data",
            "All clips come from a TTS; natural speech may differ.",
            _synthetic(measured),
        ),
        (
            "Tag hallucination",
            f"About {_PERCENT(_printed(published))} of RL's tags are not in the reference.",
            _hallucination(measured, _printed(published), noise),
        ),
        (
            "Rare tag coverage",
            f"{rare} of {len(published.per_tag)} tags have fewer than {RARE} occurrences.",
            _rare(measured, int(numbers["bench_clips"])),
        ),
        ("English only", "Other languages are not evaluated.", "Not measured: English only."),
        (
            "Small dataset",
            f"{int(numbers['train_clips'])} training clips are few.",
            f"Not measured: this run learns from {measured.settings['Training clips']:,} clips.",
        ),
        (
            "Evaluation scope",
            f"{int(numbers['bench_clips'])} test clips; more would give firmer estimates.",
            _scope(measured, int(numbers["bench_clips"])),
        ),
    ]
    return pd.DataFrame(rows, columns=["limit", "said", "measured"])


def first_clips(evaluation: Evaluation, count: int) -> Evaluation:
    """The first clips only: what a smaller test set would have shown."""
    return Evaluation(evaluation.clips[:count])


def _printed(published: Published) -> float:
    return float(published.core.set_index("key").loc["hallucination", "rl"])


def _synthetic(measured: Measured) -> str:
    said = "Natural speech: not measured, all audio here is synthetic too."
    pair = measured.seen.only(RL), measured.headline.only(RL)
    if not all(pair):
        return said
    known, unseen = (own[RL].paper()["wer"].value for own in pair)
    return (
        f"{said} From training's own voices and sentence families ({measured.seen.clips:,} clips) "
        f"to the test set with unseen ones, RL's WER goes from {_PERCENT(known)} to "
        f"{_PERCENT(unseen)}."
    )


def _hallucination(measured: Measured, printed: float, noise: pd.DataFrame) -> str:
    evaluation = measured.headline.evaluations[RL]
    found = evaluation.intervals("paper", seed=measured.seed)["hallucination"]
    untagged = evaluation.strict().get("hallucinated_per_untagged")
    said = f"RL: {_with_ends(found)} of its tags"
    said += f"; {untagged.value:.3f} tags per untagged clip" if untagged else ""
    return f"{said}. {_cause(found.value, printed, noise)}"


def _cause(genuine: float, printed: float, noise: pd.DataFrame) -> str:
    """Whether missing labels alone could make the printed rate out of the measured one."""
    curve = noise[noise["protocol"] == PAPER].sort_values("share")
    last = curve.iloc[-1]
    share, value = f"{last['share']:.0%}", _PERCENT(last["value"])
    removed = f"With {share} of the labels removed on purpose the same transcripts score {value}"
    if not last["rise_low"] > 0:
        return f"{removed}, no rise shown."
    said = f"{removed}: missing labels look like hallucination."
    if not genuine < printed:
        return said
    needed = _PERCENT(missing_labels(printed, genuine))
    return f"{said} {needed} missing would turn this run's rate into the printed one."


def _rare(measured: Measured, few: int) -> str:
    balanced = measured.balanced.evaluations[RL]
    support = [own.support for own in balanced.tag_counts("paper").values() if own.support]
    wide = _widest(balanced, measured.seed)
    narrow = _widest(first_clips(measured.headline.evaluations[RL], few), measured.seed)
    return (
        f"The balanced set has every tag {min(support):,} times or more ({len(support)} tags); the "
        f"widest 95% interval of a tag's F1 spans {_F1(wide)} there, {_F1(narrow)} on the first "
        f"{few} natural clips."
    )


def _widest(evaluation: Evaluation, seed: int) -> float:
    found = evaluation.intervals("paper", seed=seed)
    spans = [found[f"f1[{t}]"] for t in tags.TAGS if f"f1[{t}]" in found]
    return max((i.high - i.low for i in spans if not math.isnan(i.low)), default=math.nan)


def _scope(measured: Measured, few: int) -> str:
    if measured.headline.clips <= few:
        return f"Not measured: this run has {measured.headline.clips:,} test clips only."
    parts = []
    for name, own in measured.headline.only(SFT, RL).items():
        sizes = first_clips(own, few), own
        spans = [_reach(one.intervals("paper", seed=measured.seed)) for one in sizes]
        ends = " to ".join(f"±{_POINTS(reach)}" for reach in spans)
        parts.append(f"{name} {ends} points")
    return (
        f"From the first {few} clips to all {measured.headline.clips:,} the 95% interval of Tag F1 "
        f"narrows: {', '.join(parts)}."
    )


def _reach(found: Mapping[str, Interval]) -> float:
    """Half the length of the interval of Tag F1."""
    return (found["tag_f1"].high - found["tag_f1"].low) / 2


def _with_ends(i: Interval) -> str:
    return f"{_PERCENT(i.value)} [{_POINTS(i.low)}, {_POINTS(i.high)}]"
