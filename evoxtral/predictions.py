"""Predictions of one system on one split, as JSON lines.

A row is `{"id", "text", "tokens", "finished"}`. Files written elsewhere need `id` and `text` only;
they are not trusted: a file that does not hold exactly one prediction for every clip is refused,
since a clip left out would cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs

MAX_TEXT = 20_000
"""Longest accepted text in characters: edit distance grows with its square."""

_SHOWN = 60  # characters of a foreign value in a message


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a system wrote for one clip.

    Attributes:
        id: Of the clip.
        text: Tagged transcript, not trusted to be well-formed; may be empty.
        tokens: Tokens generated, None if not known.
        finished: Whether the model ended by itself, before the limit; None if not known.
    """

    id: str
    text: str
    tokens: int | None = None
    finished: bool | None = None


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> Path:
    """Write one JSON line for each prediction, atomically."""
    return runs.write_jsonl(path, (asdict(prediction) for prediction in predictions))


def read_predictions(path: Path | str, ids: Collection[str]) -> list[Prediction]:
    """Read a file of predictions for a split.

    Args:
        path: JSON lines with `id` and `text`; `tokens` and `finished` may be absent or null, other
            fields are ignored.
        ids: The split's clips, in the order wanted.

    Returns:
        One prediction for each id, in the order of `ids`.

    Raises:
        UserError: A line is no prediction, its id is unknown or comes twice (names file and
            line), or a clip has no line (names file and clip).
    """
    path, known = Path(path), set(ids)
    found: dict[str, tuple[int, Prediction]] = {}
    for number, row in _rows(path):
        place = f"{path}:{number}"
        prediction = _prediction(row, place)
        name = _short(prediction.id)
        if prediction.id not in known:
            raise UserError(f"{place}: the split has no clip {name}; remove the line")
        if prediction.id in found:
            first = found[prediction.id][0]
            raise UserError(f"{place}: clip {name} stands in line {first} already; remove one")
        found[prediction.id] = (number, prediction)
    missing = [name for name in ids if name not in found]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(known)} clips have no prediction, the first is "
            f"{_short(missing[0])}; add a line for each (the text may be empty)"
        )
    return [found[name][1] for name in ids]


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers, from 1, and objects; blank lines are skipped."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _object(line, f"{path}:{number}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _object(line: bytes, place: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not a JSON object ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected a JSON object with id and text")
    return value


def _prediction(row: Mapping[str, Any], place: str) -> Prediction:
    for name in ("id", "text"):
        if not isinstance(row.get(name), str):
            raise UserError(f"{place}: {name} must be text, not {_short(row.get(name))}")
    if len(row["text"]) > MAX_TEXT:
        raise UserError(f"{place}: text has more than {MAX_TEXT:,} characters; shorten it")
    tokens, finished = row.get("tokens"), row.get("finished")
    if tokens is not None and (type(tokens) is not int or tokens < 0):
        raise UserError(f"{place}: tokens must be a count, not {_short(tokens)}")
    if finished is not None and not isinstance(finished, bool):
        raise UserError(f"{place}: finished must be true or false, not {_short(finished)}")
    return Prediction(row["id"], row["text"], tokens, finished)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
