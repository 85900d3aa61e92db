"""Readers on small local files in the columns the six datasets have on the Hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evoxtral import UserError
from evoxtral.mix.readers import READERS, boxed, read_dataset, to_record

GSM8K = {
    "question": "A baker sold 1,200 rolls in May and half as many in June. How many in all?",
    "answer": "June: 1200/2 = <<1200/2=600>>600 rolls.\nAll: 1200+600 = 1800.\n#### 1,800",
}
MATH = {
    "problem": r"Find $x$ if $2x = \tfrac{1}{2}$.",
    "level": "Level 1",
    "type": "Algebra",
    "solution": r"Not \boxed{2}, but dividing gives $x = \boxed{\frac{1}{4}}$.",
}
SQUAD = {
    "id": "5ad39d53", "title": "Rivers", "context": "The Orba rises on Mount Sel. ",
    "question": " Where does the Orba rise?",
    "answers": {"text": ["Mount Sel", "on Mount Sel"], "answer_start": [18, 15]},
}  # fmt: skip
UNANSWERABLE = SQUAD | {"id": "5ad39d54", "question": "Where does the Orba end?",
                        "answers": {"text": [], "answer_start": []}}  # fmt: skip
HOTPOT = {
    "id": "5a7a0693", "question": "Which of the two rivers is longer?", "answer": "Orba",
    "type": "comparison", "level": "medium",
    "supporting_facts": {"title": ["Orba", "Lusa"], "sent_id": [0, 0]},
    "context": {"title": ["Orba", "Lusa"],
                "sentences": [["The Orba is a river.", " It is 80 km long."],
                              ["The Lusa is 60 km long."]]},
}  # fmt: skip
HUMANEVAL = {
    "task_id": "HumanEval/0", "entry_point": "twice",
    "prompt": 'def twice(x: int) -> int:\n    """Double x."""\n',
    "canonical_solution": "    return 2 * x\n", "test": "def check(f):\n    assert f(2) == 4\n",
}  # fmt: skip
MBPP_FULL = {
    "task_id": 601, "text": "Write a function to add two numbers.",
    "code": "def add(a, b):\r\n  return a + b", "test_list": ["assert add(1, 2) == 3"],
    "test_setup_code": "", "challenge_test_list": [],
}  # fmt: skip
MBPP_SANITIZED = {
    "source_file": "a.ipynb", "task_id": 602, "prompt": "Write a function to add two numbers.",
    "code": "def add(a, b):\n  return a + b", "test_imports": ["import math"],
    "test_list": ["assert add(1, 2) == 3"],
}  # fmt: skip
ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [GSM8K],
    "math": [MATH, MATH | {"solution": r"$\boxed{12}$"}],
    "squad2": [SQUAD, UNANSWERABLE],
    "hotpotqa": [HOTPOT],
    "humaneval": [HUMANEVAL],
    "mbpp": [MBPP_SANITIZED],
}


@pytest.mark.parametrize("dataset", list(READERS))
def test_jsonl_and_parquet_give_the_same_records(dataset: str, tmp_path: Path) -> None:
    rows = ROWS[dataset]
    jsonl = tmp_path / f"{dataset}.jsonl"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "parquet"
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "train-00000-of-00001.parquet")
    expected = [to_record(dataset, row, k) for k, row in enumerate(rows)]
    assert list(read_dataset(dataset, jsonl)) == expected
    assert list(read_dataset(dataset, folder)) == expected
    assert {record.domain for record in expected} == {READERS[dataset].domain}


def test_gsm8k_answer_is_the_number_after_the_mark() -> None:
    record = to_record("gsm8k", GSM8K, 7)
    assert (record.id, record.reference_answer, record.answer_type) == (
        "gsm8k_7",
        "1800",
        "numeric",
    )
    assert record.metadata["original_id"] == "7"
    assert record.metadata["solution"].endswith("1800.")


def test_math_answer_is_the_last_box() -> None:
    fraction, number = (to_record("math", row, 0) for row in ROWS["math"])
    assert (fraction.reference_answer, fraction.answer_type) == (r"\frac{1}{4}", "text")
    assert (number.reference_answer, number.answer_type) == ("12", "numeric")
    assert fraction.metadata["level"] == "Level 1"


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"\boxed{\text{a {b} c}}", r"\text{a {b} c}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x\right.}", r"\left\{x\right."),
        (r"\fbox{3}", "3"),
        (r"so \boxed 5.", "5"),
        (r"$\boxed{\begin{matrix}1\\2\\\end{matrix}}$", r"\begin{matrix}1\\2\\\end{matrix}"),
    ],
)
def test_boxes(solution: str, answer: str) -> None:
    assert boxed(solution) == answer


def test_squad_with_and_without_an_answer() -> None:
    found, none = (to_record("squad2", row, k) for k, row in enumerate(ROWS["squad2"]))
    assert found.question == "The Orba rises on Mount Sel.\n\nWhere does the Orba rise?"
    assert found.reference_answer == "Mount Sel"
    assert found.metadata["answerable"] is True
    assert (none.reference_answer, none.answer_type) == ("", "text")
    assert none.metadata["answerable"] is False
    assert none.metadata["original_id"] == "5ad39d54"


def test_hotpotqa_question_carries_its_paragraphs() -> None:
    record = to_record("hotpotqa", HOTPOT, 0)
    assert record.question.split("\n\n") == [
        "Orba: The Orba is a river. It is 80 km long.",
        "Lusa: The Lusa is 60 km long.",
        "Which of the two rivers is longer?",
    ]
    assert record.reference_answer == "Orba"


def test_code_keeps_what_scoring_needs() -> None:
    human = to_record("humaneval", HUMANEVAL, 0)
    assert human.id == "humaneval_0"
    assert human.metadata["original_id"] == "HumanEval/0"
    assert human.metadata["entry_point"] == "twice"
    full, sanitized = to_record("mbpp", MBPP_FULL, 0), to_record("mbpp", MBPP_SANITIZED, 1)
    assert full.question == sanitized.question
    assert full.metadata["test_list"] == ["assert add(1, 2) == 3"]
    assert (full.metadata["test_setup"], sanitized.metadata["test_setup"]) == ([], ["import math"])
    assert {full.answer_type, sanitized.answer_type} == {"code"}


@pytest.mark.parametrize(
    ("dataset", "row", "message"),
    [
        ("gsm8k", GSM8K | {"answer": "24"}, "gsm8k, row 3: the answer has no '####'"),
        ("gsm8k", GSM8K | {"answer": "#### many"}, "row 3: .*is no number"),
        ("gsm8k", MATH, "no column 'answer'"),
        ("math", MATH | {"solution": "4"}, r"no \\boxed"),
        ("math", MATH | {"solution": r"\boxed{4"}, "never closes"),
        ("squad2", SQUAD | {"answers": None}, "squad2, row 3"),
        ("hotpotqa", HOTPOT | {"context": {"title": ["a"], "sentences": []}}, "hotpotqa, row 3"),
        ("humaneval", HUMANEVAL | {"canonical_solution": " "}, "must not be empty"),
        ("mbpp", MBPP_FULL | {"text": ""}, "at least 1 character"),
    ],
)
def test_rows_that_do_not_fit_are_named(dataset: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_record(dataset, row, 3)


def test_ids_never_carry_text_of_the_data() -> None:
    record = to_record("humaneval", HUMANEVAL | {"task_id": "../../etc/passwd"}, 0)
    assert record.id == "humaneval_0"


@pytest.mark.parametrize(
    ("dataset", "name", "message"),
    [
        ("wikitext", "a.jsonl", "choose one of gsm8k"),
        ("gsm8k", "missing.jsonl", "is no file"),
        ("gsm8k", "rows.csv", "give a .jsonl"),
        ("gsm8k", "", "no folder of .parquet"),
    ],
)
def test_wrong_sources_are_refused(tmp_path: Path, dataset: str, name: str, message: str) -> None:
    (tmp_path / "rows.csv").write_text("question,answer\n")
    with pytest.raises(UserError, match=message):
        list(read_dataset(dataset, tmp_path / name))


def test_without_the_extra_the_install_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"evoxtral\[datasets\]"):
        list(read_dataset("gsm8k", tmp_path / "a.jsonl"))


def test_the_hub_is_asked_for_every_configuration_and_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def load(hub_id: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((hub_id, config, split))
        return [MBPP_SANITIZED]

    monkeypatch.setattr("evoxtral.mix.readers._load", load)
    assert [record.id for record in read_dataset("mbpp")] == [f"mbpp_{k}" for k in range(4)]
    assert {split for _, _, split in asked} == {"train", "test", "validation", "prompt"}
    assert {config for _, config, _ in asked} == {"sanitized"}
