"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

# Set before torch loads: tensors this small only make threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo() -> Path:
    """Root of the checkout under test."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real released data beside the checkout; it is not part of the project."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the released scripts in ../shared, which this checkout lacks")
    return folder


@pytest.fixture(scope="session")
def released_path(shared_dir: Path) -> Path:
    """The 1,010 released scripts as published."""
    return shared_dir / "data" / "evoxtral_scripts.json"
