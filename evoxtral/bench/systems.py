"""Names of the systems that a benchmark compares."""

from __future__ import annotations

BASE, SFT, RL = "base", "SFT", "RL"
"""The report's three; beside them stands `scores.NO_TAGS`."""

ADAPTER, PREDICTIONS = "adapter", "predictions"
"""What the parameters of these names bring."""
