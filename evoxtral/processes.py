"""Several processes that do the work of one run together, as `accelerate launch` starts them.

Without such a launch there is one process, every function here is trivial, and torch is not
imported. With it, every process runs the same program; what is told, gathered or waited for must
be so in all of them, in the same order. These few words go over a channel of their own that
waits as long as it takes: one process may synthesise a corpus for an hour while the others wait.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from tqdm import tqdm

from evoxtral import UserError

T = TypeVar("T")


class _Team(NamedTuple):
    index: int = 0
    size: int = 1
    channel: Any = None


_team = _Team()


def count() -> int:
    """How many processes share the work."""
    return _team.size


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return _team.index == 0


@contextmanager
def together(*, cpu: bool) -> Iterator[None]:
    """Join the other processes of the launch, if there are any; ends with the block.

    A process that fails leaves without a word; the others notice and stop, each with an error,
    and so does the launcher. With `cpu` the work is done on processors, not on GPUs.

    Raises:
        UserError: the launch is of a kind that this project does not know.
    """
    for kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() in ("1", "true"):
            raise UserError(
                f"accelerate is configured for {kind}, and every process here transcribes with a "
                "whole model: configure plain data parallelism (--multi_gpu)"
            )
    cpu_launch = {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys()
    if cpu_launch and "WORLD_SIZE" not in os.environ:
        raise UserError(
            "accelerate has started one process of several: replace --cpu by --multi_gpu, its "
            "word for several processes, also where there is no GPU"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from accelerate import PartialState
    from torch import distributed

    state = PartialState(cpu=cpu)  # one GPU for each process
    channel = distributed.new_group(backend="gloo", timeout=timedelta(days=30))
    with _as(_Team(state.process_index, state.num_processes, channel)):
        yield
    distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Work that one process does without the others: inside, there is only this one."""
    with _as(_Team()):
        yield


@contextmanager
def _as(team: _Team) -> Iterator[None]:
    global _team
    before, _team = _team, team
    try:
        yield
    finally:
        _team = before


def share(items: Sequence[T]) -> Sequence[T]:
    """What this process does of a list of work; the shares are disjoint and cover the list."""
    return items[_team.index :: _team.size]


def gather(value: T) -> list[T]:
    """The values of all processes, in their order; the values must be picklable.

    Raises:
        UserError: another process has failed.
    """
    if _team.size == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * _team.size
    try:
        distributed.all_gather_object(values, value, group=_team.channel)
    except RuntimeError as error:
        raise UserError(
            "another process of this run has ended: its message says why; mend that and run again"
        ) from error
    return values


def told(ask: Callable[[], T]) -> T:
    """The answer that the main process finds, for all to act on; the others do not ask."""
    return gather(ask() if is_main() else None)[0]  # type: ignore[return-value]


def barrier() -> None:
    """Wait until every process is here."""
    gather(None)


def progress(total: int, what: str, *, unit: str, done: int = 0, shown: bool = True) -> tqdm:
    """A bar of `total` units of work, `done` of them earlier; only the main process draws it.

    An executed notebook keeps every refresh as a line of its output, so there they are rare. A bar
    that is not `shown` is for work inside other work.
    """
    interval = 0.5 if sys.stdout.isatty() else 20.0  # seconds between refreshes
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=unit,
        file=sys.stdout,
        disable=not (shown and is_main()),
        mininterval=interval,
        maxinterval=max(10.0, interval),
    )
