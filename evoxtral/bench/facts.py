"""Facts of a measured run: what its systems are, how they were trained, Figures 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evoxtral.bench.scores import NO_TAGS
from evoxtral.bench.systems import ADAPTER, BASE, PREDICTIONS, RL, SFT
from evoxtral.figures import PipelineFacts, RaftFacts
from evoxtral.figures.canvas import scientific
from evoxtral.metrics import Evaluation
from evoxtral.mix.source import TRAIN
from evoxtral.model import TINY, adapter_digest
from evoxtral.params import Benchmark, Raft, Sft
from evoxtral.pipeline import Setup
from evoxtral.raft import Round, facts, recipe_of

_SHOWN = 12  # digits of a digest


def base_name(setup: Setup) -> str:
    """The base model in words."""
    return "embedded tiny Voxtral" if setup.base.name == TINY else Path(setup.base.name).name


def origins(cfg: Benchmark, setup: Setup, folders: Mapping[str, Path | None]) -> dict[str, str]:
    """What each system is.

    Args:
        cfg: of the notebook.
        setup: clips and base.
        folders: of the adapters, by system; None is the base alone.
    """
    said = {
        BASE: f"{base_name(setup)}, weights {setup.base.digest[:_SHOWN]}",
        SFT: "base fine-tuned on the training mix (02)",
        RL: "SFT fine-tuned on its own best completions (03)",
        ADAPTER: cfg.adapter,
    }
    found = {NO_TAGS: "the references without tags and emphasis: every word right, no skill"}
    for name, folder in folders.items():
        digest = f"; adapter {adapter_digest(folder)[:_SHOWN]}" if folder else ""
        found[name] = f"{said[name]}{digest}"
    return found | ({PREDICTIONS: cfg.predictions} if cfg.predictions else {})


def rl_settings(cfg: Raft, last: Round) -> dict[str, object]:
    """Settings of the RL stage, named as the rows of the model card."""
    weights = f"{cfg.accuracy_weight:g}×(1-WER) + {cfg.tag_weight:g}×Tag_F1"
    dropped = f"bottom {cfg.drop_share:.0%} filtered by the {cfg.curation} rule"
    return {
        "Method": "Rejection sampling + SFT (RAFT)",
        "Samples per input": f"{cfg.k} (temperature={cfg.temperature:g}, top_p={cfg.top_p:g})",
        "Reward function": f"{weights} + {cfg.hallucination_weight:g}×(1-hallucination), "
        f"{cfg.convention} convention",
        "Curated samples": f"{last.curated.kept:,} ({dropped})",
        "Avg reward": f"{last.curated.mean_after:.3f}",
        "Learning rate": scientific(cfg.learning_rate),
        "Epochs": str(cfg.epochs),
        "Final loss": f"{float(last.tuned.steps['loss'].iloc[-1]):.3f}",
        "Sampled clips": f"{last.scored['clip'].nunique():,} of {cfg.prompts}",
        "Untagged clips added": f"{cfg.untagged:.0%}",
    }


def pipeline(
    tuning: Sft,
    cfg: Raft,
    setup: Setup,
    last: Round,
    evaluations: Mapping[str, Evaluation],
) -> PipelineFacts:
    """What Figure 2 says of this run."""
    sizes = {name: len(clips) for name, clips in setup.source.splits.items()}
    tested = len(evaluations[BASE].clips)
    unseen = 0 if cfg.prompts == TRAIN else sizes[cfg.prompts]
    scores = {name: own.paper() for name, own in evaluations.items()}
    return PipelineFacts(
        base=base_name(setup),
        scripts=sizes["train"] + sizes["validation"] + tested + unseen,
        train=sizes["train"],
        validation=sizes["validation"],
        test=tested,
        bench=tested,
        rank=tuning.lora_rank,
        sft_epochs=tuning.epochs,
        sft_learning_rate=tuning.learning_rate,
        unseen=unseen,
        completions=cfg.k,
        kept=last.curated.kept,
        rl_epochs=cfg.epochs,
        rl_learning_rate=cfg.learning_rate,
        scores={
            name.lower(): (scores[name]["wer"].value, scores[name]["tag_f1"].value)
            for name in (BASE, SFT, RL)
        },
    )


def raft(cfg: Raft, last: Round) -> RaftFacts:
    """What Figure 1 says of this run's last round."""
    return RaftFacts(**facts(recipe_of(cfg), last))
