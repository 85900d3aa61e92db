"""Features of an example: what the tables count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from evoxtral import UserError, tags
from evoxtral.mix.items import Features, Item


def item(text: str, **more: object) -> Item:
    fields = {"id": text, "domain": "podcast", "slice": "light", **more}
    return Item(tagged_text=text, plain_text=tags.plain_text(text), **fields)


def test_features_of_one_text() -> None:
    features = Features.of([item("[excited] one two [pause] three FOUR [laughs]")])
    assert features.n_tags.tolist() == [3]
    assert features.has("pause").tolist() == [1]
    assert features.has("sad").tolist() == [0]
    assert features.caps.tolist() == [1]
    assert features.valence.tolist() == [1]
    assert features.thirds.tolist() == [[1, 1, 1]]
    assert features.gaps[0].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("text", "n_tags", "caps", "valence"),
    [
        ("plain words", 0, 0, 0),
        ("[slams door] out of vocabulary", 1, 0, 0),
        ("[sad] and [excited]", 2, 0, 0),
        ("[crying] [sad] [laughs]", 3, 0, -1),
        ("[WHISPERS] hi", 1, 0, 0),
        ("I DO", 0, 1, 0),
    ],
)
def test_edge_texts(text: str, n_tags: int, caps: int, valence: int) -> None:
    features = Features.of([item(text)])
    assert features.n_tags[0] == n_tags
    assert features.caps[0] == caps
    assert features.valence[0] == valence


def test_tags_without_words_stand_at_the_beginning() -> None:
    features = Features.of([item("[sighs] [laughs]")])
    assert features.thirds.tolist() == [[2, 0, 0]]
    assert features.gaps[0].tolist() == [0]


def test_occurrences_count_repeats_and_has_does_not() -> None:
    features = Features.of([item("[pause] a [pause] b")])
    assert features.occurrences[0, tags.TAGS.index("pause")] == 2
    assert np.array_equal(features.has("pause"), [1.0])


def test_known_needs_every_item() -> None:
    rows = [item("a", seconds=1.0, voice="v"), item("b", voice="w")]
    assert Features.of(rows).known("voice") == ["v", "w"]
    assert Features.of(rows).known("seconds") is None


def test_items_come_from_anything_with_the_attributes() -> None:
    row = SimpleNamespace(
        id="c", tagged_text="[sad] a", plain_text="a", domain="d", slice="s", seconds=2.5
    )
    assert Item.of(row) == Item("c", "[sad] a", "a", "d", "s", seconds=2.5)
    assert Features.of([row]).items == (Item.of(row),)


def test_no_examples_is_an_error() -> None:
    with pytest.raises(UserError, match="at least one"):
        Features.of([])
