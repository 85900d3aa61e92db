"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Set before torch loads: tensors this small only make threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from evoxtral import paper, runs
from helpers import Heard
from local_server import CANARY

if TYPE_CHECKING:  # most tests need no deep-learning framework
    from evoxtral.clips import Dataset

REPO = Path(__file__).resolve().parents[1]
LONGEST = ("test_report_smoke.py", "test_headless.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files: of several processes none is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


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


@pytest.fixture(scope="session")
def numbers() -> paper.Published:
    """The published numbers."""
    return paper.load()


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the test's stages; none is known yet."""
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(runs, "_used", {})
    return tmp_path / "runs"


@pytest.fixture
def bought(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what the test buys, with the keys of the tests."""
    monkeypatch.setenv("EVOXTRAL_BOUGHT", str(tmp_path / "bought"))
    for provider in ("ELEVENLABS", "OPENAI"):
        monkeypatch.setenv(f"{provider}_API_KEY", CANARY)
    return tmp_path / "bought"


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixteen clips of 3 to 7 seconds, rendered once: twelve of `train`, four of `natural`."""
    from evoxtral.clips import load
    from evoxtral.clips.corpus import build_corpus

    folder = tmp_path_factory.mktemp("spoken")
    build_corpus(folder, {"train": 12, "natural": 4}, seed=5, workers=1)
    return load(folder)


@pytest.fixture(scope="session")
def spoken_mels(spoken: Dataset) -> Heard:
    """Log-mels of the spoken clips for the embedded base."""
    from evoxtral.model import Prompter, open_base

    prompter = Prompter(open_base("tiny", "cpu"))
    mels = [prompter.mels(spoken.audio(clip)) for clip in spoken.clips]
    return Heard(mels, [clip.seconds for clip in spoken.clips])


@pytest.fixture(scope="session")
def spoken_features(spoken_mels: Heard) -> Heard:
    """The embedded base's encoder features of the spoken clips."""
    from evoxtral.model import encode, open_base

    model = open_base("tiny", "cpu").model
    return Heard([encode(model, mels).clone() for mels in spoken_mels], spoken_mels.seconds)
