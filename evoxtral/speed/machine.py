"""What a measurement was made on: processor, threads, versions; nothing that names the machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["machine"]

_PACKAGES = ("accelerate", "numpy", "peft", "torch", "transformers")
_CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Facts about the machine, JSON-serialisable.

    Returns:
        Among others `load`, the processes that ran or waited in the last minute, our own
        included: on an idle machine it is no more than `threads`.
    """
    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """Name of the processor; Linux has it in a file, `platform` often only the architecture."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
