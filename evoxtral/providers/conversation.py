"""One brief from the first request to the last, and the votes on one script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from evoxtral.providers.asking import Asker, Question
from evoxtral.providers.briefs import Brief
from evoxtral.providers.prompts import again, judging, writing
from evoxtral.providers.replies import (
    SCRIPTS_SCHEMA,
    VOTE_SCHEMA,
    BadReplyError,
    faults,
    near_existing,
    read_scripts,
    read_vote,
)
from evoxtral.providers.retry import ProviderError
from evoxtral.providers.script_plan import ScriptPlan


@dataclass(frozen=True)
class Reject:
    """A row, or a whole reply (`text` empty), that was not accepted."""

    brief: int
    text: str
    reason: str

    def row(self) -> dict[str, Any]:
        """As written to `rejects.jsonl`."""
        return asdict(self)


@dataclass(frozen=True)
class Scored:
    """A text that fulfils its brief; its mean score once it has been judged."""

    brief: Brief
    text: str
    score: float | None = None


def converse(
    brief: Brief, existing: Sequence[str], plan: ScriptPlan, asker: Asker
) -> tuple[list[Scored], list[Reject]]:
    """Ask for a brief's scripts, and again for those that were rejected.

    Args:
        brief: What to write.
        existing: Tagged texts that must not come again, nor anything near them.
        plan: Limits; at most `plan.asks` requests are made.
        asker: Answers.

    Returns:
        Texts, at most `brief.rows`, and what was rejected.

    Raises:
        NotAllowedError: The allowance is spent.
        UserError: The provider refuses to serve.
    """
    messages = writing(brief, plan.words)
    texts: list[str] = []
    rejects: list[Reject] = []
    for attempt in range(plan.asks):
        question = Question("scripts", (brief.number, attempt), messages, SCRIPTS_SCHEMA)
        try:
            reply = asker.ask(question)
        except ProviderError as error:
            rejects.append(Reject(brief.number, "", f"no reply: {error}"))
            break
        good, bad = _sort(reply.content, reply.finish, brief, [*existing, *texts], plan)
        room = brief.rows - len(texts)
        texts += good[:room]
        bad += [Reject(brief.number, text, "more than was asked for") for text in good[room:]]
        rejects += bad
        if len(texts) == brief.rows:
            break
        reasons = [f"{r.text} ({r.reason})" if r.text else r.reason for r in bad]
        reasons = reasons or ["fewer scripts than asked for"]
        messages = [*messages, *again(reply.content, reasons, brief.rows - len(texts))]
    return [Scored(brief, text) for text in texts], rejects


def _sort(
    content: str, finish: str | None, brief: Brief, existing: Sequence[str], plan: ScriptPlan
) -> tuple[list[str], list[Reject]]:
    """Rows of a reply that are good, and those that are not."""
    try:
        rows = read_scripts(content, finish)
    except BadReplyError as error:
        return [], [Reject(brief.number, "", str(error))]
    good, bad = [], []
    for row in rows:
        reason = str(row) if isinstance(row, BadReplyError) else faults(row, brief, plan.words)
        if reason is None:
            good.append(row)
        else:
            text = "" if isinstance(row, BadReplyError) else row
            bad.append(Reject(brief.number, text, reason))
    near = near_existing(good, existing, plan.threshold)
    fresh = []
    for text, marked in zip(good, near, strict=True):
        if marked:
            bad.append(Reject(brief.number, text, "too near a script that exists"))
        else:
            fresh.append(text)
    return fresh, bad


def judge(draft: Scored, plan: ScriptPlan, asker: Asker) -> Scored | Reject:
    """Average several votes of the judge; a script needs all of them.

    Raises:
        NotAllowedError: The allowance is spent.
        UserError: The provider refuses to serve.
    """
    votes = []
    for number in range(plan.votes):
        try:
            votes.append(_vote(draft, number, plan, asker))
        except (ProviderError, BadReplyError) as error:
            return Reject(draft.brief.number, draft.text, f"not judged: {error}")
    score = fmean(votes)
    if score < plan.least_score:
        reason = f"judged {score:.2f}, below {plan.least_score:g}"
        return Reject(draft.brief.number, draft.text, reason)
    return replace(draft, score=score)


def _vote(draft: Scored, number: int, plan: ScriptPlan, asker: Asker) -> int:
    """One vote, asked for again where the reply is none."""
    last = BadReplyError("no vote")
    for attempt in range(plan.asks):
        question = Question(
            "vote", (draft.brief.number, number, attempt), judging(draft.text), VOTE_SCHEMA
        )
        reply = asker.ask(question)
        try:
            return read_vote(reply.content, reply.finish)
        except BadReplyError as error:
            last = error
    raise last
