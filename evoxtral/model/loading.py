"""Load a Voxtral: the embedded one or any other, by name or folder, with its processor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import AutoProcessor, VoxtralForConditionalGeneration, VoxtralProcessor
from transformers.utils import logging

from evoxtral.errors import UserError
from evoxtral.tiny import checkpoint_dir

__all__ = ["TINY", "Precision", "Voxtral", "device", "open_base", "weights_digest"]

TINY = "tiny"
"""Name of the base model that ships with the package."""

Precision = Literal["auto", "float32", "bfloat16"]


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


def device(name: str) -> torch.device:
    """The device a parameter names; `auto` takes a GPU if there is one.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for and torch finds no GPU: set device to auto")
    return torch.device(name)


def open_base(name: str, device_name: str = "auto", precision: Precision = "auto") -> Voxtral:
    """Load model and processor.

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
    with _Quiet():
        try:
            processor = AutoProcessor.from_pretrained(folder)
            model = VoxtralForConditionalGeneration.from_pretrained(
                folder, dtype=getattr(torch, precision)
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"base model {name!r} cannot be loaded ({reason}): give {TINY!r}, a folder, or "
                "the id of a Voxtral that this machine can reach"
            ) from error
    model.requires_grad_(False).eval().to(where)
    model.name_or_path = model.config.name_or_path = name  # adapters record it
    return Voxtral(name, model, processor, _encoder_digest(model, processor), _digest(model))


class _Quiet:
    """Without transformers' own bars: ours say what takes long."""

    def __enter__(self) -> None:
        self.shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        if self.shown:
            logging.enable_progress_bar()


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
