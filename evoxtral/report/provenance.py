"""Where a result came from: code, parameters, stages, versions, machine, time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from evoxtral import paths, stages
from evoxtral.params import Parameters

__all__ = ["provenance"]

_PACKAGES = (
    "evoxtral",
    "accelerate",
    "espeakng-loader",
    "jiwer",
    "matplotlib",
    "mistral-common",
    "numpy",
    "pandas",
    "peft",
    "scipy",
    "torch",
    "transformers",
)


def _git(*arguments: str) -> str | None:
    """Output of a git command in the checkout, or None where there is no git or no commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(paths.root()), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower() for d in metadata.distributions()}
    return {name: metadata.version(name) for name in _PACKAGES if name in installed}


def provenance(parameters: Parameters, started: datetime) -> dict[str, Any]:
    """Everything needed to say how a result was made; the one file that holds times and paths.

    Args:
        parameters: the resolved parameters of the notebook.
        started: when the notebook began.
    """
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "notebook": parameters.notebook,
        "parameters": parameters.model_dump(mode="json"),
        "parameters_sha256": parameters.digest(),
        "code_sha256": stages.code_digest(["evoxtral"]),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": None if changed is None else bool(changed),
        "stages": [
            {"name": s.name, "digest": s.digest, "executed": s.executed}
            for s in stages.used_stages()
        ],
        "versions": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "command": sys.argv,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
