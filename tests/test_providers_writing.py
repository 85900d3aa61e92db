"""Scripts against a local server with OpenAI's protocol: steered, judged, paid for once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from evoxtral import UserError
from evoxtral.mix.duplicates import keep_first
from evoxtral.mix.goals import density_goals
from evoxtral.mix.items import Features
from evoxtral.providers import ChatService, ChatSettings, Patience, ScriptPlan, write_scripts
from evoxtral.providers.briefs import Tally, next_brief
from evoxtral.providers.script_plan import estimate_scripts
from evoxtral.runs import read_jsonl
from evoxtral.world.scripts import generate, read_released
from local_server import CANARY, LocalHandler, LocalServer, everything_in, served

SEEDS = generate(10, 11)
LETTERS = "abcdefghiklmnoprstuw"


class Server(LocalServer):
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
        content = self.content(request["messages"], purpose, name)
        match action:
            case "obey":
                self.reply(content)
                with self.server.lock:
                    self.server.answered[name] += 1
            case "slow":
                time.sleep(1.5)
                self.reply(content)
            case "not a completion":
                self.send(200, b"<html>hello</html>")
            case "no choices":
                self.send(200, b'{"choices": []}')
            case "cut":
                self.send(200, b'{"choices": [', declared=1000)
                self.close_connection = True
            case "echo":
                key = self.headers["authorization"].removeprefix("Bearer ")
                body = {"error": {"message": f"Incorrect API key: {key}", "code": "invalid"}}
                self.send(401, json.dumps(body).encode())
            case ("say", said, finish):
                self.reply(said, finish)
            case (status, headers):
                self.send(status, b'{"error": {"message": "busy"}}', more=headers)

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


@pytest.fixture
def server():
    with served(Server()) as server:
        yield server


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def plan(scripts: int = 12, **options) -> ScriptPlan:
    options = {"rows_per_request": 3, "briefs_per_round": 2} | options
    return ScriptPlan(chat=ChatSettings(model="m"), scripts=scripts, **options)


def service(server, concurrency=2, **patience) -> ChatService:
    patience = {"timeout_seconds": 5.0, "retries": 2, "backoff_seconds": 0.01} | patience
    return ChatService(concurrency, base_url=server.url, patience=Patience(**patience))


@pytest.fixture
def write(server, tmp_path):
    """`write_scripts` on the local server, everything allowed."""

    def run(order=None, folder="scripts", **options):
        options = {"allow_requests": 10**6, "service": service(server)} | options
        return write_scripts(tmp_path / folder, order or plan(), SEEDS, **options)

    return run


def rejects_of(folder: Path) -> list[str]:
    return [row["reason"] for row in read_jsonl(folder / "rejects.jsonl")]


def test_scripts_are_written_steered_and_unlike_each_other(write, server, tmp_path):
    scripts = write(plan(60))
    assert [s.id for s in scripts[:2]] == ["w-0-000000", "w-0-000001"]
    assert len({s.id for s in scripts}) == 60
    goals = density_goals(Features.of(scripts))
    assert {goal.row: goal.measured() for goal in goals if goal.verdict() != "yes"} == {}
    assert {s.template for s in scripts} == {"written", "paraphrased"}
    assert len(keep_first([s.plain_text for s in (*SEEDS, *scripts)])) == 70
    released = read_released(tmp_path / "scripts" / "scripts.json")
    assert [(s.tagged_text, s.domain, s.slice) for s in released] == [
        (s.tagged_text, s.domain, s.slice) for s in scripts
    ]


def test_the_request_is_what_the_protocol_says(write, server):
    write(plan(3))
    request = server.requests[0]
    assert request["key"] == f"Bearer {CANARY}"
    assert request["model"] == "m"
    assert request["temperature"] == 1.0
    assert request["max_completion_tokens"] == 2000
    assert request["response_format"]["type"] == "json_schema"
    assert request["response_format"]["json_schema"]["strict"] is True


def test_servers_with_other_habits(write, server):
    chat = ChatSettings(model="m", temperature=None, limit_name="max_tokens")
    write(ScriptPlan(chat=chat, scripts=1))
    assert server.requests[0]["max_tokens"] == 2000
    assert not {"temperature", "max_completion_tokens"} & set(server.requests[0])


def test_eight_examples_come_from_what_was_accepted(write, server):
    scripts = write(plan(40, paraphrase_share=0))
    first, last = server.requests[0]["messages"][1], server.requests[-1]["messages"][1]
    for message in (first, last):
        assert len(re.findall(r"^\d+\. ", message["content"], re.MULTILINE)) == 8
    assert all(s.tagged_text not in first["content"] for s in scripts)
    assert sum(s.tagged_text in last["content"] for s in scripts) >= 3


def test_nothing_is_spent_without_permission(write, server, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="0 of 12 scripts are written") as error:
        write(allow_requests=0)
    assert "set allow_requests to" in str(error.value)
    assert server.requests == []
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        write()


def test_the_allowance_is_a_limit_and_the_next_run_goes_on(write, server):
    with pytest.raises(UserError, match="450 tokens so far"):
        write(allow_requests=3)
    assert len(server.requests) == 3
    write(folder="scripts")
    assert set(server.asked.values()) == {1}


def test_a_finished_run_is_replayed_without_key_client_or_network(
    write, server, tmp_path, monkeypatch
):
    first = write()
    files = {p.name: p.read_bytes() for p in (tmp_path / "scripts").iterdir()}
    asked = len(server.requests)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setitem(sys.modules, "openai", None)
    assert write(allow_requests=0) == first
    assert {p.name: p.read_bytes() for p in (tmp_path / "scripts").iterdir()} == files
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("said", "finish", "reason"),
    [
        ("no JSON at all", "stop", "not valid JSON"),
        ('{"scripts": [{"tagged_text": "cut', "length", "cut at the token limit"),
        ('{"lines": []}', "stop", "no list"),
        ('{"scripts": [{"text": "a"}]}', "stop", "Field required"),
        ('{"scripts": [{"tagged_text": "[sniffs] a b c d e f"}]}', "stop", "not one of the tags"),
        ("", "refusal", "refused"),
        ("", "content_filter", "not valid JSON"),
    ],
)
def test_what_is_wrong_is_asked_for_again_with_the_reason(
    write, server, tmp_path, said, finish, reason
):
    server.behave = lambda purpose, count: ("say", said, finish) if count == 1 else "obey"
    assert len(write(plan(3, briefs_per_round=1))) == 3
    first, second = server.requests[:2]
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert reason in second["messages"][-1]["content"]
    assert any(reason in found for found in rejects_of(tmp_path / "scripts"))


def test_asking_again_is_bounded_and_a_stalled_run_ends(write, server):
    server.behave = lambda purpose, count: ("say", "no", "stop")
    with pytest.raises(UserError, match="3 rounds brought no script, last reason: the reply is"):
        write(plan(asks=2, briefs_per_round=1))
    assert len(server.requests) == 3 * 2


def test_only_the_bad_rows_are_asked_for_again(write, server):
    def half(purpose, count):
        if count > 1:
            return "obey"
        rows = obedient(server.requests[0]["messages"], random.Random(1))
        return "say", json.dumps({"scripts": [*rows[:2], {"tagged_text": "[sniffs] no"}]}), "stop"

    server.behave = half
    write(plan(24, briefs_per_round=1))
    assert server.requests[1]["messages"][-1]["content"].endswith("Write 1 others in their place.")


def test_what_exists_or_is_excluded_does_not_come_again(write, server, tmp_path):
    excluded = "so the harbour was closed and nobody told us why it was"
    said = [SEEDS[0].tagged_text + " well", excluded.replace("nobody", "no one")]
    rows = json.dumps({"scripts": [{"tagged_text": text} for text in said]})
    server.behave = lambda purpose, count: ("say", rows, "stop") if count == 1 else "obey"
    order = plan(3, briefs_per_round=1, least_words=1)
    scripts = write(order, exclude=[excluded])
    assert not {s.tagged_text for s in scripts} & set(said)
    assert "too near a script that exists" in rejects_of(tmp_path / "scripts")


def test_two_briefs_of_a_round_do_not_bring_the_same(write, server, tmp_path):
    same = json.dumps({"scripts": [{"tagged_text": "we count the boats until evening comes"}]})

    def both(purpose, count):
        plain = "No tags at all" in server.requests[count - 1]["messages"][1]["content"]
        return ("say", same, "stop") if plain and count <= 6 else "obey"

    server.behave = both
    texts = [s.tagged_text for s in write(plan(12, briefs_per_round=6, rows_per_request=1))]
    assert texts.count("we count the boats until evening comes") == 1


def test_more_rows_than_asked_for_are_left_out(write, server, tmp_path):
    def many(purpose, count):
        rows = obedient(server.requests[count - 1]["messages"], random.Random(count))
        extra = obedient(server.requests[count - 1]["messages"], random.Random(f"{count}"))
        return "say", json.dumps({"scripts": rows + extra}), "stop"

    server.behave = many
    assert len(write(plan(7))) == 7
    assert "more than was asked for" in rejects_of(tmp_path / "scripts")


def test_the_judge_votes_three_times_and_the_mean_decides(write, server, tmp_path):
    bad: list[str] = []

    def score(text, vote):
        with server.lock:
            if not bad:
                bad.append(text)
        return {1: 2, 2: 5, 3: 3}[vote] if text == bad[0] else {1: 3, 2: 4, 3: 4}[vote]

    server.score = score
    write(plan(6, votes=3))
    votes = [r for r in server.requests if r["response_format"]["json_schema"]["name"] == "vote"]
    assert len(votes) == 7 * 3
    rows = json.loads((tmp_path / "scripts" / "scripts.json").read_text())
    assert {round(row["score"], 2) for row in rows} == {3.67}
    assert "judged 3.33, below 3.5" in rejects_of(tmp_path / "scripts")
    assert bad[0] not in {row["tagged_text"] for row in rows}


def test_a_vote_that_is_none_is_asked_for_again_and_then_given_up(write, server, tmp_path):
    first = []

    def score(text, vote):
        with server.lock:
            first.append(text)
        return 9 if text == first[0] or vote == 1 else 5

    server.score = score
    write(plan(3, votes=2, asks=2))
    assert any("not judged: no vote" in reason for reason in rejects_of(tmp_path / "scripts"))


def test_a_busy_server_is_waited_for(write, server):
    answers = {1: (429, {"retry-after": "1"}), 2: (500, {})}
    server.behave = lambda purpose, count: answers.get(count, "obey")
    start = time.monotonic()
    write(plan(3, briefs_per_round=1))
    assert time.monotonic() - start >= 1
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    "action", ["slow", "cut", "not a completion", "no choices", (400, {}), (503, {})]
)
def test_a_request_that_fails_costs_its_brief_and_the_run_goes_on(write, server, tmp_path, action):
    doomed: list[str] = []

    def behave(purpose, count):
        name = json.dumps(server.requests[count - 1]["messages"])
        with server.lock:
            if not doomed:
                doomed.append(name)
        return action if name == doomed[0] else "obey"

    server.behave = behave
    options = {"service": service(server, timeout_seconds=0.7)}
    first = write(**options)
    assert len(first) == 12
    assert server.asked[doomed[0]] == (3 if action == (503, {}) else 1)
    assert any("no reply: " in reason for reason in rejects_of(tmp_path / "scripts"))
    (row,) = [r for r in read_jsonl(tmp_path / "scripts" / "replies.jsonl") if "failure" in r]
    assert row["perhaps_billed"] is isinstance(action, str)
    asked = len(server.requests)
    assert write(**options, allow_requests=0) == first, "the failure is part of the record"
    assert len(server.requests) == asked


def test_an_outage_stops_the_run_and_leaves_no_trace(write, server, tmp_path):
    server.behave = lambda purpose, count: "obey" if count <= 2 else (503, {})
    with pytest.raises(UserError, match="none of 2 requests was answered"):
        write()
    server.behave = lambda purpose, count: "obey"
    scripts = write()
    assert set(server.answered.values()) == {1}
    assert scripts == write(folder="undisturbed")


def test_a_refused_key_stops_at_once_and_shows_nowhere(write, server, tmp_path, caplog, capfd):
    server.behave = lambda purpose, count: "echo"
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(UserError, match="refuses to serve") as error,
    ):
        write(plan(60, briefs_per_round=8), service=service(server, 1))
    assert len(server.requests) <= 1
    shown = "".join(traceback.format_exception(error.value))
    assert "Incorrect API key: ***" in shown
    assert CANARY not in shown + caplog.text + "".join(capfd.readouterr())
    assert CANARY not in everything_in(tmp_path)


def test_the_key_is_in_no_file_and_no_log_of_a_good_run(write, server, tmp_path, caplog, capfd):
    said = json.dumps({"scripts": [{"tagged_text": f"the key is {CANARY}"}]})
    server.behave = lambda purpose, count: ("say", said, "stop") if count == 1 else "obey"
    with caplog.at_level(logging.DEBUG):
        write()
    assert caplog.records, "the client logs its requests"
    assert CANARY not in caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_another_plan_needs_another_folder(write):
    write(plan(3))
    with pytest.raises(UserError, match="another order"):
        write(plan(4))
    with pytest.raises(UserError, match="another order"):
        write(plan(3), exclude=["new"])


def test_too_few_seeds(server, tmp_path):
    with pytest.raises(UserError, match="at least 8 seed scripts, not 7"):
        write_scripts(tmp_path / "x", plan(), SEEDS[:7])


def test_estimates_count_requests_and_tokens(write, server):
    order = plan(30, votes=3, rows_per_request=5)
    options = {"target": 30, "rows": 5, "paraphrase_share": 0.0, "seed": 0}
    brief = next_brief(Tally(), 0, SEEDS, [], **options)
    estimate = estimate_scripts(order, [brief], 10, [])
    assert estimate.least_requests == 4 + 60
    assert estimate.most_requests == 3 * 64
    assert estimate.prompt_tokens > 64 * 50
    assert estimate.price(1e6, 0) == estimate.prompt_tokens
    assert "10 of 30 scripts" in str(estimate)


KILLED = """
import sys
from evoxtral.providers import *
from evoxtral.world.scripts import generate
folder, url = sys.argv[1:]
plan = ScriptPlan(chat=ChatSettings(model="m"), scripts=15, rows_per_request=3,
                  briefs_per_round=2, votes=2)
write_scripts(folder, plan, generate(10, 11), allow_requests=10**6,
              service=ChatService(2, base_url=url))
"""


@pytest.mark.parametrize("after", [pytest.param(3, marks=pytest.mark.check), 20])
def test_killed_midway_nothing_is_lost_and_nothing_paid_twice(write, server, tmp_path, after):
    order = plan(15, votes=2)
    expected = write(order, "undisturbed")
    once = Counter(server.asked)
    server.asked.clear()
    server.answered.clear()
    server.delay = 0.03
    folder = tmp_path / "killed"
    arguments = [sys.executable, "-c", KILLED, str(folder), server.url]
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=os.environ)
    while server.answered.total() < after:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    while server.busy:
        time.sleep(0.005)
    assert write(order, "killed") == expected
    again = server.asked - once
    assert again.total() <= 2, "at most those under way were asked for again"
    assert set(server.asked) == set(once)
    for name in ("scripts.json", "rejects.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
