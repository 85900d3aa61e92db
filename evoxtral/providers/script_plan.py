"""What a language model is to write, and what that takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evoxtral.mix.duplicates import THRESHOLD
from evoxtral.providers.briefs import Brief
from evoxtral.providers.chat import ChatSettings, Reply
from evoxtral.providers.prompts import judging, writing

CHARACTERS_PER_TOKEN = 4.0
"""Rule of thumb for English; used until the provider's own counts are there."""


class ScriptPlan(BaseModel):
    """An order for scripts; all of it decides the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    chat: ChatSettings
    scripts: int = Field(ge=1, description="scripts wanted")
    seed: int = Field(0, ge=0, lt=2**31, description="of briefs and examples")
    rows_per_request: int = Field(5, ge=1, le=50, description="scripts asked for at once")
    briefs_per_round: int = Field(8, ge=1, le=1000, description="requests planned together")
    asks: int = Field(3, ge=1, le=10, description="requests for one brief or vote at most")
    paraphrase_share: float = Field(0.25, ge=0, le=1, description="briefs for alternatives")
    threshold: float = Field(THRESHOLD, gt=0, le=1, description="ROUGE-L from which texts are near")
    least_words: int = Field(5, ge=1, description="of a script, tags not counted")
    most_words: int = Field(65, ge=1, description="the released scripts have 10 to 62")
    votes: int = Field(0, ge=0, le=9, description="of the judge on each script; 0: no judge")
    least_score: float = Field(3.5, ge=1, le=5, description="mean vote from which a script stays")

    @model_validator(mode="after")
    def _ordered(self) -> ScriptPlan:
        if self.least_words > self.most_words:
            raise ValueError("least_words must not be above most_words")
        return self

    @property
    def words(self) -> tuple[int, int]:
        """Least and most words of a script."""
        return self.least_words, self.most_words


@dataclass(frozen=True)
class ScriptEstimate:
    """What is left to pay for.

    Attributes:
        scripts: Scripts wanted.
        accepted: Scripts there.
        answered: Requests answered so far.
        tokens: Tokens of those, prompt and reply, as the provider counted.
        least_requests: Requests left if nothing is rejected.
        most_requests: Requests left if every brief and vote has to be asked for as often as
            allowed and then succeeds; judged-out scripts come on top.
        prompt_tokens: Tokens sent with the least requests.
        reply_tokens: Tokens received with them.
    """

    scripts: int
    accepted: int
    answered: int
    tokens: int
    least_requests: int
    most_requests: int
    prompt_tokens: int
    reply_tokens: int

    def __str__(self) -> str:
        return (
            f"{self.accepted} of {self.scripts} scripts are written ({self.answered} requests, "
            f"{self.tokens:,} tokens so far); {self.least_requests} to {self.most_requests} "
            f"requests are left, the fewer of them about {self.prompt_tokens:,} tokens to send and "
            f"{self.reply_tokens:,} to receive"
        )

    def price(self, per_million_sent: float, per_million_received: float) -> float:
        """Price of the least requests, in the currency of the two rates."""
        sent, received = self.prompt_tokens, self.reply_tokens
        return (sent * per_million_sent + received * per_million_received) / 1e6


def estimate_scripts(
    plan: ScriptPlan, briefs: Sequence[Brief], accepted: int, replies: Sequence[Reply]
) -> ScriptEstimate:
    """Estimate from the next round's briefs and from what was answered so far.

    Args:
        plan: The order.
        briefs: The next round, at least one.
        accepted: Scripts there.
        replies: Answers so far; their token counts replace the rule of thumb.
    """
    missing = plan.scripts - accepted
    rows = sum(brief.rows for brief in briefs) / len(briefs)
    orders, votes = math.ceil(missing / rows), missing * plan.votes
    counted = [reply for reply in replies if reply.completion_tokens]
    if counted:
        n = len(counted)
        prompt = (orders + votes) * sum(reply.prompt_tokens for reply in counted) / n
        answer = (orders + votes) * sum(reply.completion_tokens for reply in counted) / n
    else:
        example = sum(len(text) for text in briefs[0].examples) / max(1, len(briefs[0].examples))
        ordering = sum(len(m["content"]) for m in writing(briefs[0], plan.words))
        voting = sum(len(m["content"]) for m in judging("")) + example
        prompt = (orders * ordering + votes * voting) / CHARACTERS_PER_TOKEN
        answer = (missing * example + votes * _REASONING) / CHARACTERS_PER_TOKEN
    return ScriptEstimate(
        scripts=plan.scripts,
        accepted=accepted,
        answered=len(replies),
        tokens=sum(reply.prompt_tokens + reply.completion_tokens for reply in replies),
        least_requests=orders + votes,
        most_requests=(orders + votes) * plan.asks,
        prompt_tokens=round(prompt),
        reply_tokens=round(answer),
    )


_REASONING = 300  # characters: two sentences and the braces around them
