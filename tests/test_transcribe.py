"""Recordings of any length: cut at pauses, transcribed, written down."""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, metrics, tags
from evoxtral.decode import transcribe
from evoxtral.model import LoraShape, Prompter, attach, open_base, read_cached
from evoxtral.transcribe import (
    FRAME,
    TOKENS_PER_SECOND,
    Chunk,
    Span,
    Transcript,
    captions,
    pieces,
    plan_chunks,
    render,
    transcribe_files,
)

RATE = 16_000
WINDOW = 8 * RATE


def sound(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Speech-like in its level: noise whose loudness wavers ten times a second."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    return (level * rng.uniform(0.5, 1, n) * rng.choice([-1, 1], n)).astype(np.float32)


def quiet(seconds: float, level: float = 0.0) -> np.ndarray:
    return sound(seconds, level, seed=1)


def laid_out(parts: list[tuple[float, float]], floor: float = 0.0) -> tuple[np.ndarray, list[Span]]:
    """Stretches of sound, each followed by a pause, and where they lie."""
    pieces, places, at = [], [], 0
    for loud, pause in parts:
        pieces += [sound(loud), quiet(pause, floor)]
        places.append(Span(at, at + len(pieces[-2])))
        at += len(pieces[-2]) + len(pieces[-1])
    return np.concatenate(pieces), places


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0.1, 7.7), st.floats(0.4, 4.0)), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.003]),
)
def test_no_speech_is_lost_or_cut_where_pauses_allow(parts, floor):
    audio, places = laid_out(parts, floor)
    chunks = plan_chunks(audio, WINDOW)
    for place in places:
        holding = [c for c in chunks if c.start <= place.start and place.end <= c.end]
        assert len(holding) == 1, (place, chunks)
    assert all(0 <= c.start < c.end <= len(audio) and c.end - c.start <= WINDOW for c in chunks)
    assert all(a.end <= b.start for a, b in pairwise(chunks))


@settings(deadline=None, max_examples=30)
@given(st.floats(8.5, 40), st.integers(0, 5))
def test_speech_without_a_pause_is_cut_at_its_quietest(seconds, seed):
    audio = sound(seconds, seed=seed)
    dips = np.arange(6 * RATE, len(audio) - RATE, 6 * RATE)
    for dip in dips:  # too short for a pause, but the quietest moment of every window
        audio[dip - 800 : dip + 800] *= 0.05
    chunks = plan_chunks(audio, WINDOW)
    assert chunks[0].start == 0
    assert chunks[-1].end == len(audio)
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert all(c.end - c.start <= WINDOW for c in chunks)
    cuts = [c.end for c in chunks[:-1]]
    dipped = [cut for cut in cuts if np.abs(dips - cut).min() <= 1600]
    assert len(dipped) >= len(cuts) - 1, "only the last stretch may have no dip left to cut at"


def test_the_longest_pause_of_the_second_half_ends_a_chunk():
    audio, places = laid_out([(3, 0.5), (1.5, 1.2), (1.0, 0.4), (6, 0.4)])
    chunks = plan_chunks(audio, WINDOW)
    assert len(chunks) == 2
    assert places[1].end <= chunks[0].end < places[2].start


def test_long_silences_belong_to_no_chunk():
    audio, _ = laid_out([(1, 2.5), (1, 60), (1, 0.5)])
    chunks = plan_chunks(audio, WINDOW)
    assert len(chunks) == 3
    assert sum(c.end - c.start for c in chunks) <= 3.7 * RATE


@pytest.mark.parametrize("samples", [0, 1, FRAME - 1, FRAME + 1, 20 * RATE])
def test_nothing_is_no_speech_and_a_recording_may_be_shorter_than_a_frame(samples):
    assert plan_chunks(np.full(samples, 0.0005, np.float32), WINDOW) == []
    loud = plan_chunks(np.full(min(samples, WINDOW), 0.5, np.float32), WINDOW)
    assert loud == ([Span(0, min(samples, WINDOW))] if samples else [])


def test_a_quiet_speaker_beside_a_loud_one_is_heard():
    audio = np.concatenate([sound(4, 0.5), quiet(1), sound(3, 0.005), quiet(1), sound(4, 0.5)])
    chunks = plan_chunks(audio, WINDOW)
    assert any(c.start <= 5 * RATE and c.end >= 8 * RATE for c in chunks)


