"""What a tag covers."""

from __future__ import annotations

import pytest

from evoxtral.world.speech.score import Event, Phrase, read_score


def outline(text: str) -> list[str]:
    """Phrases as `words/styles/closing`, events as their name."""
    return [
        item.name
        if isinstance(item, Event)
        else "/".join(
            (
                " ".join(token.text for token in item.tokens),
                "+".join(style.name for style in item.styles),
                item.closing,
            )
        )
        for item in read_score(text, "error")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("We left. It rained", ["We left.//.", "It rained//"]),
        ("[sad] A. B. [calm] C.", ["A./sad/.", "B./sad/.", "C./calm/."]),
        ("[whispers] A. B.", ["A./whispers/.", "B.//."]),
        ("[sad] [whispers] A. B.", ["A./sad+whispers/.", "B./sad/."]),
        ("[whispers] A... b. C.", ["A.../whispers/...", "b./whispers/.", "C.//."]),
        ("[whispers] A… B.", ["A…/whispers/...", "B.//."]),
        ("A [laughs] b.", ["A//", "laughs", "b.//."]),
        ("A. [pause] [gasps]", ["A.//.", "pause", "gasps"]),
        ('He said "no!" Yes', ['He said "no!"//!', "Yes//"]),
        ("[stammers] — so what?", ["so what?//?"]),
        ("[angry]", []),
    ],
)
def test_outline(text: str, expected: list[str]) -> None:
    assert outline(text) == expected


def test_stammer_and_emphasis_belong_to_words() -> None:
    (phrase,) = read_score("We [stammers] REALLY left", "error")
    assert isinstance(phrase, Phrase)
    assert [bool(token.stammer) for token in phrase.tokens] == [False, True, False]
    assert [token.emphasised for token in phrase.tokens] == [False, True, False]
