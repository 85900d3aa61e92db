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
import random
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evoxtral import UserError, runs, tags
from evoxtral.mix.duplicates import near_duplicates_between
from evoxtral.mix.goals import DENSITY, EXAMPLES_PER_TAG, FREQUENT, MINIMUMS
from evoxtral.params import DataMix
from evoxtral.progress import progress
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
from evoxtral.world import scripts
from evoxtral.world.scripts import DOMAINS, Script

SCRIPTS, REJECTS = "scripts.json", "rejects.jsonl"
EXAMPLES = 8
"""Shown in each request, drawn anew from everything accepted so far (Self-Instruct)."""

ROWS = 5  # scripts asked for at once
ROUND = 40  # scripts planned together
ASKS = 3  # requests for one brief or vote at most
STALLED = 3  # rounds without a script that end the run
HEAVIEST = 8  # tags of a script; the note's heavy stratum begins at 6
REFERENCE_SIZE = 800  # of the set for which the note asks for 40 examples of each tag
LEAST_SCORE = 3.5  # mean vote from which a script stays
LEAST_WORDS, MOST_WORDS = 5, 65  # tags not counted; the released scripts have 10 to 62
PARAPHRASES = 0.25  # share of briefs that order alternatives to an accepted script

_KIND = "scripts"
_STRATA = tuple(DENSITY)
_FEWEST = [fewest for fewest, _, _ in DENSITY.values()]
_MIDDLE = [(low + high) / 2 for _, low, high in DENSITY.values()]
_OFTEN = sum(FREQUENT[:2]) / 2
_SLICES = ((0, "plain"), (2, "light"), (4, "moderate"))  # as the released scripts name densities
_DIRECTION = re.compile(r"[()*_{}<>]|^[A-Z][a-z]+:|^[\"“]")
_TOKEN = 4.0  # characters, a rule of thumb; used until the provider's own counts are there
_REASONING = 300  # characters: two sentences and the braces around them

Message = dict[str, str]

_SYSTEM = """\
You write short scripts that a voice actor speaks in one breath of a scene, for a data set that \
teaches speech recognition to hear expression. Only what is spoken is written, in natural spoken \
English, with expression marked in square brackets where it begins:

{tags}

A tag stands before the words it colours, or at the moment of the sound or the silence. Use these \
tags only, in lower case, one per bracket. A word in CAPITALS is spoken with emphasis. Stammers \
are also spelt ("I-I"). No stage directions, no names of speakers, no quotation marks around the \
script, no line breaks, no digits. Never describe a sound in words in place of its tag."""

_GROUP_NAMES = {
    "emotion": "Emotion",
    "nonverbal": "Sounds",
    "delivery": "Delivery",
    "pause": "Silence",
}

# Alternative wordings of one task: the model should not settle on one reading of it.
_OPENINGS = (
    "Write {rows} new scripts for the setting: {domain}.",
    "Imagine {rows} different speakers in a {domain}, and write what each says.",
    "Take {rows} unlike situations of the kind {domain}, and write one script for each.",
)

_ALTERNATIVES = (
    "Write {rows} alternatives to this script: the same tags in an order of your own, in other "
    "words, sentences and circumstances.\nScript: {source}"
)

_JUDGE = """\
You judge scripts for expressive speech: spoken English with tags in square brackets. First say in \
two sentences what is good and what is bad about the script: would a person say this aloud, do the \
tags fit the words and stand where they sound, could a listener hear each of them? Then give a \
score: 5 flawless, 4 good, 3 usable, 2 unnatural words or misplaced tags, 1 unusable."""


class BadReplyError(ValueError):
    """A reply that cannot be used; the message is the reason."""


class _NotAllowedError(Exception):
    """A question that would need one request more than is allowed."""


class Row(BaseModel):
    """A script of a reply. No bounds: some servers refuse them in a strict schema."""

    model_config = ConfigDict(strict=True, extra="forbid")

    tagged_text: str


class Scripts(BaseModel):
    """What a request for scripts is answered with."""

    model_config = ConfigDict(strict=True, extra="forbid")

    scripts: list[Row]


