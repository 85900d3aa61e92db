"""Counted facts about the embedded model, for its notebook and its card."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import tables
from evoxtral.params import TinyBase
from evoxtral.world import scripts
from evoxtral.world.base.architecture import Architecture, build_model
from evoxtral.world.base.build import SHAPE
from evoxtral.world.base.card import model_card
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.tokenizer import SPECIAL_TOKENS

_PARTS = {
    "audio encoder": "model.audio_tower.",
    "projector": "model.multi_modal_projector.",
    "language model": "model.language_model.",
    "output layer": "lm_head.",
}


def _sizes(model: VoxtralForConditionalGeneration) -> dict[str, int]:
    named = list(model.named_parameters())
    sizes = {
        part: sum(p.numel() for name, p in named if name.startswith(prefix))
        for part, prefix in _PARTS.items()
    }
    return {**sizes, "all parameters": sum(p.numel() for _, p in named)}


def architecture_table(shape: Architecture, merges: int) -> tables.Table:
    """Parameters of every part, beside those of Voxtral-Mini-3B (built without memory)."""
    config = VoxtralConfig()
    with torch.device("meta"):
        tiny = _sizes(build_model(shape, 256 + merges + len(SPECIAL_TOKENS)))
        mini = _sizes(VoxtralForConditionalGeneration(config))
    rows = [{"part": part, "tiny": tiny[part], "mini": mini[part]} for part in tiny]
    rows.append(
        {
            "part": "audio positions per window",
            "tiny": shape.audio_tokens,
            "mini": config.audio_config.max_source_positions // 4,
        }
    )
    return tables.architecture(pd.DataFrame(rows))


def _hours(rows: Utterances) -> float:
    return sum(len(mel) for mel in rows.mels) / 100 / 3600


def _grouped(kinds: dict[str, Utterances]) -> dict[str, list[Utterances]]:
    groups: dict[str, list[Utterances]] = {}
    for kind, rows in kinds.items():
        groups.setdefault(kind.split(":")[0], []).append(rows)
    return groups


def corpus_table(kinds: dict[str, Utterances]) -> tables.Table:
    """Clips, hours, voices and distinct texts of each part of the corpus."""
    rows = [
        {
            "part": name,
            "clips": sum(map(len, group)),
            "hours": sum(map(_hours, group)),
            "voices": len({voice for member in group for voice in member.voices}),
            "texts": len({text for member in group for text in member.texts}),
        }
        for name, group in _grouped(kinds).items()
    ]
    return tables.corpus(pd.DataFrame(rows))


def card(
    cfg: TinyBase,
    model: VoxtralForConditionalGeneration,
    words: pd.DataFrame,
    audible: pd.DataFrame,
) -> str:
    """The model card of this run, as Markdown."""
    parameters = sum(p.numel() for p in model.parameters())
    return model_card(cfg, SHAPE, parameters, len(scripts.LEXICON), words, audible)


def results(
    kinds: dict[str, Utterances], words: pd.DataFrame, audible: pd.DataFrame
) -> dict[str, Any]:
    """What `results.json` of the base notebook holds."""
    return {
        "clips": {name: sum(map(len, group)) for name, group in _grouped(kinds).items()},
        "transcription": words.set_index("set").to_dict("index"),
        "probe_auc": dict(zip(audible["tag"], audible["auc"], strict=True)),
    }
