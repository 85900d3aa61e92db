"""Predictions of one system on one split, as JSON lines.

A row is `{"id", "text", "tokens", "finished"}`. Files written elsewhere need `id` and `text` only;
they are not trusted: a file that does not hold exactly one prediction for every clip is refused,
since a clip left out would cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from evoxtral import UserError, runs

MAX_TEXT = 20_000
"""Longest accepted text in characters: edit distance grows with its square."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a system wrote for one clip: a tagged text that may be malformed or empty.

    `tokens` were generated, and `finished` says whether the model ended by itself before the
    limit; both None if not known.
    """

    id: str
    text: Annotated[str, Field(max_length=MAX_TEXT)]
    tokens: Annotated[int, Field(ge=0)] | None = None
    finished: bool | None = None


_ROW = TypeAdapter(Prediction)


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> Path:
    """Write one JSON line for each prediction, atomically."""
    return runs.write_jsonl(path, (asdict(prediction) for prediction in predictions))


def read_predictions(path: Path | str, ids: Collection[str]) -> list[Prediction]:
    """One prediction for each id of a split, in the order of `ids`; other fields are ignored.

    Raises:
        UserError: A line is no prediction, its id is unknown or comes twice (names file and
            line), or a clip has no line (names file and clip).
    """
    known = set(ids)
    found: dict[str, tuple[int, Prediction]] = {}
    try:
        lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = _ROW.validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            field = "".join(f"{part}: " for part in first["loc"])
            raise UserError(f"{place}: {field}{first['msg']}") from error
        if row.id not in known:
            raise UserError(f"{place}: the split has no clip {row.id!r:.60}; remove the line")
        if row.id in found:
            line_before = found[row.id][0]
            raise UserError(
                f"{place}: clip {row.id!r} stands in line {line_before} already; remove one"
            )
        found[row.id] = (number, row)
    missing = [name for name in ids if name not in found]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(known)} clips have no prediction, the first is "
            f"{missing[0]!r}; add a line for each (the text may be empty)"
        )
    return [found[name][1] for name in ids]
