"""Load a Voxtral: the embedded one or any other, by name or folder, with its processor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
)

from evoxtral import UserError
from evoxtral.devices import Precision, device, keep_freed_memory
from evoxtral.model.narrowing import narrow
from evoxtral.quiet import Quiet
from evoxtral.world.base import checkpoint_dir

TINY = "tiny"
"""Name of the base model that ships with the package."""


@dataclass(frozen=True, eq=False)
class Voxtral:
    """A base model.

    Attributes:
        name: `tiny`, or the id or folder it was loaded from.
        model: in evaluation mode, all weights frozen.
        processor: feature extractor and tokenizer.
        encoder_digest: SHA-256 of the audio encoder's weights and of the features it is fed.
        digest: SHA-256 of all weights.
    """

    name: str
    model: VoxtralForConditionalGeneration
    processor: VoxtralProcessor
    encoder_digest: str
    digest: str

    @property
    def window_seconds(self) -> float:
        """Length of one audio window; longer clips take several."""
        return float(self.processor.feature_extractor.chunk_length)


def open_base(name: str, device_name: str = "auto", precision: Precision = "auto") -> Voxtral:
    """Load model and processor.

    On a CPU its last layer is narrowed (`model.narrow`), and freed memory is kept.

    Args:
        name: `tiny`, a folder, or an id on the Hugging Face hub.
        device_name: `auto`, `cpu` or `cuda`.
        precision: of the weights; `auto` is float32 on a CPU and bfloat16 on a GPU.

    Raises:
        UserError: there is no such model, or it is no Voxtral.
    """
    where = device(device_name)
    if precision == "auto":
        precision = "float32" if where.type == "cpu" else "bfloat16"
    folder = checkpoint_dir() if name == TINY else name
    with Quiet():
        try:
            model, processor = _load(folder, getattr(torch, precision))
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UserError(
                f"base model {name!r} cannot be loaded ({reason}): give {TINY!r}, a folder, or "
                "the id of a Voxtral that this machine can reach"
            ) from error
    model.requires_grad_(False).eval().to(where)
    if where.type == "cpu":
        keep_freed_memory()
    narrow(model)
    model.name_or_path = model.config.name_or_path = name  # adapters record it
    return Voxtral(name, model, processor, _encoder_digest(model, processor), _digest(model))


def _load(
    folder: Path | str, dtype: torch.dtype
) -> tuple[VoxtralForConditionalGeneration, VoxtralProcessor]:
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, VoxtralConfig):
        # the class of Voxtral would be filled with random weights of its default size
        raise ValueError(f"it is a model of type {config.model_type!r}")
    processor = VoxtralProcessor.from_pretrained(folder)
    model, report = VoxtralForConditionalGeneration.from_pretrained(
        folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise ValueError(f"{len(report['missing_keys'])} of its weights are missing")
    return model, processor


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and values, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        total.update(f"{name}:{tuple(value.shape)}:{value.dtype}\0".encode())
        total.update(value.view(torch.uint8).numpy())
    return total.hexdigest()


def _digest(model: VoxtralForConditionalGeneration) -> str:
    return weights_digest(model.state_dict())


def _encoder_digest(model: VoxtralForConditionalGeneration, processor: VoxtralProcessor) -> str:
    extractor = {
        key: value
        for key, value in sorted(processor.feature_extractor.to_dict().items())
        if isinstance(value, (int, float, str, bool))
    }
    own = hashlib.sha256(repr(extractor).encode())
    own.update(weights_digest(model.model.audio_tower.state_dict()).encode())
    return own.hexdigest()
