"""Optimiser steps by the Trainer, timed: the plain one, and ours on cached features."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch.utils.data import Dataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from evoxtral.speed.measure import Timed
from evoxtral.train import Examples, Recipe, collate
from evoxtral.train.trainer import FineTuner, Seeded

__all__ = ["plain_steps", "steps_from_cache"]


class _Clock(TrainerCallback):
    """Seconds from the first batch asked for to the end of the last step."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The step's work is done once its last kernel is."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.start


@dataclass(frozen=True, eq=False)
class Steps:
    """What a Trainer logged: loss and norm of the gradient, step by step."""

    losses: list[float]
    norms: list[float]


def plain_steps(
    model: PeftModel, samples: Dataset, collator: Callable[..., Any], recipe: Recipe
) -> Timed:
    """One epoch of the plain Trainer over samples, in their order.

    Args:
        model: with its encoder and adapters; a copy is trained.
        samples: as many as whole steps take.
        collator: makes batches of them.
        recipe: precision, batch and micro-batch are taken from it.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=copy.deepcopy(model),
            args=_arguments(recipe, folder, model.device),
            train_dataset=samples,
            data_collator=collator,
        )
        return _run(trainer)


def steps_from_cache(model: PeftModel, examples: Examples, recipe: Recipe) -> Timed:
    """One epoch of ours over examples.

    Args:
        model: that reads cached features, with adapters; a copy is trained.
        examples: as many as whole steps take.
        recipe: as above.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = FineTuner(
            model=copy.deepcopy(model),
            args=_arguments(recipe, folder, model.device),
            train_dataset=examples,
            data_collator=partial(collate, pad=examples.prompter.pad),
            watched=(),
            limits={},
            patience=0,
            max_new_tokens=1,
            batch_heard=1,
            callbacks=[Seeded(recipe.seed)],
        )
        return _run(trainer)


def _run(trainer: Trainer) -> Timed:
    clock = _Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "loss" in row]
    steps = Steps([row["loss"] for row in logged], [row["grad_norm"] for row in logged])
    return Timed(clock.seconds, steps)


def _arguments(recipe: Recipe, folder: str, device: torch.device) -> TrainingArguments:
    """The same for both: the recipe, nothing saved, nothing validated."""
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=recipe.batch // recipe.micro_batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        neftune_noise_alpha=recipe.neftune_alpha or None,
        activation_checkpointing=recipe.checkpointing,
        bf16=recipe.precision == "bfloat16",
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        seed=recipe.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        train_sampling_strategy="sequential",
        dataloader_pin_memory=device.type == "cuda",
        use_cpu=device.type == "cpu",
        disable_tqdm=True,
    )
