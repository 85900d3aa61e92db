"""What the composition note asks of a training set: linear goals, and what they count.

A goal is `low <= hits / base <= high`, where hits and base are sums over the examples.
`composition` reads a goal's measured value; `balance` takes the same goals as constraints on how
often to draw each example, so that what is measured is what was aimed at.

Where the note gives a number, the goal has it. Where it only says "balanced" or "varied", the goal
is ours: every category of an axis holds at least half of an equal share (`FAIR`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evoxtral import UserError, tags

Array = NDArray[np.float64]

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

FAIR = 0.5
CLOSE_WORDS = 3
WIDE_WORDS = 8
SPACING_FLOOR = 0.10


@dataclass(frozen=True, slots=True)
class Item:
    """One example: a script, or a clip made of it. `None` means not known, never "none"."""

    id: str
    tagged_text: str
    plain_text: str
    domain: str
    voice: str | None = None
    gender: str | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, row: Any) -> Item:
        """Make an item of a script, a clip, or anything else with attributes of these names."""
        known = (row.id, row.tagged_text, row.plain_text, row.domain)
        return cls(*known, *(getattr(row, name, None) for name in ("voice", "gender", "seconds")))


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
        priority: weight of a shortfall when goals conflict.
    """

    table: str
    row: str
    hits: Array = field(repr=False)
    base: Array | None = field(repr=False)
    low: float
    high: float = float("inf")
    priority: float = 1.0

    def measured(self, draws: Array | None = None) -> float:
        """Share in [0, 1] or count, every example drawn once or `draws` times; NaN if 0 / 0."""
        times = np.ones_like(self.hits) if draws is None else draws
        hits = float(times @ self.hits)
        if self.base is None:
            return hits
        base = float(times @ self.base)
        return hits / base if base else float("nan")

    def verdict(self, draws: Array | None = None) -> Verdict:
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


def goals(items: Sequence[Item], window_seconds: float | None = None) -> list[Goal]:
    """Every linear goal of the note that the examples can be measured on, tables in order.

    Args:
        items: at least one.
        window_seconds: the model's window, for length strata; `None` for real data.

    Raises:
        UserError: there are no examples.
    """
    if not items:
        raise UserError("no examples: a composition needs at least one")
    texts = [tags.parse(item.tagged_text) for item in items]
    names = [[tag.name for tag in text.tags] for text in texts]
    counts = np.array([[own.count(tag) for tag in tags.TAGS] for own in names], dtype=float)
    return [
        *_density(np.array([len(own) for own in names])),
        *_tags(items, counts, np.array([float(bool(own)) for own in names])),
        *_axes(items, counts, window_seconds),
        *_places(texts),
    ]


def _density(n_tags: NDArray[np.int64]) -> list[Goal]:
    """The four strata of tag density, as shares of all examples (section 6)."""
    stratum = np.searchsorted([row[0] for row in DENSITY.values()], n_tags, "right") - 1
    return [
        Goal("density", name, (stratum == k).astype(float), np.ones(len(n_tags)), low, high, 100)
        for k, (name, (_, low, high)) in enumerate(DENSITY.items())
    ]


def _tags(items: Sequence[Item], counts: Array, tagged: Array) -> Iterator[Goal]:
    """Shares of tagged examples (section 5), then 40 examples of each tag (section 6)."""
    has = dict(zip(tags.TAGS, (counts > 0).astype(float).T, strict=True))
    for tag, (low, *_) in MINIMUMS.items():
        yield Goal("tags", f"[{tag}]", has[tag], tagged, low, priority=10)
    plain = (tags.strip_tags(item.tagged_text) for item in items)
    caps = np.array([float(bool(tags.emphasis_words(text))) for text in plain])
    for name, hits in (("[pause]", has["pause"]), ("CAPS", caps * tagged)):
        yield Goal("tags", name, hits, tagged, *FREQUENT[:2], 10)
    for tag, hits in has.items():
        yield Goal("examples", f"[{tag}]", hits, None, EXAMPLES_PER_TAG, priority=10)


def length_edges(window_seconds: float | None) -> tuple[float, float]:
    """Seconds at which short ends and long begins.

    Real data (`None`): 10 and 30 s, as the note has them; thirds of a model's shorter window.

    >>> length_edges(None)
    (10.0, 30.0)
    >>> length_edges(9.0)
    (3.0, 6.0)
    """
    return (10.0, 30.0) if window_seconds is None else (window_seconds / 3, 2 * window_seconds / 3)


def known(items: Sequence[Item], name: str) -> list[Any] | None:
    """Values of an optional field of all items, or `None` if a single one is missing."""
    values = [getattr(item, name) for item in items]
    return None if None in values else values


def _axes(items: Sequence[Item], counts: Array, window_seconds: float | None) -> Iterator[Goal]:
    """Stratification axes of section 3 other than density; axes that are not known are absent.

    Emotion and non-verbal sounds are shares of the axis' tag occurrences, so that the categories
    add up to one; valence, length and gender are shares of all examples.
    """
    emotions = ("excited", "sad", "angry", "nervous", "calm", "frustrated")
    for axis, names in (("emotion", emotions), ("non-verbal", tags.GROUPS["nonverbal"])):
        columns = counts[:, [tags.TAGS.index(name) for name in names]]
        for name, hits in zip(names, columns.T, strict=True):
            yield Goal(axis, name, hits, columns.sum(axis=1), FAIR / len(names))
    sign = {"positive": 1, "negative": -1, "neutral": 0}
    valence = np.sign(counts @ np.array([sign[tags.VALENCE[name]] for name in tags.TAGS]))
    strata = {"valence": {name: valence == value for name, value in sign.items()}}
    if seconds := known(items, "seconds"):
        low, high = length_edges(window_seconds)
        bins = np.digitize(np.array(seconds, dtype=float), (low, high))
        spans = (f"short (< {low:.3g} s)", f"medium ({low:.3g}–{high:.3g} s)",
                 f"long (≥ {high:.3g} s)")  # fmt: skip
        strata["length"] = {name: bins == k for k, name in enumerate(spans)}
    if gender := known(items, "gender"):
        voices = ("male", "female", "neutral")
        strata["gender"] = {name: np.array(gender) == name for name in voices}
    for axis, masks in strata.items():
        for name, mask in masks.items():
            yield Goal(axis, name, mask.astype(float), np.ones(len(items)), FAIR / len(masks))


def _places(texts: Sequence[tags.Transcript]) -> Iterator[Goal]:
    """Tags in every third of the text, and both close and wide spacing (section 6)."""
    places = [np.array([tag.word_index for tag in text.tags], dtype=int) for text in texts]
    thirds = [
        np.minimum(3 * (place / max(len(text.words), 1)), 2).astype(int)
        for text, place in zip(texts, places, strict=True)
    ]
    total = np.array([len(place) for place in places], dtype=float)
    for k, name in enumerate(("beginning", "middle", "end")):
        hits = np.array([np.sum(third == k) for third in thirds], dtype=float)
        yield Goal("position", name, hits, total, FAIR / 3)
    gaps = [np.diff(place) for place in places]
    pairs = np.array([len(gap) for gap in gaps], dtype=float)
    close = np.array([np.sum(gap <= CLOSE_WORDS) for gap in gaps], dtype=float)
    wide = np.array([np.sum(gap >= WIDE_WORDS) for gap in gaps], dtype=float)
    yield Goal("spacing", f"close (≤ {CLOSE_WORDS} words)", close, pairs, SPACING_FLOOR)
    yield Goal("spacing", f"wide (≥ {WIDE_WORDS} words)", wide, pairs, SPACING_FLOOR)