class Vote(BaseModel):
    """One judgement: reasons first, so that the score follows from them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reasoning: str
    score: Literal[1, 2, 3, 4, 5]


Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True)
class Brief:
    """An order for scripts.

    Attributes:
        number: from 0, unique in a run.
        rows: scripts wanted.
        fewest: least tags in each.
        most: most tags in each.
        required: tags that each must have; a paraphrase has exactly these, with repetitions.
        avoid: tags that none may have.
        emphasis: whether each must have a word in capitals.
        domain: one of `scripts.DOMAINS`.
        examples: tagged texts to show.
        source: the text to put in other words, None for new scripts.
    """

    number: int
    rows: int
    fewest: int
    most: int
    required: tuple[str, ...]
    avoid: tuple[str, ...]
    emphasis: bool
    domain: str
    examples: tuple[str, ...]
    source: str | None = None


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
            Asker(cfg) as asker,
            progress(count, "scripts", unit="script") as bar,
        ):
            writer = _Writer(cfg, count, seeds, exclude, asker)
            while len(writer.accepted) < count:
                bar.update(writer.round(folder))
        runs.write_json(folder / SCRIPTS, writer.accepted)

    return runs.stage("scripts", cfg.profile, order, make).path / SCRIPTS


class Asker:
    """Puts questions to the model, each once ever, up to an allowance; closes what it opened."""

    def __init__(self, cfg: DataMix) -> None:
        self._cfg = cfg
        self._left = cfg.allow_requests
        self._lock = threading.Lock()
        self._client: Any = None
        self.tokens: list[tuple[int, int]] = []
        """Tokens sent and received by reply, as the provider counted them."""

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
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
            _count(have, brief.fewest, brief.required, brief.emphasis, brief.domain, brief.rows)
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
        bad: list[tuple[str, str]] = []
        try:
            if isinstance(reply, BadReplyError):
                raise reply
            rows = [" ".join(row.tagged_text.split()) for row in parsed(reply, Scripts).scripts]
        except BadReplyError as error:
            rows, bad = [], [("", str(error))]
        good = []
        for text in rows:
            reason = next(faults(text, talk.brief), None)
            if reason is None:
                good.append(text)
            else:
                bad.append((text, reason))
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


def next_brief(
    have: Counter[str],
    number: int,
    seeds: Sequence[str],
    accepted: Sequence[dict[str, Any]],
    seed: int,
) -> Brief:
    """Order what is furthest behind, of the strata first and then of the tags.

    Args:
        have: the set so far (`tally`), with what has been ordered.
        number: of the brief; with `seed` it decides all that is random.
        seeds: tagged texts to draw examples from, beside the accepted ones.
        accepted: rows that may be put in other words.
        seed: of the run.
    """
    rng = random.Random(f"evoxtral briefs {seed} {number}")
    size = sum(have[name] for name in _STRATA) + ROWS
    behind = [m * size - have[name] for name, m in zip(_STRATA, _MIDDLE, strict=True)]
    k = max(range(len(behind)), key=behind.__getitem__)
    pool = [*seeds, *(row["tagged_text"] for row in accepted)]
    examples = tuple(rng.sample(pool, min(EXAMPLES, len(pool))))
    domain = min(DOMAINS, key=lambda name: (have[name], rng.random()))
    lacking = {tag: max(1 - have[tag] / _wanted(tag, size), 0.0) for tag in tags.TAGS}
    order = sorted(tags.TAGS, key=lambda tag: (-lacking[tag], rng.random()))
    required = tuple(order[: min(_FEWEST[k], 3)])
    if rng.random() < PARAPHRASES:
        fits = [row for row in accepted if _stratum(len(_names(row["tagged_text"]))) == _STRATA[k]]
        rare = [row for row in fits if required and required[0] in _names(row["tagged_text"])]
        if fits:
            row = rng.choice(rare or fits)
            source, names = row["tagged_text"], tuple(_names(row["tagged_text"]))
            return Brief(number, min(ROWS, 2), len(names), len(names), names, (),
                         _emphatic(source), row["domain"], examples, source)  # fmt: skip
    often = _OFTEN * sum(have[name] for name in _STRATA[1:])
    avoid = ("pause",) if have["pause"] > often and "pause" not in required else ()
    most = _FEWEST[k + 1] - 1 if k + 1 < len(_FEWEST) else HEAVIEST
    emphasis = k > 0 and have["CAPS"] < often
    return Brief(number, ROWS, _FEWEST[k], most, required, avoid, emphasis, domain, examples)


def _wanted(tag: str, size: int) -> float:
    """Scripts with a tag that a set should hold at least.

    The greater of the tag's share of tagged scripts (section 5 of the note) and its part of 40 in
    800 (section 6).
    """
    low = MINIMUMS[tag][0] if tag in MINIMUMS else FREQUENT[0]
    return max(low * size * (1 - _MIDDLE[0]), EXAMPLES_PER_TAG * min(1.0, size / REFERENCE_SIZE))


def tally(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Scripts by density stratum, by tag that they carry, by CAPS and by domain."""
    have: Counter[str] = Counter()
    for row in rows:
        names, emphatic = _names(row["tagged_text"]), _emphatic(row["tagged_text"])
        _count(have, len(names), names, emphatic, row["domain"])
    return have


