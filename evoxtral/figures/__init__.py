"""Data in, matplotlib figure or HTML page out; no file is read or written."""

from evoxtral.figures.bench import (
    audibility,
    confusion_matrix,
    forest,
    label_noise,
    raft_pipeline,
    tag_f1,
    two_stage_pipeline,
)
from evoxtral.figures.pages import completions, listening_page, masked_example, transcripts
from evoxtral.figures.style import SYSTEMS, save_figure
from evoxtral.figures.training import (
    growth,
    pretraining_curve,
    rewards,
    speed_ups,
    tag_shares,
    training_curves,
)
