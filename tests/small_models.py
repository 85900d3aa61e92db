"""Models that know nothing and take milliseconds: where only the machinery counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, VoxtralForConditionalGeneration

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


def small_base(folder: Path) -> VoxtralForConditionalGeneration:
    """Fill a new folder with a random base that hears and writes like the embedded one."""
    shutil.copytree(checkpoint_dir(), folder)
    torch.manual_seed(0)
    model = build_model(Architecture(8, 80, 32, 1, 2, 48, 2, 2, 1), 1096)
    model.save_pretrained(folder)
    return model


def other_architecture() -> BertModel:
    """A model that is no Voxtral."""
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8}
    return BertModel(BertConfig(**sizes, num_hidden_layers=1, num_attention_heads=1))
