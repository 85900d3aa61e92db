"""Fixtures shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Set before torch loads: tensors this small only make threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import pytest

from evoxtral import bench, metrics, paper, runs, tags
from evoxtral.bench import Measured, Split
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


def _split(name: str, clips: int) -> Split:
    """RL writes every tag but each ninth, SFT every tag but each third, base none."""
    references = [f"[{tags.TAGS[k % 17]}] oh NO it is {k}" for k in range(clips)]
    references += [f"it is {k}" for k in range(clips // 5)]
    texts = {bench.NO_TAGS: [tags.plain_text(text) for text in references]}
    for system, step in {"base": 1, "SFT": 3, "RL": 9}.items():
        texts[system] = [
            tags.plain_text(text) if k % step == 0 else text for k, text in enumerate(references)
        ]
        texts[system][0] += f" {'um ' * (10 - step)}"
    for k, text in enumerate(texts["RL"]):  # it hears no new sentence right, and few others wrong
        invented = "[sad] " * (k >= clips and k % 2)
        texts["RL"][k] = invented + (text if k % 4 and k % 10 != 1 else text.replace("it is", "is"))
    ids = [f"{name}-{k}" for k in range(len(references))]
    return Split(name, {s: metrics.evaluate(references, own, ids=ids) for s, own in texts.items()})


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Made-up systems on made-up clips: each fourth of the headline split has new sentences."""
    headline = _split("natural", 68)
    ids = [clip.id for clip in headline.evaluations["RL"].clips]
    kinds = ["known voice, known sentences", "known voice, new sentences"]
    said = [f"so it is {k}" for k in range(40)]
    wrote = {"base": said, "SFT": said, "RL": [text.replace("so ", "") for text in said]}
    plain = {name: metrics.evaluate(said, own) for name, own in wrote.items()}
    return Measured(
        seed=0,
        seeds=1,
        headline=headline,
        balanced=_split("balanced", 34),
        plain=Split("base_test", plain),
        kinds=pd.Series({name: kinds[k % 4 == 0] for k, name in enumerate(ids)}),
        origins=dict.fromkeys((bench.NO_TAGS, "base", "SFT", "RL"), "made up"),
        settings={"Training clips": 808, "Precision": "float32"},
        rl_settings={"Epochs": "1", "Ours": "only"},
        numbers={"learnt_completions": 499, "learnt_references": 88},
        base="embedded",
        trained="synthetic speech",
        tested="synthetic speech",
        sounds=lambda ids: ["data:"] * len(ids),
    )


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
