"""Rendering: reproducible to the byte, every tag in its place, nothing out of range."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.tags import GROUPS, TAGS
from evoxtral.world.speech import (
    HELD_OUT_VOICES,
    MAX_SECONDS,
    SAMPLE_RATE,
    VOICES,
    Rendered,
    RenderSettings,
    find_voice,
    render,
)

TEXT = "We saw six fast ships. They left."
QUIET = RenderSettings(noise=(50.0, 50.0), room=0.0)
ADA, BEN = find_voice("ada"), find_voice("ben")


def digest(rendered: Rendered) -> str:
    marks = (rendered.phonemes, rendered.words, rendered.events, rendered.styles)
    return hashlib.sha256(rendered.audio.tobytes() + repr(marks).encode()).hexdigest()


def slice_of(rendered: Rendered, start: float, end: float) -> np.ndarray:
    return rendered.audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(audio**2)))


def voicing(audio: np.ndarray) -> float:
    """Median height of the autocorrelation peak between 60 and 400 Hz, over 40 ms blocks."""
    peaks = []
    for start in range(0, len(audio) - 640, 320):
        block = audio[start : start + 640] - audio[start : start + 640].mean()
        correlation = np.correlate(block, block, "full")[639:]
        peaks.append(correlation[40:267].max() / (correlation[0] + 1e-9))
    return float(np.median(peaks))


def test_same_inputs_give_the_same_bytes_in_any_order_and_process() -> None:
    cases = [
        (f"[{tag}] {TEXT}", voice)
        for tag, voice in zip(("whispers", "shouts", "sad", "stammers"), VOICES, strict=False)
    ]
    here = [digest(render(text, voice, 5)) for text, voice in cases]
    assert here == [digest(render(text, voice, 5)) for text, voice in cases[::-1]][::-1]
    program = (
        "import sys, hashlib\nfrom evoxtral.world.speech import find_voice, render\n"
        "for line in sys.stdin:\n"
        "    voice, text = line.strip().split('|')\n"
        "    r = render(text, find_voice(voice), 5)\n"
        "    marks = (r.phonemes, r.words, r.events, r.styles)\n"
        "    print(hashlib.sha256(r.audio.tobytes() + repr(marks).encode()).hexdigest())\n"
    )
    lines = "\n".join(f"{voice.id}|{text}" for text, voice in cases)
    there = subprocess.run(
        [sys.executable, "-c", program], input=lines, capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == here


def test_seed_and_voice_change_the_audio() -> None:
    clips = [render(TEXT, ADA, 1), render(TEXT, ADA, 2), render(TEXT, BEN, 1)]
    assert len({digest(clip) for clip in clips}) == 3


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_renders_where_it_stands(tag: str) -> None:
    for voice in (*HELD_OUT_VOICES, ADA):
        rendered = render(f"We saw the sea. [{tag}] They left early.", voice, 3)
        found = (
            rendered.events if tag in (*GROUPS["nonverbal"], *GROUPS["pause"]) else rendered.styles
        )
        assert [label for _, _, label in found] == [tag]
        start, end, _ = found[0]
        words = {word: (start, end) for start, end, word in rendered.words}
        assert words["sea."][1] <= start < end <= rendered.duration
        if found is rendered.events:
            assert end <= words["They"][0]
        else:  # only the first word is stammered
            last = words["They" if tag == "stammers" else "early."]
            assert start <= words["They"][0] < last[1] <= end
        assert rendered.duration <= MAX_SECONDS


def test_audio_lies_on_the_16_bit_grid() -> None:
    audio = render(f"[shouts] {TEXT}", BEN, 4, RenderSettings(level=(0.0, 0.0))).audio
    assert audio.dtype == np.float32
    assert np.array_equal(audio, np.round(audio * 32768) / 32768)
    assert 0.9 < np.abs(audio).max() < 1


def test_sibilants_are_where_the_phonemes_say() -> None:
    """High frequencies follow the marks of s and sh within 20 ms, in any manner."""
    for tag in ("", "[sad] ", "[excited] ", "[nervous] ", "[shouts] ", "[stammers] "):
        rendered = render(f"{tag}She sees SIX fast ships on the sea.", ADA, 8, QUIET)
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
    assert [word for _, _, word in rendered.words] == [
        "Of",
        "the",
        "end...",
        "go",
        "on!",
        "BIG",
        "one.",
    ]
    for spans in (rendered.phonemes, rendered.words):
        starts, ends = [s for s, _, _ in spans], [e for _, e, _ in spans]
        assert all(start < end for start, end, _ in spans)
        assert all(end <= start + 1e-9 for end, start in zip(ends, starts[1:], strict=False))
        assert starts[0] >= 0
        assert ends[-1] <= rendered.duration
    styles = {label: (start, end) for start, end, label in rendered.styles}
    assert set(styles) == {"sad", "whispers", "stammers", "emphasis"}
    assert styles["sad"][0] < styles["whispers"][0] < styles["whispers"][1] < styles["sad"][1]
    assert styles["stammers"][0] < styles["emphasis"][0] < styles["emphasis"][1]


def test_a_pause_is_long_and_quiet_and_plain_gaps_are_short() -> None:
    for seed in range(4):
        rendered = render(
            "We left, and then it rained. [pause] They stayed. We slept.", ADA, seed, QUIET
        )
        ((start, end, _),) = rendered.events
        assert 0.5 <= end - start <= 1.0
        speech = slice_of(rendered, rendered.words[0][0], rendered.words[2][1])
        assert rms(slice_of(rendered, start + 0.1, end - 0.05)) < 0.03 * rms(speech)
        edges = [(s, e) for s, e, _ in rendered.phonemes]
        gaps = [s - e for (_, e), (s, _) in pairwise(edges)]
        assert sorted(gaps)[-2] < 0.35 < 0.5 <= sorted(gaps)[-1]


@pytest.mark.parametrize("voice", [ADA, BEN, *HELD_OUT_VOICES], ids=lambda voice: voice.id)
def test_a_whisper_is_quieter_and_less_voiced_than_a_shout(voice) -> None:
    rendered = render(
        "We are away now. [whispers] We are away now. [shouts] We are away.", voice, 6, QUIET
    )
    spans = {label: (start, end) for start, end, label in rendered.styles}
    neutral = slice_of(rendered, rendered.words[0][0], rendered.words[3][1])
    whisper, shout = slice_of(rendered, *spans["whispers"]), slice_of(rendered, *spans["shouts"])
    assert rms(whisper) < 0.6 * rms(neutral) < 0.6 * rms(shout)
    assert voicing(whisper) < voicing(neutral) - 0.15


def test_emphasis_makes_a_word_longer_and_louder() -> None:
    ratios = []
    for seed in range(3):
        plain = render("I want that one now.", BEN, seed, QUIET)
        strong = render("I want THAT one now.", BEN, seed, QUIET)
        lengths = [clip.words[2][1] - clip.words[2][0] for clip in (plain, strong)]
        levels = [
            rms(slice_of(c, *c.words[2][:2])) / rms(slice_of(c, *c.words[1][:2]))
            for c in (plain, strong)
        ]
        ratios.append((lengths[1] / lengths[0], levels[1] / levels[0]))
    assert np.median([length for length, _ in ratios]) > 1.15
    assert np.median([level for _, level in ratios]) > 1.15


def test_a_stammer_repeats_the_onset() -> None:
    rendered = render("[stammers] Because it rained.", ADA, 1)
    ((start, end, _),) = rendered.styles
    first = [symbol for s, e, symbol in rendered.phonemes if start <= s < end]
    assert 3 <= first.count("b") <= 4


def test_unknown_tags_are_a_policy() -> None:
    strict = RenderSettings(unknown_tags="error")
    with pytest.raises(UserError, match=r"no sound for tag \[sniffs\]"):
        render("[sniffs] So it goes.", ADA, 1, strict)
    ignored = render("[sniffs] So it goes.", ADA, 1)
    assert not ignored.events
    assert [word for _, _, word in ignored.words] == ["So", "it", "goes."]
    assert digest(ignored) == digest(render("So it goes.", ADA, 1))


@pytest.mark.parametrize(
    "text", ["", "...", "[whispers]", "[sad] [angry]", "日本", "<break time='9s'/> &amp;", "\0 hi"]
)
def test_odd_texts_still_give_a_clip(text: str) -> None:
    rendered = render(text, ADA, 1)
    assert rendered.duration >= 0.1
    assert np.isfinite(rendered.audio).all()
    assert not rendered.styles


def test_commas_are_heard() -> None:
    with_comma = render("We went home, then we ate.", ADA, 5, QUIET)
    without = render("We went home then we ate.", ADA, 5, QUIET)
    assert with_comma.duration > without.duration + 0.05


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [*(f"[{tag}]" for tag in TAGS), "so", "I", "DON'T", "go.", "of the", "—", "…", "?", "3"]
        ),
        max_size=6,
    ),
    voice=st.sampled_from(VOICES),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_text_gives_finite_audio_in_range(parts: list[str], voice, seed: int) -> None:
    rendered = render(" ".join(parts), voice, seed)
    assert np.isfinite(rendered.audio).all()
    assert np.abs(rendered.audio).max() <= 1
    assert rms(rendered.audio) > 0
    for start, end, _ in (*rendered.words, *rendered.events, *rendered.styles, *rendered.phonemes):
        assert 0 <= start <= end <= rendered.duration
