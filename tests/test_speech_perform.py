"""Rendering: reproducible to the byte, every tag in its place, no process left behind."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.tags import GROUPS, TAGS
from evoxtral.world.speech import VOICES, RenderJob, find_voice, perform, render, render_many
from evoxtral.world.speech.perform import MAX_SECONDS, SAMPLE_RATE, Rendered, Voice

ADA, BEN, MONA = map(find_voice, ("ada", "ben", "mona"))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room and hardly any noise."""
    monkeypatch.setitem(perform.VARIES, "noise", (50.0, 50.0))
    monkeypatch.setattr(perform, "ROOM", 0.0)


def level(rendered: Rendered, start: float, end: float) -> float:
    part = rendered.audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return float(np.sqrt(np.mean(part**2)))


def same(one: Rendered, other: Rendered) -> bool:
    spans = [(r.phonemes, r.words, r.events, r.styles) for r in (one, other)]
    return np.array_equal(one.audio, other.audio) and spans[0] == spans[1]


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_renders_where_it_stands(tag: str) -> None:
    for voice in (ADA, BEN, MONA):
        rendered = render(f"We saw the sea. [{tag}] They left early.", voice, 3)
        is_event = tag in (*GROUPS["nonverbal"], *GROUPS["pause"])
        found = rendered.events if is_event else rendered.styles
        assert [label for _, _, label in found] == [tag]
        start, end, _ = found[0]
        words = {word: (start, end) for start, end, word in rendered.words}
        assert words["sea."][1] <= start < end <= rendered.duration <= MAX_SECONDS
        if is_event:
            assert end <= words["They"][0]
        else:  # only the first word is stammered
            last = words["They" if tag == "stammers" else "early."]
            assert start <= words["They"][0] < last[1] <= end