def _count(
    have: Counter[str],
    number: int,
    names: Sequence[str],
    emphatic: bool,
    domain: str,
    times: int = 1,
) -> None:
    """Count a script of `number` tags, or several alike; CAPS where there is a tag, as the note."""
    caps = ["CAPS"] if emphatic and number else []
    for name in {_stratum(number), domain, *names, *caps}:
        have[name] += times


def _stratum(number: int) -> str:
    return _STRATA[sum(number >= fewest for fewest in _FEWEST) - 1]


def _names(text: str) -> list[str]:
    return [tag.name for tag in tags.parse(text).tags]


def _emphatic(text: str) -> bool:
    return bool(tags.emphasis_words(tags.strip_tags(text)))


def writing(brief: Brief) -> list[Message]:
    """The conversation that opens a brief."""
    vocabulary = "\n".join(
        f"{_GROUP_NAMES[group]}: {_listed(names)}" for group, names in tags.GROUPS.items()
    )
    task = _OPENINGS[brief.number % len(_OPENINGS)] if brief.source is None else _ALTERNATIVES
    task = task.format(rows=brief.rows, domain=brief.domain, source=brief.source)
    rules = "\n".join(f"- {rule}" for rule in _rules(brief))
    shown = "\n".join(f"{number}. {text}" for number, text in enumerate(brief.examples, start=1))
    user = f"{task}\n{rules}\n\nExamples of the form, not to be repeated:\n{shown}"
    return [
        {"role": "system", "content": _SYSTEM.format(tags=vocabulary)},
        {"role": "user", "content": user},
    ]


def _rules(brief: Brief) -> Iterator[str]:
    if brief.most == 0:
        yield "No tags at all: plain, neutral speech."
    elif brief.source is not None:
        yield f"Exactly these tags: {_listed(brief.required)}."
    else:
        span = f"{brief.fewest} to {brief.most}" if brief.most > brief.fewest else f"{brief.most}"
        yield f"Each script has {span} tags, among them {_listed(brief.required)}."
    if brief.avoid:
        yield f"None has {_listed(brief.avoid)}."
    if brief.emphasis and brief.most:
        yield "Each has one or two words in CAPITALS."
    yield f"Each has {LEAST_WORDS} to {MOST_WORDS} words, not counting tags; vary the length."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def judging(text: str) -> list[Message]:
    """The conversation that asks for one vote on a script."""
    return [{"role": "system", "content": _JUDGE}, {"role": "user", "content": f"Script: {text}"}]


def faults(text: str, brief: Brief) -> Iterator[str]:
    """Why a script does not fulfil its brief, the plainest reason first."""
    plain, names = tags.strip_tags(text), tags.find_tags(text)
    if not tags.is_balanced(text):
        yield "broken brackets"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        yield "control characters"
    if found := _DIRECTION.search(plain):
        yield f"{found.group()!r}: only what is spoken, tags in square brackets"
    if found := re.search(r"\d+", plain):
        yield f"{found.group()!r}: numbers are written as words"
    if not LEAST_WORDS <= len(plain.split()) <= MOST_WORDS:
        yield f"{len(plain.split())} words: {LEAST_WORDS} to {MOST_WORDS} are wanted"
    if brief.emphasis and not tags.emphasis_words(plain):
        yield "no word in CAPITALS"
    for name in names:
        if name not in tags.TAGS or f"[{name}]" not in text:
            yield f"[{name}] is not one of the tags, in lower case"
    if brief.source is not None and Counter(names) != Counter(brief.required):
        yield "not the same tags"
    if not brief.fewest <= len(names) <= brief.most:
        yield f"{len(names)} tags: {brief.fewest} to {brief.most} are wanted"
    yield from (f"[{name}] is missing" for name in brief.required if name not in names)
    yield from (f"[{name}] is not wanted" for name in brief.avoid if name in names)


def near_existing(texts: Sequence[str], existing: Sequence[str]) -> set[int]:
    """Positions of texts that are near one that exists or one before them, by ROUGE-L.

    Texts are compared as they are and without tags: the note's rule holds for both. Of two near
    texts among `texts` the later one is marked, also if the earlier one is marked itself.

    >>> sorted(near_existing(["[sad] a b c d", "x y", "x z"], ["a b c d"]))
    [0]
    """
    marked: set[int] = set()
    for view in (str, tags.plain_text):
        known = [view(text) for text in (*existing, *texts)]
        pairs = near_duplicates_between(known, [view(text) for text in texts])
        later = pairs["first"] < pairs["second"] + len(existing)
        marked |= {*pairs.loc[later, "second"].tolist()}
    return marked
