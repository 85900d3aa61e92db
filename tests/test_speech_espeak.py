"""espeak-ng as a pure function."""

from __future__ import annotations

import os
import signal

import pytest

from evoxtral.world.speech import VOICES
from evoxtral.world.speech import espeak as module
from evoxtral.world.speech.espeak import Utterance, speak

HELLO = Utterance("We are here now.", "en-us", 180, 50, 50)
WHISPER = HELLO._replace(voice="en-us+whisper")


def test_the_seed_decides_and_history_does_not() -> None:
    first = speak([HELLO, WHISPER], 1)
    speak([WHISPER] * 3, 2)
    assert speak([HELLO, WHISPER], 1) == first
    assert speak([HELLO, WHISPER], 2)[1].pcm != first[1].pcm


def test_voices_sound_different() -> None:
    said = speak([HELLO._replace(voice=voice.espeak_name) for voice in VOICES], 1)
    assert len({spoken.pcm for spoken in said}) == len(VOICES)


def test_phonemes_carry_no_stress_marks_and_follow_each_other() -> None:
    (spoken,) = speak([HELLO._replace(text="Hello again, tomorrow.")], 1)
    assert [symbol for _, _, symbol in spoken.phonemes[:4]] == ["h", "@", "l", "oU"]
    assert not any(set(symbol) & set("',%_") for _, _, symbol in spoken.phonemes)
    assert all(0 <= start < end <= len(spoken.pcm) / 2 for start, end, _ in spoken.phonemes)


@pytest.mark.parametrize("voice", ["en-gb", "nonsense"])
def test_a_refused_voice_is_an_error_and_the_server_survives(voice: str) -> None:
    with pytest.raises(ValueError, match=f"no voice '{voice}'"):
        speak([HELLO._replace(voice=voice)], 1)
    assert len(speak([HELLO], 1)) == 1


def test_a_dead_server_is_reported_and_started_anew() -> None:
    before = speak([HELLO], 1)
    os.kill(module._server(os.getpid())._process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with status -9"):
        speak([HELLO], 1)
    assert speak([HELLO], 1) == before