@pytest.mark.usefixtures("quiet")
def test_sibilants_are_where_the_phonemes_say() -> None:
    """High frequencies follow the marks of s and sh within 20 ms, in any manner."""
    for tag in ("", "[sad] ", "[nervous] ", "[shouts] ", "[stammers] "):
        rendered = render(f"{tag}She sees SIX fast ships on the sea.", ADA, 8)
        blocks = rendered.audio[: len(rendered.audio) // 80 * 80].reshape(-1, 80)
        high = np.log10(np.abs(np.fft.rfft(blocks))[:, 25:].sum(axis=1) + 1e-6)
        marked = np.zeros(len(high))
        for start, end, symbol in rendered.phonemes:
            if symbol in ("s", "S", "z"):
                marked[round(start * 200) : round(end * 200)] = 1
        fit = [np.corrcoef(high, np.roll(marked, shift))[0, 1] for shift in range(-20, 21)]
        assert abs(int(np.argmax(fit)) - 20) <= 4
        assert max(fit) > 0.4, tag


def test_marks_are_ordered_and_inside_the_clip() -> None:
    rendered = render("[sad] Of the end... [whispers] go on! [laughs] [stammers] BIG one.", BEN, 2)
    assert " ".join(word for _, _, word in rendered.words) == "Of the end... go on! BIG one."
    for spans in (rendered.phonemes, rendered.words):
        assert all(start < end for start, end, _ in spans)
        assert all(end <= start + 1e-9 for (_, end, _), (start, _, _) in pairwise(spans))
        assert 0 <= spans[0][0] < spans[-1][1] <= rendered.duration
    styles = {label: (start, end) for start, end, label in rendered.styles}
    assert set(styles) == {"sad", "whispers", "stammers", "emphasis"}
    assert styles["sad"][0] < styles["whispers"][0] < styles["whispers"][1] < styles["sad"][1]
    start, end = styles["stammers"]
    assert start < styles["emphasis"][0] < styles["emphasis"][1]
    onset = [symbol for at, _, symbol in rendered.phonemes if start <= at < end]
    assert 3 <= onset.count("b") <= 4


@pytest.mark.usefixtures("quiet")
def test_a_pause_is_long_and_quiet_and_plain_gaps_are_short() -> None:
    rendered = render("We left, and then it rained. [pause] They stayed. We slept.", ADA, 0)
    ((start, end, _),) = rendered.events
    assert 0.5 <= end - start <= 1.0
    speech = level(rendered, rendered.words[0][0], rendered.words[2][1])
    assert level(rendered, start + 0.1, end - 0.05) < 0.03 * speech
    gaps = sorted(s - e for (_, e, _), (s, _, _) in pairwise(rendered.phonemes))
    assert gaps[-2] < 0.35 < 0.5 <= gaps[-1]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("voice", [ADA, BEN, MONA], ids=lambda voice: voice.id)
def test_a_whisper_is_quiet_and_a_shout_is_not(voice: Voice) -> None:
    rendered = render("We are away. [whispers] We are away. [shouts] We are away.", voice, 6)
    spans = {label: (start, end) for start, end, label in rendered.styles}
    neutral = level(rendered, rendered.words[0][0], rendered.words[2][1])
    whisper, shout = level(rendered, *spans["whispers"]), level(rendered, *spans["shouts"])
    assert whisper < 0.6 * neutral < 0.6 * shout


@pytest.mark.usefixtures("quiet")
def test_emphasis_makes_a_word_longer_and_louder() -> None:
    measured = []
    for word in ("that", "THAT"):
        clip = render(f"I want {word} one now.", BEN, 0)
        (_, before, _), (start, end, _) = clip.words[1:3]
        measured.append((end - start, level(clip, start, end) / level(clip, 0, before)))
    assert (np.divide(*reversed(measured)) > 1.15).all()


def test_a_tag_without_a_word_and_no_text_are_silence() -> None:
    assert same(render("[whispers]", ADA, 1), render("", ADA, 1))


ODD = ("[sniffs]", "so", "DON'T", "go.", "of the", "—", "…", "3", "日本", "<break/>", "&amp;", "\0")


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.sampled_from([*(f"[{tag}]" for tag in TAGS), *ODD]), max_size=6),
    voice=st.sampled_from(VOICES),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_text_gives_audio_on_the_16_bit_grid(parts: list[str], voice: Voice, seed: int) -> None:
    rendered = render(" ".join(parts), voice, seed)
    assert 0 < np.abs(rendered.audio).max() < 1
    assert rendered.audio.dtype == np.float32
    assert np.array_equal(rendered.audio, np.round(rendered.audio * 32768) / 32768)
    for start, end, _ in (*rendered.words, *rendered.events, *rendered.styles, *rendered.phonemes):
        assert 0 <= start <= end <= rendered.duration


def jobs(count: int) -> list[RenderJob]:
    voices = ("ada", "noah")
    return [RenderJob(f"k{n}", f"[sighs] Number {n}.", voices[n % 2], n) for n in range(count)]


def workers() -> int:
    listing = ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "args"]
    return subprocess.run(listing, capture_output=True, text=True).stdout.count("import serve")


def test_many_clips_come_in_order_and_equal_a_single_process() -> None:
    todo = jobs(7)
    done = list(render_many(iter(todo), workers=2))
    assert [key for key, _ in done] == [job.key for job in todo]
    for job, (_, rendered) in zip(todo, done, strict=True):
        assert same(rendered, render(job.tagged_text, find_voice(job.voice_id), job.seed))


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (RenderJob("bad", "Hi.", "nobody", 1), UserError, "clip 'bad': no voice 'nobody'"),
        (RenderJob("neg", "Hi.", "ada", -1), RuntimeError, "clip 'neg' failed: expected non-neg"),
    ],
)
def test_an_error_names_the_clip_and_ends_the_workers(
    bad: RenderJob, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(render_many([*jobs(2), bad], workers=1))
    assert workers() == 0


def test_a_dead_worker_is_reported_with_its_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform, "_WORKER", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match=r"clip 'k0' failed: .* status 3"):
        list(render_many(jobs(1), workers=1))


def test_abandoning_the_iteration_ends_the_workers() -> None:
    clips = render_many(jobs(20), workers=2)
    next(clips)
    assert workers() == 2
    clips.close()
    assert workers() == 0
