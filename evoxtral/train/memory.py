"""When the memory is exhausted: half as many examples at a time, and the same optimiser steps."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace

import torch
from accelerate.utils.memory import should_reduce_batch_size

from evoxtral import UserError, processes
from evoxtral.model import Voxtral, open_base
from evoxtral.train.recipe import Recipe


def at_once(recipe: Recipe) -> int:
    """Examples that a process takes in a forward pass: no more than its share of a step."""
    return max(1, min(recipe.micro_batch, recipe.batch // processes.count()))


def exhausted(error: RuntimeError) -> bool:
    """Whether an error says that a GPU's or the machine's memory did not suffice."""
    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def smaller(recipe: Recipe) -> Recipe:
    """The recipe with half as many examples at a time, and one line that says so.

    Raises:
        UserError: there is one example at a time already, or several processes train together:
            the others wait for gradients that will not come, so all have to start again.
    """
    before = at_once(recipe)
    if before == 1:
        raise UserError(
            "out of memory with one example at a time: set checkpointing to true, lower "
            "lora_rank, or take a larger GPU"
        )
    share = recipe.batch // processes.count()
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
    return replace(recipe, micro_batch=half)


def reopened(base: Voxtral) -> Voxtral:
    """The model as it was before training, loaded anew once the used one has left the memory."""
    where, precision = base.model.device.type, str(base.model.dtype).removeprefix("torch.")
    base.model.to("meta")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return open_base(base.name, where, precision)