WILD = "[laughs] a <i>b</i>\n\n7\n00:00:01,000 --> 00:00:02,000\n{\\an8}c AT&T"


def transcript(*texts: str, start: float = 0.0, seconds: float = 0.5) -> Transcript:
    """A text every second."""
    chunks = [Chunk(start + i, start + i + seconds, text, True, []) for i, text in enumerate(texts)]
    return Transcript("talk.wav", 3661.5, (), "", " ".join(texts), "", chunks)


def test_text_and_subtitles_leave_silence_out():
    made = transcript("a", "", "[[sad]] b\nc")
    assert render(made, "text") == "a\n[sad] b c\n"
    assert render(made, "text", keep_tags=False) == "a\nb c\n"
    assert render(made, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:00:02,000 --> 00:00:03,000\n[sad] b c\n"
    )
    assert render(transcript(WILD), "vtt", keep_tags=False) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt;i&gt;b&lt;/i&gt; 7 00:00:01,000\n"
        "--&gt; 00:00:02,000 {\\an8}c AT&amp;T\n"
    )
    assert [render(transcript(), form) for form in ("text", "srt", "vtt")] == ["", "", "WEBVTT\n"]


def test_a_caption_ends_with_a_sentence_or_a_clause_or_at_a_pause():
    said = (
        "I cleaned the whole garden in the end. But nobody told me that the doctor had called, "
        "or what it was that he said [pause] and I am NOT going back there [clears throat] at all."
    )
    texts = [one.text for one in captions(transcript(said, start=2, seconds=14))]
    assert texts == [
        "I cleaned the whole garden in the end. But\nnobody told me that the doctor had called,",
        "or what it was that he said [pause]",
        "and I am NOT going back\nthere [clears throat] at all.",
    ]
    said = "WAIT at home. [nervous] Goodbye, Anna. [sad] No job, no phone. [pause] If you like."
    texts = [one.text for one in captions(transcript(said, start=2, seconds=8))]
    assert len(texts) == 2
    assert all(text.endswith(".") for text in texts)


_MARKS = st.text("ab.,?[]<>{}&\\ \n", max_size=60)
_WORDS = st.sampled_from(["so", "I", "went.", "[sighs]", "[clears throat]", "ab" * 50])
_TEXTS = st.text() | _MARKS | st.lists(_WORDS, max_size=60).map(" ".join) | st.just(WILD)


@settings(deadline=None)
@given(
    st.lists(st.tuples(_TEXTS, st.floats(0.05, 30)), max_size=4),
    st.floats(0, 3),
    st.sampled_from(["srt", "vtt"]),
    st.booleans(),
)
def test_players_take_subtitles(parts, gap, form, keep_tags):
    """At most two lines of 42 characters, 1 to 7 s, in order, none over another, nothing lost."""
    chunks, at = [], 0.0
    for text, seconds in parts:
        chunks.append(Chunk(round(at, 3), round(at + seconds, 3), text, True, []))
        at += seconds + gap
    made = Transcript("talk.wav", at, (), "", "", "", chunks)
    read = parsed(render(made, form, keep_tags), form)
    for start, end, lines in read:
        assert 1000 <= end - start <= 7000
        assert all(len(line) <= 42 for line in lines)
    assert all(a[1] <= b[0] for a, b in pairwise(read))
    wanted = "".join(word for chunk in chunks for word in pieces(chunk.text, keep_tags))
    if form == "srt":
        wanted = wanted.translate(str.maketrans("<>{}", "‹›()"))
    shown = "".join(line for *_, lines in read for line in lines)
    assert shown.replace(" ", "") == wanted.replace(" ", "")


def parsed(text: str, form: str) -> list[tuple[int, int, list[str]]]:
    """Times in milliseconds and the one or two lines of captions; there may be nothing else."""
    number, mark = (r"(?:\d+\n)", ",") if form == "srt" else ("", r"\.")
    clock = rf"(\d\d):([0-5]\d):([0-5]\d){mark}(\d{{3}})"
    caption = rf"{number}{clock} --> {clock}\n(.+(?:\n.+)?)\n"
    assert not re.search(r"<|\{\\" if form == "srt" else "<|&(?!(amp|lt|gt);)", text)
    assert form == "srt" or text.startswith("WEBVTT\n")
    text = re.sub("^WEBVTT\n\n?", "", text)
    assert re.fullmatch(rf"(?:{caption}(?:\n(?=.)|\Z))*", text)
    read = []
    for *digits, lines in re.findall(caption, text):
        h1, m1, s1, f1, h2, m2, s2, f2 = map(int, digits)
        times = ((h1 * 60 + m1) * 60 + s1) * 1000 + f1, ((h2 * 60 + m2) * 60 + s2) * 1000 + f2
        read.append((*times, (html.unescape(lines) if form == "vtt" else lines).split("\n")))
    return read


