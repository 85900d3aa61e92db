"""Six public datasets, in the formats they really have, as unified records.

Each reader is a pure function from a row to its record; `read_dataset` streams the rows from the
Hub or from a local copy through `datasets`, which is imported only then (`pip install
'evoxtral[datasets]'`).

What the mixing note does not say, and what holds here:

* A question is complete: SQuAD's paragraph and HotpotQA's ten paragraphs precede it.
* An unanswerable SQuAD 2.0 question has the empty reference, and `answerable: false`.
* MATH answers are numeric where the box holds a number and text (LaTeX) elsewhere.
* The note's 87,599 rows are the training split of SQuAD 1.1; that of SQuAD 2.0 has 130,319. Its
  427 MBPP rows are all four splits of the sanitized version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evoxtral import UserError
from evoxtral.mix.records import AnswerType, Record, is_number

_Row = Mapping[str, Any]
_Fields = dict[str, Any]
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is no brace


@dataclass(frozen=True)
class Reader:
    """How one dataset is read.

    Attributes:
        domain: math, qa or code.
        hub_id: dataset on the Hub.
        configs: its configurations, read one after the other.
        splits: its splits, likewise.
        convert: row to `question`, `reference_answer`, `answer_type` and further metadata.
    """

    domain: str
    hub_id: str
    configs: tuple[str | None, ...]
    splits: tuple[str, ...]
    convert: Callable[[_Row], _Fields]


def _fields(question: str, answer: str, kind: AnswerType, **metadata: Any) -> _Fields:
    return {
        "question": question,
        "reference_answer": answer,
        "answer_type": kind,
        "metadata": metadata,
    }


def _gsm8k(row: _Row) -> _Fields:
    solution, mark, answer = row["answer"].rpartition("####")
    if not mark:
        raise ValueError("the answer has no '####' before its result")
    return _fields(row["question"], answer.strip().replace(",", ""), "numeric",
                   solution=solution.strip())  # fmt: skip


def boxed(solution: str) -> str:
    r"""Content of the last `\boxed{...}` of a LaTeX solution, nested braces included.

    Raises:
        ValueError: there is no box, or it never closes.

    >>> boxed(r"so $x = \boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    marks = list(_BOX.finditer(solution))
    if not marks:
        raise ValueError("the solution has no \\boxed answer")
    start = marks[-1].end()
    if not solution[start:].startswith("{"):
        return re.split(r"[\s$]", solution[start:], maxsplit=1)[0].rstrip(".")
    depth = 0
    for token in _BRACE.finditer(solution, start):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return solution[start + 1 : token.start()].strip()
    raise ValueError("the last \\boxed never closes")


def _math(row: _Row) -> _Fields:
    answer = boxed(row["solution"])
    return _fields(row["problem"], answer, "numeric" if is_number(answer) else "text",
                   level=row["level"], type=row["type"])  # fmt: skip


def _squad2(row: _Row) -> _Fields:
    answers = list(row["answers"]["text"])
    question = f"{row['context'].strip()}\n\n{row['question'].strip()}"
    return _fields(question, answers[0] if answers else "", "text", answerable=bool(answers),
                   answers=answers)  # fmt: skip


def _hotpotqa(row: _Row) -> _Fields:
    context = row["context"]
    paragraphs = [
        f"{title}: {''.join(sentences).strip()}"
        for title, sentences in zip(context["title"], context["sentences"], strict=True)
    ]
    question = "\n\n".join([*paragraphs, row["question"].strip()])
    return _fields(question, row["answer"], "text", level=row["level"], type=row["type"])


def _humaneval(row: _Row) -> _Fields:
    return _fields(row["prompt"], row["canonical_solution"], "code", test=row["test"],
                   entry_point=row["entry_point"])  # fmt: skip


def _mbpp(row: _Row) -> _Fields:
    question = row["prompt"] if "prompt" in row else row["text"]
    setup = row.get("test_imports") or row.get("test_setup_code") or []
    return _fields(question, row["code"], "code", test_list=list(row["test_list"]),
                   test_setup=[setup] if isinstance(setup, str) else list(setup))  # fmt: skip


_ID_COLUMN = {"squad2": "id", "hotpotqa": "id", "humaneval": "task_id", "mbpp": "task_id"}
_MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)

READERS: dict[str, Reader] = {
    "gsm8k": Reader("math", "openai/gsm8k", ("main",), ("train",), _gsm8k),
    "math": Reader("math", "EleutherAI/hendrycks_math", _MATH_SUBJECTS, ("train",), _math),
    "squad2": Reader("qa", "rajpurkar/squad_v2", (None,), ("train",), _squad2),
    "hotpotqa": Reader("qa", "hotpotqa/hotpot_qa", ("distractor",), ("train",), _hotpotqa),
    "humaneval": Reader("code", "openai/openai_humaneval", (None,), ("test",), _humaneval),
    "mbpp": Reader("code", "google-research-datasets/mbpp", ("sanitized",),
                   ("train", "test", "validation", "prompt"), _mbpp),
}  # fmt: skip
"""The six datasets of the mixing note by name."""


def to_record(dataset: str, row: _Row, number: int) -> Record:
    """One row in its original format as a unified record.

    Ids are `<dataset>_<number>`, so no text of the data ever becomes part of a file name; the
    original id is kept in the metadata.

    Args:
        dataset: a key of `READERS`.
        row: columns by name.
        number: position of the row, from 0.

    Raises:
        UserError: a missing column or an answer the format does not allow; names row and cause.
    """
    reader = READERS[dataset]
    try:
        fields = reader.convert(row)
        original = str(row[_ID_COLUMN[dataset]] if dataset in _ID_COLUMN else number)
        metadata = {"source": dataset, "original_id": original, **fields.pop("metadata")}
        return Record(id=f"{dataset}_{number}", dataset=dataset, domain=reader.domain,
                      metadata=metadata, **fields)  # fmt: skip
    except KeyError as error:
        raise UserError(f"{dataset}, row {number}: no column {error}; is it {dataset}?") from error
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        cause = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"{dataset}, row {number}: {cause}; mend or drop the row") from error


def read_dataset(dataset: str, path: Path | str | None = None) -> Iterator[Record]:
    """Stream a dataset as records.

    Args:
        dataset: a key of `READERS`.
        path: a local `.jsonl`, `.json` or `.parquet` file, or a folder of parquet files; the Hub
            by default.

    Raises:
        UserError: unknown dataset, missing file, unknown file type, or a row that does not fit.
    """
    if dataset not in READERS:
        raise UserError(f"no reader for {dataset!r}: choose one of {', '.join(READERS)}")
    rows = _hub_rows(READERS[dataset]) if path is None else _local_rows(Path(path))
    for number, row in enumerate(rows):
        yield to_record(dataset, row, number)


def _load(*args: Any, **options: Any) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError("reading datasets needs: pip install 'evoxtral[datasets]'") from error
    return load_dataset(*args, **options)


def _hub_rows(reader: Reader) -> Iterator[_Row]:
    for config in reader.configs:
        for split in reader.splits:
            yield from _load(reader.hub_id, config, split=split)


def _local_rows(path: Path) -> Iterator[_Row]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"{path} is no file and no folder of .parquet files")
    kind = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}.get(files[0].suffix)
    if kind is None:
        raise UserError(f"{files[0]}: give a .jsonl, .json or .parquet file")
    yield from _load(kind, data_files=[str(f) for f in files], split="train", streaming=True)
