"""The measurements of a profile: its clips, its base, its recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evoxtral import params, sft
from evoxtral.dataset import Clip
from evoxtral.errors import UserError
from evoxtral.experiment import Setup, open_setup
from evoxtral.model import adapter_digest
from evoxtral.params import Raft
from evoxtral.raft.sampling import Sampling
from evoxtral.speed.evaluate import evaluate
from evoxtral.speed.finetuning import Tuning, finetuning
from evoxtral.speed.measure import Comparison
from evoxtral.speed.sampling import sampling
from evoxtral.speed.subject import Subject, spread

__all__ = ["CLIPS", "evaluation_speed", "raft_speed", "sft_speed"]

CLIPS = 128
"""Clips per round, where the split has as many."""


def sft_speed(profile: str, repeats: int, clips: int | None = None) -> list[Comparison]:
    """Optimiser steps of the profile's recipe.

    Args:
        profile: whose clips, base and recipe are taken.
        repeats: rounds that count.
        clips: training clips per round, a multiple of the batch.

    Raises:
        UserError: the recipe adapts the encoder, whose features then cannot be kept.
    """
    cfg = sft.parameters_of(profile)
    if cfg.encoder_lora:
        raise UserError(
            "encoder_lora is set, so there is no cache to compare with: set it to false"
        )
    setup = open_setup(cfg)
    train = setup.clips("train")
    most = min(CLIPS, len(train))
    wanted = clips or most - most % cfg.batch
    tuning = Tuning(setup, spread(train, wanted), sft.recipe(cfg, sft.lora_shape(cfg)))
    return [finetuning(tuning, repeats)]


def evaluation_speed(
    profile: str, repeats: int, clips: int | None = None, adapter: Path | None = None
) -> list[Comparison]:
    """Greedy transcripts of the headline test split.

    Args:
        profile: whose clips and base are taken.
        repeats: rounds that count.
        clips: per round.
        adapter: its folder; by default that of 02, trained if it is not there.
    """
    cfg = sft.parameters_of(profile)
    setup = open_setup(cfg)
    subject = _subject(setup, setup.clips(setup.headline), clips, adapter)
    return [evaluate(subject, cfg.decode_batch, repeats)]


def raft_speed(
    profile: str,
    repeats: int,
    clips: int | None = None,
    adapter: Path | None = None,
    ks: Sequence[int] = (4,),
) -> list[Comparison]:
    """Completions of the clips that RAFT samples.

    Args:
        profile: whose clips, base, temperature and reward are taken.
        repeats: rounds that count.
        clips: per round.
        adapter: its folder; by default that of 02, trained if it is not there.
        ks: completions per clip; each is measured.
    """
    cfg = params.profile(Raft.notebook, profile)
    assert isinstance(cfg, Raft)
    hows = [Sampling(k, cfg.temperature, cfg.top_p, cfg.sample_batch, cfg.seed) for k in ks]
    setup = open_setup(cfg)
    subject = _subject(setup, setup.clips(cfg.prompts), clips, adapter)
    return [sampling(subject, how, repeats, cfg.convention) for how in hows]


def _subject(
    setup: Setup, split: Sequence[Clip], clips: int | None, adapter: Path | None
) -> Subject:
    chosen = spread(split, clips or min(CLIPS, len(split)))
    if adapter is None:
        adapter = sft.adapter(sft.parameters_of(setup.cfg.profile), setup).adapter
    adapter_digest(adapter)
    return Subject(setup, chosen, adapter)
