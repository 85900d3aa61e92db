"""What the composition note asks of a training set, as linear goals.

A goal is `low <= hits / base <= high`, where hits and base are sums over the examples. The tables
of `composition` read a goal's measured value; `rebalance` takes the same goals as constraints on
how often to draw each example, so that what is measured is what was aimed at.

Where the note gives a number, the goal has it. Where it only says "balanced" or "varied", the
goal is ours and its `source` says so: every category of an axis holds at least half of an equal
share (`FAIR`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evoxtral import tags
from evoxtral.mix.items import Features

Verdict = Literal["yes", "no", "not known"]

DENSITY: dict[str, tuple[int, float, float]] = {
    "none (0 tags)": (0, 0.30, 0.35),
    "light (1–2 tags)": (1, 0.25, 0.30),
    "medium (3–5 tags)": (3, 0.25, 0.30),
    "heavy (6+ tags)": (6, 0.10, 0.15),
}
"""Stratum: fewest tags, then the band of the note's section 6, as shares of all examples."""

MINIMUMS: dict[str, tuple[float, float, str, str]] = {
    **dict.fromkeys(("excited", "sad", "angry"), (0.15, 0.20, "high", "1x")),
    **dict.fromkeys(("calm", "nervous", "frustrated"), (0.10, 0.15, "medium", "1.5–2x")),
    **dict.fromkeys(("laughs", "sighs"), (0.10, 0.15, "medium-high", "1x")),
    **dict.fromkeys(("gasps", "crying", "whispers", "shouts"), (0.08, 0.12, "low", "2–3x")),
    **dict.fromkeys(("stammers", "clears throat"), (0.05, 0.10, "very low", "3–5x")),
    **dict.fromkeys(("confused", "scared"), (0.05, 0.10, "not listed", "not listed")),
}
"""Tag: band of the minimum share of tagged examples, natural frequency, oversampling factor.

Section 5 of the note; its table leaves out `confused` and `scared`, for which its general rule
("each tag type in at least 5–10 % of tagged examples") stands.
"""

RARE = ("gasps", "crying", "whispers", "shouts", "stammers", "clears throat")
"""Tags the note calls low or very low in natural frequency."""

FREQUENT = (0.40, 0.60, "very high", "0.5x")
"""The same for `[pause]` and CAPS: a band, since they are to be undersampled (section 5)."""

EXAMPLES_PER_TAG = 40
"""Fewest examples of each target tag (section 6: 40–80 in a set of 800)."""

MAX_DRAWS = 5
"""Most draws of one text in a rebalanced set (section 5: oversample 3–5x, no further)."""

LENGTHS = ("short", "medium", "long")
FAIR = 0.5
CLOSE_WORDS = 3
WIDE_WORDS = 8
SPACING_FLOOR = 0.10

OURS = "our rule"


@dataclass(frozen=True)
class Goal:
    """One row of a table of targets, over n examples.

    Attributes:
        table: density, tags, examples, an axis (emotion, ...), position or spacing.
        row: what is counted.
        hits: (n,) numerator per example.
        base: (n,) denominator per example; `None` for a count.
        low: least value that passes.
        high: greatest value that passes.
        source: where the number comes from.
        priority: weight of a shortfall when goals conflict.
    """

    table: str
    row: str
    hits: NDArray[np.float64] = field(repr=False)
    base: NDArray[np.float64] | None = field(repr=False)
    low: float
    high: float = float("inf")
    source: str = OURS
    priority: float = 1.0

    def measured(self, draws: NDArray[np.float64] | None = None) -> float:
        """Share in [0, 1] or count, every example drawn once or `draws` times; NaN if 0 / 0."""
        times = np.ones_like(self.hits) if draws is None else draws
        hits = float(times @ self.hits)
        if self.base is None:
            return hits
        base = float(times @ self.base)
        return hits / base if base else float("nan")

    def verdict(self, draws: NDArray[np.float64] | None = None) -> Verdict:
        """Whether the measured value lies in the band, bounds included."""
        value = self.measured(draws)
        return "yes" if self.low - 1e-12 <= value <= self.high + 1e-12 else "no"

    @property
    def target(self) -> str:
        """The band in words, such as `30–35 %` or `≥ 40`.

        >>> Goal("density", "none", np.ones(1), np.ones(1), 0.30, 0.35).target
        '30–35 %'
        """
        if self.base is None:
            return f"≥ {self.low:g}"
        if self.high == float("inf"):
            return f"≥ {round(100 * self.low, 1):g} %"
        return f"{round(100 * self.low, 1):g}–{round(100 * self.high, 1):g} %"


def density_goals(features: Features) -> list[Goal]:
    """The four strata of tag density, as shares of all examples (section 6)."""
    everyone = np.ones(len(features))
    stratum = np.searchsorted([row[0] for row in DENSITY.values()], features.n_tags, "right") - 1
    return [
        Goal("density", name, (stratum == k).astype(float), everyone, low, high, "section 6", 100)
        for k, (name, (_, low, high)) in enumerate(DENSITY.items())
    ]


