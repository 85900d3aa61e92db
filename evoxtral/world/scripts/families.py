"""Template families: those that training uses, and those it never sees.

A family is a way of building sentences. One in four is held out: no other family shares its
construction, so a test set made from it asks for new syntax, not only for new words. Only the
stock phrases ("oh no", "call me back") are common to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoxtral.world.scripts.frames_held_out import HELD_OUT
from evoxtral.world.scripts.frames_talking import TALKING
from evoxtral.world.scripts.frames_telling import TELLING

if TYPE_CHECKING:
    from evoxtral.world.scripts.family import Family


FAMILIES: tuple[Family, ...] = (*TELLING, *TALKING, *HELD_OUT)
