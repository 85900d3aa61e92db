"""Weights & Biases, by one parameter: curves, configuration, transcripts with audio, the adapter.

Everything it writes stays inside the run's folder. `disabled` does not import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evoxtral import UserError, processes
from evoxtral.decode import Decoding, decode
from evoxtral.params import FineTuning
from evoxtral.pipeline import Setup, listener

if TYPE_CHECKING:
    from wandb import Run


PROJECT = "evoxtral"
_SAMPLES = 8


@contextmanager
def tracker(cfg: FineTuning, folder: Path, name: str) -> Iterator[Run | None]:
    """Open a run of the tracker around some training.

    Args:
        cfg: its `tracker` decides; all of it becomes the run's configuration.
        folder: of the stage; the run's files go below it.
        name: of the run.

    Yields:
        The run, None if the tracker is disabled.

    Raises:
        UserError: it is to be online and no key is in the environment or netrc.
    """
    if cfg.tracker == "disabled" or not processes.is_main():
        yield None
        return
    import wandb

    if cfg.tracker == "online" and not wandb.login(prompt=False, verify=False):
        raise UserError(
            "tracker is 'online' and no key was found: run `wandb login`, or set it to offline"
        )
    own = str(folder / "wandb")
    with _environment(WANDB_DATA_DIR=own, WANDB_ARTIFACT_DIR=own, WANDB_CACHE_DIR=own):
        run = wandb.init(
            project=PROJECT,
            name=name,
            dir=folder,
            mode=cfg.tracker,
            config=cfg.model_dump(mode="json"),
            settings=wandb.Settings(
                console="off", disable_git=True, silent=True, x_disable_stats=True
            ),
        )
        try:
            yield run
        finally:
            run.finish()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables for a while: where sounds and artefacts wait, wandb asks nothing else."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def log_outcome(run: Run | None, setup: Setup, split: str, adapter: Path, kind: str) -> None:
    """Add transcripts with audio and the adapter to a run.

    Args:
        run: of `tracker`; nothing is done with None.
        setup: clips and base.
        split: whose first clips are transcribed.
        adapter: folder of the finished adapter, kept as an artefact.
        kind: name of the artefact.
    """
    if run is None:
        return
    import wandb

    with processes.alone():  # the others go on
        model, heard = listener(setup, split, adapter)
    rows = []
    for i, clip in enumerate(setup.clips(split)[:_SAMPLES]):
        prompt = setup.prompter.prompt(heard.windows[i])
        settings = Decoding(setup.max_new_tokens)
        [[made]] = decode(model, prompt, heard[i], settings, setup.prompter.eos)
        audio = wandb.Audio(setup.sounds.audio(clip), sample_rate=16_000)
        rows.append([clip.id, audio, clip.tagged_text, setup.prompter.text(made.ids)])
    columns = ["id", "audio", "reference", "prediction"]
    run.log({"transcripts": wandb.Table(columns=columns, data=rows)})
    artefact = wandb.Artifact(kind, type="adapter")
    artefact.add_dir(str(adapter))
    run.log_artifact(artefact)
