"""Data in, matplotlib figure out; no file is read or written."""

from evoxtral.figures.bench import (
    confusion_matrix,
    core_metrics,
    label_noise,
    per_tag_dumbbell,
    probe_ceiling,
    score_uncertainty,
    system_scores,
    tag_f1_with_ceiling,
    tag_numbers,
    wer_f1_plane,
)
from evoxtral.figures.diagrams import raft_pipeline, two_stage_pipeline
from evoxtral.figures.mix import (
    audibility,
    checklist,
    density,
    durations,
    listening_page,
    tag_shares,
    valence,
)
from evoxtral.figures.speed import growth, speed_ups
from evoxtral.figures.style import FORMATS, SYSTEMS, System, save_figure
from evoxtral.figures.training import (
    best_of_k,
    completions,
    group_spread,
    masked_example,
    pretraining_curve,
    raft_differences,
    reward_distribution,
    training_curves,
    transcripts,
)
