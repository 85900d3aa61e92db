"""Evoxtral: teach Voxtral to transcribe speech with its expression, reproducibly.

The notebooks in `notebooks/` are the report; this package is what they call. Importing it is
cheap: torch and transformers are loaded only by the modules around a model.
"""

from __future__ import annotations

__version__ = "0.1.0"


class UserError(Exception):
    """Bad input, a missing file, a refused parameter: one sentence that names the fix."""

    def _render_traceback_(self) -> list[str]:
        """IPython hook: the lines shown in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]
