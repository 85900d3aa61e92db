"""Low-rank adapters: which layers carry them, how many weights that is, and how they merge.

The report's list of names (`q_proj`, `k_proj`, …) also matches the audio encoder's attention: its
124.8 M trainable weights include 15.7 M inside an encoder it calls frozen. Ours are anchored
expressions; `encoder_lora` brings the published variant back.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import safetensors
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import UserError, runs

ADAPTER_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"

_LANGUAGE = r"language_model\.layers\.\d+\.(?:self_attn|mlp)\.(?:q|k|v|o|gate|up|down)_proj"
_PROJECTOR = r"multi_modal_projector\.linear_[12]"
_ENCODER = r"audio_tower\.layers\.\d+\.self_attn\.[qkv]_proj"

PARTS = {
    "audio encoder": "audio_tower.",
    "projector": "multi_modal_projector.",
    "language model": "language_model.",
    "output layer": "lm_head.",
}


@dataclass(frozen=True)
class LoraShape:
    """Hyperparameters of the adapters, as in the report's Table 1.

    Attributes:
        rank: of each update.
        alpha: the update is scaled by alpha / rank.
        dropout: on the adapters' input, in [0, 1).
        encoder_lora: also adapt the encoder's q, k and v, as the published run did.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.05
    encoder_lora: bool = False

    @property
    def targets(self) -> str:
        """A regular expression over full module names."""
        kinds = [_LANGUAGE, _PROJECTOR, *([_ENCODER] if self.encoder_lora else [])]
        return rf"(?:.*\.)?(?:{'|'.join(kinds)})"


def attach(model: VoxtralForConditionalGeneration, shape: LoraShape, seed: int) -> PeftModel:
    """Add fresh adapters, float32, to a frozen model; at first they change nothing.

    Raises:
        UserError: no layer carries a name of a Voxtral, or an adapter is there already.
    """
    _check_bare(model)
    if not any(re.fullmatch(shape.targets, name) for name, _ in model.named_modules()):
        raise UserError("no layer of the base model can carry an adapter: is it a Voxtral?")
    torch.manual_seed(seed)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=shape.targets,
        base_model_name_or_path=model.config.name_or_path or None,
        task_type="CAUSAL_LM",
    )
    return _adapted(model, config)


def _adapted(model: VoxtralForConditionalGeneration, config: LoraConfig) -> PeftModel:
    with warnings.catch_warnings():  # peft asks for an attribute that transformers renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(model, config)


def load(
    model: VoxtralForConditionalGeneration, folder: Path, *, trainable: bool = False
) -> PeftModel:
    """Put the adapter of a folder on a model.

    Raises:
        UserError: the folder holds no adapter, a damaged one or one for another model, or the
            model carries one already.
    """
    _check_bare(model)
    check_adapter(folder)
    try:
        with safetensors.safe_open(folder / ADAPTER_FILE, "pt") as file:
            stored = set(file.keys())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            loaded = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _unfit(model, folder) from error
    if stored != set(get_peft_model_state_dict(loaded, save_embedding_layers=False)):
        raise _unfit(model, folder)
    return loaded


def _check_bare(model: VoxtralForConditionalGeneration) -> None:
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise UserError("the model carries an adapter already: open it anew")


def _unfit(model: VoxtralForConditionalGeneration, folder: Path) -> UserError:
    return UserError(
        f"the adapter in {folder} is damaged or does not fit the base model "
        f"{model.config.name_or_path!r}: give the base it was trained on"
    )


def merge(model: VoxtralForConditionalGeneration, folder: Path) -> VoxtralForConditionalGeneration:
    """Fold the adapter of a folder into the weights: half the kernels per decoding step.

    Changes `model` itself.

    Raises:
        UserError: as for `load`.
    """
    return load(model, folder).merge_and_unload().eval()


def check_adapter(folder: Path) -> Path:
    """The folder itself, if it holds an adapter.

    Raises:
        UserError: it does not.
    """
    for name in (ADAPTER_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}: give the folder of a LoRA adapter")
    return folder


def adapter_digest(folder: Path) -> str:
    """SHA-256 of an adapter's weights file.

    Raises:
        UserError: the folder holds no adapter.
    """
    check_adapter(folder)
    return runs.digest_file(folder / ADAPTER_FILE)


def shape_of(folder: Path) -> LoraShape:
    """Hyperparameters of a saved adapter.

    Raises:
        UserError: the folder holds no adapter.
    """
    check_adapter(folder)
    saved = runs.read_json(folder / CONFIG_FILE)
    reaches_encoder = "audio_tower" in json.dumps(saved["target_modules"])
    return LoraShape(saved["r"], saved["lora_alpha"], saved["lora_dropout"], reaches_encoder)


def count_parameters(config: VoxtralConfig, shape: LoraShape) -> pd.DataFrame:
    """Weights of a Voxtral with adapters, counted on the meta device: no memory, no download.

    Returns:
        One row per part and a last row `all`: `part | total | trainable`; `total` includes the
        adapters.
    """
    with torch.device("meta"):
        model = _adapted(
            VoxtralForConditionalGeneration(config),
            LoraConfig(r=shape.rank, lora_alpha=shape.alpha, target_modules=shape.targets),
        )
    named = list(model.named_parameters())
    rows = []
    for part, marker in PARTS.items():
        own = [p for name, p in named if marker in name]
        rows.append((part, _size(own), _size(p for p in own if p.requires_grad)))
    everything = _size(p for _, p in named), _size(p for _, p in named if p.requires_grad)
    return pd.DataFrame([*rows, ("all", *everything)], columns=["part", "total", "trainable"])


def _size(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
