"""Data in, matplotlib figure out; no file is read or written."""

from evoxtral.figures.base import pretraining_curve, probe_ceiling
from evoxtral.figures.diagrams import (
    PipelineFacts,
    RaftFacts,
    raft_pipeline,
    two_stage_pipeline,
)
from evoxtral.figures.listening import Shown, audibility, clips, missing
from evoxtral.figures.mix import (
    checklist,
    density,
    durations,
    near_duplicate_time,
    tag_shares,
    valence,
)
from evoxtral.figures.pertag import per_tag_dumbbell
from evoxtral.figures.results import core_metrics, wer_f1_plane
from evoxtral.figures.style import FORMATS, SYSTEMS, System, save_figure
from evoxtral.figures.uncertainty import score_uncertainty

__all__ = [
    "FORMATS",
    "SYSTEMS",
    "PipelineFacts",
    "RaftFacts",
    "Shown",
    "System",
    "audibility",
    "checklist",
    "clips",
    "core_metrics",
    "density",
    "durations",
    "missing",
    "near_duplicate_time",
    "per_tag_dumbbell",
    "pretraining_curve",
    "probe_ceiling",
    "raft_pipeline",
    "save_figure",
    "score_uncertainty",
    "tag_shares",
    "two_stage_pipeline",
    "valence",
    "wer_f1_plane",
]
