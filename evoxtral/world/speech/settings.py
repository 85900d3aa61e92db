"""How much clips vary, and how long they may be."""

from __future__ import annotations

from dataclasses import dataclass

from evoxtral.world.speech.score import UnknownTags

WINDOW_SECONDS = 8.0
"""What the embedded model hears at once."""

MAX_SECONDS = 7.8
"""Longest clip that is safe to put into the window."""

Range = tuple[float, float]


@dataclass(frozen=True)
class RenderSettings:
    """How much clips vary; every range is drawn from once per clip unless said otherwise.

    Attributes:
        rate: Change of the speaker's rate.
        pitch: Semitones from the speaker's pitch.
        range: Steps of espeak-ng's pitch range.
        tract: Factor on all formants and the pitch: a shorter or longer vocal tract.
        tilt: dB above 1.5 kHz.
        breath: Level of aspiration noise relative to the voice.
        phrase_gain: dB, drawn for each phrase.
        level: Level of neutral speech in dB relative to full scale.
        noise: Signal-to-noise ratio in dB.
        room: Chance of a reverberant room.
        lead: Seconds of silence before the first sound.
        tail: Seconds of silence after the last.
        gap: Seconds between sentences.
        ellipsis: Seconds after a sentence that trails off.
        joint: Seconds where the manner changes within a sentence.
        breath_gap: Seconds before and after a vocal event.
        pause: Seconds of a `[pause]`, instead of the gap.
        effects: Whether manners change the sound of the voice beyond espeak-ng's own prosody.
        unknown_tags: What to do with tags outside the vocabulary.
    """

    rate: Range = (-0.12, 0.12)
    pitch: Range = (-2.0, 2.0)
    range: Range = (-12.0, 12.0)
    tract: Range = (0.95, 1.05)
    tilt: Range = (-2.0, 2.0)
    breath: Range = (0.0, 0.03)
    phrase_gain: Range = (-1.5, 1.5)
    level: Range = (-30.0, -20.0)
    noise: Range = (22.0, 45.0)
    room: float = 0.5
    lead: Range = (0.05, 0.3)
    tail: Range = (0.05, 0.3)
    gap: Range = (0.1, 0.25)
    ellipsis: Range = (0.2, 0.33)
    joint: Range = (0.02, 0.08)
    breath_gap: Range = (0.04, 0.15)
    pause: Range = (0.5, 1.0)
    effects: bool = True
    unknown_tags: UnknownTags = "ignore"
