"""Scripts against a local server with OpenAI's protocol: steered, judged, paid for once."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from evoxtral import UserError, params, runs
from evoxtral.mix import source
from evoxtral.mix.composition import goals
from evoxtral.params import DataMix
from evoxtral.providers import llm
from evoxtral.world.scripts import generate
from helpers import examples, killed, until
from local_server import CANARY, LocalHandler, LocalServer, everything_in, served
from test_providers_elevenlabs import Speaker

SEEDS = [script.tagged_text for script in generate(20, 3)]
LETTERS = "abcdefghiklmnoprstuw"
PLAIN = "Nobody had ever seen such an enormous harbour."


class Writer(LocalServer):
    """A model that obeys, or does as `behave` says; its reply is a function of the request."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.behave = lambda purpose, count: "obey"
        self.score = lambda text, vote: 4
        self.poor = False
        self.answered: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"{super().url}/v1"


class Handler(LocalHandler):
    def answer(self, request):
        server = self.server
        assert self.path == "/v1/chat/completions"
        purpose = request["response_format"]["json_schema"]["name"]
        name = json.dumps(request["messages"])
        asked = request | {"key": self.headers["authorization"]}
        with server.answering(name, asked) as (_, count):
            time.sleep(server.delay)
            self.react(server.behave(purpose, count), request, purpose, name)

    def react(self, action, request, purpose, name):
        match action:
            case "obey":
                self.reply(self.content(request["messages"][1]["content"], purpose, name))
                with self.server.lock:
                    self.server.answered[name] += 1
            case ("say", said, finish):
                self.reply(said, finish)
            case (status, body):
                self.send(status, body, more={"retry-after": "0.01"})
            case _:
                self.fail(action, b'{"choices": [')

    def content(self, said, purpose, name):
        if purpose == "_Vote":
            vote = self.server.score(said.removeprefix("Script: "), self.server.asked[name])
            return json.dumps({"reasoning": "So so.", "score": vote})
        digest = hashlib.sha256(name.encode()).hexdigest()
        texts = obedient(said, digest)
        if self.server.poor:
            texts[int(digest, 16) % 3 :] = [PLAIN, "Too short."]
        return json.dumps({"scripts": texts})

    def reply(self, content, finish="stop"):
        body = {
            "id": "c-1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content},
                         "finish_reason": finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }  # fmt: skip
        self.send(200, json.dumps(body).encode())


def obedient(said: str, seed: object) -> list[str]:
    """Five scripts as a brief wants them, in words that were never said before."""
    rng = random.Random(seed)
    rules = said.partition("\n\nExamples")[0]
    listed = re.search(r"among them (.*)\.", rules)
    names = re.findall(r"\[([^\]]+)\]", listed.group(1)) if listed else []
    span = re.search(r"has (\d+) to \d+ tags", rules)
    while span and len(names) < int(span.group(1)):
        names.append("calm")
    texts = []
    for _ in range(5):
        words = ["".join(rng.choices(LETTERS, k=8)) for _ in range(10)]
        words[4] = "NEVER" if "CAPITALS" in rules else "never"
        texts.append(" ".join([*(f"[{name}]" for name in names), *words]))
    return texts


