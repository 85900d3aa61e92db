"""Speech against a local server with ElevenLabs' protocol: told, bought once, kept, keyless."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, params, runs, tags
from evoxtral.mix import chapter, source
from evoxtral.params import DataMix
from evoxtral.providers import elevenlabs, one_line, read_key
from evoxtral.world import scripts
from evoxtral.world.scripts import Script
from helpers import killed, until
from local_server import CANARY, LocalHandler, LocalServer, everything_in, served

WORDS = ["harbour", "lantern", "morning", "paper", "window", "garden", "engine", "letter", "sea"]
TEXTS = [f"[sighs] The {word} was {k} miles from here." for k in (2, 3) for word in WORDS] + [
    "[calm] Nobody said a word.",
    "Then it was over.",
]
CHARACTERS = sum(map(len, TEXTS))


class Speaker(LocalServer):
    """Answers with noise, or as `behave` says."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.behave = lambda text, count: "speak"
        self.spoken: Counter[str] = Counter()


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
            case "slow":
                time.sleep(1.0)
                self.send(200, audio, "audio/pcm")
            case _:
                self.fail(action, audio[: len(audio) // 2])


def pcm(text: str) -> bytes:
    """Noise, long enough for the text, the same for the same text."""
    rng = np.random.default_rng(list(text.encode()))
    seconds = len(tags.strip_tags(text).split()) / 4
    return rng.integers(-9000, 9000, int(16_000 * seconds)).astype("<i2").tobytes()


@pytest.fixture
def speaker(bought: Path) -> Iterator[Speaker]:
    with served(Speaker()) as server:
        yield server


@pytest.fixture
def order(tmp_path: Path, speaker: Speaker):
    """Parameters that have a few scripts spoken by the local server."""

    def parameters(texts: list[str] = TEXTS, **changes: object) -> DataMix:
        path = tmp_path / "scripts.json"
        rows = [{"tagged_text": text, "domain": "podcast", "slice_type": "light"} for text in texts]
        path.write_text(json.dumps(rows))
        own = {"source": "elevenlabs", "scripts": str(path), "speech_url": speaker.url}
        return params.profile(DataMix, "paper", {**own, "allow_characters": 10_000} | changes)

    return parameters


def failures() -> list[str]:
    (path,) = runs.runs_dir().rglob("failures.jsonl")
    return [row["reason"] for row in runs.read_jsonl(path)]


def test_without_an_allowance_the_costs_are_told_in_one_sentence(
    order, speaker, monkeypatch, bought
) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    for allowed in (0, CHARACTERS - 1):
        with pytest.raises(UserError) as error:
            source.open_clips(order(allow_characters=allowed, speech_price=1e6))
        assert str(error.value) == (
            f"20 clips, 0 of them paid for already; 20 requests left ({CHARACTERS} characters, "
            f"{CHARACTERS}.00 in money): set allow_characters to {CHARACTERS} to spend them (it is "
            f"{allowed}; nothing was spent); of 16 training texts 13 are near others (threshold "
            "0.7): no epoch draws them; mix 'targets' may leave training clips out, mix 'written' "
            "does not"
        )
    with pytest.raises(UserError, match=f"\\({CHARACTERS} characters\\): set"):
        source.open_clips(order(allow_characters=0, speech_price=0))
    assert speaker.asked.total() == 0
    assert not list(bought.rglob("*.flac"))


def test_what_was_bought_is_a_source_like_any_other(order, speaker) -> None:
    cfg = order(voices="voiceA:female, voiceB", stability=0.0)
    data = source.open_source(cfg)
    report = scripts.split_released(scripts.read_released(Path(cfg.scripts)))
    for split, texts in report.items():
        assert [clip.tagged_text for clip in data.splits[split]] == [t.tagged_text for t in texts]
    assert (data.name, data.window_seconds) == ("elevenlabs", None)
    assert data.findings.empty
    assert {clip.source for clip in data.clips.clips} == {"synthetic"}
    assert {(clip.voice, clip.gender) for clip in data.clips.clips} == {
        ("voiceA", "female"), ("voiceB", None),
    }  # fmt: skip
    for clip in data.clips.clips:
        exact = np.frombuffer(pcm(clip.tagged_text), "<i2").astype(np.float32) / 32768
        assert (data.clips.audio(clip) == exact).all()
    by_text = {clip.tagged_text: clip.voice for clip in data.clips.clips}
    for request in speaker.requests:
        voice = by_text[request["text"]]
        assert request["path"] == f"/v1/text-to-speech/{voice}?output_format=pcm_16000"
        assert (request["model_id"], request["key"]) == ("eleven_v3", CANARY)
        assert request["voice_settings"] == {"stability": 0.0}
    assert {specimen.tag for specimen in chapter.specimens(cfg, data)} == {"sighs", "calm"}
    assert chapter.audible(cfg, data).empty


def test_later_notebooks_and_a_clean_checkout_buy_nothing(order, speaker, monkeypatch) -> None:
    first = source.open_clips(order())
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    again = source.open_clips(order(allow_characters=0))
    assert (again.digest, again.stage.executed) == (first.digest, False)
    shutil.rmtree(runs.runs_dir())
    anew = source.open_clips(order(allow_characters=0, concurrency=1, allow_requests=3))
    assert (anew.digest, anew.stage.executed) == (first.digest, True)
    assert speaker.asked == dict.fromkeys(TEXTS, 1)


def test_the_key_is_in_no_file_and_no_log(order, speaker, tmp_path, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG):
        source.open_source(order())
        assert caplog.records, "the client logs its requests"
        speaker.behave = lambda text, count: "echo"
        with pytest.raises(UserError, match="ElevenLabs refuses to serve") as error:
            source.open_clips(order(stability=1.0, concurrency=1))
    assert speaker.asked.total() <= len(TEXTS) + 2, "one more may have been under way"
    shown = "".join(traceback.format_exception(error.value))
    assert "invalid key ***" in shown
    assert CANARY not in shown + caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_a_word_in_place_of_a_key_may_be_said(monkeypatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert one_line(f"anyone\nhas {CANARY}") == "anyone has ***"
    assert len(one_line("c" * 1000)) == 300


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://example.org/v1", True),
        *((f"http://{host}:80/v1", True) for host in ("localhost", "[::1]", "10.0.0.2", "box.lan")),
        *((f"http://{host}/v1", False) for host in ("8.8.8.8", "172.32.0.1", "both.lan", "lost")),
        *((url, False) for url in ("example.org", "ftp://10.0.0.2", "http:///v1")),
    ],
)
def test_a_key_goes_unencrypted_to_the_local_network_only(bought, monkeypatch, url, sent) -> None:
    names = {"box.lan": ["192.168.0.7"], "both.lan": ["192.168.0.7", "9.9.9.9"], "lost": []}
    ask = socket.getaddrinfo

    def looked_up(host: str, port: None) -> list:
        return [found for one in names.get(host, [host]) for found in ask(one, port)] or ask("", 0)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    if sent:
        assert read_key("OPENAI_API_KEY", url) == CANARY
    else:
        with pytest.raises(UserError, match=r"gets no key: give .*; http will do for this machine"):
            read_key("OPENAI_API_KEY", url)


def test_a_busy_server_is_waited_for(order, speaker) -> None:
    answers = {1: (429, b"", {"retry-after": "1"}), 2: (500, b"", {"retry-after": "0"})}
    speaker.behave = lambda text, n: answers.get(n, "speak") if text == TEXTS[0] else "speak"
    start = time.monotonic()
    assert len(source.open_clips(order()).clips.clips) == 20
    assert time.monotonic() - start >= 1
    assert failures() == []
    assert (speaker.asked[TEXTS[0]], speaker.asked.total()) == (3, 22)
    assert speaker.most_busy <= 2


@pytest.mark.parametrize(
    ("action", "reason", "requests"),
    [
        ("cut", "Connection broken", 1),
        ((200, bytes(64_000), {}), "2.00 s long, or silent", 1),
        ((200, bytes(range(250)) * 128, {}), "1.00 s long, or silent; its words take 1.17 s", 1),
        ((200, b"short", {}), "0.00 s long, or silent", 1),
        ("slow", "timed out", 1),
        ((503, b"<html>", {"retry-after": "0"}), "HTTP 503", 2),
        ((307, b"", {"location": "https://example.org/"}), "HTTP 307", 1),
    ],
)
def test_a_clip_that_fails_is_left_out_for_good(
    order, speaker, monkeypatch, action, reason, requests
) -> None:
    monkeypatch.setattr(elevenlabs, "TIMEOUT", 0.5)
    monkeypatch.setattr(elevenlabs, "RETRIES", 1)
    speaker.behave = lambda text, count: action if text == TEXTS[0] else "speak"
    assert len(source.open_clips(order()).clips.clips) == 19
    (found,) = failures()
    assert reason in found
    again = source.open_clips(order(allow_characters=0))
    assert (len(again.clips.clips), again.findings["reason"].str.contains(reason).sum()) == (19, 1)
    assert speaker.asked[TEXTS[0]] == requests
    assert all(speaker.asked[text] == 1 for text in TEXTS[1:])
    shutil.rmtree(runs.runs_dir())
    speaker.behave = lambda text, count: "speak"
    whole = source.open_clips(order())
    assert (len(whole.clips.clips), whole.digest == again.digest) == (20, False)
    assert speaker.asked.total() == 20 + requests


def test_too_many_failures_stop_and_the_next_run_buys_the_rest(order, speaker) -> None:
    speaker.behave = lambda text, count: (400, b"", {}) if text in TEXTS[:2] else "speak"
    with pytest.raises(UserError, match=r"2 of 20 clips failed, more than the .* 5%.*HTTP 400"):
        source.open_clips(order())
    speaker.behave = lambda text, count: "speak"
    left = sum(map(len, TEXTS[:2]))
    assert len(source.open_clips(order(allow_characters=left)).clips.clips) == 20
    assert speaker.asked.total() == 22


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"voices": "a:child"}, "a gender in voices is 'child': write"),
        ({"voices": ","}, "voices is ',' and names none: give"),
        ({"scripts": "nowhere.json"}, "scripts 'nowhere.json' does not exist: give released, gen"),
        ({"speech_url": "http://8.8.8.8"}, "gets no key: give a base URL like"),
    ],
)
def test_a_wrong_order_is_refused_before_anything_is_sent(
    order, speaker, changes, sentence
) -> None:
    with pytest.raises(UserError, match=sentence):
        source.open_clips(order(**changes))
    assert speaker.asked.total() == 0


