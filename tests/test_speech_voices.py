"""The cast: enough speakers, both genders, two of them never trained on."""

from __future__ import annotations

import pytest

from evoxtral import UserError
from evoxtral.world.speech import HELD_OUT_VOICES, TRAINING_VOICES, VOICES, find_voice
from evoxtral.world.speech.espeak import Utterance, speak


def test_the_cast_is_balanced() -> None:
    assert len(TRAINING_VOICES) >= 8
    assert {voice.gender for voice in HELD_OUT_VOICES} == {"female", "male"}
    assert len(HELD_OUT_VOICES) == 2
    assert sum(voice.gender == "female" for voice in VOICES) * 2 == len(VOICES)
    assert len({voice.id for voice in VOICES}) == len(VOICES)


def test_held_out_voices_share_no_formant_variant_with_training() -> None:
    trained = {voice.espeak_name.partition("+")[2] for voice in TRAINING_VOICES}
    assert trained.isdisjoint(voice.espeak_name.partition("+")[2] for voice in HELD_OUT_VOICES)


def test_voices_sound_different() -> None:
    said = [
        speak([Utterance("We are here.", voice.espeak_name, 180, 50, 50)], 1)[0].audio.tobytes()
        for voice in VOICES
    ]
    assert len(set(said)) == len(VOICES)


def test_unknown_voice() -> None:
    with pytest.raises(UserError, match="no voice 'zoe'; choose one of ada"):
        find_voice("zoe")
