"""Peak memory of a process."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

__all__ = ["peak_mebibytes"]

_STATUS = Path("/proc/self/status")


def peak_mebibytes() -> float:
    """Most memory that this process has held at once, in MiB.

    Linux hands the figure of `getrusage` on from a process to the program it starts, so that a
    small child of a large process looks large; `VmHWM` is the child's own.
    """
    if _STATUS.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
