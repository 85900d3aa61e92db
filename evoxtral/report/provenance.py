"""Where a result came from: code, parameters, stages, versions, machine, time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evoxtral import runs
from evoxtral.params import Parameters

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
            ["git", "-C", str(runs.root()), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit() -> dict[str, Any]:
    """Commit of the checkout, and whether tracked files differ from it; None without git."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": None if changed is None else bool(changed),
    }


def _versions() -> dict[str, str]:
    installed = {d.metadata["Name"].lower() for d in metadata.distributions()}
    return {name: metadata.version(name) for name in _PACKAGES if name in installed}


def cells_digest(notebook: str) -> str:
    """SHA-256 of the code of a notebook; its prose decides no number."""
    cells = runs.read_json(runs.notebooks_dir() / f"{notebook}.ipynb")["cells"]
    return runs.digest(["".join(c["source"]) for c in cells if c["cell_type"] == "code"])


def loaded_modules() -> dict[str, str]:
    """Digests of the project's modules that this process has loaded, by name."""
    names = sorted(name for name in sys.modules if name.startswith("evoxtral."))
    return {name: module_digest(name) for name in names}


def module_digest(name: str) -> str:
    """SHA-256 of a module's own file, a package's `__init__` included; empty if it is gone."""
    path = runs.root().joinpath(*name.split("."))
    files = [path.with_suffix(".py"), path / "__init__.py"]
    found = [file for file in files if file.is_file()]
    return runs.digest_file(found[0]) if found else ""


def files_digests() -> dict[str, str]:
    """SHA-256 of what the report reads that is no code: published numbers, embedded weights."""
    root = runs.root()
    files = [
        *root.glob("reports/paper/*.csv"),
        *root.glob("evoxtral/world/base/checkpoint/*.safetensors"),
    ]
    return {file.relative_to(root).as_posix(): runs.digest_file(file) for file in sorted(files)}


def _command() -> str:
    """How the process was started; a kernel's own arguments say nothing of its runner."""
    if "ipykernel_launcher" in sys.argv[0]:
        return "a notebook kernel"
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _device() -> str:
    """What a model would have run on; loads no framework to find out."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "no deep-learning framework loaded"
    cuda = torch.cuda.is_available()
    return str(torch.cuda.get_device_name()) if cuda else f"CPU, {torch.get_num_threads()} threads"


def provenance(parameters: Parameters, started: datetime) -> dict[str, Any]:
    """Everything needed to say how a result was made; the one file that holds times and paths.

    Args:
        parameters: the resolved parameters of the notebook.
        started: when the notebook began.
    """
    return {
        "notebook": parameters.notebook,
        "parameters": parameters.model_dump(mode="json"),
        "parameters_sha256": parameters.digest(),
        "code_sha256": runs.code_digest(["evoxtral"]),
        "cells_sha256": cells_digest(parameters.notebook),
        "modules": loaded_modules(),
        "files": files_digests(),
        **commit(),
        "stages": [
            {"name": s.name, "digest": s.digest, "executed": s.executed} for s in runs.used_stages()
        ],
        "versions": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "device": _device(),
        "command": _command(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
