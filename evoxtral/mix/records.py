"""The unified record of the mixing note: one question, one reference answer, any domain."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

AnswerType = Literal["numeric", "text", "code"]

# Names become folder and file names: no separator, no dot, nothing that leads out of a folder.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")]
_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,119}$")]
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(\D|$))")


def is_number(text: str) -> bool:
    """Whether a reference is one finite number; `1,250` and `-0.5` are, `1/2` is not.

    >>> is_number("1,250"), is_number("x+1"), is_number("nan")
    (True, False, False)
    """
    try:
        return Decimal(_THOUSANDS.sub("", text)).is_finite()
    except InvalidOperation:
        return False


class Record(BaseModel):
    """One line of every file of the tree; unknown fields and wrong types are refused.

    Attributes:
        id: unique across datasets, such as `gsm8k_0`.
        dataset: source dataset, part of file names.
        domain: math, qa, code or a stratum; part of file names.
        question: problem statement or prompt, complete with its context.
        reference_answer: ground truth; empty only for a text question without an answer.
        answer_type: numeric, text or code.
        metadata: `source` and `original_id`, and what scoring needs (tests, entry point, ...).
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: _Id
    dataset: Name
    domain: Name
    question: str = Field(min_length=1)
    reference_answer: str
    answer_type: AnswerType
    metadata: dict[str, JsonValue]

    @model_validator(mode="after")
    def _check(self) -> Record:
        for key in ("source", "original_id"):
            if not isinstance(self.metadata.get(key), str):
                raise ValueError(f"metadata needs {key!r}, a string")
        if self.answer_type == "numeric" and not is_number(self.reference_answer):
            raise ValueError(f"numeric answer {self.reference_answer!r} is no number")
        if self.answer_type == "code" and not self.reference_answer.strip():
            raise ValueError("a code answer must not be empty")
        return self
