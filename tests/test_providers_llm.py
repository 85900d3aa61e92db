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
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, params, runs
from evoxtral.mix import source
from evoxtral.mix.goals import Item, goals
from evoxtral.params import DataMix
from evoxtral.providers import briefs, llm
from evoxtral.providers.briefs import Brief
from evoxtral.providers.llm import BadReplyError, Scripts, Vote
from evoxtral.world.scripts import generate
from local_server import CANARY, LocalHandler, LocalServer, everything_in, served
from test_providers_elevenlabs import Speaker

SEEDS = [script.tagged_text for script in generate(20, 3)]
LETTERS = "abcdefghiklmnoprstuw"


class Writer(LocalServer):
    """A model that obeys, or does as `behave` says; its reply is a function of the request."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.behave = lambda purpose, count: "obey"
        self.score = lambda text, vote: 4
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
                self.reply(self.content(request["messages"], purpose, name))
                with self.server.lock:
                    self.server.answered[name] += 1
            case "cut":
                self.send(200, b'{"choices": [', declared=1000)
                self.close_connection = True
            case "echo":
                key = self.headers["authorization"].removeprefix("Bearer ")
                body = {"error": {"message": f"Incorrect API key: {key}", "code": "invalid"}}
                self.send(401, json.dumps(body).encode())
            case bytes(body):
                self.send(200, body)
            case (status, headers):
                self.send(status, b'{"error": {"message": "busy"}}', more=headers)
            case ("say", said, finish):
                self.reply(said, finish)

    def content(self, messages, purpose, name):
        if purpose == "vote":
            text = messages[1]["content"].removeprefix("Script: ")
            vote = self.server.score(text, self.server.asked[name])
            return json.dumps({"reasoning": "So so.", "score": vote})
        seed = hashlib.sha256(name.encode()).hexdigest()
        return json.dumps({"scripts": obedient(messages, random.Random(seed))})

    def reply(self, content, finish="stop"):
        message = {"role": "assistant", "content": content}
        if finish == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot."}
        body = {
            "id": "c-1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
        }
        self.send(200, json.dumps(body).encode())


def obedient(messages, rng) -> list[dict[str, str]]:
    """Scripts as the last message wants them, in words that were never said before."""
    rules = messages[1]["content"].partition("\n\nExamples")[0]
    wanted = messages[-1]["content"] if len(messages) > 2 else rules
    rows = int(re.search(r"(?:Write|Imagine|Take) (\d+)", wanted).group(1))
    listed = re.search(r"(?:among them|Exactly these tags:) (.*)\.", rules)
    names = re.findall(r"\[([^\]]+)\]", listed.group(1)) if listed else []
    span = re.search(r"has (\d+)(?: to \d+)? tags", rules)
    while span and len(names) < int(span.group(1)):
        names.append("calm")
    texts = []
    for _ in range(rows):
        words = ["".join(rng.choices(LETTERS, k=8)) for _ in range(10)]
        words[4] = "NEVER" if "CAPITALS" in rules else "never"
        texts.append({"tagged_text": " ".join([*(f"[{name}]" for name in names), *words])})
    return texts


@pytest.fixture(autouse=True)
def _bought(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOXTRAL_BOUGHT", str(tmp_path / "bought"))
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    released = tmp_path / "released.json"
    rows = [{"tagged_text": t, "domain": "podcast", "slice_type": "light"} for t in SEEDS]
    released.write_text(json.dumps(rows))
    monkeypatch.setattr("evoxtral.world.scripts.fetch_released", lambda _: released)


@pytest.fixture
def writer() -> Iterator[Writer]:
    with served(Writer()) as server:
        yield server


@pytest.fixture
def order(writer: Writer):
    """Parameters that have a few scripts written by the local server, all of it allowed."""

    def parameters(count: int = 12, **changes: object) -> DataMix:
        own = {"source": "llm", "script_model": "m", "script_url": writer.url, "concurrency": 2,
               "train": count - 2, "validation": 1, "test": 1, "allow_requests": 1000}  # fmt: skip
        return params.profile(params.DataMix, "paper", own | changes)

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


def rejects() -> list[str]:
    return [row["reason"] for row in runs.read_jsonl(newest("rejects.jsonl"))]


def test_scripts_are_written_steered_and_unlike_each_other(write, writer, monkeypatch) -> None:
    monkeypatch.setattr(llm, "ROUND", 20)
    writer.delay = 0.05  # long enough for the second request to come meanwhile
    rows = write(60)
    items = [
        Item(f"{k}", row["tagged_text"], row["plain_text"], row["domain"])
        for k, row in enumerate(rows)
    ]
    for goal in [goal for goal in goals(items) if goal.table == "density"]:
        assert goal.low - 5 / 60 < goal.measured() < goal.high + 5 / 60
    assert {row["template"] for row in rows} == {"written", "paraphrased"}
    assert briefs.near_existing([row["tagged_text"] for row in rows], SEEDS) == set()
    assert writer.most_busy == 2, "as many at a time as `concurrency`"
    first, last = writer.requests[0], writer.requests[-1]
    assert (first["key"], first["model"]) == (f"Bearer {CANARY}", "m")
    assert (first["temperature"], first["max_completion_tokens"]) == (1.0, 2000)
    schema = first["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("scripts", True)
    for part in (schema["schema"], *schema["schema"]["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    shown = re.findall(r"^\d+\. (.*)$", last["messages"][1]["content"], re.MULTILINE)
    assert len(shown) == 8
    assert {row["tagged_text"] for row in rows} & {*shown}, "examples come from what was accepted"


def test_nothing_is_spent_without_permission(write, writer, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError) as error:
        write(allow_requests=0, votes=2)
    assert re.fullmatch(
        r"0 of 12 scripts are written \(0 requests, 0 tokens so far\); 27 to 81 requests are left, "
        r"the fewer of them about [\d,]+ tokens to send and [\d,]+ to receive: set allow_requests "
        r"to 27 or more to go on \(it was 0\)",
        str(error.value),
    )
    assert writer.requests == []
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        write()
    with pytest.raises(UserError, match="script_model is empty"):
        write(script_model="")


def test_more_scripts_and_more_votes_buy_only_what_is_new(
    write, order, writer, monkeypatch
) -> None:
    few = write(20)
    many = write(60)
    assert many[:20] == few
    assert set(writer.asked.values()) == {1}, "no question was asked twice"
    asked = len(writer.requests)
    judged = write(20, votes=1)
    assert len(writer.requests) == asked + 20
    assert [row["score"] for row in judged] == [4] * 20
    write(20, votes=3)
    assert len(writer.requests) == asked + 60
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setitem(sys.modules, "openai", None)
    shutil.rmtree(runs.runs_dir())
    assert write(60, allow_requests=0) == many
    assert write(20, allow_requests=0, votes=3) == judged
    assert len(writer.requests) == asked + 60


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("say", "no JSON at all", "stop"), "Invalid JSON"),
        (("say", '{"scripts": [{"tagged_text": "cut', "length"), "cut at the token limit"),
        (("say", '{"lines": []}', "stop"), "Field required"),
        (("say", '{"scripts": []}', "stop"), "fewer scripts than asked for"),
        (("say", '{"scripts": [{"tagged_text": "[sniffs] a"}]}', "stop"), "words: 5 to 65"),
        (("say", "", "refusal"), "refused"),
        (b"<html>hello</html>", "no chat completion"),
        (b'{"choices": []}', "no chat completion"),
    ],
)
def test_what_is_wrong_is_asked_for_again_with_the_reason(write, writer, said, reason) -> None:
    writer.behave = lambda purpose, count: said if count == 1 else "obey"
    write(5, concurrency=1)
    first, second = writer.requests[:2]
    opening = len(first["messages"])
    assert second["messages"][:opening] == first["messages"]
    if said[-1] == "stop":
        assert reason in second["messages"][-1]["content"]
    assert "fewer" in reason or any(reason in found for found in rejects())


def test_a_model_that_only_talks_ends_the_run(write, writer) -> None:
    writer.behave = lambda purpose, count: ("say", "no", "stop")
    with pytest.raises(UserError, match=r"3 rounds brought no script, last reason: .*Invalid JSON"):
        write(5)
    assert len(writer.requests) == 3 * llm.ASKS


def test_only_the_bad_rows_are_asked_for_again_and_no_more_than_those_are_kept(
    write, writer
) -> None:
    def half(purpose, count):
        rows = obedient(writer.requests[0]["messages"], random.Random(count))
        bad = [SEEDS[0] + " well", "[sniffs] we are not going there"]
        rows = [*rows[:3], *({"tagged_text": text} for text in bad)] if count == 1 else rows
        return "say", json.dumps({"scripts": rows}), "stop"

    writer.behave = half
    rows = write(5)
    assert len(writer.requests) == 2
    assert writer.requests[1]["messages"][-1]["content"].endswith("Write 2 others in their place.")
    assert Counter(rejects())["more than was asked for"] == 3
    assert not any(row["tagged_text"].startswith(SEEDS[0]) for row in rows)


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
    assert {round(row["score"], 2) for row in rows} == {3.67}
    assert "judged 3.33, below 3.5" in rejects()
    assert any(reason.startswith("not judged: score: ") for reason in rejects())
    assert not {row["tagged_text"] for row in rows} & {*seen[:2]}
    votes = [r for r in writer.requests if r["response_format"]["json_schema"]["name"] == "vote"]
    assert len(votes) == 7 * 3 + llm.ASKS


@pytest.mark.parametrize("action", ["cut", (400, {}), (503, {"retry-after": "0.01"})])
def test_an_outage_stops_the_run_and_the_next_one_goes_on(
    write, writer, monkeypatch, action
) -> None:
    monkeypatch.setattr(llm, "RETRIES", 1)
    writer.behave = lambda purpose, count: "obey" if count <= 2 else action
    with pytest.raises(UserError, match=r"the language model did not answer: .*; run again later"):
        write()
    writer.behave = lambda purpose, count: "obey"
    write()
    assert set(writer.answered.values()) == {1}


def test_the_key_shows_nowhere(write, writer, tmp_path, caplog, capfd) -> None:
    said = json.dumps({"scripts": [{"tagged_text": f"the key is {CANARY}"}]})
    writer.behave = lambda purpose, count: ("say", said, "stop") if count == 1 else "obey"
    with caplog.at_level(logging.DEBUG):
        write()
        assert caplog.records, "the client logs its requests"
        asked = len(writer.requests)
        writer.behave = lambda purpose, count: "echo"
        with pytest.raises(UserError, match="the language model refuses to serve") as error:
            write(60, seed=1, concurrency=1)
    assert len(writer.requests) <= asked + 2, "one more may have been under way"
    shown = "".join(traceback.format_exception(error.value))
    assert "Incorrect API key: ***" in shown
    assert CANARY not in shown + caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_what_a_model_wrote_is_spoken_and_bought_once(order, writer, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)
    with served(Speaker()) as speaker:
        own = {"source": "elevenlabs", "scripts": "llm", "speech_url": speaker.url}
        with pytest.raises(UserError, match="set allow_characters to"):
            source.open_clips(order(**own))
        asked = len(writer.requests)
        spoken = source.open_clips(order(**own, allow_requests=0, allow_characters=10_000))
        assert len(writer.requests) == asked
        assert set(speaker.asked) == {clip.tagged_text for clip in spoken.clips.clips}


BRIEF = Brief(0, 5, 1, 2, ("sighs",), ("pause",), True, "podcast", ("[sad] Example.",))


FAULTS = {
    "[sighs We are NOT going there today.": "broken brackets",
    "[sighs] We are NOT going (laughs) there.": "only what is spoken",
    "Anna: [sighs] We are NOT going there.": "only what is spoken",
    "[sighs] We are NOT going at 9 today.": "'9': numbers are written as words",
    "[sighs] NOT going.": "2 words",
    "[sighs] " + "NOT going " * 40: "80 words",
    "[sighs] We are not going there today.": "no word in CAPITALS",
    "We are NOT going there today.": "0 tags: 1 to 2",
    "[sighs] [sad] [sad] We are NOT going there.": "3 tags",
    "[sad] We are NOT going there today.": "[sighs] is missing",
    "[sighs] [pause] We are NOT going there.": "[pause] is not wanted",
    "[Sighs] We are NOT going there today.": "[sighs] is not one of the tags, in lower case",
    "[sighs] We are NOT\x07 going there today.": "control characters",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_script_is_held_to_its_brief(text) -> None:
    assert FAULTS[text] in next(briefs.faults(text, BRIEF))
    assert list(briefs.faults("[sighs] We are NOT going there today.", BRIEF)) == []


def test_a_paraphrase_has_the_same_tags() -> None:
    brief = replace(BRIEF, source="[sad] [sad] x", required=("sad", "sad"), fewest=2, most=2)
    assert list(briefs.faults("[sad] We are NOT [sad] going there.", brief)) == []
    assert "not the same tags" in briefs.faults("[sad] We are NOT [calm] going there.", brief)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_reply_breaks_the_reader(content) -> None:
    for form in (Scripts, Vote):
        with pytest.raises(BadReplyError):
            llm.parsed(content, form)
