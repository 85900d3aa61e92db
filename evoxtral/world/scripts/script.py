"""What a script is, and the strata scripts are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from evoxtral import tags

SLICES: dict[str, float] = {
    "plain": 0.25,
    "light": 0.25,
    "moderate": 0.25,
    "dense": 0.15,
    "edge": 0.10,
}
"""Share of scripts per tag-density slice: 0, 1–2, 3–4, 5–7 tags, and deliberate corner cases."""

DOMAINS: tuple[str, ...] = (
    "conversation",
    "monologue",
    "podcast",
    "presentation",
    "argument",
    "storytelling",
    "interview",
    "voicemail",
)

MAX_SECONDS = 7.0
"""No generated script is longer, by `estimated_seconds`: the audio window is 8 s."""

MAX_WORDS = 16
"""No generated script has more words."""

_WORDS_PER_SECOND = 3.2


@dataclass(frozen=True, slots=True)
class Script:
    """One line to be spoken, with its expression written in ElevenLabs-style tags.

    Attributes:
        id: Stable identifier: ``g-<seed>-000123`` (generated) or ``r-0123`` (released).
        tagged_text: The transcript with ``[tags]`` and CAPS emphasis: the training target.
        slice: A key of `SLICES`, or the released file's own name for it.
        domain: One of `DOMAINS`, or the released file's own string.
        template: Name of the template family, ``released`` for the released scripts.
        held_out: True if the family is kept out of all training.
    """

    id: str
    tagged_text: str
    slice: str
    domain: str
    template: str
    held_out: bool

    @property
    def plain_text(self) -> str:
        """The transcript without tags, CAPS words in lower case."""
        return tags.plain_text(self.tagged_text)


def tag_seconds(tag: str) -> float:
    """Return the time a tag takes by itself: events and pauses 0.7 s, a stammer 0.3 s, else 0.

    Examples:
        >>> tag_seconds("sighs"), tag_seconds("sad")
        (0.7, 0.0)
    """
    if tag == "stammers":
        return 0.3
    return 0.7 if tags.group_of(tag) in ("nonverbal", "pause") else 0.0


def words_in(seconds: float) -> int:
    """Return how many words are spoken in `seconds`, at 3.2 per second (espeak, 190 per minute)."""
    return int(seconds * _WORDS_PER_SECOND)


def estimated_seconds(tagged_text: str) -> float:
    """Estimate how long a script takes to speak, in seconds.

    Examples:
        >>> round(estimated_seconds("[sad] It's gone. [pause] All of it."), 2)
        2.26
    """
    words = len(tags.strip_tags(tagged_text).split())
    return words / _WORDS_PER_SECOND + sum(map(tag_seconds, tags.find_tags(tagged_text)))


def fits(tagged_text: str) -> bool:
    """Whether a script keeps to `MAX_SECONDS` and `MAX_WORDS`."""
    words = len(tags.strip_tags(tagged_text).split())
    return words <= MAX_WORDS and estimated_seconds(tagged_text) <= MAX_SECONDS
