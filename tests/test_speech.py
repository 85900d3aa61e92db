"""Speech: what a tag covers, every tag in its place, audible, and reproducible to the byte."""

from __future__ import annotations

import os
import signal
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.tags import GROUPS, TAGS
from evoxtral.world import speech
from evoxtral.world.speech import VOICES, Rendered, RenderJob, Voice, espeak, find_voice, render
from evoxtral.world.speech.audibility import audibility, linear_probe, log_mel_statistics, place
from evoxtral.world.speech.espeak import Utterance, speak
from evoxtral.world.speech.score import Phrase, read_score
from evoxtral.world.speech.vocal import pulses, vocalise

ADA, BEN, MONA = map(find_voice, ("ada", "ben", "mona"))
HELLO = Utterance("We are here now.", "en-us", 180, 50, 50)
WHISPER = HELLO._replace(voice="en-us+whisper")


def outline(item: Phrase) -> str:
    """A phrase as `words/styles/closing`, `~` before stammers, `*` before emphasis; an event."""
    words = ("~" * word.stammered + "*" * word.emphasised + word.text for word in item.tokens)
    styles = (style.name for style in item.styles)
    return item.event or "/".join((" ".join(words), "+".join(styles), item.closing))


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
def test_what_a_tag_covers(text: str, expected: list[str]) -> None:
    assert list(map(outline, read_score(text))) == expected


def test_the_cast_is_balanced_and_two_of_it_share_no_formants_with_training() -> None:
    assert sum(voice.gender == "female" for voice in VOICES) * 2 == len(VOICES)
    assert sorted(voice.gender for voice in speech.HELD_OUT_VOICES) == ["female", "male"]
    trained, unheard = (
        {voice.espeak_name.partition("+")[2] for voice in voices}
        for voices in (speech.TRAINING_VOICES, speech.HELD_OUT_VOICES)
    )
    assert trained.isdisjoint(unheard)
    said = speak([HELLO._replace(voice=voice.espeak_name) for voice in VOICES], 1)
    assert len({spoken.pcm for spoken in said}) == len(VOICES)


def test_the_seed_of_espeak_decides_and_history_does_not() -> None:
    first = speak([HELLO, WHISPER], 1)
    speak([WHISPER] * 3, 2)
    assert speak([HELLO, WHISPER], 1) == first
    assert speak([HELLO, WHISPER], 2)[1].pcm != first[1].pcm
    phonemes = first[0].phonemes  # without stress marks, one after the other
    assert "".join(symbol for _, _, symbol in phonemes) == "wi:;A@hi@3naU"
    assert all(0 <= start < end <= len(first[0].pcm) / 2 for start, end, _ in phonemes)


