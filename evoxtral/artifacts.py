"""Files that are whole or absent: atomic writes, digests, JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evoxtral.errors import UserError

__all__ = [
    "append_jsonl",
    "digest",
    "digest_file",
    "json_text",
    "read_json",
    "read_jsonl",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_stream",
    "write_text",
]


def write_stream(path: Path | str, chunks: Iterable[bytes]) -> Path:
    """Write a file so that a reader sees the old content or the new, never a part.

    The chunks go to a temporary file beside `path` as they come, are flushed to disk, and the
    file is renamed into place.

    Raises:
        UserError: the file cannot be written (disk full, no permission); names path and size.
            What was at `path` before is untouched, also when making a chunk fails.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    size = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            for chunk in chunks:
                size += len(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise UserError(
            f"cannot write {target} ({size:,} bytes): {error.strerror or error}; "
            "free space or choose another place, then run again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write bytes atomically (see `write_stream`)."""
    return write_stream(path, [data])


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text atomically (see `write_bytes`)."""
    return write_bytes(path, text.encode("utf-8"))


def json_text(value: Any) -> str:
    """A JSON document: sorted keys, two spaces, no NaN, one newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: Path | str, value: Any) -> Path:
    """Write a JSON document atomically."""
    return write_text(path, json_text(value))


def write_jsonl(path: Path | str, rows: Iterable[dict[str, Any]]) -> Path:
    """Write one JSON object per line atomically, row by row."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    return write_stream(path, (line.encode("utf-8") for line in lines))


def append_jsonl(path: Path | str, rows: Iterable[dict[str, Any]]) -> None:
    """Append rows and flush them to disk; a kill can tear the last line only."""
    data = "".join(json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows)
    try:
        with Path(path).open("ab") as stream:
            stream.write(data.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UserError(f"cannot append to {path}: {error.strerror or error}") from error


def read_json(path: Path | str) -> Any:
    """Read one JSON file.

    Raises:
        UserError: the file is missing or no JSON; names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def read_jsonl(path: Path | str, *, torn_last: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file.

    Args:
        path: the file.
        torn_last: drop a last line that has no newline, as a kill during `append_jsonl` leaves it.

    Raises:
        UserError: a line is no JSON object; names file and line.
    """
    with Path(path).open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if torn_last and not line.endswith(b"\n"):
                return
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"{path}, line {number}: not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: expected a JSON object")
            yield row


def digest(value: Any) -> str:
    """Hex SHA-256 of a JSON-serialisable value, independent of key order.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
