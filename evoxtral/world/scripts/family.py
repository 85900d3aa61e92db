"""What a template family is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A named way of building sentences, usable in every domain and mood.

    Attributes:
        name: The construction, e.g. ``comparison``.
        long: Frames of about 8–16 words.
        mid: Frames of about 4–11 words.
        short: Frames of about 2–6 words.
        held_out: True if no training text may use it.
    """

    name: str
    long: tuple[str, ...]
    mid: tuple[str, ...]
    short: tuple[str, ...]
    held_out: bool = False


def family(name: str, long: str, mid: str, short: str, *, held_out: bool = False) -> Family:
    """Build a family from three blocks of text with one frame per line."""

    def lines(text: str) -> tuple[str, ...]:
        return tuple(line.strip() for line in text.strip().splitlines())

    return Family(name, lines(long), lines(mid), lines(short), held_out)
