"""Transcripts as JSON, text and subtitles, whatever a model has written."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from evoxtral.transcribe import FORMATS, Chunk, Transcript, render

WILD = "[laughs] a <i>b</i>\n\n7\n00:00:01,000 --> 00:00:02,000\n{\\an8}c & d"


def transcript(*texts: str) -> Transcript:
    chunks = [Chunk(i, i + 0.5, text, finished=True) for i, text in enumerate(texts)]
    return Transcript(Path("talk.wav"), 3661.5, tuple(chunks))


def test_json_holds_everything():
    made = Transcript(
        Path("some/where/talk.wav"),
        3.14159,
        (Chunk(0.1, 1.23456, "[sighs] I KNOW", finished=False),),
        ("2 channels mixed to one",),
    )
    assert json.loads(render(made, "json")) == {
        "file": "talk.wav",
        "seconds": 3.142,
        "text": "[sighs] I KNOW",
        "plain_text": "I know",
        "repairs": ["2 channels mixed to one"],
        "chunks": [
            {
                "start": 0.1,
                "end": 1.235,
                "text": "[sighs] I KNOW",
                "tags": ["sighs"],
                "finished": False,
            }
        ],
    }


def test_text_is_a_line_per_chunk():
    assert render(transcript("a", "", "b\nc"), "text") == "a\nb c\n"


def test_subtitles_are_numbered_and_timed():
    assert render(transcript("a", "", "b"), "srt") == (
        "1\n00:00:00,000 --> 00:00:00,500\na\n\n2\n00:00:02,000 --> 00:00:02,500\nb\n"
    )


def test_a_text_cannot_break_out_of_its_subtitle():
    made = render(transcript(WILD, "next"), "srt")
    assert made.count("-->") == 2
    assert len(made.split("\n\n")) == 2
    assert not re.search(r"<|\{\\", made)


@given(st.lists(st.text(), max_size=4))
def test_subtitles_have_three_lines_each(texts):
    made = render(transcript(*texts), "srt")
    spoken = [text for text in texts if text.split()]
    blocks = made.removesuffix("\n").split("\n\n") if spoken else []
    assert len(blocks) == len(spoken)
    assert all(len(block.split("\n")) == 3 for block in blocks)


def test_silence_has_a_document_too():
    made = {form: render(transcript(), form) for form in FORMATS}
    whole = json.loads(made.pop("json"))
    assert (whole["text"], whole["chunks"]) == ("", [])
    assert made == {"text": "", "srt": ""}
