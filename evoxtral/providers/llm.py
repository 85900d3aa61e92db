"""Scripts by a language model: steered to the composition note's targets, judged, paid for once.

Work goes in rounds. The briefs of a round are planned from what is accepted, asked at once, and
heard in order, so that the result is a function of the replies. As every reply is kept under the
digest of its request, a killed run is simply run again: what was answered is replayed. Steering
looks one brief ahead and not to the end, so that an order of more scripts, or of more votes, asks
the same questions first.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evoxtral import UserError, runs, tags
from evoxtral.params import DataMix
from evoxtral.processes import progress
from evoxtral.providers import (
    RETRIES,
    TIMEOUT,
    bought,
    buyers,
    check_url,
    one_line,
    read_key,
    redact,
    refusal,
    require,
)
from evoxtral.providers.briefs import (
    Brief,
    Message,
    add,
    faults,
    judging,
    near_existing,
    next_brief,
    tally,
    writing,
)
from evoxtral.world import scripts
from evoxtral.world.scripts import Script

SCRIPTS, REJECTS = "scripts.json", "rejects.jsonl"
ROUND = 40  # scripts planned together
ASKS = 3  # requests for one brief or vote at most
STALLED = 3  # rounds without a script that end the run
LEAST_SCORE = 3.5  # mean vote from which a script stays

_KIND = "scripts"
_SLICES = ((0, "plain"), (2, "light"), (4, "moderate"))  # as the released scripts name densities
_TOKEN = 4.0  # characters, a rule of thumb; used until the provider's own counts are there
_REASONING = 300  # characters: two sentences and the braces around them


class BadReplyError(ValueError):
    """A reply that cannot be used; the message is the reason."""


class _NotAllowedError(Exception):
    """A question that would need one request more than is allowed."""


class _Form(BaseModel):
    """What a request is answered with. No bounds: some servers refuse them in a strict schema."""

    # Without the docstrings: a schema is part of what a reply is kept under.
    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra=lambda schema: schema.pop("description", "")
    )


class _Row(_Form):
    tagged_text: str


class Scripts(_Form):
    """Texts for a brief."""

    scripts: list[_Row]


class Vote(_Form):
    """One judgement: reasons first, so that the score follows from them."""

    reasoning: str
    score: Literal[1, 2, 3, 4, 5]


Form = TypeVar("Form", bound=BaseModel)


def written(cfg: DataMix, released: Sequence[Script]) -> Path:
    """The scripts of a language model, in the format of the released ones.

    As many as training, validation and test ask for, steered to the composition note's targets.
    The released training scripts that keep to the vocabulary are the examples to start from;
    nothing near them, or near the released validation and test scripts, comes again. What was
    not accepted lies beside them in `rejects.jsonl`.

    Raises:
        UserError: more would have to be paid for than is allowed, the provider does not serve, or
            nothing new comes any more.
    """
    if not cfg.script_model:
        raise UserError("script_model is empty: give the id of the model that writes the scripts")
    known = scripts.split_released(released)
    seeds = [row.tagged_text for row in known.pop("train")]
    seeds = [text for text in seeds if {*tags.find_tags(text)} <= {*tags.TAGS}]
    exclude = [row.tagged_text for rows in known.values() for row in rows]
    count = cfg.train + cfg.validation + cfg.test
    order = {
        "model": cfg.script_model,
        "scripts": count,
        "seed": cfg.seed,
        "votes": cfg.votes,
        "given": runs.digest([seeds, exclude]),
    }

    def make(folder: Path) -> None:
        with (
            runs.exclusive(runs.bought_dir() / _KIND),
            closing(Asker(cfg)) as asker,
            progress(count, "scripts", unit="script") as bar,
        ):
            writer = _Writer(cfg, count, seeds, exclude, asker)
            while len(writer.accepted) < count:
                bar.update(writer.round(folder))
        runs.write_json(folder / SCRIPTS, writer.accepted)

    return runs.stage("scripts", cfg.profile, order, make).path / SCRIPTS


class Asker:
    """Puts questions to the model, each once ever, up to an allowance."""

    def __init__(self, cfg: DataMix) -> None:
        self._cfg = cfg
        self._left = cfg.allow_requests
        self._lock = threading.Lock()
        self._client: Any = None
        self.tokens: list[tuple[int, int]] = []  # sent and received, by reply

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def ask(self, messages: Sequence[Message], form: type[Form], number: Sequence[int]) -> str:
        """What the model wrote, not yet judged.

        Args:
            messages: the conversation so far.
            form: what it is to write.
            number: tells apart questions with equal messages.

        Raises:
            BadReplyError: the reply holds no text.
            UserError: there is none.
        """
        schema = {"name": form.__name__.lower(), "strict": True, "schema": form.model_json_schema()}
        request = {
            "model": self._cfg.script_model,
            "messages": list(messages),
            "temperature": 1.0,
            "max_completion_tokens": 2000,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        path = bought(_KIND, runs.digest([request, *number]), ".json")
        if not path.exists():
            runs.write_json(path, {"request": request, "reply": self._buy(request)})
        return self._read(runs.read_json(path)["reply"])

    def _buy(self, request: dict[str, Any]) -> str:
        with self._lock:
            if self._left < 1:
                raise _NotAllowedError
            self._left -= 1
            openai = require("openai")
            self._client = self._client or openai.OpenAI(
                api_key=read_key("OPENAI_API_KEY"),
                base_url=check_url(self._cfg.script_url),
                timeout=TIMEOUT,
                max_retries=RETRIES,
            )
        try:
            return redact(self._client.chat.completions.with_raw_response.create(**request).text)
        except openai.APIStatusError as error:
            reason = refusal("the language model", error.status_code, error.response.text)
        except openai.APIError as error:
            reason = one_line(f"{error} ({error.__cause__})")
        raise UserError(
            f"the language model did not answer: {reason}; run again later: what was answered is "
            "kept"
        )

    def _read(self, body: str) -> str:
        try:
            completion = json.loads(body)
            choice, usage = completion["choices"][0], completion.get("usage") or {}
            message = choice["message"]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BadReplyError(f"the reply is no chat completion: {body[:100]!r}") from error
        self.tokens.append((usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)))
        if message.get("refusal"):
            raise BadReplyError("the model refused")
        if choice.get("finish_reason") == "length":
            raise BadReplyError("the reply was cut at the token limit")
        return message.get("content") or ""


def parsed(content: str, form: type[Form]) -> Form:
    """A reply as what was asked for; a server may have ignored the schema.

    Raises:
        BadReplyError: it is something else.
    """
    try:
        return form.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the reply"
        raise BadReplyError(f"{where}: {first['msg']}") from error


@dataclass
class _Talk:
    """A brief on its way: the conversation, and the texts that fulfil it."""

    brief: Brief
    messages: list[Message]
    texts: list[str] = field(default_factory=list)


@dataclass
class _Writer:
    """State of a run: a function of the order and of the replies so far."""

    cfg: DataMix
    count: int
    seeds: list[str]
    exclude: list[str]
    asker: Asker
    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    briefs: int = 0
    stalled: int = 0

    def round(self, folder: Path) -> int:
        """Plan, ask, judge; scripts gained.

        Raises:
            UserError: see `written`.
        """
        talks = [_Talk(brief, writing(brief)) for brief in self._plan()]
        try:
            with buyers(self.cfg.concurrency) as pool:
                for attempt in range(ASKS):
                    going = [talk for talk in talks if len(talk.texts) < talk.brief.rows]
                    asked = pool.map(lambda talk, n=attempt: self._ask(talk, n), going)
                    for talk, reply in zip(going, asked, strict=True):
                        self._hear(talk, reply, [text for t in talks for text in t.texts])
                drafts = [(talk.brief, text) for talk in talks for text in talk.texts]
                drafts = drafts[: self.count - len(self.accepted)]
                scores = list(pool.map(self._score, [text for _, text in drafts]))
        except _NotAllowedError:
            raise UserError(self._estimate([talk.brief for talk in talks])) from None
        before = len(self.accepted)
        for (brief, text), score in zip(drafts, scores, strict=True):
            self._take(brief, text, score)
        runs.write_jsonl(folder / REJECTS, self.rejects)
        self.briefs += len(talks)
        gained = len(self.accepted) - before
        self.stalled = 0 if gained else self.stalled + 1
        if self.stalled == STALLED:
            last = self.rejects[-1]["reason"] if self.rejects else "no rows"
            raise UserError(
                f"{STALLED} rounds brought no script, last reason: {last}; choose another model "
                f"(all reasons: {folder / REJECTS})"
            )
        return gained

    def _plan(self) -> list[Brief]:
        """The briefs that are due, each as if those before it had brought what they ask for."""
        have = tally(self.accepted)
        due = min(ROUND, self.count - len(self.accepted))
        briefs: list[Brief] = []
        while due > 0:
            number = self.briefs + len(briefs)
            brief = next_brief(have, number, self.seeds, self.accepted, self.cfg.seed)
            add(have, brief.fewest, brief.required, brief.emphasis, brief.domain, brief.rows)
            briefs.append(brief)
            due -= brief.rows
        return briefs

    def _ask(self, talk: _Talk, attempt: int) -> str | BadReplyError:
        try:
            return self.asker.ask(talk.messages, Scripts, (talk.brief.number, attempt))
        except BadReplyError as error:
            return error

    def _hear(self, talk: _Talk, reply: str | BadReplyError, drafts: Sequence[str]) -> None:
        """Sort a reply's rows, and prepare to ask again for those that are no good."""
        existing = [*self.exclude, *self.seeds, *drafts]
        existing += [row["tagged_text"] for row in self.accepted]
        try:
            if isinstance(reply, BadReplyError):
                raise reply
            rows = [" ".join(row.tagged_text.split()) for row in parsed(reply, Scripts).scripts]
            found = [(text, next(faults(text, talk.brief), "")) for text in rows]
        except BadReplyError as error:
            found = [("", str(error))]
        good = [text for text, reason in found if not reason]
        bad = [(text, reason) for text, reason in found if reason]
        near = near_existing(good, existing)
        bad += [(good[k], "too near a script that exists") for k in sorted(near)]
        fresh = [text for k, text in enumerate(good) if k not in near]
        room = talk.brief.rows - len(talk.texts)
        talk.texts += fresh[:room]
        bad += [(text, "more than was asked for") for text in fresh[room:]]
        for text, reason in bad:
            self._reject(talk.brief, text, reason)
        reasons = [f"{text} ({reason})" if text else reason for text, reason in bad]
        said = "\n".join(f"- {reason}" for reason in reasons or ["fewer scripts than asked for"])
        more = f"Write {talk.brief.rows - len(talk.texts)} others in their place."
        if isinstance(reply, str):
            talk.messages = [
                *talk.messages,
                {"role": "assistant", "content": reply},
                {"role": "user", "content": f"Rejected:\n{said}\n{more}"},
            ]

    def _score(self, text: str) -> float | BadReplyError | None:
        """Mean vote of the judge, None if there is none; a script needs all votes."""
        try:
            votes = [self._vote(text, number) for number in range(self.cfg.votes)]
        except BadReplyError as error:
            return error
        return fmean(votes) if votes else None

    def _vote(self, text: str, number: int) -> int:
        messages = judging(text)
        for attempt in range(ASKS):
            try:
                return parsed(self.asker.ask(messages, Vote, (number, attempt)), Vote).score
            except BadReplyError as error:
                last = error
        raise last

    def _take(self, brief: Brief, text: str, score: float | BadReplyError | None) -> None:
        if isinstance(score, BadReplyError):
            self._reject(brief, text, f"not judged: {score}")
        elif score is not None and score < LEAST_SCORE:
            self._reject(brief, text, f"judged {score:.2f}, below {LEAST_SCORE:g}")
        else:
            number = len(tags.find_tags(text))
            row = {
                "tagged_text": text,
                "plain_text": tags.plain_text(text),
                "slice_type": next((name for most, name in _SLICES if number <= most), "dense"),
                "domain": brief.domain,
                "template": "written" if brief.source is None else "paraphrased",
                "score": score,
            }
            self.accepted.append(row)

    def _reject(self, brief: Brief, text: str, reason: str) -> None:
        self.rejects.append({"brief": brief.number, "text": text, "reason": reason})

    def _estimate(self, briefs: Sequence[Brief]) -> str:
        """What is left to pay for, from this round's briefs and what was answered so far."""
        missing, tokens = self.count - len(self.accepted), self.asker.tokens
        orders = math.ceil(missing / fmean(brief.rows for brief in briefs))
        votes = missing * self.cfg.votes
        example = fmean(map(len, briefs[0].examples))
        if tokens:
            sent, received = ((orders + votes) * fmean(part) for part in zip(*tokens, strict=True))
        else:
            ordering, voting = (
                sum(len(message["content"]) for message in messages)
                for messages in (writing(briefs[0]), judging(""))
            )
            sent = (orders * ordering + votes * (voting + example)) / _TOKEN
            received = (missing * example + votes * _REASONING) / _TOKEN
        return (
            f"{len(self.accepted)} of {self.count} scripts are written ({len(tokens)} requests, "
            f"{sum(map(sum, tokens)):,} tokens so far); {orders + votes} to "
            f"{(orders + votes) * ASKS} requests are left, the fewer of them about {sent:,.0f} "
            f"tokens to send and {received:,.0f} to receive: set allow_requests to "
            f"{orders + votes} or more to go on (it was {self.cfg.allow_requests})"
        )
