"""Many clips over several processes, in order, byte for byte what one process would render."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from evoxtral import UserError
from evoxtral.world.speech.child import Child, ChildDiedError
from evoxtral.world.speech.render import Rendered
from evoxtral.world.speech.settings import RenderSettings

_AHEAD = 4


@dataclass(frozen=True, slots=True)
class RenderJob:
    """One clip to render: its key names it in results and errors."""

    key: str
    tagged_text: str
    voice_id: str
    seed: int


def render_many(
    jobs: Iterable[RenderJob],
    settings: RenderSettings | None = None,
    workers: int | None = None,
) -> Iterator[tuple[str, Rendered]]:
    """Render clips in worker processes; results come in the order of the jobs.

    The workers are fresh interpreters that load numpy and espeak-ng only: torch or threads in
    this process do not matter. They end with the iteration, also when it is abandoned.

    Args:
        jobs: Read lazily, a few clips ahead of what has been taken.
        settings: Shared by all clips.
        workers: Number of processes; one for each processor of this process if None.

    Raises:
        UserError: A clip cannot be rendered as asked; the message names its key.
        RuntimeError: A worker failed; the message names the key.
    """
    count = _processors() if workers is None else workers
    if count < 1:
        raise UserError(f"workers must be at least 1, not {count}")
    settings = settings or RenderSettings()
    idle: SimpleQueue[Child] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            idle.put(stack.enter_context(Child(["-m", "evoxtral.world.speech.worker"])))
        pool = ThreadPoolExecutor(count)
        stack.callback(pool.shutdown, cancel_futures=True)
        pending: deque[tuple[str, Future[Rendered]]] = deque()
        for job in jobs:
            pending.append((job.key, pool.submit(_render, job, settings, idle)))
            if len(pending) > _AHEAD * count:
                key, future = pending.popleft()
                yield key, future.result()
        while pending:
            key, future = pending.popleft()
            yield key, future.result()


def _processors() -> int:
    """Processors this process may use; macOS cannot tell and names all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _render(job: RenderJob, settings: RenderSettings, idle: SimpleQueue[Child]) -> Rendered:
    child = idle.get()
    try:
        rendered, error = pickle.loads(child.ask(pickle.dumps((job, settings))))
    except ChildDiedError as dead:
        raise RuntimeError(f"clip {job.key!r}: {dead}") from dead
    finally:
        idle.put(child)
    if error is not None:
        raise error
    return rendered
