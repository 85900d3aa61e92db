"""Models that know nothing and take milliseconds: where only the machinery counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import VoxtralForConditionalGeneration

from evoxtral.model import LoraShape, attach
from evoxtral.world.base import checkpoint_dir
from evoxtral.world.base.model import Architecture, build_model

SMALL = Architecture(
    window_seconds=2,
    encoder_width=32,
    encoder_layers=1,
    encoder_heads=2,
    lm_width=32,
    lm_layers=2,
    lm_heads=2,
    lm_kv_heads=1,
)
WINDOW = [24] * (SMALL.frames // 4)
"""Token ids of the audio positions of one window."""


def small_base(folder: Path) -> VoxtralForConditionalGeneration:
    """Fill a new folder with a random base that hears and writes like the embedded one."""
    shutil.copytree(checkpoint_dir(), folder)
    torch.manual_seed(0)
    model = build_model(Architecture(8, 80, 32, 1, 2, 48, 2, 2, 1), 1096)
    model.save_pretrained(folder)
    return model


def adapted(model: VoxtralForConditionalGeneration, shape: LoraShape, std: float) -> PeftModel:
    """Put adapters that do something on a model: both factors are random."""
    tuned = attach(model, shape, seed=1)
    torch.manual_seed(2)
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            value.data.normal_(std=std)
    return tuned