def tag_share_goals(features: Features) -> list[Goal]:
    """Minimum share of each tag among tagged examples; bands for `[pause]` and CAPS (section 5)."""
    goals = [
        Goal("tags", f"[{tag}]", features.has(tag), features.tagged, low, source="section 5",
             priority=10)
        for tag, (low, *_) in MINIMUMS.items()
    ]  # fmt: skip
    frequent = {"[pause]": features.has("pause"), "CAPS": features.caps * features.tagged}
    for name, hits in frequent.items():
        goals.append(Goal("tags", name, hits, features.tagged, *FREQUENT[:2], "section 5", 10))
    return goals


def tag_count_goals(features: Features) -> list[Goal]:
    """At least 40 examples of each of the 17 tags (section 6)."""
    return [
        Goal("examples", f"[{tag}]", features.has(tag), None, EXAMPLES_PER_TAG,
             source="section 6", priority=10)
        for tag in tags.TAGS
    ]  # fmt: skip


def length_edges(window_seconds: float | None) -> tuple[float, float]:
    """Seconds at which short ends and long begins.

    Real data: 10 and 30 s, as the note has them. In a model with a shorter window no clip is ever
    long in that sense; there the strata are thirds of the window.

    Args:
        window_seconds: the model's window; `None` for real data.

    >>> length_edges(None)
    (10.0, 30.0)
    >>> length_edges(9.0)
    (3.0, 6.0)
    """
    return (10.0, 30.0) if window_seconds is None else (window_seconds / 3, 2 * window_seconds / 3)


def axis_goals(features: Features, window_seconds: float | None = None) -> list[Goal]:
    """Stratification axes of section 3 other than density; axes that are not known are absent.

    Emotion and non-verbal sounds are shares of the axis' tag occurrences, so that the categories
    add up to one; valence, length and gender are shares of all examples.
    """
    goals = [
        *_tag_axis(features, "emotion", ("excited", "sad", "angry", "nervous", "calm",
                                         "frustrated")),
        *_tag_axis(features, "non-verbal", tags.GROUPS["nonverbal"]),
    ]  # fmt: skip
    signs = {"positive": 1, "negative": -1, "neutral": 0}
    masks = {name: features.valence == sign for name, sign in signs.items()}
    goals += _partition("valence", masks)
    seconds, gender = features.known("seconds"), features.known("gender")
    if seconds is not None:
        low, high = length_edges(window_seconds)
        bins = np.digitize(np.array(seconds, dtype=float), (low, high))
        spans = (f"< {low:.3g} s", f"{low:.3g}–{high:.3g} s", f"≥ {high:.3g} s")
        names = (f"{name} ({span})" for name, span in zip(LENGTHS, spans, strict=True))
        goals += _partition("length", {name: bins == k for k, name in enumerate(names)})
    if gender is not None:
        values = np.array(gender)
        masks = {name: values == name for name in ("male", "female", "neutral")}
        goals += _partition("gender", masks)
    return goals


def _tag_axis(features: Features, axis: str, names: tuple[str, ...]) -> Iterator[Goal]:
    columns = features.occurrences[:, [tags.TAGS.index(name) for name in names]]
    for k, name in enumerate(names):
        yield Goal(axis, name, columns[:, k], columns.sum(axis=1), FAIR / len(names))


def _partition(axis: str, masks: dict[str, NDArray[np.bool_]]) -> Iterator[Goal]:
    for name, mask in masks.items():
        yield Goal(axis, name, mask.astype(float), np.ones(len(mask)), FAIR / len(masks))


def position_goals(features: Features) -> list[Goal]:
    """Tags in every third of the text, and both close and wide spacing (section 6)."""
    total = features.thirds.sum(axis=1)
    goals = [
        Goal("position", name, features.thirds[:, k], total, FAIR / 3)
        for k, name in enumerate(("beginning", "middle", "end"))
    ]
    pairs = np.array([len(gap) for gap in features.gaps], dtype=float)
    close = np.array([np.sum(gap <= CLOSE_WORDS) for gap in features.gaps], dtype=float)
    wide = np.array([np.sum(gap >= WIDE_WORDS) for gap in features.gaps], dtype=float)
    names = (f"close (≤ {CLOSE_WORDS} words)", f"wide (≥ {WIDE_WORDS} words)")
    for name, hits in zip(names, (close, wide), strict=True):
        goals.append(Goal("spacing", name, hits, pairs, SPACING_FLOOR))
    return goals


def all_goals(features: Features, window_seconds: float | None = None) -> list[Goal]:
    """Every linear goal of the note that the data can be measured on, tables in order."""
    return [
        *density_goals(features),
        *tag_share_goals(features),
        *tag_count_goals(features),
        *axis_goals(features, window_seconds),
        *position_goals(features),
    ]
