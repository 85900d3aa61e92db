"""Where things are, independent of the working directory.

papermill runs a notebook in the caller's directory, Jupyter, nbval and nbconvert in the
notebook's: a path relative to the working directory would mean four different places.
"""

from __future__ import annotations

import os
from pathlib import Path

from evoxtral.errors import UserError

__all__ = ["bought_dir", "named", "notebooks_dir", "params_dir", "reports_dir", "root", "runs_dir"]


def _is_root(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "params").is_dir()


def root() -> Path:
    """Root of the checkout that holds `notebooks/`, `params/` and `reports/`.

    In this order: the environment variable `EVOXTRAL_ROOT`; the place of an editable install;
    the nearest parent of the working directory that looks like a checkout.

    Raises:
        UserError: none of the three is a checkout.
    """
    named = os.environ.get("EVOXTRAL_ROOT")
    if named:
        folder = Path(named).expanduser().resolve()
        if _is_root(folder):
            return folder
        raise UserError(
            f"EVOXTRAL_ROOT is {folder}, which is no Evoxtral checkout: point it at the folder "
            "that holds pyproject.toml and params/"
        )
    installed = Path(__file__).resolve().parents[1]
    here = Path.cwd().resolve()
    for folder in (installed, here, *here.parents):
        if _is_root(folder):
            return folder
    raise UserError("no Evoxtral checkout found: work inside a clone, or set EVOXTRAL_ROOT to one")


def named(path: str) -> Path:
    """What a parameter means by a path: a relative one starts at the checkout."""
    return root() / Path(path).expanduser()


def _beside(variable: str, default: str) -> Path:
    moved = os.environ.get(variable)
    return Path(moved).expanduser().resolve() if moved else root() / default


def runs_dir() -> Path:
    """Heavy artefacts (audio, features, adapters): `runs/`, or `EVOXTRAL_RUNS`."""
    return _beside("EVOXTRAL_RUNS", "runs")


def bought_dir() -> Path:
    """What was paid for (speech, replies), which cleaning must not take: `bought/`.

    The environment variable `EVOXTRAL_BOUGHT` moves it.
    """
    return _beside("EVOXTRAL_BOUGHT", "bought")


def reports_dir() -> Path:
    """Generated tables and figures: `reports/`, or `EVOXTRAL_REPORTS`."""
    return _beside("EVOXTRAL_REPORTS", "reports")


def params_dir() -> Path:
    """The parameter files: `params/<profile>/<notebook>.yaml`."""
    return root() / "params"


def notebooks_dir() -> Path:
    """The notebooks."""
    return root() / "notebooks"
