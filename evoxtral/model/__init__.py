"""A frozen Voxtral, adapters on it, and its encoder's features kept on disk."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import safetensors
import torch
from huggingface_hub import snapshot_download
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    BatchFeature,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
)
from transformers.utils import logging

from evoxtral import UserError, runs
from evoxtral.model.cpu import fold, last_logits, narrow, settle
from evoxtral.model.features import (
    Features,
    Listened,
    LogMels,
    Prompter,
    cache_features,
    clips_digest,
    encode,
    probe,
    read_cached,
)
from evoxtral.world.base import checkpoint_dir

TINY = "tiny"
"""Name of the base model that ships with the package."""

ADAPTER_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

# The names the report lists (`q_proj`, `k_proj`, …) also match the encoder's attention: its 124.8 M
# trainable weights include 15.7 M inside an encoder it calls frozen. Ours are anchored.
_LANGUAGE = r"language_model\.layers\.\d+\.(?:self_attn|mlp)\.(?:q|k|v|o|gate|up|down)_proj"
_PROJECTOR = r"multi_modal_projector\.linear_[12]"
_ENCODER = r"audio_tower\.layers\.\d+\.self_attn\.[qkv]_proj"
_PARTS = {
    "audio encoder": "audio_tower.",
    "projector": "multi_modal_projector.",
    "language model": "language_model.",
    "output layer": "lm_head.",
    "all": "",
}


def device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of a name, `auto` a GPU if there is one; a `UserError` for `cuda` without."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UserError("device 'cuda' was asked for and torch finds no GPU: set device to auto")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def arithmetic(
    precision: Literal["auto", "float32", "bfloat16"], where: torch.device
) -> Literal["float32", "bfloat16"]:
    """The precision to train in: `auto` is bfloat16 where the device multiplies faster in it.

    Of processors these are AMD's with AVX-512, Intel's with AMX and ARM's with the instructions;
    Intel's AVX-512 takes twice as long, and others emulate it.
    """
    if precision != "auto":
        return precision
    if where.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities()
        intel = str(known.get("cpu_name")).startswith("Intel")
        native = known.get("amx_bf16" if intel else "avx512_bf16") or known.get("bf16")
    return "bfloat16" if native else "float32"


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars, reports and two vain warnings of transformers and peft."""
    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            yield
    finally:
        logging.set_verbosity(level)


@dataclass(frozen=True, eq=False)
class Voxtral:
    """A base model, frozen, in evaluation mode, with its feature extractor and tokenizer.

    Gigabytes take seconds to hash, so a digest is made when it is first asked for: that must be
    before the model is changed.
    """

    name: str
    model: VoxtralForConditionalGeneration
    processor: VoxtralProcessor

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights."""
        return weights_digest(self.model.state_dict())

    @cached_property
    def encoder_digest(self) -> str:
        """SHA-256 of the encoder's weights and the settings of the features it is fed."""
        settings = sorted(self.processor.feature_extractor.to_dict().items())
        settings = {key: own for key, own in settings if isinstance(own, (int, float, str, bool))}
        fed = hashlib.sha256(repr(settings).encode())
        fed.update(weights_digest(self.model.model.audio_tower.state_dict()).encode())
        return fed.hexdigest()

    def request(self, sounds: Sequence[npt.NDArray[np.float32]], language: str) -> BatchFeature:
        """What its page asks for transcripts of 16 kHz samples: token ids and padded log-mels.

        A `UserError` where `language` is no code of two letters (ISO 639-1).
        """
        extractor = self.processor.feature_extractor
        window = int(extractor.chunk_length * extractor.sampling_rate)
        frames = 2 * self.model.config.audio_config.max_source_positions
        try:
            return self.processor.apply_transcription_request(
                language=language,
                audio=[*sounds],
                format="WAV",
                sampling_rate=extractor.sampling_rate,
                model_id=self.name,
                audio_kwargs={"pad_to_multiple_of": window, "max_source_positions": frames},
            )
        except ValidationError as error:
            raise UserError(
                f"no language has the code {language!r}: give one of two letters, such as en"
            ) from error


def open_base(name: str, device_name: str = "auto") -> Voxtral:
    """Load a base: in float32 on a CPU, with `cpu.narrow`, in bfloat16 on a GPU.

    Its name is `tiny`, a folder, or an id on the hub; a `UserError` where that is no Voxtral.
    """
    where = device(device_name)
    on_cpu = where.type == "cpu"
    folder = checkpoint_dir() if name == TINY else name
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder)
            if not isinstance(config, VoxtralConfig):
                # the class of Voxtral would be filled with random weights of its default size
                raise ValueError(f"it is a model of type {config.model_type!r}")
            processor = VoxtralProcessor.from_pretrained(folder)
            model, report = VoxtralForConditionalGeneration.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32 if on_cpu else torch.bfloat16,
                use_safetensors=True,
                output_loading_info=True,
            )
            if report["missing_keys"]:
                raise ValueError(f"{len(report['missing_keys'])} of its weights are missing")
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(
            f"base model {name!r} cannot be loaded ({_reason(error)}): give {TINY!r}, a folder, or "
            "the id of a Voxtral that this machine can reach"
        ) from error
    model.requires_grad_(False).eval().to(where)
    narrow(model)
    model.name_or_path = model.config.name_or_path = name  # adapters record it
    return Voxtral(name, model, processor)


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(":")


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and values, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        total.update(f"{name}:{tuple(value.shape)}:{value.dtype}\0".encode())
        total.update(value.view(torch.uint8).numpy())
    return total.hexdigest()


