"""Append-only JSON lines that survive a kill: what has been paid for is never lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs


class Journal:
    """A file of rows that only grows, for several threads of one process.

    Every row is on disk when `append` returns. A kill can tear the last line, which is cut off
    here, so that the next row does not continue it.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal; the file appears with the first row.

        Raises:
            UserError: The file cannot be read or mended.
        """
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._mend()
        except OSError as error:
            raise UserError(f"cannot open {path}: {error.strerror or error}") from error

    def _mend(self) -> None:
        with self._path.open("rb+") as stream:
            data = stream.read()
            if not data.endswith(b"\n"):
                stream.truncate(data.rfind(b"\n") + 1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, oldest first."""
        if self._path.exists():
            yield from runs.read_jsonl(self._path)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row and wait until it is on disk."""
        with self._lock:
            runs.append_jsonl(self._path, [row])
