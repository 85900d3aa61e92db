"""Evoxtral: teach Voxtral to transcribe speech with its expression, reproducibly.

The notebooks in `notebooks/` are the report; this package is what they call. Importing it is
cheap: torch and transformers are loaded only by the modules around a model (`tiny`, `model`,
`train`, `sample` and what builds on them): tags, metrics, data, tables, figures work without them.
"""

from __future__ import annotations

__version__ = "0.1.0"
