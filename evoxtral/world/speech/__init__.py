"""Tagged scripts become audio: voices, prosody, vocal events, rooms.

Speech comes from espeak-ng (GPL-3, loaded at run time from the `espeakng-loader` wheel, run in a
process of its own).
"""

from __future__ import annotations

from evoxtral.world.speech.perform import (
    MAX_SECONDS,
    WINDOW_SECONDS,
    Rendered,
    RenderJob,
    render,
    render_many,
)
from evoxtral.world.speech.score import HELD_OUT_VOICES, TRAINING_VOICES, VOICES, Voice, find_voice
from evoxtral.world.speech.vocal import SAMPLE_RATE
