"""Fine-tune adapters on a frozen model, from cached features: what SFT and RAFT share.

The Trainer writes a checkpoint file by file; a run killed while it does so leaves a folder that
looks like one. A seal with the files' digests, written last and atomically, tells them apart.
"""

from __future__ import annotations

import gc
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils.memory import should_reduce_batch_size
from peft import PeftModel
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from evoxtral import UserError, processes, runs
from evoxtral.model import (
    ADAPTER_FILE,
    CONFIG_FILE,
    LoraShape,
    Voxtral,
    arithmetic,
    attach,
    load,
    open_base,
    read_cached,
    shape_of,
)
from evoxtral.params import FineTuning
from evoxtral.processes import progress
from evoxtral.train.trainer import Examples, FineTuner, Watched, collate, masked, mixed

ADAPTER, LOG, SUMMARY, SEAL = "adapter", "log.csv", "summary.json", "whole.json"
_CHECKPOINTS, _PREFIX = "checkpoints", "checkpoint-"


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished fine-tuning run.

    Attributes:
        adapter: folder of the best epoch's adapter.
        steps: `step | epoch | loss | learning_rate`.
        epochs: one row per validation, the first before training: `epoch | step |
            validation_loss | validation_wer | validation_tag_f1 | plain_wer` and more.
        best_epoch: with the lowest validation loss among those that keep to the limit on plain
            speech, if any does.
        stopped: whether speech without tags had suffered too much to go on.
    """

    adapter: Path
    steps: pd.DataFrame
    epochs: pd.DataFrame
    best_epoch: int
    stopped: bool


def finetune(
    folder: Path,
    base: Voxtral,
    cfg: FineTuning,
    start: LoraShape | Path,
    training: Examples,
    watched: Sequence[Watched],
    *,
    what: str = "SFT",
    report_to: str = "none",
) -> None:
    """Train adapters and leave the best epoch's in `folder/adapter`; resumes after a kill.

    Where the memory is exhausted it says so and goes on from the last whole checkpoint with half
    as many examples at a time; the optimiser's steps stay what they were.

    Args:
        folder: to fill; may hold what a killed run left. A finished one is left as it is.
        base: the model. Its own weights stay; its encoder is replaced by the cache unless the
            adapters reach into it.
        cfg: the hyperparameters. Several processes take fewer examples at a time than
            `micro_batch` where the batch is too small for it.
        start: the shape of fresh adapters, or the folder of those to go on from.
        training: examples to learn.
        watched: splits transcribed after every epoch: validation, whose loss chooses the epoch,
            then plain speech.
        what: named in the progress bar.
        report_to: the Trainer's trackers.

    Raises:
        UserError: the loss is not finite, the batch does not divide, or one example at a time is
            too much for the memory.
    """
    checkpoints = folder / _CHECKPOINTS
    if (folder / SUMMARY).exists():  # the last file written; a kill came between it and the end
        shutil.rmtree(checkpoints, ignore_errors=True)
        return
    while True:
        found = newest_whole(checkpoints)
        arguments = _arguments(cfg, checkpoints, base.model.device, report_to, resumed=bool(found))
        trainer = FineTuner(
            cfg,
            watched,
            model=_adapted(base, start, cfg.seed),
            args=arguments,
            train_dataset=training,
            data_collator=partial(collate, pad=training.prompter.pad),
        )
        for theirs in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(theirs)
        every = EveryStep(what, cfg.seed)
        trainer.add_callback(every)
        state = _train(trainer, found)
        if state is not None:
            break
        every.bar.close()
        del trainer
        cfg, base = smaller(cfg), _reopened(base)
    if processes.is_main():
        _finish(folder, state, cfg.plain_limit)


def _adapted(base: Voxtral, start: LoraShape | Path, seed: int) -> PeftModel:
    """The model to train: with fresh adapters or saved ones, on the cache if it can be."""
    shape = start if isinstance(start, LoraShape) else shape_of(start)
    model = base.model if shape.encoder_lora else read_cached(base.model)
    if isinstance(start, LoraShape):
        return attach(model, start, seed)
    return load(model, start, trainable=True)


def _train(trainer: FineTuner, found: Path | None) -> TrainerState | None:
    """Train on from a checkpoint, unless the run it is of had stopped itself there.

    Returns:
        The last state, or None if the memory was exhausted.
    """
    if found:
        state = TrainerState.load_from_json(str(found / TRAINER_STATE_NAME))
        if trainer.degraded(state.log_history):
            return state
    try:
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error):
            return None
        raise
    return trainer.state


class EveryStep(TrainerCallback):
    """Seeds dropout and NEFTune anew in each step, shows progress, and seals checkpoints."""

    def __init__(self, what: str, seed: int) -> None:
        self.what, self.seed = what, seed

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Open the bar where the run goes on."""
        self.bar = progress(state.max_steps, self.what, unit="step", done=state.global_step)

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """A seed of (seed, step, process), before the first micro-batch of a step."""
        torch.manual_seed(mixed(self.seed, state.global_step, args.process_index))

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """One step more."""
        self.bar.update()

    def on_save(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Write the seal after the last file."""
        processes.barrier()  # each process has a file of its own in the checkpoint
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{_PREFIX}{state.global_step}"
            runs.write_bytes(folder / SEAL, _seal(folder))

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint below a folder that was written to its end, or None.

    Whatever else lies there, half-written or planted, is not opened.
    """
    found = {
        int(number): path
        for path in folder.glob(f"{_PREFIX}*")
        if (number := path.name.removeprefix(_PREFIX)).isdigit()
    }
    for _, path in sorted(found.items(), reverse=True):
        seal = path / SEAL
        if seal.is_file() and seal.read_bytes() == _seal(path):
            return path
    return None


def _seal(folder: Path) -> bytes:
    """What a whole checkpoint's seal says: compared as it is, a damaged one is no error."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SEAL)
    return runs.json_text({path.name: runs.digest_file(path) for path in files}).encode()


def _at_once(cfg: FineTuning) -> int:
    """Examples that a process takes in a forward pass: no more than its share of a step."""
    return max(1, min(cfg.micro_batch, cfg.batch // processes.count()))


def smaller(cfg: FineTuning) -> FineTuning:
    """The same with half as many examples at a time, and one line that says so.

    Raises:
        UserError: there is one example at a time already, or several processes train together:
            the others wait for gradients that will not come, so all have to start again.
    """
    before = _at_once(cfg)
    if before == 1:
        raise UserError(
            "out of memory with one example at a time: set checkpointing to true, lower "
            "lora_rank, or take a larger GPU"
        )
    share = cfg.batch // processes.count()
    half = next(n for n in range(before // 2, 0, -1) if share % n == 0)
    if processes.count() > 1:
        raise UserError(
            f"out of memory with {before} examples at a time: set micro_batch to "
            f"{half} and run again, which goes on from the last checkpoint"
        )
    sys.stdout.write(
        f"out of memory with {before} examples at a time: going on from the last "
        f"checkpoint with {half}, accumulated over {share // half}\n"
    )
    sys.stdout.flush()
    return cfg.model_copy(update={"micro_batch": half})


def _reopened(base: Voxtral) -> Voxtral:
    """The model as it was before training, loaded anew once the used one has left the memory."""
    where, precision = base.model.device.type, str(base.model.dtype).removeprefix("torch.")
    base.model.to("meta")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return open_base(base.name, where, precision)


def _arguments(
    cfg: FineTuning, folder: Path, where: torch.device, report_to: str, *, resumed: bool
) -> TrainingArguments:
    micro = _at_once(cfg)
    share, rest = divmod(cfg.batch, micro * processes.count())
    if rest or not share:
        raise UserError(
            f"batch {cfg.batch} is no multiple of micro_batch {cfg.micro_batch} times "
            f"{processes.count()} processes: change one of them"
        )
    # NEFTune's scale follows the padded length, audio positions included, and those get none.
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=share,
        num_train_epochs=cfg.epochs,
        learning_rate=cfg.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(cfg.schedule, cfg.schedule),
        warmup_steps=cfg.warmup,
        weight_decay=cfg.weight_decay,
        neftune_noise_alpha=cfg.neftune_alpha or None,
        label_smoothing_factor=cfg.label_smoothing,
        activation_checkpointing=cfg.checkpointing,
        ddp_find_unused_parameters=False,
        bf16=arithmetic(cfg.precision, where) == "bfloat16",
        eval_strategy="epoch",
        eval_on_start=not resumed,
        save_strategy="epoch",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=report_to,
        seed=cfg.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=where.type != "cpu",
        use_cpu=where.type == "cpu",
        disable_tqdm=True,
        prediction_loss_only=True,
    )


def _finish(folder: Path, state: TrainerState, plain_limit: float) -> None:
    """Keep the best epoch's adapter and the log; drop the checkpoints."""
    history = pd.DataFrame(state.log_history)
    runs.write_text(folder / LOG, history.to_csv(index=False))
    best = _best(_epochs(history), plain_limit)
    source = folder / _CHECKPOINTS / f"{_PREFIX}{int(best['step'])}"
    for name in (CONFIG_FILE, ADAPTER_FILE):
        runs.write_bytes(folder / ADAPTER / name, (source / name).read_bytes())
    stopped = state.global_step < state.max_steps
    summary = {"best_epoch": round(float(best["epoch"])), "stopped": stopped}
    runs.write_json(folder / SUMMARY, summary)
    shutil.rmtree(folder / _CHECKPOINTS)


def _best(epochs: pd.DataFrame, plain_limit: float) -> pd.Series:
    """The epoch with the lowest validation loss, of those that keep to the limit if any does."""
    trained = epochs[epochs["step"] > 0]
    if "plain_wer" in epochs:
        kept = trained[trained["plain_wer"] - epochs["plain_wer"].iloc[0] <= plain_limit]
        trained = trained if kept.empty else kept
    return trained.loc[trained["validation_loss"].idxmin()]


def read_log(folder: Path) -> Tuned:
    """What a finished run left in its folder."""
    history = pd.read_csv(folder / LOG)
    steps = history.reindex(columns=["step", "epoch", "loss", "learning_rate"])
    steps = steps.dropna(subset="loss").reset_index(drop=True)
    return Tuned(folder / ADAPTER, steps, _epochs(history), **runs.read_json(folder / SUMMARY))


def _epochs(history: pd.DataFrame) -> pd.DataFrame:
    """One row per validation; the Trainer logs its loss and our scores apart."""
    names = {
        "eval_loss": "validation_loss",
        "eval_wer": "validation_wer",
        "eval_tag_f1": "validation_tag_f1",
        "eval_strict_tag_f1": "validation_strict_tag_f1",
        "eval_plain_val_wer": "plain_wer",
    }
    rows = history[[c for c in ("step", "epoch", *names) if c in history]]
    kept = rows[[c for c in rows if c in names]].notna().any(axis=1)
    return rows[kept].groupby("step", as_index=False).first().rename(columns=names)
