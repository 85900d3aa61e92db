"""Tagged text in, speech out: same text, voice, seed and settings, same bytes.

The text becomes a score (`score`), each phrase gets a manner (`prosody`), one fork of espeak-ng
speaks all phrases (`espeak`), their sound is changed (`effects`), vocal events (`vocal`) and gaps
go between them (`perform`), and the whole is put into a room (`room`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evoxtral.world.speech.perform import perform
from evoxtral.world.speech.room import background, reverberate
from evoxtral.world.speech.score import read_score
from evoxtral.world.speech.settings import RenderSettings
from evoxtral.world.speech.take import SAMPLE_RATE, Take, join, silence
from evoxtral.world.speech.voices import Voice

Span = tuple[float, float, str]

_PEAK = 0.97


@dataclass(frozen=True)
class Rendered:
    """A clip; spans are (start, end, label) in seconds, in order of their start.

    Attributes:
        audio: Samples in [-1, 1], float32, shape (n,), 16 kHz. They lie on the 16-bit grid, so
            16-bit files hold them exactly.
        phonemes: espeak-ng's phonemes without stress marks; what lies between them is not speech.
        words: As spelt in the tagged text.
        events: Vocal events and pauses.
        styles: Emotions, deliveries, stammers and `emphasis`.
    """

    audio: npt.NDArray[np.float32]
    phonemes: tuple[Span, ...]
    words: tuple[Span, ...]
    events: tuple[Span, ...]
    styles: tuple[Span, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.audio) / SAMPLE_RATE


def render(
    tagged_text: str, voice: Voice, seed: int, settings: RenderSettings | None = None
) -> Rendered:
    """Perform a tagged text.

    Args:
        tagged_text: Words, `[tags]` and CAPITALS; without any of these, neutral speech.
        voice: The speaker.
        seed: Decides everything that is drawn, at least 0.
        settings: Ranges to draw from; the defaults of `RenderSettings` if None.

    Raises:
        UserError: A tag is unknown and `settings.unknown_tags` is `error`.
    """
    settings = settings or RenderSettings()
    rng = np.random.default_rng(seed)
    dry = perform(read_score(tagged_text, settings.unknown_tags), voice, settings, rng)
    take = join([silence(rng.uniform(*settings.lead)), dry, silence(rng.uniform(*settings.tail))])
    audio = _record(take.audio, settings, rng)
    spans = {kind: _spans(take, kind) for kind in ("phoneme", "word", "event", "style")}
    return Rendered(audio, spans["phoneme"], spans["word"], spans["event"], spans["style"])


def _record(
    audio: npt.NDArray[np.float64], settings: RenderSettings, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Room, noise and level, on the 16-bit grid."""
    if rng.random() < settings.room:
        audio = reverberate(audio, rng)
    noise = 10 ** (-rng.uniform(*settings.noise) / 20)
    audio = audio + noise * background(len(audio), rng)
    audio = audio * 10 ** (rng.uniform(*settings.level) / 20)
    audio = audio * min(1.0, _PEAK / max(np.abs(audio).max(), _PEAK))
    return (np.round(audio * 32767) / 32768).astype(np.float32)


def _spans(take: Take, kind: str) -> tuple[Span, ...]:
    spans = (
        (mark.start / SAMPLE_RATE, mark.end / SAMPLE_RATE, mark.label)
        for mark in take.marks
        if mark.kind == kind
    )
    return tuple(sorted(spans))
