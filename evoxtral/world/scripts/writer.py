"""Write one script: draw its tags, compose words that suit them or do not, set the tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evoxtral.world.scripts.compose import any_mood, compose
from evoxtral.world.scripts.grammar import pick
from evoxtral.world.scripts.placement import Draft
from evoxtral.world.scripts.plan import CUES, EVENTS, STATES
from evoxtral.world.scripts.script import MAX_SECONDS, MAX_WORDS, tag_seconds, words_in

if TYPE_CHECKING:
    import random

    from evoxtral.world.scripts.family import Family
    from evoxtral.world.scripts.plan import TagDrawer


CUE_SHARE = 0.5
"""Share of coloured sentences whose words suit the colour; the others are lexically neutral."""

EMPHASIS_SHARE = {"tagged": 0.66, "untagged": 0.08}
_STAMMERING = frozenset(("nervous", "scared", "confused"))


@dataclass(frozen=True, slots=True)
class Brief:
    """What a script is to be made of.

    Attributes:
        family: Supplies the sentence frames.
        domain: One of `DOMAINS`.
        drawer: Draws the tags.
    """

    family: Family
    domain: str
    drawer: TagDrawer


def word_limit(tags: tuple[str, ...]) -> int:
    """Return how many words still fit the time limit beside these tags (at most 16)."""
    return min(MAX_WORDS, words_in(MAX_SECONDS - sum(map(tag_seconds, tags))))


def draft(
    rng: random.Random, brief: Brief, tags: tuple[str, ...], n_words: int | None = None
) -> Draft | None:
    """Write a text for these tags and set them into it.

    Args:
        rng: Source of all randomness.
        brief: Family, domain and tag drawer.
        tags: The tags to set, in any order.
        n_words: Most words; drawn from the length strata if not given.

    Returns:
        The draft, or None where no frame fitted (draw again).
    """
    limit = word_limit(tags)
    room = min(n_words, limit) if n_words else _draw_length(rng, len(tags), limit)
    states = [tag for tag in tags if tag in STATES]
    count = _sentence_count(rng, room, len(states))
    turns = sorted(range(count), key=lambda _: rng.random())
    owners = [turns[i % count] for i in range(len(states))]
    near, moods = _moods(rng, tags, dict(zip(owners[::-1], states[::-1], strict=True)), count)
    sentences = compose(rng, brief.family, brief.domain, moods, room)
    if len(sentences) < count:
        return None
    written = Draft(sentences)
    if not all(written.add_state(rng, *pair) for pair in zip(states, owners, strict=True)):
        return None
    shaky = {s for tag, s in zip(states, owners, strict=True) if tag in _STAMMERING}
    for tag in tags:
        if tag == "stammers":
            written.add_stammer(rng, shaky or range(count))
        elif tag not in STATES and not written.add_moment(rng, tag, near.get(tag)):
            return None
    if rng.random() < EMPHASIS_SHARE["tagged" if tags else "untagged"]:
        written.emphasise(rng, 1 if rng.random() < 0.7 else 2)
    return written


def _draw_length(rng: random.Random, n_tags: int, limit: int) -> int:
    """Draw a length stratum: a few words, half a window, or as much as fits."""
    draw = rng.random()
    if n_tags <= 2 and draw < 0.12:
        return rng.randint(2, 4)
    if n_tags <= 4 and draw < 0.40:
        return rng.randint(5, 8)
    return rng.randint(min(9, limit), limit)


def _sentence_count(rng: random.Random, room: int, n_states: int) -> int:
    if room <= 4:
        return 1
    natural = rng.randint(1, 2) if room <= 8 else pick(rng, (1, 2, 2, 3))
    return max(natural, min(n_states, room // 3, 3))


def _moods(
    rng: random.Random, tags: tuple[str, ...], colours: dict[int, str], count: int
) -> tuple[dict[str, int], list[str]]:
    """Choose each sentence's mood.

    Returns:
        The event tags that are tied to a sentence, with it, and the mood of every sentence.
    """
    events = [tag for tag in tags if tag in EVENTS]
    near: dict[str, int] = {}
    moods = []
    for s in range(count):
        colour = colours.get(s)
        if colour is None and len(near) < len(events) and rng.random() < 0.6:
            colour = events[len(near)]
            near[colour] = s
        if colour in CUES:
            moods.append(pick(rng, CUES[colour]) if rng.random() < CUE_SHARE else "neutral")
        else:
            moods.append(any_mood(rng))
    return near, moods
