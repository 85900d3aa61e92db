"""Data in, matplotlib figure out; no file is read or written."""

from evoxtral.figures.base import pretraining_curve, probe_ceiling
from evoxtral.figures.bench import confusion_matrix, label_noise, tag_numbers
from evoxtral.figures.diagrams import (
    PipelineFacts,
    RaftFacts,
    raft_pipeline,
    two_stage_pipeline,
)
from evoxtral.figures.mix import (
    audibility,
    checklist,
    density,
    durations,
    listening_page,
    tag_shares,
    valence,
)
from evoxtral.figures.pertag import per_tag_dumbbell
from evoxtral.figures.results import core_metrics, wer_f1_plane
from evoxtral.figures.scores import system_scores, tag_f1_with_ceiling
from evoxtral.figures.speed import growth, speed_ups
from evoxtral.figures.style import FORMATS, SYSTEMS, System, save_figure
from evoxtral.figures.training import (
    best_of_k,
    completions,
    group_spread,
    masked_example,
    raft_differences,
    reward_distribution,
    training_curves,
    transcripts,
)
from evoxtral.figures.uncertainty import score_uncertainty
