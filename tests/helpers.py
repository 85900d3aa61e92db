"""What several test files use and no fixture can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from evoxtral import tags

if TYPE_CHECKING:  # most tests need no deep-learning framework
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Heard:
    """What a model hears, kept in memory: stands where a cache or log-mels stand elsewhere."""

    tensors: Sequence[Tensor]
    seconds: Sequence[float] = ()

    @property
    def windows(self) -> list[int]:
        return [len(one) for one in self.tensors]

    def __getitem__(self, clip: int) -> Tensor:
        return self.tensors[clip]


def written(transcript: tags.Transcript) -> str:
    """A transcript as text, single spaces between all parts."""
    parts, done = [], 0
    for tag in transcript.tags:
        parts += [*transcript.words[done : tag.word_index], f"[{tag.name}]"]
        done = tag.word_index
    return " ".join([*parts, *transcript.words[done:]])


def examples(*texts: str, **columns: Any) -> pd.DataFrame:
    """Examples of a composition with these texts and, where given, other columns."""
    frame = pd.DataFrame({"id": [str(k) for k in range(len(texts))], "tagged_text": texts})
    unknown = {"domain": "d", "voice": None, "gender": None, "seconds": None}
    return frame.assign(plain_text=frame["tagged_text"].map(tags.plain_text), **unknown | columns)


def fresh_python(code: str, **environment: str) -> str:
    """What a new interpreter prints when it runs the code, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for a condition, looking every millisecond."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.001)


def killed(work: Callable[[], object], when: Callable[[], bool]) -> bool:
    """Do work in a fork of this process, kill it once something is so; whether it died of that."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    until(when)
    os.kill(child, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
