"""The one kind of error a user can cause and mend."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(Exception):
    """Bad input, a missing file, a refused parameter: one sentence that names the fix.

    In a notebook the traceback is replaced by that sentence, since the stack of the helper
    package tells the reader nothing about a mistyped parameter.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython hook: the lines shown in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]
