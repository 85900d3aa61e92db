"""What a model wrote, judged row by row: nothing of it is trusted."""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evoxtral import tags
from evoxtral.mix.duplicates import near_duplicates, near_duplicates_between
from evoxtral.providers.briefs import Brief
from evoxtral.providers.chat import strict_schema

_DIRECTION = re.compile(r"[()*_{}<>]|^[A-Z][a-z]+:|^[\"“]")

# The search limits BLAS threads for its duration: overlapping limits would not be lifted again.
_COMPARING = threading.Lock()


class BadReplyError(ValueError):
    """A reply or row that cannot be used; the message is the reason."""


class _Written(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    tagged_text: str = Field(min_length=1, max_length=2_000)


class _Scripts(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    scripts: list[_Written]


class Vote(BaseModel):
    """One judgement: reasons first, so that the score follows from them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reasoning: str
    score: int = Field(ge=1, le=5)


SCRIPTS_SCHEMA = strict_schema(_Scripts)
VOTE_SCHEMA = strict_schema(Vote)


def _object(content: str, finish: str | None) -> dict[str, Any]:
    if finish == "refusal":
        raise BadReplyError("the model refused")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        cut = " (it was cut at the token limit)" if finish == "length" else ""
        raise BadReplyError(f"the reply is not valid JSON{cut}") from error
    if not isinstance(value, dict):
        raise BadReplyError("the reply is no JSON object")
    return value


def read_scripts(content: str, finish: str | None = None) -> list[str | BadReplyError]:
    """Texts of a reply, white space collapsed; in place of a row that is none, the reason.

    Raises:
        BadReplyError: The reply as a whole does not follow the schema.
    """
    rows = _object(content, finish).get("scripts")
    if not isinstance(rows, list) or not rows:
        raise BadReplyError('the reply has no list of "scripts"')
    return [_row(row) for row in rows]


def _row(row: Any) -> str | BadReplyError:
    try:
        return " ".join(_Written.model_validate(row).tagged_text.split())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        return BadReplyError(f"{where}: {first['msg']}")


def read_vote(content: str, finish: str | None = None) -> int:
    """Score of a judgement, 1 to 5.

    Raises:
        BadReplyError: The reply does not follow the schema.
    """
    try:
        return Vote.model_validate(_object(content, finish)).score
    except ValidationError as error:
        raise BadReplyError(f"no vote: {error.errors()[0]['msg']}") from error


def faults(text: str, brief: Brief, words: tuple[int, int]) -> str | None:
    """Why a script does not fulfil its brief, None if it does.

    Args:
        text: Tagged text.
        brief: What was asked for.
        words: Least and most words.
    """
    if not tags.is_balanced(text):
        return "broken brackets"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        return "control characters"
    plain = tags.strip_tags(text)
    if found := _DIRECTION.search(plain):
        return f"{found.group()!r}: only what is spoken, tags in square brackets"
    if found := re.search(r"\d+", plain):
        return f"{found.group()!r}: numbers are written as words"
    if not words[0] <= len(plain.split()) <= words[1]:
        return f"{len(plain.split())} words: {words[0]} to {words[1]} are wanted"
    if brief.emphasis and not tags.emphasis_words(plain):
        return "no word in CAPITALS"
    return _tag_faults(tags.find_tags(text), text, brief)


def _tag_faults(names: list[str], text: str, brief: Brief) -> str | None:
    unknown = sorted({name for name in names if name not in tags.TAGS or f"[{name}]" not in text})
    if unknown:
        return f"[{unknown[0]}] is not one of the tags, in lower case"
    if brief.source is not None and Counter(names) != Counter(brief.required):
        return "not the same tags"
    if not brief.fewest <= len(names) <= brief.most:
        return f"{len(names)} tags: {brief.fewest} to {brief.most} are wanted"
    if lacking := [name for name in brief.required if name not in names]:
        return f"[{lacking[0]}] is missing"
    if present := [name for name in brief.avoid if name in names]:
        return f"[{present[0]}] is not wanted"
    return None


def near_existing(texts: Sequence[str], existing: Sequence[str], threshold: float) -> list[bool]:
    """Whether each text is near one that exists or one before it, by ROUGE-L.

    Texts are compared as they are and without tags: the note's rule holds for both. Of two near
    texts among `texts` the later one is marked, also if the earlier one is marked itself.

    >>> near_existing(["[sad] a b c d", "x y", "x z"], ["a b c d"], 0.7)
    [True, False, False]
    """
    marked: set[int] = set()
    for view in (str, tags.plain_text):
        candidates = [view(text) for text in texts]
        others = [view(text) for text in existing]
        with _COMPARING:
            pairs = near_duplicates_between(others, candidates, threshold, workers=1)
            own = near_duplicates(candidates, threshold, workers=1)
        marked |= {*pairs["second"].tolist(), *own["second"].tolist()}
    return [index in marked for index in range(len(texts))]
