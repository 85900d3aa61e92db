"""Supervised fine-tuning as a stage: the training mix of 01 in, an adapter and its log out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from evoxtral import UserError, datamix, params, runs
from evoxtral.model import LoraShape, arithmetic, device
from evoxtral.params import FineTuning, Sft
from evoxtral.pipeline import Setup
from evoxtral.sft.tracking import log_outcome, tracker
from evoxtral.train import ADAPTER, Examples, Tuned, Watched, finetune, read_log

TUNING_CODE = (
    "evoxtral.metrics",
    "evoxtral.model",
    "evoxtral.decode",
    "evoxtral.sft.run",
    "evoxtral.tags",
    "evoxtral.train",
)
VALIDATION, PLAIN = "validation", "plain_val"


def precision(cfg: FineTuning) -> Literal["float32", "bfloat16"]:
    """Of the arithmetic in training: what `auto` stands for on the device."""
    return arithmetic(cfg.precision, device(cfg.device))


def lora_shape(cfg: Sft) -> LoraShape:
    """The adapters that the parameters name."""
    return LoraShape(cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout, cfg.encoder_lora)


def training_examples(setup: Setup) -> Examples:
    """The training mix: each clip as often as 01 draws it, with the weight it gives it."""
    mix = datamix.training_mix(setup.mix_cfg, setup.source)
    drawn = {row.id: row for row in datamix.read_mix(mix.path)}
    clips = setup.clips(datamix.TRAIN)
    missing = sorted(set(drawn) - {clip.id for clip in clips})
    if missing:
        raise UserError(f"the training mix names {missing[0]!r}, which is no clip: run 01 again")
    draws = [
        i for i, clip in enumerate(clips) if clip.id in drawn for _ in range(drawn[clip.id].draws)
    ]
    weights = [drawn[clip.id].weight if clip.id in drawn else 0.0 for clip in clips]
    texts = [clip.tagged_text for clip in clips]
    return Examples(setup.heard(datamix.TRAIN), texts, draws, setup.prompter, weights)


def validation_examples(setup: Setup) -> Examples:
    """Each validation clip once."""
    texts = [clip.tagged_text for clip in setup.clips(VALIDATION)]
    heard = setup.heard(VALIDATION)
    return Examples(heard, texts, range(len(texts)), setup.prompter, [1.0] * len(texts))


def watched(setup: Setup) -> list[Watched]:
    """Validation, and plain speech where the data has it."""
    return [
        Watched(
            split,
            setup.heard(split),
            [clip.seconds or 0.0 for clip in setup.clips(split)],
            [clip.tagged_text for clip in setup.clips(split)],
        )
        for split in (VALIDATION, PLAIN)
        if setup.has(split)
    ]


def adapter(cfg: Sft, setup: Setup) -> Tuned:
    """Build or reuse the SFT adapter.

    Args:
        cfg: the recipe.
        setup: clips and base.

    Raises:
        UserError: the data has no validation split, or training failed; one sentence.
    """
    setup = setup.hearing(encoder_learns=cfg.encoder_lora)
    excluded = {"checkpointing", "decode_batch", "device", "micro_batch", "profile", "shown",
                "tracker"}  # fmt: skip
    made = runs.stage(
        "sft",
        cfg.profile,
        {**cfg.model_dump(exclude=excluded), "precision": precision(cfg)},
        lambda folder: _train(folder, cfg, setup),
        inputs={
            "base": setup.base.digest,
            "source": setup.source.digest,
            "mix": datamix.training_mix(setup.mix_cfg, setup.source).digest,
        },
        code=TUNING_CODE,
        together=True,
    )
    return read_log(made.path)


def _train(folder: Path, cfg: Sft, setup: Setup) -> None:
    training, validation = training_examples(setup), validation_examples(setup)
    split = watched(setup)
    with tracker(cfg, folder, "SFT") as tracked:
        finetune(
            folder,
            setup.fresh(),
            cfg,
            lora_shape(cfg),
            training,
            validation,
            split,
            report_to="none" if tracked is None else "wandb",
        )
        log_outcome(tracked, setup, VALIDATION, folder / ADAPTER, "sft-adapter")


def parameters_of(profile: str) -> Sft:
    """The parameters of 02 in a profile, from which 03 and 04 build what they need."""
    cfg = params.profile(Sft.notebook, profile)
    assert isinstance(cfg, Sft)
    return cfg
