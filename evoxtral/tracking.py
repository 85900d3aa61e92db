"""Weights & Biases, by one parameter: curves, scores, transcripts with audio, the adapter.

Everything it writes stays inside the run's folder. `disabled` does not import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evoxtral import UserError, processes
from evoxtral.params import Benchmark, FineTuning

if TYPE_CHECKING:
    from wandb import Run


@contextmanager
def tracker(cfg: FineTuning | Benchmark, folder: Path, name: str) -> Iterator[Run | None]:
    """Open a run around some work, its files below the folder; None if this process has none.

    Raises:
        UserError: it is to be online and there is no key.
    """
    if cfg.tracker == "disabled" or not processes.is_main():
        yield None
        return
    import wandb

    if cfg.tracker == "online" and not wandb.login(prompt=False, verify=False):
        raise UserError(
            "tracker is 'online' and no key was found: run `wandb login`, or set it to offline"
        )
    # Where sounds and artefacts wait, wandb asks nothing else.
    for place in ("WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR", "WANDB_CACHE_DIR"):
        os.environ[place] = str(folder / "wandb")
    quiet = wandb.Settings(console="off", disable_git=True, silent=True, x_disable_stats=True)
    config = cfg.model_dump(mode="json")
    with wandb.init(
        project="evoxtral", name=name, dir=folder, mode=cfg.tracker, config=config, settings=quiet
    ) as run:
        yield run


def log_adapter(run: Run, adapter: Path, name: str, heard: Sequence[Sequence[Any]]) -> None:
    """Add an adapter's folder as an artefact, and transcripts with audio, to a run.

    `heard` holds id, samples at 16 kHz, reference and prediction of each clip.
    """
    import wandb

    rows = [[key, wandb.Audio(audio, sample_rate=16_000), *texts] for key, audio, *texts in heard]
    columns = ["id", "audio", "reference", "prediction"]
    run.log({"transcripts": wandb.Table(columns=columns, data=rows)})
    artefact = wandb.Artifact(name, type="adapter")
    artefact.add_dir(str(adapter))
    run.log_artifact(artefact)
