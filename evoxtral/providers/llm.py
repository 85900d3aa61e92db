"""Scripts by a language model: steered to the composition note's targets, judged, paid for once.

Work goes in rounds of briefs. Each orders a few scripts of one density stratum with the tags that
are furthest behind their minimum (`mix.composition`). All replies are kept, so that a run that
stopped is replayed. What is asked follows from what was written before, not from how many scripts
are wanted or what the judge says of them: more scripts, or more votes, ask the same briefs first.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from threading import Semaphore
from typing import Any, Literal, TypeVar

import yaml
from jinja2 import Environment
from pydantic import BaseModel, ValidationError

from evoxtral import UserError, runs, tags
from evoxtral.clips import density
from evoxtral.mix.composition import EXAMPLES_PER_TAG, STRATA, near_duplicates, targets_of
from evoxtral.params import DataMix
from evoxtral.processes import progress
from evoxtral.providers import RETRIES, TIMEOUT, bought, one_line, read_key
from evoxtral.world import scripts
from evoxtral.world.scripts import DOMAINS, Script

SCRIPTS, REJECTS = "scripts.json", "rejects.jsonl"
ROUND = 40  # scripts planned together, however few of them are needed
ROWS = 5  # of them in a brief
EXAMPLES = 8  # shown in a brief: released ones, since a paraphrase may land in another split
STALLED = 12  # briefs in a row without a script that end the run
LEAST_SCORE = 3.5  # mean vote from which a script stays
WORDS = (5, 65)  # tags not counted; the released scripts have 10 to 62

_KIND = "scripts"
_TOKENS = 800  # of a request and its reply, until the provider's own counts are there
_REFERENCE_SIZE = 800  # of the set for which the note asks for 40 examples of each tag
_HEAVIEST = 8  # tags of a script; the note's heavy stratum begins at 6
_MIDDLE = targets_of("density")[["low", "high"]].mean(axis=1)
_BOUNDS = pairwise([*STRATA, _HEAVIEST + 1])
_STRATA = {name: range(*bounds) for name, bounds in zip(_MIDDLE.index, _BOUNDS, strict=True)}
_PLAIN, *_TAGGED = _STRATA
_LEAST = targets_of("tags")["low"]
# Share of tagged scripts with a pause, and with CAPS.
_OFTEN = targets_of("tags").loc["CAPS", ["low", "high"]].mean()
_DIRECTION = re.compile(r"[()*_{}<>\d]|^[A-Z][a-z]+:|^[\"“]")
_JINJA = Environment(trim_blocks=True, lstrip_blocks=True)
_PROMPTS = {
    name: _JINJA.from_string(text)
    for name, text in yaml.safe_load(Path(__file__).with_name("prompts.yaml").read_text()).items()
}

Form = TypeVar("Form", bound=BaseModel)


# What requests are answered with. No bounds: some servers refuse them in a strict schema.
class _Scripts(BaseModel, extra="forbid"):
    scripts: list[str]


class _Vote(BaseModel, extra="forbid"):
    reasoning: str  # first, so that the score follows from it
    score: Literal[1, 2, 3, 4, 5]


@dataclass(frozen=True)
class Brief:
    """An order for scripts that have a number of tags, all `required` and none to `avoid`."""

    number: int  # from 0, unique in a run
    fewest: int  # tags
    most: int
    required: tuple[str, ...]
    avoid: tuple[str, ...]
    emphasis: bool  # each has a word in capitals
    domain: str
    examples: tuple[str, ...]


@dataclass
class _Draft:
    """A text for a brief; the fault is why it is not taken, if it is not."""

    brief: Brief
    text: str
    fault: str = ""


def written(cfg: DataMix, released: Sequence[Script]) -> Path:
    """The scripts of a language model, in the format of the released ones.

    As many as training, validation and test ask for, none near a released script. The released
    training scripts are the examples; what was not accepted is beside in `rejects.jsonl`. A
    `UserError` if that costs more than is allowed, is refused, or nothing new comes any more.
    """
    if not cfg.script_model:
        raise UserError("script_model is empty: give the id of the model that writes the scripts")
    train = [row.tagged_text for row in scripts.split_released(released)["train"]]
    seeds = [text for text in train if {*tags.find_tags(text)} <= {*tags.TAGS}]
    exclude = [row.tagged_text for row in released]
    count = cfg.train + cfg.validation + cfg.test
    order = {"model": cfg.script_model, "scripts": count, "seed": cfg.seed, "votes": cfg.votes,
             "given": runs.digest([seeds, exclude])}  # fmt: skip

    def make(folder: Path) -> None:
        writer = _Writer(cfg, count, seeds, exclude)
        with (
            runs.exclusive(runs.bought_dir() / _KIND),
            progress(count, "scripts", unit="script") as bar,
        ):
            while len(writer.accepted) < count:
                bar.update(writer.round(folder))
        rows = [
            {"tagged_text": d.text, "slice_type": density(d.text), "domain": d.brief.domain}
            for d in writer.accepted
        ]
        runs.write_json(folder / SCRIPTS, rows)

    return runs.stage("scripts", cfg.profile, order, make).path / SCRIPTS


class _Writer:
    """State of a run: a function of the order and of the replies so far."""

    def __init__(self, cfg: DataMix, count: int, seeds: list[str], exclude: list[str]) -> None:
        self.cfg, self.count, self.seeds, self.exclude = cfg, count, seeds, exclude
        self.planned: list[Brief] = []  # not asked for yet
        self.drafts: list[_Draft] = []
        self.written: list[_Draft] = []  # those as ordered and unlike each other, for the judge
        self.accepted: list[_Draft] = []
        self.briefs = self.judged = self.stalled = 0
        self.tokens: list[int] = []  # sent and received, by reply
        self.allowed = Semaphore(cfg.allow_requests)

    def round(self, folder: Path) -> int:
        """Plan, ask, judge; scripts gained."""
        missing = self.count - len(self.accepted)
        due = max(0, math.ceil((missing - len(self.written) + self.judged) / ROWS))
        if due and not self.planned:
            self.planned = list(self._plan())
        briefs, self.planned = self.planned[:due], self.planned[due:]
        with ThreadPoolExecutor(self.cfg.concurrency) as pool:
            for drafts in pool.map(self._write, briefs):
                good = [draft for draft in drafts if not draft.fault]
                existing = [*self.exclude, *(draft.text for draft in self.written)]
                for k in near_existing([draft.text for draft in good], existing):
                    good[k].fault = "too near a script that exists"
                self.drafts += drafts
                self.written += [draft for draft in good if not draft.fault]
            chosen = self.written[self.judged :][:missing]
            for draft, score in zip(chosen, pool.map(self._score, chosen), strict=True):
                if score < LEAST_SCORE:
                    draft.fault = f"judged {score:.2f}, below {LEAST_SCORE:g}"
        self.judged += len(chosen)
        gained = [draft for draft in chosen if not draft.fault]
        self.accepted += gained
        rejects = [draft for draft in self.drafts if draft.fault]
        rows = ({"brief": d.brief.number, "text": d.text, "reason": d.fault} for d in rejects)
        runs.write_jsonl(folder / REJECTS, rows)
        self.stalled = 0 if gained else self.stalled + len(briefs)
        if self.stalled >= STALLED:
            last = rejects[-1].fault if rejects else "no rows"
            raise UserError(
                f"{self.stalled} briefs in a row brought no script, last reason: {last}; choose "
                f"another model (all reasons: {folder / REJECTS})"
            )
        return len(gained)

    def _plan(self) -> Iterator[Brief]:
        """The next briefs, each as if those before it had brought what they ask for."""
        have: Counter[str] = Counter()  # scripts by stratum, domain and tag, and with CAPS

        def count(number: int, names: Sequence[str], caps: bool, domain: str, times: int) -> None:
            stratum = next(name for name, numbers in _STRATA.items() if number in numbers)
            counted = {stratum, domain, *names, *(["CAPS"] if caps else [])}
            have.update(dict.fromkeys(counted, times))

        for draft in self.written:
            names = tags.find_tags(draft.text)
            caps = bool(names and tags.emphasis_words(tags.strip_tags(draft.text)))
            count(len(names), names, caps, draft.brief.domain, 1)
        for _ in range(ROUND // ROWS):
            brief = self._next_brief(have, self.briefs)
            self.briefs += 1
            count(brief.fewest, brief.required, brief.emphasis, brief.domain, ROWS)
            yield brief

    def _next_brief(self, have: Counter[str], number: int) -> Brief:
        """Order what is furthest behind, of the strata first and then of the tags."""
        rng = random.Random(f"evoxtral briefs {self.cfg.seed} {number}")
        size = sum(have[name] for name in _STRATA) + ROWS
        stratum = max(_STRATA, key=lambda name: _MIDDLE[name] * size - have[name])
        fewest, most = _STRATA[stratum][0], _STRATA[stratum][-1]
        # A set should hold at least the tag's share of tagged scripts, and its part of 40 in 800.
        tagged, part = size * (1 - _MIDDLE[_PLAIN]), min(1.0, size / _REFERENCE_SIZE)
        least = {tag: _LEAST[f"[{tag}]"] * tagged for tag in tags.TAGS}
        full = {tag: have[tag] / max(least[tag], EXAMPLES_PER_TAG * part) for tag in tags.TAGS}
        order = sorted(tags.TAGS, key=lambda tag: (min(full[tag], 1), rng.random()))
        required = tuple(order[: min(fewest, 3)])
        often = _OFTEN * sum(have[name] for name in _TAGGED)
        return Brief(
            number=number,
            fewest=fewest,
            most=most,
            required=required,
            avoid=("pause",) if have["pause"] > often and "pause" not in required else (),
            emphasis=fewest > 0 and have["CAPS"] < often,
            domain=min(DOMAINS, key=lambda name: (have[name], rng.random())),
            examples=tuple(rng.sample(self.seeds, min(EXAMPLES, len(self.seeds)))),
        )

    def _write(self, brief: Brief) -> list[_Draft]:
        """Ask for the scripts of a brief."""
        listed = {name: _listed(names) for name, names in tags.GROUPS.items()}
        own = {"required": _listed(brief.required), "avoid": _listed(brief.avoid)}
        user = _PROMPTS["writing"].render({**asdict(brief), **own, "rows": ROWS, "words": WORDS})
        reply = self._ask(_PROMPTS["system"].render(tags=listed), user, _Scripts, brief.number)
        if isinstance(reply, str):
            return [_Draft(brief, "", reply)]
        texts = [" ".join(script.split()) for script in reply.scripts[:ROWS]]
        return [_Draft(brief, text, fault(text, brief)) for text in texts]

    def _score(self, draft: _Draft) -> float:
        """Mean of the judge's readable votes, 0 if there is none; 5 if no judge is asked."""
        ask = partial(self._ask, _PROMPTS["judging"].render(), f"Script: {draft.text}", _Vote)
        votes = [ask(number) for number in range(self.cfg.votes)]
        scores = [vote.score for vote in votes if isinstance(vote, _Vote)]
        return fmean(scores or [0]) if votes else 5.0

    def _ask(self, system: str, user: str, form: type[Form], number: int) -> Form | str:
        """What the model wrote, or why it cannot be used; `number` tells equal messages apart."""
        schema = {"name": form.__name__, "strict": True, "schema": form.model_json_schema()}
        said = {"system": system, "user": user}
        request = {
            "model": self.cfg.script_model,
            "messages": [{"role": role, "content": text} for role, text in said.items()],
            "temperature": 1.0,
            "max_completion_tokens": 2000,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        path = bought(_KIND, runs.digest([request, number]), ".json")
        if not path.exists():
            if not self.allowed.acquire(blocking=False):
                raise UserError(self._estimate())
            runs.write_json(path, {"request": request, "reply": _buy(self.cfg, request)})
        reply = runs.read_json(path)["reply"]
        self.tokens.append(reply["tokens"])
        try:
            return form.model_validate_json(reply["content"])
        except ValidationError as error:
            return f"{error.errors()[0]['msg']} (the reply ended by {reply['end']!r})"

    def _estimate(self) -> str:
        """What is left to pay for, if every brief and every vote brings what it asks for."""
        missing = self.count - len(self.accepted)
        left = math.ceil(missing / ROWS) + missing * self.cfg.votes
        each = fmean(self.tokens or [_TOKENS])
        return (
            f"{len(self.accepted)} of {self.count} scripts are written ({len(self.tokens)} "
            f"requests so far); {left} requests or more are left, of about {each:,.0f} tokens "
            f"each: set allow_requests to {left} or more to go on (it was "
            f"{self.cfg.allow_requests})"
        )


def _buy(cfg: DataMix, request: dict[str, Any]) -> dict[str, Any]:
    try:
        from openai import APIError, OpenAI
    except ImportError as error:
        raise UserError("openai is missing: pip install evoxtral[providers]") from error
    given = {"api_key": read_key("OPENAI_API_KEY", cfg.script_url), "base_url": cfg.script_url}
    try:
        with OpenAI(**given, timeout=TIMEOUT, max_retries=RETRIES) as client:
            completion = client.chat.completions.create(**request)
        choice, usage = completion.choices[0], completion.usage
    except (APIError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = one_line(f"{error} ({error.__cause__})" if error.__cause__ else error)
        raise UserError(
            f"the language model did not answer: {reason}; check key, credit and script_url, then "
            "run again: what was answered is kept"
        ) from None
    return {
        "content": choice.message.content or "",
        "end": choice.finish_reason,
        "tokens": usage.total_tokens if usage else 0,
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def fault(text: str, brief: Brief) -> str:
    """Why a script does not fulfil its brief, the plainest reason first; empty if it does."""
    plain, names = tags.strip_tags(text), re.findall(r"\[(.*?)\]", text)
    number, words = len(names), len(plain.split())
    strange = ({*names} - {*tags.TAGS}) | ({*names} & {*brief.avoid})
    checks = {
        "broken brackets": not tags.is_balanced(text),
        "more than spoken words, and tags in square brackets": _DIRECTION.search(plain),
        f"{words} words: {WORDS[0]} to {WORDS[1]} are wanted": not WORDS[0] <= words <= WORDS[1],
        "no word in CAPITALS": brief.emphasis and not tags.emphasis_words(plain),
        f"{number} tags: {brief.fewest} to {brief.most} are wanted": (
            not brief.fewest <= number <= brief.most
        ),
        "tags that are not wanted, or not in lower case": strange,
        "tags are missing": {*brief.required} - {*names},
    }
    return next((reason for reason, wrong in checks.items() if wrong), "")


def near_existing(texts: Sequence[str], existing: Sequence[str]) -> set[int]:
    """Positions of texts whose words are near those of one that exists or one before them.

    >>> sorted(near_existing(["[sad] a b c d", "x y", "x z"], ["a b c d"]))
    [0]
    """
    known = [tags.plain_text(text) for text in (*existing, *texts)]
    pairs = near_duplicates(known, known[len(existing) :])
    return {*pairs.loc[pairs["first"] < pairs["second"] + len(existing), "second"].tolist()}
