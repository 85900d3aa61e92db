"""The edge slice: deliberate corner cases of tagged transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoxtral.tags import GROUPS, TAGS
from evoxtral.world.scripts.grammar import compile_production, pick, sentence, table
from evoxtral.world.scripts.phrases import MOODS
from evoxtral.world.scripts.placement import Draft
from evoxtral.world.scripts.plan import EVENTS, STATES
from evoxtral.world.scripts.stock import TAG_WORDS_SPOKEN, WORDS_ALONE
from evoxtral.world.scripts.writer import draft, word_limit

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from evoxtral.world.scripts.writer import Brief


def _expanded(rng: random.Random, brief: Brief, options: tuple[str, ...], mood: str) -> list[str]:
    return sentence(compile_production(pick(rng, options)), table(brief.domain, mood), rng)


def event_at_end(rng: random.Random, brief: Brief) -> Draft | None:
    """A sound after the last word."""
    (event,) = brief.drawer.draw(rng, 1, brief.domain, EVENTS)
    others = brief.drawer.draw(rng, rng.randint(0, 2), brief.domain, STATES)
    written = draft(rng, brief, others, word_limit((*others, event)))
    if written:
        written.set_moment(written.end, event)
    return written


def event_at_start(rng: random.Random, brief: Brief) -> Draft | None:
    """A sound before the first word."""
    (event,) = brief.drawer.draw(rng, 1, brief.domain, EVENTS)
    written = draft(rng, brief, (), word_limit((event,)))
    if written:
        written.set_moment((0, 0), event)
    return written


def one_word(rng: random.Random, brief: Brief) -> Draft:
    """A tag and a single word."""
    (tag,) = brief.drawer.draw(rng, 1, brief.domain, set(TAGS) - {"pause"})
    written = Draft([_expanded(rng, brief, WORDS_ALONE, pick(rng, MOODS))])
    if tag in STATES:
        written.add_state(rng, tag, 0)
    else:
        written.set_moment((0, 0) if tag == "stammers" else pick(rng, written.gaps()), tag)
    return written


def repeated_event(rng: random.Random, brief: Brief) -> Draft | None:
    """The same sound twice, at different places."""
    (event,) = brief.drawer.draw(rng, 1, brief.domain, EVENTS)
    written = draft(rng, brief, (event,), word_limit((event, event)))
    return written if written and written.add_moment(rng, event) else None


def adjacent_tags(rng: random.Random, brief: Brief) -> Draft | None:
    """A sound, an emotion and perhaps a way of speaking in one place."""
    (event,) = brief.drawer.draw(rng, 1, brief.domain, EVENTS)
    (emotion,) = brief.drawer.draw(rng, 1, brief.domain, GROUPS["emotion"])
    states = [emotion, *brief.drawer.draw(rng, rng.randint(0, 1), brief.domain, ("whispers",))]
    written = draft(rng, brief, (), word_limit((event,)))
    if written:
        owner = int(rng.random() * len(written.sentences))
        written.set_moment((owner, 0), event)
        written.states[owner, 0] = states
    return written


def spoken_tag_words(rng: random.Random, brief: Brief) -> Draft | None:
    """The words of the tags as words, mostly without any tag."""
    spoken = _expanded(rng, brief, TAG_WORDS_SPOKEN, pick(rng, MOODS))
    rest = draft(rng, brief, (), max(word_limit(()) - len(spoken) - 3, 1))
    sentences = [spoken, *(rest.sentences if rest and rng.random() < 0.6 else ())]
    written = Draft(sentences)
    if rng.random() < 0.4:
        (tag,) = brief.drawer.draw(rng, 1, brief.domain, STATES)
        written.add_state(rng, tag, 0)
    return written


def capitals_only(rng: random.Random, brief: Brief) -> Draft | None:
    """Emphasis without tags."""
    written = draft(rng, brief, ())
    if written:
        written.emphasise(rng, 3)
    return written


def pause_chain(rng: random.Random, brief: Brief) -> Draft | None:
    """Three or four pauses in a row of very short pieces."""
    count = rng.randint(3, 4)
    written = draft(rng, brief, (), word_limit(("pause",) * count))
    if written and all(written.add_moment(rng, "pause") for _ in range(count)):
        return written
    return None


def change_of_voice(rng: random.Random, brief: Brief) -> Draft | None:
    """A whisper next to a shout, or one emotion next to another."""
    among = ("whispers", "shouts") if rng.random() < 0.5 else GROUPS["emotion"]
    return draft(rng, brief, brief.drawer.draw(rng, 2, brief.domain, among))


def double_stammer(rng: random.Random, brief: Brief) -> Draft | None:
    """Two stumbles in one utterance."""
    return draft(rng, brief, ("stammers", "stammers"))


EDGE_CASES: tuple[Callable[[random.Random, Brief], Draft | None], ...] = (
    event_at_end,
    event_at_start,
    one_word,
    repeated_event,
    adjacent_tags,
    spoken_tag_words,
    spoken_tag_words,
    capitals_only,
    pause_chain,
    change_of_voice,
    double_stammer,
)
"""The corner cases, equally likely except for spoken tag words, which come twice as often."""
