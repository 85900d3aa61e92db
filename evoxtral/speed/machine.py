"""What a measurement was made on: processor, versions, ceilings; nothing that names the machine."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from evoxtral.report.provenance import commit
from evoxtral.speed.ceilings import measure_ceilings

__all__ = ["conditions", "machine"]

_PACKAGES = ("accelerate", "numpy", "peft", "torch", "transformers")
_CPUINFO = Path("/proc/cpuinfo")


def conditions(profile: str, depth: str) -> dict[str, Any]:
    """What belongs beside every measurement, JSON-serialisable; measures the ceilings.

    Args:
        profile: whose clips, base and recipes are measured.
        depth: how thoroughly.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "profile": profile,
        "depth": depth,
        "measured": datetime.now(UTC).date().isoformat(),
        **commit(),
        "machine": machine(),
        "ceilings": asdict(measure_ceilings(device)),
    }


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
