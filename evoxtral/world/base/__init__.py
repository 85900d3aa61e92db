"""The embedded base model: a small Voxtral that ships with the package, and how it is made."""

from __future__ import annotations

from evoxtral.world.base.architecture import Architecture
from evoxtral.world.base.build import checkpoint_dir, load_model
from evoxtral.world.base.card import window_arguments
