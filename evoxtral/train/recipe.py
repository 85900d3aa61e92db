"""Hyperparameters of fine-tuning: the report's Table 1, all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evoxtral.model import LoraShape


@dataclass(frozen=True)
class Recipe:
    """What decides a fine-tuning run, besides its data.

    Attributes:
        lora: the adapters.
        learning_rate: peak.
        schedule: of the learning rate, after the warm-up.
        warmup: share of the steps in which the learning rate rises.
        epochs: passes over the training mix; whole ones.
        batch: examples per optimiser step, over all processes.
        micro_batch: most examples per forward pass and process; bounds the memory. Several
            processes take fewer if the batch is too small for it.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to it.
        neftune_alpha: noise on the embeddings of text, 0 for none. Its scale follows the padded
            length, audio positions included, and audio positions get none (they are overwritten).
        label_smoothing: share of each label that is spread over all tokens, in [0, 1).
        precision: of the arithmetic; weights of adapters are float32.
        checkpointing: recompute activations in the backward pass, to save memory.
        plain_limit: stop when the word error rate on plain speech has risen by more than this
            (composition note: 0.02); no epoch beyond it is chosen.
        plain_patience: epochs in a row beyond the limit that are borne before stopping. A high
            learning rate first hurts and then heals.
        seed: all randomness derives from it.
    """

    lora: LoraShape
    learning_rate: float
    epochs: int
    batch: int
    micro_batch: int
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    neftune_alpha: float = 0.0
    label_smoothing: float = 0.0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    checkpointing: bool = False
    plain_limit: float = 0.02
    plain_patience: int = 0
    seed: int = 0
