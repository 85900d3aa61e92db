"""Speech against a local server with ElevenLabs' protocol: bought once, kept, priced, keyless."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, tags
from evoxtral import clips as dataset
from evoxtral.clips.ingest import validate
from evoxtral.providers import (
    CastVoice,
    Line,
    Patience,
    SpeechService,
    SpeechSettings,
    build_speech,
    cast,
    price_speech,
)
from evoxtral.runs import read_jsonl
from evoxtral.world.scripts import Script
from local_server import CANARY, LocalHandler, LocalServer, everything_in, served

SETTINGS = SpeechSettings()
VOICES = [CastVoice("voiceA", "female"), CastVoice("voiceB", "male"), CastVoice("voiceC")]
TEXTS = [
    "[sighs] The first of them is gone.",
    "[excited] We found the SECOND one!",
    "A third sentence without any tag.",
    "[whispers] The fourth is a secret. [pause]",
    "[angry] That is the FIFTH time today.",
    "[calm] Six o'clock, and all is well.",
]


class Server(LocalServer):
    """Answers with noise, or as `behave` says."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.behave = lambda text, count: "speak"
        self.spoken: Counter[str] = Counter()
        self.numbers = itertools.count()


class Handler(LocalHandler):
    def answer(self, request):
        server, text = self.server, request["text"]
        asked = {"path": self.path, "key": self.headers["xi-api-key"], **request}
        with server.answering(text, asked) as (count, _):
            time.sleep(server.delay)
            self.react(server.behave(text, count), text)

    def react(self, action, text):
        audio = pcm(text)
        match action:
            case "speak":
                self.send(200, audio, "audio/pcm")
                with self.server.lock:
                    self.server.spoken[text] += 1
            case "short":
                self.send(200, audio[: len(audio) // 20 * 2], "audio/pcm")
            case "odd":
                self.send(200, audio[:-1], "audio/pcm")
            case "silent":
                self.send(200, bytes(len(audio)), "audio/pcm")
            case "json":
                self.send(200, b'{"detail": "oops"}', "application/json")
            case "cut":
                self.send(200, audio[: len(audio) // 2], "audio/pcm", declared=len(audio))
                self.close_connection = True
            case "slow":
                time.sleep(1.5)
                self.send(200, audio, "audio/pcm")
            case "echo":
                key = self.headers["xi-api-key"]
                body = json.dumps({"detail": {"message": f"invalid key {key}"}}).encode()
                self.send(401, body, "application/json")
            case (status, headers):
                self.send(status, b"<html>busy</html>", "text/html", more=headers)

    def send(self, status, body, kind, declared=None, more=None):
        own = {"request-id": f"r-{next(self.server.numbers)}", "character-cost": "7"}
        super().send(status, body, kind, declared, own | (more or {}))


def pcm(text: str) -> bytes:
    """Noise, long enough for the text, the same for the same text."""
    rng = np.random.default_rng(list(text.encode()))
    seconds = len(tags.strip_tags(text).split()) / 4
    return rng.integers(-9000, 9000, int(16_000 * seconds)).astype("<i2").tobytes()


@pytest.fixture
def server():
    with served(Server()) as server:
        yield server


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)


@pytest.fixture
def buy(server, tmp_path):
    """`build_speech` on the local server, everything allowed."""

    def run(lines, folder="corpus", **options):
        options = {"allow_characters": 10**6, "service": service(server)} | options
        return build_speech(tmp_path / folder, lines, SETTINGS, tmp_path / "cache", **options)

    return run


def service(server, **patience) -> SpeechService:
    patience = {"timeout_seconds": 5.0, "retries": 2, "backoff_seconds": 0.01} | patience
    return SpeechService(concurrency=2, base_url=server.url, patience=Patience(**patience))


def lines_of(texts=TEXTS, split="train") -> list[Line]:
    rows = [
        Script(f"s-{i}", text, "light", "conversation", "t", False) for i, text in enumerate(texts)
    ]
    return cast(rows, VOICES, split, 3)


def failures_of(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in read_jsonl(folder / "failures.jsonl")}


def test_a_corpus_is_bought_and_is_a_dataset(buy, server, tmp_path):
    lines = [*lines_of(TEXTS[:4]), *(Line(row.script, row.voice, "test") for row in lines_of()[4:])]
    run = buy(lines)
    assert run.clips == {"train": 4, "test": 2}
    assert run.failures == {}
    assert validate(tmp_path / "corpus")[1].empty
    loaded = dataset.load(tmp_path / "corpus")
    assert {clip.tagged_text for clip in loaded.clips} == set(TEXTS)
    assert {clip.source for clip in loaded.clips} == {"synthetic"}
    for clip in loaded.clips:
        exact = np.frombuffer(pcm(clip.tagged_text), "<i2").astype(np.float32) / 32768
        assert (loaded.audio(clip) == exact).all()
    by_id = {line.script.id: line.voice for line in lines}
    assert all((clip.voice, clip.gender) == (by_id[clip.id].id, by_id[clip.id].gender)
               for clip in loaded.clips)  # fmt: skip


def test_the_request_is_what_the_provider_documents(buy, server):
    buy(lines_of(TEXTS[:1]))
    (request,) = server.requests
    voice = lines_of(TEXTS[:1])[0].voice.id
    assert request["path"] == f"/v1/text-to-speech/{voice}?output_format=pcm_16000"
    assert request["model_id"] == "eleven_v3"
    assert request["voice_settings"]["stability"] == 0.5
    assert request["text"] == TEXTS[0]
    assert request["key"] == CANARY
    assert "seed" not in request


def test_the_second_run_pays_nothing_and_needs_neither_key_nor_server(
    buy, server, tmp_path, monkeypatch
):
    buy(lines_of())
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    monkeypatch.setitem(sys.modules, "elevenlabs", None)
    first = {p.name: p.read_bytes() for p in (tmp_path / "corpus").rglob("*") if p.is_file()}
    for folder in ("corpus", "elsewhere"):
        run = buy(lines_of(), folder, allow_characters=0)
        assert run.before.requests == 0
    files = {p.name: p.read_bytes() for p in (tmp_path / "elsewhere").rglob("*") if p.is_file()}
    assert files == first
    assert server.asked.total() == len(TEXTS)


def test_nothing_is_spent_without_permission(buy, server, tmp_path):
    characters = sum(map(len, TEXTS))
    with pytest.raises(UserError, match=f"set allow_characters to {characters} "):
        buy(lines_of(), allow_characters=characters - 1)
    assert not (tmp_path / "corpus").exists()
    estimate = price_speech(
        lines_of(), SETTINGS, tmp_path / "cache", price_per_character=0.5, credits_per_character=2
    )
    assert (estimate.characters, estimate.requests) == (characters, len(TEXTS))
    assert (estimate.price, estimate.credits) == (characters / 2, characters * 2)
    assert "credits" in str(estimate)
    assert server.asked.total() == 0
    buy(lines_of(), allow_characters=characters)


def test_one_text_in_one_voice_is_paid_for_once(buy, server, tmp_path):
    rows = [Script(f"s-{i}", TEXTS[0], "light", "conversation", "t", False) for i in range(3)]
    lines = [Line(row, VOICES[0], "train") for row in rows]
    assert price_speech(lines, SETTINGS, tmp_path / "cache").characters == len(TEXTS[0])
    assert buy(lines).clips == {"train": 3}
    assert server.asked.total() == 1


def test_every_setting_is_another_recording():
    line = lines_of()[0]
    others = [
        SpeechSettings(stability=0.0),
        SpeechSettings(seed=1),
        SpeechSettings(language="en"),
        SpeechSettings(model="eleven_v4"),
    ]
    keys = {line.key(settings) for settings in (SETTINGS, *others)}
    keys.add(Line(line.script, VOICES[0 if line.voice != VOICES[0] else 1], "train").key(SETTINGS))
    assert len(keys) == 6


def test_a_busy_server_is_waited_for(buy, server):
    answers = {1: (429, {"retry-after": "1"}), 2: (500, {})}
    server.behave = lambda text, count: answers.get(count, "speak") if text == TEXTS[0] else "speak"
    start = time.monotonic()
    run = buy(lines_of(TEXTS[:2]))
    assert time.monotonic() - start >= 1
    assert run.failures == {}
    assert server.asked == {TEXTS[0]: 3, TEXTS[1]: 1}
    assert server.spoken == {TEXTS[0]: 1, TEXTS[1]: 1}


@pytest.mark.parametrize(
    ("action", "reason", "perhaps_billed", "requests"),
    [
        ("short", "truncated", True, 1),
        ("odd", "truncated", True, 1),
        ("cut", "broke off", True, 1),
        ("silent", "silent", True, 1),
        ("json", "not audio", True, 1),
        ("slow", "timed out", True, 1),
        ((429, {"retry-after": "3600"}), "HTTP 429", False, 1),
        ((503, {}), "HTTP 503", False, 3),
        ((422, {}), "HTTP 422", False, 1),
        ((307, {"location": "https://example.org/"}), "HTTP 307", False, 1),
    ],
)
def test_a_failure_is_recorded_and_the_run_goes_on(
    buy, server, tmp_path, action, reason, perhaps_billed, requests
):
    server.behave = lambda text, count: action if text == TEXTS[1] else "speak"
    options = {"max_failed_share": 0.2, "service": service(server, timeout_seconds=0.7)}
    run = buy(lines_of(), **options)
    assert set(run.failures) == {"s-1"}
    assert run.clips == {"train": 5}
    (row,) = failures_of(tmp_path / "corpus").values()
    assert row["id"] == "s-1"
    assert reason in row["reason"]
    assert row["perhaps_billed"] is perhaps_billed
    assert server.asked[TEXTS[1]] == requests

    server.behave = lambda text, count: "speak"
    run = buy(lines_of(), allow_characters=len(TEXTS[1]))
    assert run.clips == {"train": 6}
    assert failures_of(tmp_path / "corpus") == {}
    assert set(server.spoken.values()) <= {1, 2}
    assert all(server.asked[text] == 1 for text in TEXTS if text != TEXTS[1])


def test_too_many_failures_fail_the_run_and_lose_nothing(buy, server, tmp_path):
    server.behave = lambda text, count: "short" if text in TEXTS[:2] else "speak"
    with pytest.raises(UserError, match="2 of 6 clips failed, more than the allowed 5%") as caught:
        buy(lines_of())
    assert "truncated" in str(caught.value)
    assert set(failures_of(tmp_path / "corpus")) == {"s-0", "s-1"}
    server.behave = lambda text, count: "speak"
    assert buy(lines_of()).clips == {"train": 6}
    assert [server.asked[text] for text in TEXTS] == [2, 2, 1, 1, 1, 1]


def test_the_ledger_has_every_reply(buy, server, tmp_path):
    server.behave = lambda text, count: "short" if text == TEXTS[0] else "speak"
    buy(lines_of(TEXTS[:3]), max_failed_share=0.5)
    rows = list(read_jsonl(tmp_path / "cache" / "ledger.jsonl"))
    assert sorted(row["characters"] for row in rows) == sorted(map(len, TEXTS[:3]))
    assert {row["billed"] for row in rows} == {7.0}
    assert len({row["request_id"] for row in rows}) == 3


def test_a_refused_key_stops_at_once_and_shows_nowhere(buy, server, tmp_path, caplog, capfd):
    server.behave = lambda text, count: "echo"
    alone = SpeechService(1, base_url=server.url)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(UserError, match="refuses to serve") as error,
    ):
        buy(lines_of(), service=alone)
    assert server.asked.total() <= 2, "one more may have been sent when the first came back"
    shown = "".join(traceback.format_exception(error.value))
    assert "invalid key ***" in shown
    assert CANARY not in shown + caplog.text + "".join(capfd.readouterr())
    assert CANARY not in everything_in(tmp_path)


def test_the_key_is_in_no_file_and_no_log_of_a_good_run(buy, server, tmp_path, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        buy(lines_of())
    assert caplog.records, "the client logs its requests"
    assert CANARY not in caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_no_more_requests_at_a_time_than_allowed(buy, server):
    server.delay = 0.05
    buy(lines_of())
    assert server.most_busy == 2


def test_damaged_audio_is_bought_again_after_telling(buy, server, tmp_path):
    buy(lines_of())
    victim = next((tmp_path / "cache").rglob("*.flac"))
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(UserError, match="5 of them paid for already; 1 requests left"):
        buy(lines_of(), allow_characters=0)
    assert buy(lines_of()).before.requests == 1


def test_a_folder_with_other_content_is_left_alone(buy, tmp_path):
    buy(lines_of())
    with pytest.raises(UserError, match="another order"):
        buy(lines_of(TEXTS[:2]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[sighs]", "no words"), ("", "1 to 5,000"), ("word " * 1001, "1 to 5,000")],
)
def test_texts_that_cannot_be_spoken_cost_nothing(buy, server, text, reason):
    with pytest.raises(UserError, match=reason):
        buy(lines_of([*TEXTS, text]))
    assert server.asked.total() == 0


@pytest.mark.parametrize(("name", "split"), [("../x", "train"), ("x", "Train!")])
def test_what_cannot_become_a_clip_costs_nothing(buy, server, name, split):
    line = Line(Script(name, TEXTS[0], "light", "podcast", "t", False), VOICES[0], split)
    with pytest.raises(UserError, match="cannot become a clip"):
        buy([line])
    assert server.asked.total() == 0


def test_an_id_is_given_once(buy):
    with pytest.raises(UserError, match="more than once"):
        buy(lines_of() + lines_of())


def test_voices_take_turns():
    lines = lines_of(TEXTS * 5)
    for turn in range(0, 30, 3):
        assert {line.voice for line in lines[turn : turn + 3]} == set(VOICES)
    assert lines == lines_of(TEXTS * 5)
    with pytest.raises(UserError, match="each only once"):
        cast([], [VOICES[0], VOICES[0]], "train", 0)


@pytest.mark.parametrize("name", ["", "../user", "a/b", "a?b", "x" * 65])
def test_a_voice_cannot_change_the_address(name):
    with pytest.raises(UserError, match="no id"):
        CastVoice(name)


def test_a_server_that_is_not_there(buy, server, tmp_path):
    nowhere = SpeechService(base_url="http://127.0.0.1:1", patience=Patience(1, 1, 0.01))
    with pytest.raises(UserError, match="6 of 6 clips failed"):
        buy(lines_of(), service=nowhere)
    rows = failures_of(tmp_path / "corpus").values()
    assert {row["perhaps_billed"] for row in rows} == {False}


KILLED = """
import sys
from pathlib import Path
from evoxtral.providers import *
from evoxtral.world.scripts import Script
folder, url, *texts = sys.argv[1:]
rows = [Script(f"s-{i}", t, "light", "conversation", "t", False) for i, t in enumerate(texts)]
voices = [CastVoice("voiceA", "female"), CastVoice("voiceB", "male"), CastVoice("voiceC")]
lines = cast(rows, voices, "train", 3)
service = SpeechService(concurrency=2, base_url=url)
build_speech(Path(folder) / "corpus", lines, SpeechSettings(), Path(folder) / "cache",
             allow_characters=10**6, service=service)
"""


@pytest.mark.parametrize("after", [pytest.param(2, marks=pytest.mark.check), 9])
def test_killed_midway_nothing_is_lost_and_nothing_paid_twice(buy, server, tmp_path, after):
    texts = [f"[sighs] This is sentence number {word}." for word in "abcdefghijkl"]
    server.delay = 0.03
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), server.url, *texts]
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=os.environ)
    while server.spoken.total() < after:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    lines = lines_of(texts)
    kept = {line.script.tagged_text for line in lines
            if list((tmp_path / "cache").rglob(f"{line.key(SETTINGS)}.flac"))}  # fmt: skip
    assert len(kept) >= after - 2
    while server.busy:
        time.sleep(0.005)
    run = buy(lines)
    assert run.clips == {"train": 12}
    assert run.before.paid == len(kept)
    assert all(server.asked[text] == 1 for text in kept)
    assert server.asked.total() <= len(texts) + 2, "at most those under way"
    uninterrupted = buy(lines, "again", allow_characters=0)
    assert uninterrupted.clips == run.clips
