"""Fine-tune adapters: what SFT and the last step of RAFT share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from evoxtral import UserError, processes, runs
from evoxtral.model import Voxtral, attach, load, read_cached
from evoxtral.train.checkpoints import Marker, newest_whole
from evoxtral.train.examples import Examples, collate
from evoxtral.train.listen import Watched
from evoxtral.train.memory import at_once, exhausted, reopened, smaller
from evoxtral.train.recipe import Recipe
from evoxtral.train.trainer import FineTuner, Seeded, Shown

ADAPTER, LOG, SUMMARY = "adapter", "log.csv", "summary.json"
_CHECKPOINTS = "checkpoints"


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
    recipe: Recipe,
    training: Examples,
    validation: Examples,
    watched: Sequence[Watched],
    *,
    start: Path | None = None,
    what: str = "SFT",
    callbacks: Sequence[TrainerCallback] = (),
    report_to: str = "none",
) -> None:
    """Train adapters and leave the best epoch's in `folder/adapter`; resumes after a kill.

    Where the memory is exhausted it says so and goes on from the last whole checkpoint with half
    as many examples at a time; the optimiser's steps stay what they were.

    Args:
        folder: to fill; may hold what a killed run left. A finished one is left as it is.
        base: the model. Its own weights stay; its encoder is replaced by the cache unless the
            adapters reach into it.
        recipe: the hyperparameters.
        training: examples to learn.
        validation: examples whose loss chooses the epoch.
        watched: splits transcribed after every epoch, validation first, then plain speech.
        start: adapter to go on from; None starts with a fresh one.
        what: named in the progress bar.
        callbacks: more of them, e.g. a tracker's.
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
        arguments = _arguments(
            recipe, checkpoints, base.model.device, report_to, resumed=found is not None
        )
        trainer = _trainer(base, recipe, start, arguments, training, validation, watched)
        shown = Shown(what)
        for callback in (shown, *callbacks):
            trainer.add_callback(callback)
        state = _train(trainer, found)
        if state is not None:
            break
        shown.bar.close()
        del trainer
        recipe, base = smaller(recipe), reopened(base)
    if processes.is_main():
        _finish(folder, state, recipe.plain_limit)


def _trainer(
    base: Voxtral,
    recipe: Recipe,
    start: Path | None,
    arguments: TrainingArguments,
    training: Examples,
    validation: Examples,
    watched: Sequence[Watched],
) -> FineTuner:
    model = base.model if recipe.lora.encoder_lora else read_cached(base.model)
    peft = load(model, start, trainable=True) if start else attach(model, recipe.lora, recipe.seed)
    longest = max(training.longest_target, validation.longest_target)
    trainer = FineTuner(
        model=peft,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=partial(collate, pad=training.prompter.pad),
        watched=watched,
        limits={split.name: recipe.plain_limit for split in watched[1:]},
        patience=recipe.plain_patience,
        max_new_tokens=2 * longest,
        batch_heard=max(64, recipe.batch),
        callbacks=[Marker(), Seeded(recipe.seed)],
    )
    for theirs in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(theirs)
    return trainer


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
        if not exhausted(error):
            raise
        return None
    return trainer.state


def _arguments(
    recipe: Recipe, folder: Path, where: torch.device, report_to: str, *, resumed: bool
) -> TrainingArguments:
    micro = at_once(recipe)
    share, rest = divmod(recipe.batch, micro * processes.count())
    if rest or not share:
        raise UserError(
            f"batch {recipe.batch} is no multiple of micro_batch {recipe.micro_batch} times "
            f"{processes.count()} processes: change one of them"
        )
    kinds = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=share,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=kinds[recipe.schedule],
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        neftune_noise_alpha=recipe.neftune_alpha or None,
        label_smoothing_factor=recipe.label_smoothing,
        activation_checkpointing=recipe.checkpointing,
        ddp_find_unused_parameters=False,
        bf16=recipe.precision == "bfloat16",
        eval_strategy="epoch",
        eval_on_start=not resumed,
        save_strategy="epoch",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=report_to,
        seed=recipe.seed,
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
    source = folder / _CHECKPOINTS / f"checkpoint-{int(best['step'])}"
    for name in ("adapter_config.json", "adapter_model.safetensors"):
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
    summary = runs.read_json(folder / SUMMARY)
    return Tuned(
        folder / ADAPTER,
        steps.dropna(subset="loss").reset_index(drop=True),
        _epochs(history),
        summary["best_epoch"],
        summary["stopped"],
    )


def _epochs(history: pd.DataFrame) -> pd.DataFrame:
    """One row per validation; the Trainer logs its loss and our scores apart."""
    names: dict[str, Any] = {
        "eval_loss": "validation_loss",
        "eval_wer": "validation_wer",
        "eval_tag_f1": "validation_tag_f1",
        "eval_strict_tag_f1": "validation_strict_tag_f1",
        "eval_reward": "validation_reward",
        "eval_plain_val_wer": "plain_wer",
    }
    rows = history[[c for c in ("step", "epoch", *names) if c in history]]
    kept = rows[[c for c in rows if c in names]].notna().any(axis=1)
    merged = rows[kept].groupby("step", as_index=False).first()
    return merged.rename(columns=names)
