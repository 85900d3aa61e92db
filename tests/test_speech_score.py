"""Who speaks, and what a tag covers."""

from __future__ import annotations

import pytest

from evoxtral import UserError
from evoxtral.world.speech import HELD_OUT_VOICES, TRAINING_VOICES, VOICES, find_voice
from evoxtral.world.speech.score import Phrase, read_score


def outline(text: str) -> list[str]:
    """Phrases as `words/styles/closing`, `~` before stammers, `*` before emphasis; events."""
    return [item if isinstance(item, str) else _outline(item) for item in read_score(text)]


def _outline(phrase: Phrase) -> str:
    words = ("~" * word.stammered + "*" * word.emphasised + word.text for word in phrase.tokens)
    styles = (style.name for style in phrase.styles)
    return "/".join((" ".join(words), "+".join(styles), phrase.closing))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("We left. It rained", ["We left.//.", "It rained//"]),
        ("[sad] A. B. [calm] C.", ["A./sad/.", "B./sad/.", "C./calm/."]),
        ("[whispers] A. B.", ["A./whispers/.", "B.//."]),
        ("[whispers] [sad] A. B.", ["A./sad+whispers/.", "B./sad/."]),
        ("[whispers] A... b. C.", ["A.../whispers/...", "b./whispers/.", "C.//."]),
        ("[whispers] A… B.", ["A…/whispers/...", "B.//."]),
        ("A [laughs] b.", ["A//", "laughs", "b.//."]),
        ("A. [pause] [gasps]", ["A.//.", "pause", "gasps"]),
        ('He said "no!" Yes', ['He said "no!"//!', "Yes//"]),
        ("[stammers] — so what?", ["~so what?//?"]),
        ("[sniffs] so [slams door] what", ["so what//"]),
        ("We [stammers] REALLY left", ["We ~*REALLY left//"]),
        ("[angry]", []),
    ],
)
def test_outline(text: str, expected: list[str]) -> None:
    assert outline(text) == expected


def test_the_cast_is_balanced_and_two_of_it_share_no_formants_with_training() -> None:
    assert len({voice.id for voice in VOICES}) == len(VOICES)
    assert sum(voice.gender == "female" for voice in VOICES) * 2 == len(VOICES)
    assert sorted(voice.gender for voice in HELD_OUT_VOICES) == ["female", "male"]
    trained = {voice.espeak_name.partition("+")[2] for voice in TRAINING_VOICES}
    assert trained.isdisjoint(voice.espeak_name.partition("+")[2] for voice in HELD_OUT_VOICES)


def test_unknown_voice() -> None:
    with pytest.raises(UserError, match="no voice 'zoe'; choose one of ada"):
        find_voice("zoe")
