"""Data in, matplotlib figure out; no file is read or written."""

from evoxtral.figures.base import pretraining_curve, probe_ceiling
from evoxtral.figures.diagrams import (
    PipelineFacts,
    RaftFacts,
    raft_pipeline,
    two_stage_pipeline,
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
    "System",
    "core_metrics",
    "per_tag_dumbbell",
    "pretraining_curve",
    "probe_ceiling",
    "raft_pipeline",
    "save_figure",
    "score_uncertainty",
    "two_stage_pipeline",
    "wer_f1_plane",
]