@dataclass(frozen=True)
class LoraShape:
    """Hyperparameters of the adapters, as in the report's Table 1.

    Updates are scaled by alpha / rank; dropout, in [0, 1), is on the adapters' input; with
    `encoder_lora` the encoder's q, k and v are adapted too, as in the published run.
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
    """Add fresh adapters, float32, to a frozen model; at first they change nothing."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        lora_dropout=shape.dropout,
        target_modules=shape.targets,
        base_model_name_or_path=model.config.name_or_path or None,
        task_type="CAUSAL_LM",
    )
    with quiet():
        return get_peft_model(model, config)


def load(
    model: VoxtralForConditionalGeneration, named: Path | str, *, trainable: bool = False
) -> PeftModel:
    """Put an adapter on a model, see `find_adapter`; a `UserError` if it is damaged or foreign.

    An adapter of a base with another name that fits is a warning: it may be the same base.
    """
    folder, own = find_adapter(named), model.config.name_or_path
    try:
        with safetensors.safe_open(folder / ADAPTER_FILE, "pt") as file, quiet():
            loaded = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
            placed = get_peft_model_state_dict(loaded, save_embedding_layers=False)
            if set(file.keys()) != set(placed):
                raise ValueError("some weights have no place, or some places no weights")
            if not all(weights.isfinite().all() for weights in placed.values()):
                raise ValueError("some weights are no finite numbers")
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"the adapter in {folder} is damaged or does not fit the base model {own!r} "
            f"({_reason(error)}): give the base it was trained on, or fetch the adapter again"
        ) from error
    theirs = loaded.peft_config["default"].base_model_name_or_path
    if theirs and theirs != own:
        warnings.warn(
            f"the adapter in {folder} was trained on the base {theirs!r} and is put on {own!r}: "
            "where these are different weights, what it writes means nothing",
            stacklevel=2,
        )
    return loaded


def merge(
    model: VoxtralForConditionalGeneration, named: Path | str
) -> VoxtralForConditionalGeneration:
    """Fold an adapter into the weights of `model` itself; as `load` does."""
    return load(model, named).merge_and_unload().eval()


def find_adapter(named: Path | str, start: Path = Path()) -> Path:
    """The folder of an adapter: one below `start`, or in the cache, fetched by its id on the hub.

    A `UserError` where there is none.
    """
    try:
        folder = start / Path(named).expanduser()
    except RuntimeError as error:
        raise UserError(f"{named} has no such home: give the folder of a LoRA adapter") from error
    if folder.exists() or not _HUB_ID.fullmatch(str(named)):
        return check_adapter(folder)
    try:
        files = [ADAPTER_FILE, CONFIG_FILE]
        return check_adapter(Path(snapshot_download(str(named), allow_patterns=files)))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{named} is no folder, and the hub gives no adapter of that name: give the folder of "
            "a LoRA adapter, or an id that this machine can reach"
        ) from error


def check_adapter(folder: Path) -> Path:
    """The folder itself; a `UserError` where it holds no adapter."""
    for name in (ADAPTER_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}: give the folder of a LoRA adapter")
    return folder


def adapter_digest(folder: Path) -> str:
    """SHA-256 of an adapter's weights file; a `UserError` where the folder holds none."""
    return runs.digest_file(check_adapter(folder) / ADAPTER_FILE)


def shape_of(folder: Path) -> LoraShape:
    """Hyperparameters of a saved adapter; a `UserError` where the folder holds none of LoRA."""
    saved = runs.read_json(check_adapter(folder) / CONFIG_FILE)
    try:
        reaches_encoder = "audio_tower" in json.dumps(saved["target_modules"])
        return LoraShape(saved["r"], saved["lora_alpha"], saved["lora_dropout"], reaches_encoder)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds an adapter of another kind: give the folder of a LoRA adapter"
        ) from error


def count_parameters(config: VoxtralConfig, shape: LoraShape) -> pd.DataFrame:
    """Weights of a Voxtral by part and of `all`, adapters included: `part | total | trainable`."""
    with torch.device("meta"):
        named = list(attach(VoxtralForConditionalGeneration(config), shape, 0).named_parameters())
    rows = []
    for part, marker in _PARTS.items():
        sizes = [(p.numel(), p.numel() * p.requires_grad) for name, p in named if marker in name]
        rows.append((part, *map(sum, zip(*sizes, strict=True))))
    return pd.DataFrame(rows, columns=["part", "total", "trainable"])
