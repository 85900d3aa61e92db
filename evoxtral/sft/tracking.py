"""Weights & Biases, by one parameter: curves, configuration, transcripts with audio, the adapter.

Everything it writes stays inside the run's folder. `disabled` does not import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evoxtral.errors import UserError
from evoxtral.params import FineTuning

__all__ = ["PROJECT", "Sample", "log_outcome", "tracker"]

PROJECT = "evoxtral"


@dataclass(frozen=True, eq=False)
class Sample:
    """A row of the table of transcripts: audio is 16 kHz mono."""

    id: str
    audio: npt.NDArray[np.float32]
    reference: str
    prediction: str


@contextmanager
def tracker(cfg: FineTuning, folder: Path, name: str) -> Iterator[str]:
    """Open a run of the tracker around some training.

    Args:
        cfg: its `tracker` decides; all of it becomes the run's configuration.
        folder: of the stage; the run's files go below it.
        name: of the run.

    Yields:
        What the Trainer's `report_to` takes.

    Raises:
        UserError: it is to be online and no key is in the environment or netrc.
    """
    if cfg.tracker == "disabled":
        yield "none"
        return
    import wandb

    if cfg.tracker == "online" and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        raise UserError(
            "tracker is 'online' and no key was found: run `wandb login`, or set it to offline"
        )
    run = wandb.init(
        project=PROJECT,
        name=name,
        dir=folder,
        mode=cfg.tracker,
        config=cfg.model_dump(mode="json"),
        settings=wandb.Settings(console="off", disable_git=True, x_disable_stats=True),
    )
    try:
        yield "wandb"
    finally:
        run.finish()


def log_outcome(
    adapter: Path, samples: Sequence[Sample], scores: Mapping[str, float], kind: str
) -> None:
    """Add transcripts with audio, final scores and the adapter to the run that is open, if any.

    Args:
        adapter: folder to keep as an artefact.
        samples: rows of the table.
        scores: numbers by name.
        kind: name of the artefact.
    """
    run = _open_run()
    if run is None:
        return
    import wandb

    rows = [
        [one.id, wandb.Audio(one.audio, sample_rate=16_000), one.reference, one.prediction]
        for one in samples
    ]
    table = wandb.Table(columns=["id", "audio", "reference", "prediction"], data=rows)
    run.log({"transcripts": table, **scores})
    artefact = wandb.Artifact(kind, type="adapter")
    artefact.add_dir(str(adapter))
    run.log_artifact(artefact)


def _open_run() -> Any:
    import sys

    module = sys.modules.get("wandb")
    return None if module is None else module.run
