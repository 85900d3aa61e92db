"""A helper process that answers one message at a time over a socket pair.

Used twice: for the process that owns espeak-ng, and for the workers that render many clips. Both
are fresh interpreters (`exec`, not `fork`), so they are indifferent to threads in the parent and
never re-import its main module. The helper finds the number of its socket as last argument.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ChildDiedError(RuntimeError):
    """The helper process ended without answering."""


class Child:
    """A running helper; closing it (or the death of this process) ends it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start `python <arguments> <socket>`."""
        path = os.pathsep.join(filter(None, [str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH")]))
        self._socket, theirs = multiprocessing.Pipe()
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *arguments, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process; the helper sees it close
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            )

    def ask(self, request: bytes) -> bytes:
        """Send one request and wait for its answer; other threads wait their turn.

        Raises:
            ChildDiedError: The helper ended before it had answered.
        """
        try:
            with self._turn:
                self._socket.send_bytes(request)
                return self._socket.recv_bytes()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            status = self._process.wait()
            name = " ".join(self._process.args[1:-1])
            raise ChildDiedError(f"helper process {name} ended with status {status}") from None

    def close(self) -> None:
        """End the helper and reap it."""
        self._socket.close()
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
