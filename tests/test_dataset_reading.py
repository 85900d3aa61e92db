"""Foreign columns and foreign notation become ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.clips.clip import complete
from evoxtral.clips.folder import Row
from evoxtral.clips.reading import Reading, pairs


def row(**value: object) -> Row:
    return Row(Path("m.jsonl"), 1, str(value.get("split", "train")), True, value)


def test_by_default_nothing_changes() -> None:
    one = row(file_name="a.wav", tagged_text="[sniffs] well  then")
    assert Reading()(one) == one


def test_columns_and_tags_are_renamed() -> None:
    reading = Reading(
        {"path": "file_name", "text": "tagged_text", "speaker": "voice", "absent": "domain"},
        {"<laughter>": "[laughs]", "(sigh)": "[sighs]", "[noise]": ""},
    )
    text = "<Laughter> so [noise]  it IS (sigh)"
    clip = complete(reading(row(path="a.wav", text=text, speaker="me")).value, "train")
    assert clip.tagged_text == "[laughs] so it IS [sighs]"
    assert (clip.file_name, clip.voice, clip.source) == ("a.wav", "me", "real")


def test_what_is_written_is_not_read_again() -> None:
    reading = Reading(tag_names={"[a]": "[b]", "[b]": "[c]", "[a] [a]": "[d]"})
    assert reading(row(tagged_text="[a] x [b] [a] [a]")).value["tagged_text"] == "[b] x [c] [d]"


@given(st.text(max_size=12), st.text(min_size=1, max_size=4))
def test_any_notation_can_be_taken_out(text: str, theirs: str) -> None:
    reading = Reading(tag_names={theirs: ""})
    left = reading(row(tagged_text=f"a {theirs} b {text}")).value["tagged_text"]
    assert left.startswith("a ") or theirs[0].lower() in "a "
    assert len(left) < len(f"a {theirs} b {text}")


def test_rows_move_to_one_split_and_keep_apart() -> None:
    reading = Reading(split="real")
    clips = []
    for split in ("train", "test"):
        moved = reading(row(file_name="0.wav", tagged_text="hi", split=split))
        assert not moved.confined
        clips.append(complete(moved.value, moved.split))
    assert [(clip.id, clip.split) for clip in clips] == [
        ("real-train-0", "real"), ("real-test-0", "real"),
    ]  # fmt: skip


def test_a_bad_row_is_left_to_its_judge() -> None:
    faulty = Row(Path("m.jsonl"), 1, "train", True, {}, "not valid JSON")
    assert Reading(split="real")(faulty) == faulty
    assert "id" not in Reading(split="real")(row(file_name="a.wav", tagged_text=3)).value


def test_a_field_that_no_clip_has_is_refused() -> None:
    with pytest.raises(UserError, match="columns names 'speaker', which no clip has"):
        Reading({"who": "speaker"})


@pytest.mark.parametrize("text", ["a", ":b", "a:b, a:c", "a:b c, d"])
def test_what_are_no_pairs_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"tag_names holds .* write theirs:ours"):
        pairs(text, "tag_names")
