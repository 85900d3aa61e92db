"""Progress of long work: a live bar in a terminal, a line now and then in a notebook."""

from __future__ import annotations

import sys

from tqdm import tqdm

from evoxtral import processes

_LIVE, _QUIET = 0.5, 20.0  # seconds between refreshes


def progress(total: int, what: str, *, unit: str, done: int = 0, shown: bool = True) -> tqdm:
    """A bar to `update` and to close (it is a context manager).

    An executed notebook keeps every refresh as a line of its output, so there they are rare. Of
    several processes only the main one draws.

    Args:
        total: units of work.
        what: what is being done, a word or two.
        unit: name of a unit, singular.
        done: units that an earlier run has finished.
        shown: False makes a bar that is not drawn, for work inside other work.
    """
    interval = _LIVE if sys.stdout.isatty() else _QUIET
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        file=sys.stdout,
        disable=not (shown and processes.is_main()),
        mininterval=interval,
        maxinterval=max(10.0, interval),
    )
