"""The measurements of a profile: its clips, its base, its recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evoxtral import UserError, params, sft
from evoxtral.model import check_adapter
from evoxtral.params import Raft
from evoxtral.pipeline import open_setup
from evoxtral.raft.sampling import Sampling
from evoxtral.speed.encode import encode_clips
from evoxtral.speed.evaluate import evaluate
from evoxtral.speed.finetuning import Tuning, finetuning
from evoxtral.speed.measure import Comparison
from evoxtral.speed.sampling import sampling
from evoxtral.speed.subject import Subject, spread

__all__ = [
    "CLIPS",
    "encode_speed",
    "evaluation_speed",
    "open_subject",
    "open_tuning",
    "raft_speed",
    "sft_speed",
]

CLIPS = 128
"""Clips per round, where the split has as many."""


def encode_speed(profile: str, repeats: int, most: int = CLIPS) -> list[Comparison]:
    """Encoder features of clips of the headline test split.

    Args:
        profile: whose clips and base are taken.
        repeats: rounds that count.
        most: clips per round, or as many as there are.
    """
    setup = open_setup(sft.parameters_of(profile))
    split = setup.clips(setup.headline)
    return [encode_clips(setup, spread(split, min(most, len(split))), repeats)]


def sft_speed(
    profile: str, repeats: int, clips: int | None = None, most: int = CLIPS
) -> list[Comparison]:
    """Optimiser steps of the profile's recipe.

    Args:
        profile: whose clips, base and recipe are taken.
        repeats: rounds that count.
        clips: training clips per round, a multiple of the batch.
        most: without `clips`: as many whole steps as this many clips make, if there are as many.

    Raises:
        UserError: the recipe adapts the encoder, whose features then cannot be kept.
    """
    return [finetuning(open_tuning(profile, clips, most), repeats)]


def open_tuning(profile: str, clips: int | None = None, most: int = CLIPS) -> Tuning:
    """What `sft_speed` trains on; takes the same."""
    cfg = sft.parameters_of(profile)
    if cfg.encoder_lora:
        raise UserError(
            "encoder_lora is set, so there is no cache to compare with: set it to false"
        )
    setup = open_setup(cfg)
    train = setup.clips("train")
    most = min(most, len(train))
    wanted = clips or max(cfg.batch, most - most % cfg.batch)
    return Tuning(setup, spread(train, wanted), sft.recipe(cfg, sft.lora_shape(cfg)))


def evaluation_speed(
    profile: str,
    repeats: int,
    clips: int | None = None,
    adapter: Path | None = None,
    most: int = CLIPS,
) -> list[Comparison]:
    """Greedy transcripts of the headline test split.

    Args:
        profile: whose clips and base are taken.
        repeats: rounds that count.
        clips: per round.
        adapter: its folder; by default that of 02, trained if it is not there.
        most: without `clips`: so many, or as many as there are.
    """
    subject = open_subject(profile, None, clips, adapter, most)
    return [evaluate(subject, subject.setup.cfg.decode_batch, repeats)]


def raft_speed(
    profile: str,
    repeats: int,
    clips: int | None = None,
    adapter: Path | None = None,
    ks: Sequence[int] = (4,),
    most: int = CLIPS,
) -> list[Comparison]:
    """Completions of the clips that RAFT samples.

    Args:
        profile: whose clips, base, temperature and reward are taken.
        repeats: rounds that count.
        clips: per round.
        adapter: its folder; by default that of 02, trained if it is not there.
        ks: completions per clip; each is measured.
        most: without `clips`: so many, or as many as there are.
    """
    cfg = params.profile(Raft.notebook, profile)
    assert isinstance(cfg, Raft)
    hows = [Sampling(k, cfg.temperature, cfg.top_p, cfg.sample_batch, cfg.seed) for k in ks]
    subject = open_subject(profile, cfg.prompts, clips, adapter, most)
    return [sampling(subject, how, repeats, cfg.convention) for how in hows]


def open_subject(
    profile: str,
    split: str | None = None,
    clips: int | None = None,
    adapter: Path | None = None,
    most: int = CLIPS,
) -> Subject:
    """Clips and models.

    Args:
        profile: whose clips and base are taken.
        split: of the clips; the headline test split if None.
        clips: of it.
        adapter: its folder; by default that of 02, trained if it is not there.
        most: without `clips`: so many, or as many as there are.
    """
    cfg = sft.parameters_of(profile)
    setup = open_setup(cfg)
    own = setup.clips(split or setup.headline)
    chosen = spread(own, clips or min(most, len(own)))
    start = check_adapter(adapter) if adapter else sft.adapter(cfg, setup).adapter
    return Subject(setup, chosen, start)