def test_a_voice_follows_from_the_text_so_that_nothing_is_bought_again(order, speaker) -> None:
    source.open_clips(order(voices="a,b,c"))
    asked = speaker.requests[:]
    speaker.requests.clear()
    more = [f"[calm] Nothing about {word}." for word in WORDS]
    data = source.open_clips(order([*more, *TEXTS[1:]], voices="a,b,c", seed=1))
    assert len(data.clips.clips) == 28
    assert sorted(request["text"] for request in speaker.requests) == sorted(more)
    of_b = [request["text"] for request in asked if "/b?" in request["path"]]
    assert 2 <= len(of_b) <= 12
    speaker.requests.clear()
    source.open_clips(order(voices="a,new,c,"))
    assert sorted(request["text"] for request in speaker.requests) == sorted(of_b)
    speaker.requests.clear()
    source.open_clips(order(voices="a,b,c,new"))
    assert {request["path"][18:23] for request in speaker.requests} == {"/new?"}


def test_one_text_in_one_voice_is_one_recording_and_has_the_next_voice(order, speaker) -> None:
    rows = [Script(f"s-{k}", TEXTS[k % 2], "light", "podcast", "t", False) for k in range(6)]
    files = elevenlabs._cast(order(voices="a,b,c"), {"train": rows})
    assert Counter(clip.voice for clip in files) == dict.fromkeys("abc", 2)
    clip, path = next(iter(files.items()))
    asked = {"provider": "elevenlabs", "format": "pcm_16000", "text": TEXTS[0],
             "voice": clip.voice, "model": "eleven_v3", "stability": 0.5, "seed": None,
             "language": None}  # fmt: skip
    assert path.stem == runs.digest(asked), "as earlier versions kept it"
    stage = elevenlabs.speech(order(voices="a"), {"train": rows[:3], "test": rows[3:]})
    assert speaker.asked.total() == 2
    assert len(list(stage.path.rglob("*.flac"))) == 6


