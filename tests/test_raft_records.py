"""Completion files: what is written is read, torn ends mend, bad lines are named."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.raft import Completion, append_completions, read_completions, to_frame

CLIPS = ("a", "b")
ROWS = [
    Completion("b", 1, "[sighs] über\nzwei Zeilen", 5, True),
    Completion("a", 0, "", 0, False),
    Completion("b", 0, "oh", 1, True),
]


def line(**changes: object) -> str:
    return json.dumps(asdict(ROWS[0]) | changes) + "\n"


def test_what_is_appended_is_read_in_that_order(tmp_path: Path):
    path = tmp_path / "completions.jsonl"
    append_completions(path, ROWS[:2])
    before = path.read_bytes()
    append_completions(path, ROWS[2:])
    assert path.read_bytes().startswith(before)
    assert read_completions(path, CLIPS) == ROWS


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_kill_at_any_byte_costs_the_torn_line_only(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("torn") / "completions.jsonl"
    append_completions(path, ROWS)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert read_completions(path, CLIPS) == ROWS[:kept]
    append_completions(path, ROWS[kept:])
    assert path.read_bytes() == whole


def test_a_missing_file_says_to_sample_first(tmp_path: Path):
    with pytest.raises(UserError, match="does not exist; sample"):
        read_completions(tmp_path / "none.jsonl", CLIPS)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (line(), "completion 1 of clip 'b' is there twice"),
        (line(clip="c", index=0), "clip 'c' is not among the prompts"),
        (line(index=-1), "index: .*greater than or equal to 0"),
        (line(index=True), "index: .*valid integer"),
        (line(tokens="5"), "tokens: .*valid integer"),
        (line(tokens=-1), "tokens: "),
        (line(finished=1), "finished: .*valid boolean"),
        (line(text=None), "text: .*valid string"),
        (line(clip=""), "clip: "),
        (line(extra=1), "extra: "),
        ('{"clip": "a"}\n', "index: "),
        ("[]\n", "expected a JSON object"),
        ("{\n", "not valid JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, second, reason):
    path = tmp_path / "completions.jsonl"
    path.write_text(line() + second, encoding="utf-8")
    with pytest.raises(UserError, match=rf"completions\.jsonl, line 2: {reason}"):
        read_completions(path, CLIPS)


def test_an_unwritable_place_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot append to"):
        append_completions(tmp_path, ROWS)
    with pytest.raises(UserError, match="cannot append to"):
        append_completions(tmp_path / "none" / "completions.jsonl", ROWS)


def test_the_frame_is_in_order_of_clip_and_index():
    frame = to_frame(ROWS)
    assert frame.columns.tolist() == ["clip", "index", "text", "tokens", "finished"]
    assert frame[["clip", "index"]].to_numpy().tolist() == [["a", 0], ["b", 0], ["b", 1]]
    assert [Completion(**row) for row in frame.to_dict("records")] == [ROWS[1], ROWS[2], ROWS[0]]


def test_an_empty_frame_has_the_types_of_a_full_one():
    assert to_frame([]).dtypes.equals(to_frame(ROWS).dtypes)


def test_a_completion_cannot_be_in_the_frame_twice():
    with pytest.raises(ValueError, match="twice"):
        to_frame([ROWS[0], ROWS[0]])
