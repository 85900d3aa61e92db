"""What `02_sft.ipynb` shows: settings, one example, clips before and after, scores, results."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evoxtral import datamix, metrics, model, tags, train
from evoxtral.clips import Clip
from evoxtral.datamix.listening import to_mp3
from evoxtral.figures import Transcribed
from evoxtral.metrics import Evaluation
from evoxtral.model import count_parameters
from evoxtral.params import Sft
from evoxtral.pipeline import Setup, transcripts
from evoxtral.sft.run import lora_shape, precision, training_examples
from evoxtral.train import Tuned


def settings(cfg: Sft, setup: Setup) -> dict[str, object]:
    """This run's settings, named as the rows of the report's Table 1."""
    examples = training_examples(setup)
    steps = cfg.batch // cfg.micro_batch
    return {
        "LoRA rank": cfg.lora_rank,
        "LoRA alpha": cfg.lora_alpha,
        "LoRA dropout": cfg.lora_dropout,
        "Target modules": "q/k/v/o_proj, gate/up/down_proj, projector"
        + (", encoder q/k/v_proj" if cfg.encoder_lora else ""),
        "Learning rate": cfg.learning_rate,
        "LR schedule": f"{cfg.schedule}, warm-up over {cfg.warmup:.0%} of the steps",
        "Epochs": cfg.epochs,
        "Batch size": f"{cfg.micro_batch} (effective {cfg.batch}, accumulated over {steps})",
        "NEFTune noise alpha": cfg.neftune_alpha,
        "Label smoothing": cfg.label_smoothing,
        "Precision": precision(cfg),
        "Hardware": str(setup.base.model.device.type).upper(),
        "Training clips": len(set(examples.draws)),
        "Examples per epoch": len(examples),
    }


def parameters(cfg: Sft, setup: Setup) -> pd.DataFrame:
    """Weights of the base with adapters by part: `part | total | trainable`."""
    return count_parameters(setup.base.model.config, lora_shape(cfg))


def example(setup: Setup) -> list[tuple[str, bool]]:
    """The first training example with a tag, token by token, and whether each is a label."""
    examples = training_examples(setup)
    tagged = (i for i, clip in enumerate(examples.draws) if tags.find_tags(examples.texts[clip]))
    return train.masked(examples, next(tagged, 0))


def evaluate(setup: Setup, split: str, systems: Mapping[str, Any]) -> dict[str, Evaluation]:
    """Scores of systems on a split.

    Args:
        setup: clips and base.
        split: its name.
        systems: folder of the adapter by name of the system; None is the base alone.
    """
    clips = setup.clips(split)
    ids, references = [c.id for c in clips], [c.tagged_text for c in clips]
    normalise = metrics.english_normaliser()
    return {
        name: metrics.evaluate(
            references, transcripts(setup, split, adapter), ids=ids, normalise=normalise
        )
        for name, adapter in systems.items()
    }


def before_after(
    setup: Setup, split: str, systems: Mapping[str, Any], count: int
) -> list[Transcribed]:
    """Clips of a split spread over its length, with their sound and what each system wrote."""
    clips = setup.clips(split)
    chosen = _spread(clips, count)
    texts = {name: transcripts(setup, split, adapter) for name, adapter in systems.items()}
    return [
        Transcribed(
            clips[i].id,
            clips[i].tagged_text,
            {name: own[i] for name, own in texts.items()},
            sound(setup, clips[i]),
        )
        for i in chosen
    ]


def sound(setup: Setup, clip: Clip) -> str:
    """A clip's audio as a data URI."""
    data = base64.b64encode(to_mp3(setup.sounds.audio(clip))).decode("ascii")
    return f"data:audio/mpeg;base64,{data}"


def _spread(clips: Sequence[Clip], count: int) -> list[int]:
    step = max(1, len(clips) // count)
    return list(range(0, len(clips), step))[:count]


def ceiling(setup: Setup, split: str) -> pd.DataFrame:
    """AUC of a linear probe of the frozen encoder for each tag, learnt on the training split."""
    sides = [(setup.features(name), setup.clips(name)) for name in (datamix.TRAIN, split)]
    return model.probe(*sides, setup.base.window_seconds)


def learnt(scores: pd.DataFrame, auc: Mapping[str, float], system: str) -> dict[str, list[str]]:
    """Tags by what became of them: learnt (F1 of half or more), audible but not learnt, neither.

    Args:
        scores: frame of `tables.tag_scores`.
        auc: of the probe, by tag; 0.9 or more counts as audible.
        system: whose F1.
    """
    groups: dict[str, list[str]] = {"learnt": [], "audible, not learnt": [], "hardly audible": []}
    for row in scores.to_dict("records"):
        if row[system] >= 0.5:
            groups["learnt"].append(row["tag"])
        elif auc.get(row["tag"], 0.0) >= 0.9:
            groups["audible, not learnt"].append(row["tag"])
        else:
            groups["hardly audible"].append(row["tag"])
    return groups


def validated(tuned: Tuned) -> pd.DataFrame:
    """Validation after every epoch: the columns of `Tuned.epochs`, and `chosen`, the kept one."""
    rows = tuned.epochs[tuned.epochs["step"] > 0]
    return rows.assign(chosen=rows["epoch"].round() == tuned.best_epoch).reset_index(drop=True)
