"""The speakers: espeak-ng accents crossed with formant variants, two of them held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evoxtral import UserError


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker.

    Attributes:
        id: Name used in metadata.
        espeak_name: Accent and variant as espeak-ng knows them.
        gender: Decides the whisper variant and the vocal tract of synthesised events.
        base_pitch: espeak-ng pitch of neutral speech, 0 to 99.
        base_rate: Neutral speaking rate in words per minute.
        f0: Median pitch of neutral speech in Hz, measured by autocorrelation.
        held_out: Never used for training.
    """

    id: str
    espeak_name: str
    gender: Literal["female", "male"]
    base_pitch: int
    base_rate: int
    f0: float
    held_out: bool = False

    @property
    def whisper_name(self) -> str:
        """The same accent, whispered."""
        accent = self.espeak_name.split("+")[0]
        return f"{accent}+{'whisperf' if self.gender == 'female' else 'whisper'}"


# espeak-ng 1.52 refuses the language names `en-gb` and `en-uk`; British English is `en`.
VOICES: tuple[Voice, ...] = (
    Voice("ada", "en-us+f3", "female", 50, 178, 200),
    Voice("ben", "en-us", "male", 52, 180, 100),
    Voice("cara", "en+f2", "female", 47, 184, 181),
    Voice("dan", "en+m3", "male", 55, 190, 105),
    Voice("elsie", "en-gb-scotland+f4", "female", 54, 176, 179),
    Voice("fergus", "en-gb-scotland+m1", "male", 58, 172, 98),
    Voice("grace", "en-gb-x-rp+f5", "female", 44, 186, 185),
    Voice("hugo", "en-gb-x-rp+m2", "male", 48, 174, 95),
    Voice("iris", "en-us+Annie", "female", 40, 190, 206),
    Voice("jack", "en-us+m7", "male", 56, 184, 107),
    Voice("kate", "en-gb-x-gbclan+f1", "female", 56, 180, 182),
    Voice("liam", "en-us-nyc+Reed", "male", 54, 188, 115),
    Voice("mona", "en-us+belinda", "female", 36, 182, 188, held_out=True),
    Voice("noah", "en+m4", "male", 58, 182, 96, held_out=True),
)
"""Fourteen speakers, half of them female; the last two are heard in tests only."""

TRAINING_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if not voice.held_out)
HELD_OUT_VOICES: tuple[Voice, ...] = tuple(voice for voice in VOICES if voice.held_out)

_BY_ID = {voice.id: voice for voice in VOICES}


def find_voice(voice_id: str) -> Voice:
    """The voice of that name.

    Raises:
        UserError: There is none.
    """
    if voice_id not in _BY_ID:
        raise UserError(f"no voice {voice_id!r}; choose one of {', '.join(_BY_ID)}")
    return _BY_ID[voice_id]
