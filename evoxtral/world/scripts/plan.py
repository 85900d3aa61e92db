"""Which tags a script gets: which, how often, and which go together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from evoxtral.tags import GROUPS, TAGS

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable


STATES: frozenset[str] = frozenset((*GROUPS["emotion"], "whispers", "shouts"))
"""Tags that colour the words after them; all others are moments between words."""

EVENTS: tuple[str, ...] = GROUPS["nonverbal"]

TAG_WEIGHTS: dict[str, float] = {
    "pause": 13.0,
    "sighs": 3.1,
    "whispers": 3.3,
    "nervous": 2.8,
    "clears throat": 2.5,
    "laughs": 2.4,
    "excited": 2.4,
    "gasps": 2.0,
    "stammers": 1.5,
    "frustrated": 1.8,
    "calm": 1.8,
    "angry": 1.2,
    "shouts": 1.0,
    "sad": 1.0,
    "crying": 0.8,
    "confused": 0.8,
    "scared": 0.6,
}
"""Relative frequency of tags: the released scripts' long tail, with its end lifted."""

CUES: dict[str, tuple[str, ...]] = {
    "excited": ("good", "surprise"),
    "sad": ("bad",),
    "angry": ("heated",),
    "nervous": ("unsure", "dark", "bad", "secret"),
    "calm": ("soft", "good"),
    "frustrated": ("heated", "bad"),
    "confused": ("unsure", "surprise"),
    "scared": ("dark",),
    "whispers": ("secret", "dark", "soft"),
    "shouts": ("heated", "surprise", "good"),
    "laughs": ("good", "surprise"),
    "sighs": ("bad", "heated", "soft"),
    "gasps": ("surprise", "dark"),
    "crying": ("bad",),
}
"""Moods of the words that go with a tag, where the words go with it at all."""

_TOGETHER: dict[frozenset[str], float] = {
    frozenset(pair): factor
    for pair, factor in {
        ("nervous", "stammers"): 4.0,
        ("scared", "stammers"): 2.0,
        ("confused", "stammers"): 1.5,
        ("sad", "crying"): 4.0,
        ("sad", "sighs"): 2.0,
        ("frustrated", "sighs"): 2.0,
        ("angry", "shouts"): 4.0,
        ("excited", "laughs"): 2.0,
        ("excited", "gasps"): 1.5,
        ("scared", "gasps"): 3.0,
        ("scared", "whispers"): 2.0,
        ("nervous", "clears throat"): 2.0,
        ("angry", "calm"): 0.3,
        ("scared", "calm"): 0.3,
        ("shouts", "calm"): 0.2,
        ("excited", "sad"): 0.2,
        ("laughs", "crying"): 0.3,
        ("laughs", "sad"): 0.4,
        ("laughs", "angry"): 0.4,
        ("laughs", "scared"): 0.4,
        ("crying", "excited"): 0.3,
        ("crying", "calm"): 0.4,
    }.items()
}

_DOMAIN_FACTOR = 1.6
_DOMAIN_TAGS: dict[str, tuple[str, ...]] = {
    "conversation": ("laughs", "excited", "confused", "gasps"),
    "monologue": ("calm", "sad", "sighs", "crying"),
    "podcast": ("laughs", "excited", "calm", "clears throat"),
    "presentation": ("clears throat", "pause", "calm", "nervous"),
    "argument": ("angry", "frustrated", "shouts", "crying"),
    "storytelling": ("scared", "gasps", "whispers", "pause"),
    "interview": ("nervous", "stammers", "clears throat", "laughs"),
    "voicemail": ("sighs", "nervous", "frustrated", "sad"),
}

_GROUP = {tag: group for group, members in GROUPS.items() for tag in members}
_MOST_OF_A_GROUP = 3
_MOST_PAUSES = 3


class TagDrawer:
    """Draws the tags of one script after another.

    With `balanced` it knows how often each tag has been used and prefers what is behind, so that
    all 17 come about equally often; without, every script is drawn from `TAG_WEIGHTS`.
    """

    def __init__(self, *, balanced: bool) -> None:
        self._balanced = balanced
        self._used: Counter[str] = Counter()

    def record(self, tags: Iterable[str]) -> None:
        """Note the tags of a script that was kept."""
        self._used.update(set(tags))

    def draw(
        self, rng: random.Random, n: int, domain: str, among: Collection[str] = TAGS
    ) -> tuple[str, ...]:
        """Draw `n` tags (0–7) that go together, in drawing order; only a pause may repeat."""
        chosen: list[str] = []
        options = [tag for tag in TAGS if tag in among]
        while len(chosen) < n:
            weights = [self._weight(tag, chosen, domain) for tag in options]
            chosen += rng.choices(options, weights)
        return tuple(chosen)

    def _weight(self, tag: str, chosen: list[str], domain: str) -> float:
        repeats = chosen.count(tag)
        if repeats >= (_MOST_PAUSES if tag == "pause" else 1):
            return 0.0
        if sum(_GROUP[other] == _GROUP[tag] for other in chosen) >= _MOST_OF_A_GROUP:
            return 0.0
        if self._balanced:
            behind = self._used[tag] - min(self._used[other] for other in TAGS)
            weight = 0.5 ** min(behind, 20)
        else:
            weight = TAG_WEIGHTS[tag] * (_DOMAIN_FACTOR if tag in _DOMAIN_TAGS[domain] else 1.0)
        for other in chosen:
            weight *= _TOGETHER.get(frozenset((tag, other)), 1.0)
        return weight / (1 + 2 * repeats)
