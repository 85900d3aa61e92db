"""Tagged scripts become audio: voices, prosody, vocal events, rooms.

Speech comes from espeak-ng (GPL-3, loaded at run time from the `espeakng-loader` wheel, run in a
process of its own).
"""

from __future__ import annotations

from evoxtral.world.speech.render import Rendered, render
from evoxtral.world.speech.settings import MAX_SECONDS, WINDOW_SECONDS, RenderSettings
from evoxtral.world.speech.take import SAMPLE_RATE
from evoxtral.world.speech.voices import HELD_OUT_VOICES, TRAINING_VOICES, VOICES, Voice, find_voice
