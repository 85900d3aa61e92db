"""The embedded base model: a small Voxtral that ships with the package, and how it is made."""

from __future__ import annotations

from evoxtral.tiny.architecture import Architecture
from evoxtral.tiny.build import checkpoint_dir, load_model
from evoxtral.tiny.card import window_arguments

__all__ = ["Architecture", "checkpoint_dir", "load_model", "window_arguments"]
