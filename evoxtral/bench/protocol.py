"""Names and versions of the protocols that a score was computed under.

A score without its protocol cannot be compared, so every row of scores carries one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from evoxtral import metrics

PAPER = f"paper/{metrics.PROTOCOL}"
"""The report's conventions (`evoxtral.metrics.protocols`)."""

STRICT = f"strict/{metrics.PROTOCOL}"
"""Pooled counts, tags matched by position (`evoxtral.metrics.protocols`)."""

NVV = "nvvspeech-track1-en/1.0.0"
"""Track 1 of the NVVSpeech challenge, English part (`bench.nvv`)."""

WESR = "wesr-style/1.0.0"
"""In the style of WESR-Bench: exact places, macro average (`bench.position`)."""

EVALUATION_PROTOCOLS: Mapping[str, metrics.Protocol] = MappingProxyType(
    {PAPER: "paper", STRICT: "strict"}
)
"""Protocols that `metrics.Evaluation` computes, by their versioned names."""

COLUMNS = ("system", "protocol", "metric", "value", "low", "high", "n")
"""A frame of scores: value and ends of its 95 % interval as fractions, and clips."""