def test_a_refused_voice_is_an_error_and_a_dead_server_is_started_anew() -> None:
    before = speak([HELLO], 1)
    with pytest.raises(ValueError, match=r"refused .*'en-gb'"):
        speak([HELLO._replace(voice="en-gb")], 1)
    assert speak([HELLO], 1) == before
    os.kill(espeak._server().pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with status -9"):
        speak([HELLO], 1)
    assert speak([HELLO], 1) == before


@pytest.mark.parametrize("tag", GROUPS["nonverbal"])
def test_no_two_events_are_alike(tag: str) -> None:
    rngs = map(np.random.default_rng, range(30))
    takes = [vocalise(tag, 110, "male", speech.CAST["events"][tag], rng) for rng in rngs]
    lengths = np.array([len(take) for take in takes]) / 16000
    assert 0.2 <= lengths.min() < lengths.max() <= 2.8
    assert lengths.std() > 0.05 * lengths.mean()
    levels = [20 * np.log10(np.sqrt(np.mean(take**2))) for take in takes]
    assert -16 < min(levels) < max(levels) < 4


def test_pulses_repeat_at_the_pitch_asked_for() -> None:
    tone = pulses(np.full(8000, 125.0), np.random.default_rng(0), jitter=0.0, shimmer=0.0)
    assert np.corrcoef(tone[128:], tone[:-128])[0, 1] > 0.999
    assert np.sqrt(np.mean(tone**2)) == pytest.approx(1, abs=0.05)
    assert abs(tone.mean()) < 0.02


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No room and hardly any noise."""
    monkeypatch.setitem(speech.CAST["varies"], "noise", (50.0, 50.0))
    monkeypatch.setattr(speech, "ROOM", 0.0)


def length(rendered: Rendered) -> float:
    return len(rendered.audio) / 16_000


def level(rendered: Rendered, start: float, end: float) -> float:
    part = rendered.audio[round(start * 16000) : round(end * 16000)]
    return float(np.sqrt(np.mean(part**2)))


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_renders_where_it_stands(tag: str) -> None:
    is_event = tag in (*GROUPS["nonverbal"], *GROUPS["pause"])
    for voice in (ADA, BEN, MONA):
        rendered = render(f"We saw the sea. [{tag}] They left early.", voice, 3)
        ((start, end, label),) = rendered.events if is_event else rendered.styles
        assert label == tag
        assert length(rendered) <= speech.MAX_SECONDS
        before = [sound for sound in rendered.phonemes if sound[1] <= start]
        after = [sound for sound in rendered.phonemes if sound[0] >= end]
        during = rendered.phonemes[len(before) : len(rendered.phonemes) - len(after)]
        assert "".join(symbol for *_, symbol in before).startswith("wi")
        if is_event:
            assert not during
            assert after[0][2] == "D"
        else:  # only the first word is stammered
            assert [symbol for *_, symbol in during].count("D") == (1 if tag != "stammers" else 3)
            assert bool(after) == (tag == "stammers")


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


@pytest.mark.usefixtures("quiet")
def test_a_pause_is_long_and_quiet_and_plain_gaps_are_short() -> None:
    rendered = render("We left, and then it rained. [pause] They stayed. We slept.", ADA, 0)
    ((start, end, _),) = rendered.events
    assert 0.5 <= end - start <= 1.0
    assert level(rendered, start + 0.1, end - 0.05) < 0.03 * level(rendered, 0, start)
    gaps = sorted(s - e for (_, e, _), (s, _, _) in pairwise(rendered.phonemes))
    assert gaps[-2] < 0.35 < 0.5 <= gaps[-1]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("voice", [ADA, BEN, MONA], ids=lambda voice: voice.id)
def test_a_whisper_is_quiet_and_a_shout_is_not(voice: Voice) -> None:
    rendered = render("We are away. [whispers] We are away. [shouts] We are away.", voice, 6)
    spans = {label: (start, end) for start, end, label in rendered.styles}
    neutral = level(rendered, rendered.phonemes[0][0], spans["whispers"][0] - 0.25)
    whisper, shout = level(rendered, *spans["whispers"]), level(rendered, *spans["shouts"])
    assert whisper < 0.6 * neutral < 0.6 * shout


@pytest.mark.usefixtures("quiet")
def test_emphasis_makes_a_word_longer_and_louder() -> None:
    measured = []
    for word in ("that", "THAT"):
        clip = render(f"I want {word} one now.", BEN, 0)
        (start,) = (at for at, _, symbol in clip.phonemes if symbol == "D")
        end = next(at for at, _, symbol in clip.phonemes if symbol == "w" and at > start)
        before = level(clip, clip.phonemes[0][0], start)
        measured.append((end - start, level(clip, start, end) / before))
    assert (np.divide(*reversed(measured)) > 1.15).all()


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
    for start, end, _ in (*rendered.events, *rendered.styles, *rendered.phonemes):
        assert 0 <= start <= end <= length(rendered)


def test_many_clips_come_in_order_and_equal_a_single_process() -> None:
    """Abandoning the iteration leaves the next one intact."""
    todo = [RenderJob(f"[sighs] Number {n}.", (ADA, MONA)[n % 2], n) for n in range(7)]
    abandoned = speech.render_many(todo, workers=2)
    next(abandoned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tasks were cancelled, if any were left
        abandoned.close()
    for job, rendered in zip(todo, speech.render_many(iter(todo), workers=2), strict=True):
        again = render(*job)
        assert np.array_equal(rendered.audio, again.audio)
        assert (rendered.phonemes, rendered.events) == (again.phonemes, again.events)


def test_statistics_are_finite_and_do_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(20000) * np.linspace(0.02, 0.2, 20000)).astype(np.float32)
    found = log_mel_statistics(audio)
    assert np.isfinite(found).all()
    assert np.allclose(found, log_mel_statistics(audio / 4), atol=0.02)


def test_auc_of_noise_is_a_half_and_of_signal_is_one() -> None:
    rng = np.random.default_rng(1)
    for shift, low, high in ((0, 0.38, 0.62), (1, 0.98, 1)):
        train, test = ((rng.normal(shift, 1, (80, 20)), rng.normal(0, 1, (80, 20))) for _ in "ab")
        assert low < linear_probe(train, test, 0.02) <= high


def test_a_tag_is_placed_where_it_makes_sense() -> None:
    for tag, places in {
        "sad": {"[sad] A b. C d."},
        "pause": {"A [pause] b. C d.", "A b. [pause] C d.", "A b. C [pause] d."},
        "gasps": {"[gasps] A b. C d.", "A b. [gasps] C d.", "A b. C d. [gasps]"},
    }.items():
        assert {place(tag, "A b. C d.", np.random.default_rng(n)) for n in range(40)} == places


def test_loud_tags_are_audible_on_unheard_voices() -> None:
    texts = [f"{who} left {n} red books." for who in ("We", "They", "I") for n in range(2, 14)]
    pairs = {"train_pairs": 24, "test_pairs": 10, "seed": 0}
    found = audibility(["whispers", "pause"], texts, **pairs, workers=2)
    assert found["tag"].tolist() == ["whispers", "pause"]
    assert (found["auc"] >= 0.9).all()
    assert (found["n"] == 20).all()
