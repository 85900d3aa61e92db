"""Completions: what a model wrote for a clip, k times, in a file that only grows.

The file is JSON lines in the order of sampling. A kill can tear its last line only; reading drops
that line and the next append removes it, so that a resumed run never writes behind a fragment.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pandas as pd
from pydantic import ConfigDict, Field, StrictBool, StrictStr, TypeAdapter, ValidationError

from evoxtral import UserError, runs

_TYPES = {"clip": "str", "index": "int64", "text": "str", "tokens": "int64", "finished": "bool"}


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled transcript of a clip.

    Attributes:
        clip: Id of the clip.
        index: Which of its k completions, 0 … k - 1.
        text: Tagged transcript as decoded, not trusted to be well-formed.
        tokens: Generated tokens, the end mark not counted.
        finished: Whether the model ended it; False if it ran into the token limit.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    clip: Annotated[str, Field(min_length=1, strict=True)]
    index: Annotated[int, Field(ge=0, strict=True)]
    text: StrictStr
    tokens: Annotated[int, Field(ge=0, strict=True)]
    finished: StrictBool


_COMPLETION = TypeAdapter(Completion)


def append_completions(path: Path | str, completions: Iterable[Completion]) -> None:
    """Append completions and flush them to disk, after removing a torn last line.

    One process may write to a file at a time.

    Raises:
        UserError: The file cannot be written; names it.
    """
    try:
        _remove_torn_line(Path(path))
    except OSError as error:
        raise UserError(f"cannot append to {path}: {error.strerror or error}") from error
    runs.append_jsonl(path, map(asdict, completions))


def _remove_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)


def read_completions(path: Path | str, clips: Collection[str]) -> list[Completion]:
    """Read completions in the order they were written; a torn last line is dropped.

    Args:
        path: File of `append_completions`.
        clips: Ids that may occur.

    Raises:
        UserError: The file is missing, or a line is no completion, names an unknown clip or
            repeats a completion; names file and line (blank lines, which no run writes, are not
            counted).
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; sample completions first")
    known = frozenset(clips)
    completions: dict[tuple[str, int], Completion] = {}
    for number, row in enumerate(runs.read_jsonl(path, torn_last=True), start=1):
        completion = _validated(row, f"{path}, line {number}")
        key = (completion.clip, completion.index)
        if completion.clip not in known:
            raise UserError(
                f"{path}, line {number}: clip {completion.clip!r} is not among the prompts; "
                "delete the file and sample again"
            )
        if key in completions:
            raise UserError(
                f"{path}, line {number}: completion {completion.index} of clip "
                f"{completion.clip!r} is there twice; remove one of the lines"
            )
        completions[key] = completion
    return list(completions.values())


def _validated(row: dict[str, object], where: str) -> Completion:
    try:
        return _COMPLETION.validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{where}: {field}: {first['msg']}; delete the file and sample again"
        ) from error


def to_frame(completions: Iterable[Completion]) -> pd.DataFrame:
    """A row per completion in order of clip id, then index.

    Raises:
        ValueError: If a completion occurs twice.

    >>> to_frame([Completion("b", 0, "no", 1, True), Completion("a", 0, "oh", 1, True)])["clip"][0]
    'a'
    """
    frame = pd.DataFrame([asdict(c) for c in completions], columns=list(_TYPES)).astype(_TYPES)
    if frame.duplicated(["clip", "index"]).any():
        raise ValueError("a completion, that is clip and index, occurs twice")
    return frame.sort_values(["clip", "index"], ignore_index=True)