@pytest.fixture(scope="module")
def recordings(spoken, tmp_path_factory) -> Path:
    """One talk of eight clips with pauses between, and files that are less."""
    folder = tmp_path_factory.mktemp("recordings")
    silence = np.zeros(RATE * 6 // 10, np.float32)
    clips = [spoken.audio(clip) for clip in spoken.clips[:8]]
    talk = np.concatenate([part for clip in clips for part in (clip, silence)])
    soundfile.write(folder / "talk.wav", talk, RATE)
    soundfile.write(folder / "silence.wav", np.zeros(3 * RATE, np.float32), RATE)
    soundfile.write(folder / "hiss.wav", np.full(3 * RATE, 0.0004, np.float32), RATE)
    soundfile.write(folder / "short.wav", clips[0], RATE)
    (folder / "empty.wav").touch()
    (folder / "page.mp3").write_text("<html>not found</html>")
    return folder


def transcribed(folder: Path, *names: str, adapter: Path | str = "") -> list[Any]:
    return list(transcribe_files([folder / name for name in names], adapter))


def test_an_unknown_language_is_one_sentence(recordings):
    [heard] = transcribe_files([recordings / "silence.wav"], language="de")
    assert heard.text == ""
    with pytest.raises(UserError, match="no language has the code 'deutsch'"):
        next(transcribe_files([recordings / "silence.wav"], language="deutsch"))


def test_what_is_heard_is_what_was_said(recordings, spoken, spoken_features):
    """Not many more errors than the same model makes on the clips one by one."""
    [talk] = transcribed(recordings, "talk.wav")
    assert talk.seconds > 3 * 8
    assert len(talk.chunks) > 3
    assert all(0 < chunk.end - chunk.start <= 8 for chunk in talk.chunks)
    assert all(chunk.finished for chunk in talk.chunks)
    base = open_base("tiny", "cpu")
    prompter = Prompter(base)
    clips = spoken.clips[:8]
    model, limit = read_cached(base.model), 8 * TOKENS_PER_SECOND
    single = transcribe(model, prompter, spoken_features, limit, 16)
    said = " ".join(clip.plain_text for clip in clips)
    apart = " ".join(prompter.text(one.ids) for one in single[:8])
    errors = {
        name: metrics.evaluate([said], [text]).table("strict")["wer"].value
        for name, text in {"apart": apart, "talk": talk.text}.items()
    }
    assert errors["talk"] <= errors["apart"] + 0.15, (errors, talk.text, said)
    read = json.loads(render(talk, "json"))
    assert read == {**asdict(talk), "repairs": []}
    assert read["plain_text"] == tags.plain_text(read["text"])
    assert read["text"] == " ".join(chunk["text"] for chunk in read["chunks"])


def test_a_bad_file_stops_no_other(recordings):
    made = transcribed(
        recordings, "empty.wav", "short.wav", "page.mp3", "gone.wav", "silence.wav", "hiss.wav"
    )
    assert made.pop(1).text
    for nothing in (made.pop(), made.pop()):
        assert (nothing.text, nothing.chunks) == ("", [])
    assert [str(error).split(" (")[0] for error in made] == [
        "the file is empty",
        "cannot be decoded",
        "the file does not exist",
    ]


def test_an_adapter_is_merged(recordings, tmp_path):
    model = attach(open_base("tiny", "cpu").model, LoraShape(rank=2), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.05)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    [bare], [adapted] = (
        transcribed(recordings, "short.wav", adapter=folder) for folder in ("", tmp_path)
    )
    assert bare.text != adapted.text
    with pytest.raises(UserError, match="give the folder of a LoRA adapter"):
        transcribed(recordings, "short.wav", adapter=tmp_path / "none")
