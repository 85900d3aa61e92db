"""Evoxtral: teach Voxtral to transcribe speech with its expression, reproducibly.

The notebooks in `notebooks/` are the report; this package is what they call. Importing it is
cheap: torch and transformers are loaded only by the modules that need them (`tiny`, and later
`model`, `train`, `sample`), so tags, metrics, data, tables and figures work without them.
"""

from __future__ import annotations

__version__ = "0.1.0"
