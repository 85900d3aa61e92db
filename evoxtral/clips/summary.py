"""Counts that say what a set of clips can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from evoxtral import UserError, tags
from evoxtral.clips.clip import Clip

STRATA = ("short", "medium", "long")


def length_stratum(seconds: float, window: float) -> str:
    """Length of a clip as a fraction of what the model hears at once.

    Args:
        seconds: Duration.
        window: The model's window in seconds.

    Returns:
        `short` below a third of the window, `long` above two thirds, else `medium`.

    >>> [length_stratum(seconds, 9) for seconds in (2.9, 3, 6, 6.1)]
    ['short', 'medium', 'medium', 'long']
    """
    if seconds < window / 3:
        return "short"
    return "long" if seconds > window * 2 / 3 else "medium"


def length_shares(clips: Iterable[Clip], window: float) -> dict[str, float]:
    """Share of clips in each of `STRATA`, in [0, 1]; all 0 without clips.

    Raises:
        UserError: The duration of a clip is not known.
    """
    counts = Counter()
    for clip in clips:
        if clip.seconds is None:
            raise UserError(f"the duration of clip {clip.id!r} is not known: validate it first")
        counts[length_stratum(clip.seconds, window)] += 1
    total = max(1, counts.total())
    return {stratum: counts[stratum] / total for stratum in STRATA}


def tag_support(clips: Iterable[Clip]) -> dict[str, int]:
    """Occurrences of each tag: the report's 17 in their order, 0 included, then others by name."""
    counts = Counter(mark.name for clip in clips for mark in clip.tags)
    others = sorted(set(counts) - set(tags.TAGS))
    return {tag: counts[tag] for tag in (*tags.TAGS, *others)}