@pytest.fixture
def writer(tmp_path: Path, bought: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    released = tmp_path / "released.json"
    rows = [{"tagged_text": t, "domain": "podcast", "slice_type": "light"} for t in SEEDS]
    released.write_text(json.dumps(rows))
    monkeypatch.setattr("evoxtral.world.scripts.fetch_released", lambda _: released)
    with served(Writer()) as server:
        yield server


@pytest.fixture
def order(writer: Writer):
    """Parameters that have a few scripts written by the local server, all of it allowed."""

    def parameters(count: int = 12, **changes: object) -> DataMix:
        own = {"source": "llm", "script_model": "m", "script_url": writer.url, "concurrency": 2,
               "train": count - 2, "validation": 1, "test": 1, "allow_requests": 1000}  # fmt: skip
        return params.profile(DataMix, "paper", own | changes)

    return parameters


@pytest.fixture
def write(order):
    """The rows of the scripts that are written."""

    def run(count: int = 12, **changes: object) -> list[dict]:
        data = source.open_source(order(count, **changes))
        assert sum(map(len, data.splits.values())) == count
        return runs.read_json(newest("scripts.json"))

    return run


def newest(name: str) -> Path:
    return max(runs.runs_dir().rglob(name), key=lambda path: path.stat().st_mtime_ns)


def rejects() -> set[str]:
    return {row["reason"] for row in runs.read_jsonl(newest("rejects.jsonl"))}


def test_scripts_are_written_steered_and_unlike_each_other(write, writer, monkeypatch) -> None:
    monkeypatch.setattr(llm, "ROUND", 20)
    writer.delay = 0.05  # long enough for the second request to come meanwhile
    rows = write(60)
    texts = [row["tagged_text"] for row in rows]
    density = goals(examples(*texts)).take(range(4))
    assert (abs(density.measured() - density.rows["low"] - 0.025) < 0.025 + 5 / 60).all()
    assert llm.near_existing(texts, SEEDS) == set()
    assert writer.most_busy == 2, "as many at a time as `concurrency`"
    first, last = writer.requests[0], writer.requests[-1]
    assert (first["key"], first["model"]) == (f"Bearer {CANARY}", "m")
    assert (first["temperature"], first["max_completion_tokens"]) == (1.0, 2000)
    schema = first["response_format"]["json_schema"]
    assert (schema["strict"], schema["schema"]["additionalProperties"]) == (True, False)
    assert schema["schema"]["required"] == ["scripts"]
    shown = re.findall(r"^\d+\. (.*)$", last["messages"][1]["content"], re.MULTILINE)
    assert len(shown) == 8
    assert {*shown} <= {*SEEDS}, "none that might be paraphrased in another split"


def test_nothing_is_spent_without_permission(write, writer, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError) as error:
        write(allow_requests=0, votes=2)
    assert str(error.value) == (
        "0 of 12 scripts are written (0 requests so far); 27 requests or more are left, of about "
        "800 tokens each: set allow_requests to 27 or more to go on (it was 0)"
    )
    assert writer.requests == []
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        write()
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"pip install evoxtral\[providers\]"):
        write()
    with pytest.raises(UserError, match="script_model is empty"):
        write(script_model="")


def test_more_scripts_and_more_votes_buy_only_what_is_new(
    write, order, writer, monkeypatch
) -> None:
    writer.poor, writer.score = True, lambda text, vote: 3 + (text[-1] > "e")
    with pytest.raises(UserError, match=r"0 of 20 .*\(3 requests so far\); 4 .* about 150 tokens"):
        write(20, allow_requests=3, concurrency=1)
    few = write(20)
    many = write(60)
    assert len(rejects()) >= 2, "part of the replies is of no use"
    assert many[:20] == few
    asked = len(writer.requests)
    judged = write(20, votes=1)
    assert few != judged
    assert all(row in many for row in judged)
    assert set(writer.asked.values()) == {1}, "no question was asked twice"
    once = len(writer.requests) - asked
    assert 20 < once <= 60
    assert write(20, votes=3) == judged
    assert len(writer.requests) - asked == 3 * once
    purposes = (r["response_format"]["json_schema"]["name"] for r in writer.requests[asked:])
    assert set(purposes) == {"_Vote"}
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setitem(sys.modules, "openai", None)
    shutil.rmtree(runs.runs_dir())
    assert write(60, allow_requests=0) == many
    assert write(20, allow_requests=0, votes=3) == judged
    assert len(writer.requests) - asked == 3 * once


def test_killed_midway_nothing_is_lost_and_nothing_paid_twice(order, write, writer, bought) -> None:
    writer.delay = 0.03
    assert killed(partial(source.open_source, order(60)), lambda: writer.answered.total() >= 5)
    until(lambda: not writer.busy)
    assert len(list(bought.rglob("*.json"))) >= 3
    write(60)
    assert len(writer.requests) <= 12 + 2, "at most those under way"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("say", "no JSON at all", "stop"), "Invalid JSON"),
        (("say", '{"scripts": ["cut', "length"), "(the reply ended by 'length')"),
        (("say", None, "content_filter"), "(the reply ended by 'content_filter')"),
        (("say", '{"lines": []}', "stop"), "Field required"),
        (("say", '{"scripts": ["Too short."]}', "stop"), "2 words: 5 to 65 are wanted"),
        (("say", json.dumps({"scripts": [PLAIN] * 2}), "stop"), "too near a script that exists"),
    ],
)
def test_what_is_wrong_is_left_out_and_planned_anew(write, writer, said, reason) -> None:
    writer.behave = lambda purpose, count: said if count == 1 else "obey"
    rows = write(10, concurrency=1)
    assert any(reason in found for found in rejects())
    assert sum(row["tagged_text"] == PLAIN for row in rows) == (PLAIN in (said[1] or ""))
    assert len(writer.requests) == 3


