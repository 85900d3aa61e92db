"""Raw JSONL files of unified records: written from a stream, validated once, read by offset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from evoxtral import UserError, runs
from evoxtral.mix.records import Name, Record

_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True)
class RawFile:
    """A validated raw file: where its lines are, and which of them are the same question.

    Attributes:
        path: the file.
        dataset: its dataset.
        domain: its domain.
        offsets: (n,) byte offset of each row.
        keys: (n,) digest of each row's question, letter case and white space aside.
        ids: digests of the ids.
        answer_types: rows per answer type.
    """

    path: Path
    dataset: str
    domain: str
    offsets: NDArray[np.int64]
    keys: list[bytes] = field(repr=False)
    ids: set[bytes] = field(repr=False)
    answer_types: dict[str, int]

    def lines(self, rows: Iterable[int]) -> Iterator[bytes]:
        """The JSON lines of these rows, in this order."""
        with self.path.open("rb") as stream:
            for row in rows:
                stream.seek(self.offsets[row])
                yield read_line(stream)


def read_line(stream: BinaryIO) -> bytes:
    """The next line, with a newline even where a file ends without one."""
    line = stream.readline()
    return line if line.endswith(b"\n") else line + b"\n"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


def inside(root: Path, *parts: str) -> Path:
    """A path below root, wherever symbolic links lead.

    Raises:
        UserError: the path leaves root.
    """
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{path} leads out of {root}: remove the link or choose another name")
    return path


def write_raw(root: Path | str, records: Iterable[Record], dataset: str, domain: str) -> Path:
    """Stream records into `raw/<domain>/<dataset>.jsonl`.

    Raises:
        UserError: a name unfit for a file, or a record of another dataset or domain.
    """
    try:
        path = inside(Path(root), "raw", _NAME.validate_python(domain),
                       f"{_NAME.validate_python(dataset)}.jsonl")  # fmt: skip
    except ValidationError as error:
        raise UserError(
            f"dataset {dataset!r} or domain {domain!r} is no name: use a-z, 0-9 and _"
        ) from error

    def lines() -> Iterator[bytes]:
        for record in records:
            if (record.dataset, record.domain) != (dataset, domain):
                raise UserError(f"{record.id} is of {record.domain}/{record.dataset}, not {path}")
            yield record.model_dump_json().encode() + b"\n"

    return runs.write_stream(path, lines())


def read_raw(path: Path) -> RawFile:
    """Validate every line of a raw file and note where it starts.

    Raises:
        UserError: a line that is no valid record, a record in the wrong file, or an id used
            twice; names file and line.
    """
    offsets, keys, ids, types, position = [], [], set(), Counter(), 0
    dataset, domain = path.stem, path.parent.name
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            record = _record(line, f"{path}, line {number}")
            if (record.dataset, record.domain) != (dataset, domain):
                where = f"raw/{record.domain}/{record.dataset}.jsonl"
                raise UserError(f"{path}, line {number}: {record.id!r} belongs in {where}")
            ids.add(_digest(record.id))
            if len(ids) < number:
                raise UserError(f"{path}, line {number}: id {record.id!r} is used twice")
            offsets.append(position)
            position += len(line)
            keys.append(_digest(" ".join(record.question.lower().split())))
            types[record.answer_type] += 1
    return RawFile(path, dataset, domain, np.array(offsets), keys, ids, dict(sorted(types.items())))


def _record(line: bytes, where: str) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "record"
        raise UserError(f"{where}: {place}: {first['msg']}; mend the line") from error
