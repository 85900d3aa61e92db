"""Weights & Biases: one run for each system evaluated, as the model card lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoxtral import runs
from evoxtral.bench.measured import Measured
from evoxtral.bench.scores import NO_TAGS
from evoxtral.params import Benchmark

if TYPE_CHECKING:
    from wandb import Run


_SAMPLES = 50


def log(cfg: Benchmark, measured: Measured) -> None:
    """Log scores under both protocols and some transcripts; nothing unless it is asked for.

    Args:
        cfg: its `tracker` decides.
        measured: systems on the splits; the baseline without tags gets no run.

    Raises:
        UserError: it is to be online and there is no key.
    """
    if cfg.tracker == "disabled" or measured.empty:
        return
    # Loads torch.
    from evoxtral.sft import tracker

    folder = runs.runs_dir() / cfg.profile / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    for system in measured.headline.evaluations:
        if system != NO_TAGS:
            with tracker(cfg, folder, f"{system} eval") as run:
                _log_system(run, measured, system)


def _log_system(run: Run | None, measured: Measured, system: str) -> None:
    if run is None:  # this process is not the one that reports
        return
    import wandb

    rows = measured.scores.metrics[measured.scores.metrics["system"] == system]
    names = rows["protocol"] + "/" + rows["metric"]
    run.log(dict(zip(names, rows["value"], strict=True)))
    clips = measured.headline.evaluations[system].clips[:_SAMPLES]
    data = [[clip.id, clip.reference, clip.prediction] for clip in clips]
    columns = ["id", "reference", "prediction"]
    run.log({"transcripts": wandb.Table(columns=columns, data=data)})
