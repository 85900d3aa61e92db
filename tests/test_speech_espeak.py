"""espeak-ng as a pure function."""

from __future__ import annotations

import pytest

from evoxtral.world.speech.child import Child, ChildDiedError
from evoxtral.world.speech.espeak import Utterance, speak

HELLO = Utterance("We are here now.", "en-us", 180, 50, 50)
WHISPER = Utterance("We are here now.", "en-us+whisper", 180, 50, 50)


def test_the_seed_decides_and_history_does_not() -> None:
    first = speak([HELLO, WHISPER], 1)
    speak([WHISPER] * 3, 2)
    again = speak([HELLO, WHISPER], 1)
    assert [s.audio.tobytes() for s in first] == [s.audio.tobytes() for s in again]
    other = speak([HELLO, WHISPER], 2)
    assert first[1].audio.tobytes() != other[1].audio.tobytes()


def test_phonemes_carry_no_stress_marks_and_follow_each_other() -> None:
    (spoken,) = speak([Utterance("Hello again, tomorrow.", "en-us", 180, 50, 50)], 1)
    assert [symbol for _, _, symbol in spoken.phonemes[:4]] == ["h", "@", "l", "oU"]
    assert not any(set(symbol) & set("',%_") for _, _, symbol in spoken.phonemes)
    assert all(0 <= start < end <= len(spoken.audio) for start, end, _ in spoken.phonemes)


@pytest.mark.parametrize("voice", ["en-gb", "nonsense"])
def test_a_refused_voice_is_an_error_and_the_server_survives(voice: str) -> None:
    with pytest.raises(ValueError, match=f"no voice '{voice}'"):
        speak([Utterance("Hi.", voice, 180, 50, 50)], 1)
    assert len(speak([HELLO], 1)) == 1


def test_a_dead_helper_is_reported() -> None:
    with (
        Child(["-c", "raise SystemExit(3)"]) as child,
        pytest.raises(ChildDiedError, match="status 3"),
    ):
        child.ask(b"hello")
