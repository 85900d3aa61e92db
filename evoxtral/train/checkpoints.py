"""Which of a killed run's checkpoints is whole.

The Trainer writes a checkpoint file by file; a run killed while it does so leaves a folder that
looks like one. A marker with the files' sizes and digests, written last and atomically, tells
them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from evoxtral import processes, runs

MARKER = "whole.json"
_PREFIX = "checkpoint-"


def step_of(folder: Path) -> int:
    """Optimiser steps done when the checkpoint was written."""
    return int(folder.name.removeprefix(_PREFIX))


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint below a folder that was written to its end, or None.

    Whatever else lies there, half-written or planted, is not opened.
    """
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdigit()]
    whole = (path for path in sorted(found, key=step_of, reverse=True) if _is_whole(path))
    return next(whole, None)


def _is_whole(folder: Path) -> bool:
    marker = folder / MARKER
    return marker.is_file() and marker.read_bytes() == _seal(folder)


def _seal(folder: Path) -> bytes:
    """What the marker of a whole checkpoint says: compared as it is, a damaged one is no error."""
    return runs.json_text(_contents(folder)).encode()


def _contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MARKER)
    return {path.name: runs.digest_file(path) for path in files}


class Marker(TrainerCallback):
    """Marks each checkpoint as whole once all its files are written."""

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Write the marker; called by the Trainer after the last file."""
        processes.barrier()  # each process has a file of its own in the checkpoint
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"{_PREFIX}{state.global_step}"
            runs.write_bytes(folder / MARKER, _seal(folder))
