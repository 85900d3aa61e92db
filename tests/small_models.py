"""Models that know nothing and take milliseconds: where only the machinery counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import VoxtralForConditionalGeneration

from evoxtral.model import LoraShape, attach
from evoxtral.world.base import checkpoint_dir
from evoxtral.world.base.model import SHAPE, Shape, build_model


def small_shape(layers: int = 2, width: int = 32, seconds: int = 2, bands: int = 80) -> Shape:
    """One layer that hears, some that write."""
    audio = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_mel_bins": bands,
             "max_source_positions": 50 * seconds}  # fmt: skip
    text = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": width // 2}  # fmt: skip
    own = {"audio_config": audio, "text_config": text}
    return SHAPE | {part: SHAPE[part] | sizes for part, sizes in own.items()}


SMALL = small_shape()
BANDS, FRAMES, WIDTH = 80, 100, 32
WINDOW = [24] * (FRAMES // 4)
"""Token ids of the audio positions of one window."""


def small_base(folder: Path) -> VoxtralForConditionalGeneration:
    """Fill a new folder with a random base that hears and writes like the embedded one."""
    shutil.copytree(checkpoint_dir(), folder)
    torch.manual_seed(0)
    model = build_model(small_shape(width=48, seconds=8), 1096)
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
