"""Several batches at once, each on one thread of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def side_by_side(device: torch.device) -> Iterator[Executor]:
    """Workers that each take a batch on one thread; on a GPU there is one.

    Small layers leave most of a second thread idle, and reading sounds, making log-mels and
    choosing tokens take one thread only: on two cores the encoder's features and transcripts are
    made a quarter sooner this way. A batch's results are the same however many threads there are.
    """
    threads = torch.get_num_threads()
    workers = threads if device.type == "cpu" else 1
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