def test_a_model_that_only_talks_ends_the_run(write, writer) -> None:
    writer.behave = lambda purpose, count: ("say", "no", "stop")
    with pytest.raises(UserError, match=r"12 briefs .* no script, last reason: .*Invalid JSON"):
        write(20)
    assert len(writer.requests) == 12


def test_the_judge_votes_three_times_and_the_mean_decides(write, writer) -> None:
    seen: list[str] = []

    def score(text, vote):
        with writer.lock:
            if text not in seen:
                seen.append(text)
        if seen.index(text) == 1:
            return 9
        return {1: 2, 2: 5, 3: 3}[vote] if text == seen[0] else {1: 3, 2: 4, 3: 4}[vote]

    writer.score = score
    rows = write(6, votes=3, concurrency=1)
    assert rejects() == {"judged 3.33, below 3.5", "judged 0.00, below 3.5"}
    assert not {row["tagged_text"] for row in rows} & {*seen[:2]}
    votes = [r for r in writer.requests if r["response_format"]["json_schema"]["name"] == "_Vote"]
    assert len(votes) == 8 * 3


@pytest.mark.parametrize(
    "action", ["cut", (200, b'{"choices": []}'), (200, b"<html>"), (400, b"{}"), (503, b"{}")]
)
def test_an_outage_stops_the_run_and_the_next_one_goes_on(
    write, writer, monkeypatch, action
) -> None:
    monkeypatch.setattr(llm, "RETRIES", 1)
    writer.behave = lambda purpose, count: "obey" if count <= 2 else action
    with pytest.raises(UserError, match=r"the language model did not answer: .*; check key, cred"):
        write()
    writer.behave = lambda purpose, count: "obey"
    write()
    assert set(writer.answered.values()) == {1}


def test_the_key_shows_nowhere(write, writer, tmp_path, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG):
        write()
        assert caplog.records, "the client logs its requests"
        asked = len(writer.requests)
        writer.behave = lambda purpose, count: "echo"
        with pytest.raises(UserError, match="the language model did not answer") as error:
            write(60, seed=1, concurrency=1)
    assert len(writer.requests) <= asked + 2, "one more may have been under way"
    shown = "".join(traceback.format_exception(error.value))
    assert "invalid key ***" in shown
    assert CANARY not in shown + caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_what_a_model_wrote_is_spoken_and_bought_once(order, writer) -> None:
    with served(Speaker()) as speaker:
        own = {"source": "elevenlabs", "scripts": "llm", "speech_url": speaker.url}
        with pytest.raises(UserError, match="set allow_characters to"):
            source.open_clips(order(**own))
        asked = len(writer.requests)
        spoken = source.open_clips(order(**own, allow_requests=0, allow_characters=10_000))
        assert len(writer.requests) == asked
        assert set(speaker.asked) == {clip.tagged_text for clip in spoken.clips.clips}
        more = source.open_clips(order(30, **own, allow_characters=10_000))
        assert len(more.clips.clips) == 30
        assert speaker.asked == {clip.tagged_text: 1 for clip in more.clips.clips}


BRIEF = llm.Brief(0, 1, 2, ("sighs",), ("pause",), True, "podcast", ("[sad] Example.",))

FAULTS = {
    "[sighs We are NOT going there today.": "broken brackets",
    "[sighs] We are NOT going (laughs) there.": "more than spoken words",
    "Anna: [sighs] We are NOT going there.": "more than spoken words",
    "[sighs] We are NOT going at 9 today.": "more than spoken words",
    "[sighs] NOT going.": "2 words",
    "[sighs] " + "NOT going " * 40: "80 words",
    "[sighs] We are not going there today.": "no word in CAPITALS",
    "We are NOT going there today.": "0 tags: 1 to 2",
    "[sighs] [sad] [sad] We are NOT going there.": "3 tags",
    "[sad] We are NOT going there today.": "tags are missing",
    "[sighs] [pause] We are NOT going there.": "tags that are not wanted",
    "[Sighs] We are NOT going there today.": "tags that are not wanted, or not in lower case",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_script_is_held_to_its_brief(text) -> None:
    assert FAULTS[text] in llm.fault(text, BRIEF)
    assert llm.fault("[sighs] We are NOT going there today.", BRIEF) == ""
