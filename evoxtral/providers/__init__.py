"""Real providers: speech from ElevenLabs, scripts from a language model. Both cost money.

Nothing is spent without a number that allows it (`allow_characters`, `allow_requests`): without
one, `build_speech` and `write_scripts` say what they would spend, and stop. What was bought is
kept and never bought again. Keys come from the environment and appear nowhere.

Needs `pip install evoxtral[providers]` where something is bought; estimates and replays do not.
"""

from __future__ import annotations

from evoxtral.providers.casting import (
    CastVoice,
    Line,
    SpeechEstimate,
    SpeechSettings,
    cast,
    estimate_speech,
)
from evoxtral.providers.chat import ChatSettings
from evoxtral.providers.retry import Patience
from evoxtral.providers.script_plan import ScriptEstimate, ScriptPlan
from evoxtral.providers.speech import SpeechRun, SpeechService, build_speech, price_speech
from evoxtral.providers.writing import ChatService, write_scripts
