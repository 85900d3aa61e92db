"""Who says what: scripts, voices and settings become requests with a price."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evoxtral import UserError, runs, tags
from evoxtral.clips.clip import Clip, RowError, complete
from evoxtral.world.scripts import Script

FORMAT = "pcm_16000"
"""16-bit little-endian mono samples at 16 kHz, as the models hear them: nothing to decode."""

MAX_CHARACTERS = 5_000
"""Longest text that `eleven_v3` takes, tags included."""

FASTEST = 6.0
"""Words per second that no voice exceeds: 360 a minute, about twice a brisk reader."""

_VOICE = re.compile(r"[A-Za-z0-9]{1,64}")


class SpeechSettings(BaseModel):
    """What decides how a text sounds, apart from text and voice; part of the cache's key.

    `eleven_v3` knows three stabilities: 0 (creative), 0.5 (natural) and 1 (robust, which hardly
    follows tags). `seed` is best effort for the provider: the same seed may sound different.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field("eleven_v3", min_length=1)
    stability: float = Field(0.5, ge=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**32)
    language: str | None = Field(None, pattern=r"^[a-z]{2}\z")


@dataclass(frozen=True, slots=True)
class CastVoice:
    """A voice of the provider: its id there, and its gender if known."""

    id: str
    gender: Literal["female", "male"] | None = None

    def __post_init__(self) -> None:
        # The id becomes part of the request's address.
        if not _VOICE.fullmatch(self.id):
            raise UserError(f"voice {self.id!r} is no id: give the letters and digits of its id")


@dataclass(frozen=True, slots=True)
class Line:
    """A script, the voice that speaks it, and the split the clip belongs to."""

    script: Script
    voice: CastVoice
    split: str

    def key(self, settings: SpeechSettings) -> str:
        """SHA-256 of all that decides the audio: the name under which it is kept."""
        return runs.digest(
            {
                "provider": "elevenlabs",
                "format": FORMAT,
                "text": self.script.tagged_text,
                "voice": self.voice.id,
                **settings.model_dump(),
            }
        )

    def clip(self) -> Clip:
        """The clip that the audio will make, still without duration and digest.

        Raises:
            UserError: Id, split or text cannot be those of a clip.
        """
        script = self.script
        row = {
            "file_name": f"{script.id}.flac",
            "id": script.id,
            "tagged_text": script.tagged_text,
            "slice": script.slice,
            "domain": script.domain,
            "template": script.template,
            "held_out": script.held_out,
            "voice": self.voice.id,
            "gender": self.voice.gender,
            "source": "synthetic",
        }
        try:
            return complete(row, self.split)
        except RowError as error:
            raise UserError(f"{script.id!r} cannot become a clip: {error}") from error


@dataclass(frozen=True)
class SpeechEstimate:
    """What is left to pay for a set of lines.

    Attributes:
        clips: Lines asked for.
        paid: Lines whose audio is in the cache.
        requests: Requests left; lines with equal text and voice share one.
        characters: Characters left, tags included, as they are billed.
        credits: The same in credits, None if nobody said what a character costs.
        price: The same in money, None likewise.
    """

    clips: int
    paid: int
    requests: int
    characters: int
    credits: float | None = field(default=None)
    price: float | None = field(default=None)

    def __str__(self) -> str:
        rates = [f"{self.characters:,} characters"]
        if self.credits is not None:
            rates.append(f"{self.credits:,.0f} credits")
        if self.price is not None:
            rates.append(f"{self.price:,.2f} in money")
        return (
            f"{self.clips} clips, {self.paid} of them paid for already; "
            f"{self.requests} requests left ({', '.join(rates)})"
        )


def cast(
    scripts: Iterable[Script], voices: Sequence[CastVoice], split: str, seed: int
) -> list[Line]:
    """Give every script a voice: all voices in random order, then all again, and so on.

    The composition note asks to go through speakers cyclically without replacement.

    Raises:
        UserError: No voices, or one twice.
    """
    if not voices or len({voice.id for voice in voices}) < len(voices):
        raise UserError("give at least one voice, and each only once")
    rng = random.Random(f"evoxtral cast {seed} {split}")
    lines: list[Line] = []
    turn: list[CastVoice] = []
    for script in scripts:
        turn = turn or rng.sample(list(voices), len(voices))
        lines.append(Line(script, turn.pop(), split))
    return lines


def estimate_speech(
    lines: Sequence[Line],
    settings: SpeechSettings,
    paid: Collection[str],
    *,
    credits_per_character: float | None = None,
    price_per_character: float | None = None,
) -> SpeechEstimate:
    """What is left to pay; prices depend on plan and model, so they are parameters.

    Args:
        lines: What to speak.
        settings: How.
        paid: Keys whose audio is there (`SpeechCache.keys`).
        credits_per_character: Of your plan and model, None if not known.
        price_per_character: Likewise, in any currency.

    Raises:
        UserError: A text has no words or is too long for one request, an id occurs twice, or a
            line cannot become a clip.
    """
    _check(lines)
    texts = {line.key(settings): line.script.tagged_text for line in lines}
    left = [text for key, text in texts.items() if key not in paid]
    characters = sum(map(len, left))
    return SpeechEstimate(
        clips=len(lines),
        paid=sum(line.key(settings) in paid for line in lines),
        requests=len(left),
        characters=characters,
        credits=None if credits_per_character is None else characters * credits_per_character,
        price=None if price_per_character is None else characters * price_per_character,
    )


def _check(lines: Sequence[Line]) -> None:
    """Find out before anything is paid for what would fail after."""
    seen: set[str] = set()
    for line in lines:
        name, text = line.script.id, line.script.tagged_text
        if name in seen:
            raise UserError(f"id {name!r} occurs more than once: give every script its own id")
        if not 0 < len(text) <= MAX_CHARACTERS:
            raise UserError(f"{name!r}: give 1 to {MAX_CHARACTERS:,} characters, not {len(text):,}")
        if not tags.strip_tags(text):
            raise UserError(f"{name!r} has no words to speak: {text!r}")
        line.clip()
        seen.add(name)


def least_seconds(tagged_text: str) -> float:
    """Seconds below which audio cannot hold all words of a text.

    >>> least_seconds("[sighs] I told you NOT to [pause] go there")
    1.1666666666666667
    """
    return len(tags.strip_tags(tagged_text).split()) / FASTEST
