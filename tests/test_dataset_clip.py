"""Untrusted rows become consistent clips or a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evoxtral import tags
from evoxtral.clips.clip import Clip, RowError, complete, disagreements
from evoxtral.tags import text_key

ROW = {"file_name": "a/b 1.wav", "tagged_text": "[sighs] I did NOT go. [pause] Sorry"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_two_fields_are_enough():
    clip = complete(ROW, "train")
    assert clip.id == "train-a-b-1"
    assert clip.plain_text == "I did not go. Sorry"
    assert [(mark.name, mark.word_index) for mark in clip.tags] == [("sighs", 0), ("pause", 4)]
    assert (clip.split, clip.source, clip.slice, clip.voice) == ("train", "real", "light", None)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "plain"), (1, "light"), (2, "light"), (3, "moderate"), (4, "moderate"), (5, "dense")],
)
def test_slice_of_a_row_without_one_is_its_tag_density(count, expected):
    row = {"file_name": "a.wav", "tagged_text": "word " + "[pause] " * count}
    assert complete(row, "test").slice == expected


def test_clip_survives_json():
    clip = complete(ROW | {"seconds": 2, "voice": "ada", "gender": "female"}, "train")
    assert complete(json.loads(clip.model_dump_json()), "elsewhere") == clip


def test_row_is_not_believed_about_its_text():
    row = ROW | {"plain_text": "something else", "tags": ["laughs"], "tag_count": 9}
    clip = complete(row, "train")
    assert clip == complete(ROW, "train")
    assert [reason.split()[0] for reason in disagreements(row, clip)] == ["plain_text", "tags"]
    assert disagreements(clip.model_dump(mode="json"), clip) == []
    assert disagreements({"tags": ["sighs", "pause"]}, clip) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tagged_text": None}, "tagged_text must be text, not NoneType"),
        ({"tagged_text": 3}, "tagged_text must be text, not int"),
        ({"tagged_text": " \n"}, "tagged_text is empty"),
        ({"tagged_text": "a\x00b"}, "control characters"),
        ({"tagged_text": "a\ud800b"}, "control characters"),
        ({"tagged_text": "a" * 10_001}, "at most 10000"),
        ({"file_name": ["a.wav"]}, "file_name must be text, not list"),
        ({"file_name": "a" * 300}, "at most 255"),
        ({"id": "../x"}, "id is '../x'"),
        ({"id": "a\n"}, "id is"),
        ({"seconds": "3.5"}, "seconds is '3.5'"),
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"held_out": "no"}, "held_out is 'no'"),
        ({"split": "../train"}, "split is"),
        ({"source": "guessed"}, "source is 'guessed'"),
        ({"sha256": "abc"}, "sha256 is 'abc'"),
        ({"gender": "F"}, "gender is 'F'"),
    ],
)
def test_bad_row_is_refused_with_the_field(change, reason):
    with pytest.raises(RowError, match=reason.replace("(", r"\(")):
        complete(ROW | change, "train")


@pytest.mark.parametrize("name", ["file_name", "tagged_text"])
def test_missing_field_is_named(name):
    with pytest.raises(RowError, match=f"'{name}' is missing"):
        complete({k: v for k, v in ROW.items() if k != name}, "train")


@given(
    st.dictionaries(st.sampled_from([*Clip.model_fields, "other"]), json_values),
    st.text(max_size=30),
)
def test_any_row_gives_a_clip_or_a_reason(row, text):
    row = {"file_name": "a.wav", "tagged_text": text} | row
    try:
        clip = complete(row, "train")
    except RowError:
        return
    assert clip.plain_text == tags.plain_text(clip.tagged_text)
    assert complete(json.loads(clip.model_dump_json()), "x") == clip


def test_clip_is_frozen_and_closed():
    clip = complete(ROW, "train")
    with pytest.raises(ValidationError):
        clip.split = "test"
    with pytest.raises(ValidationError):
        Clip.model_validate(clip.model_dump() | {"extra": 1})


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Oh no... not again!", "oh NO, not again", True),
        ("I can't", "I can’t", True),
        ("I can't", "I can", False),
        ("Été", "été!", True),
        ("été", "ete", False),
        ("well-known", "well known", True),
        ("...", "", True),
    ],
)
def test_same_text_is_the_same_words(first, second, same):
    assert (text_key(first) == text_key(second)) is same