def test_what_is_wrong_with_scripts_is_told_with_the_costs_and_not_bought(order, speaker) -> None:
    said = ["[calm] Nobody, said a WORD!"] * 6 + ["[slams door] Out!", "[sighs Not closed."]
    with pytest.raises(UserError) as error:
        source.open_clips(order(TEXTS + said, allow_characters=0, unknown_tags="reject"))
    told = str(error.value)
    assert "; rejects: 2, such as scripts.json:27: unknown tags: slams door; warnings: " in told
    assert "the text is that of line " in told
    assert not speaker.asked
    data = source.open_clips(order(TEXTS + said, unknown_tags="reject"))
    assert len(data.clips.clips) == 26, "all that was bought"
    assert not {*said[6:]} & {*speaker.asked}
    texts = {name: {c.plain_text.lower() for c in own} for name, own in data.splits.items()}
    assert any(texts["train"] & texts[other] for other in ("validation", "test"))
    assert data.findings["kind"].value_counts()["reject"] == 2


def test_the_report_is_bought_and_used_as_it_was_split(order, released_path) -> None:
    cfg = order(scripts=str(released_path), allow_characters=0)
    with pytest.raises(UserError, match=r"1010 requests left \(193,136 characters"):
        source.open_clips(cfg)
    data = source.open_source(order(source=str(released_path)))
    files = elevenlabs._cast(cfg, data.splits)
    splits = Counter(clip.split for clip in files)
    assert splits == {"train": 808, "validation": 101, "test": 101}
    assert len({*files.values()}) == 1010, "twins too have a recording each"
    alike = data.findings[data.findings["reason"].str.contains("the text is that of")]
    assert alike["line"].tolist() == [336, 654]
    voices = Counter(clip.voice for clip in files if clip.split == "train")
    assert min(voices.values()) > 80


def test_killed_midway_nothing_is_lost_and_nothing_paid_twice(order, speaker, bought) -> None:
    speaker.delay = 0.03
    assert killed(partial(source.open_clips, order()), lambda: speaker.spoken.total() >= 9)
    until(lambda: not speaker.busy)
    kept = len(list(bought.rglob("*.flac")))
    assert kept >= 7
    assert len(source.open_clips(order()).clips.clips) == 20
    assert speaker.asked.total() <= len(TEXTS) + 2, "at most those under way"
