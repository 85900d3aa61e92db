"""The unified record: what it takes and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evoxtral.mix.records import Record, is_number

# The example of the mixing note, word for word.
NOTE: dict[str, Any] = {
    "id": "gsm8k_0",
    "dataset": "gsm8k",
    "domain": "math",
    "question": "Natalia sold clips to 48 of her friends...",
    "reference_answer": "24",
    "answer_type": "numeric",
    "metadata": {"source": "gsm8k", "original_id": "0"},
}


def test_the_example_of_the_note_round_trips() -> None:
    record = Record.model_validate(NOTE)
    assert record.model_dump() == NOTE
    assert Record.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../x"},
        {"id": "/etc/passwd"},
        {"id": "a\0b"},
        {"id": "a" * 300},
        {"id": ""},
        {"id": "line\n"},
        {"dataset": "../gsm8k"},
        {"dataset": "a/b"},
        {"dataset": ".hidden"},
        {"dataset": "UPPER"},
        {"domain": "math/.."},
        {"domain": "a" * 41},
        {"domain": "math\n"},
        {"question": ""},
        {"question": 3},
        {"reference_answer": None},
        {"reference_answer": "about 24"},
        {"reference_answer": "nan"},
        {"answer_type": "number"},
        {"answer_type": "code", "reference_answer": "  "},
        {"metadata": {"source": "gsm8k"}},
        {"metadata": {"source": "gsm8k", "original_id": 0}},
        {"extra": 1},
    ],
)
def test_bad_fields_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(NOTE | change)


@pytest.mark.parametrize("field", list(NOTE))
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate({name: value for name, value in NOTE.items() if name != field})


def test_an_unanswerable_text_question_has_an_empty_reference() -> None:
    assert Record.model_validate(NOTE | {"answer_type": "text", "reference_answer": ""})


@pytest.mark.parametrize(
    ("text", "number"),
    [("24", True), ("-0.5", True), ("1,250", True), ("1,250,000.5", True), ("12,50", False),
     ("1/2", False), (r"\frac{1}{2}", False), ("", False), ("inf", False), ("x", False)],
)  # fmt: skip
def test_numbers(text: str, number: bool) -> None:
    assert is_number(text) is number
