"""What `01_data_mix.ipynb` calls: from a source of clips to the mix that fine-tuning reads.

* `source`, `overview`: the generated corpus, the released scripts or one's own clips, judged.
* `listening`, `probes`: each tag to hear, to see, and as a number.
* `judged`: the composition note's tables for several sets side by side.
* `training`: near-duplicates, targets, weights, and the training mix as a stage.
* `six`: the mixing note's datasets on paper.
* `results`: counts of verdicts and draws.
"""

from __future__ import annotations

from evoxtral.datamix.judged import (
    factors,
    for_figures,
    judge,
    read_released_composition,
    side_by_side,
)
from evoxtral.datamix.listening import page, specimens
from evoxtral.datamix.overview import duration_figure, findings_summary, split_summary
from evoxtral.datamix.probes import audible
from evoxtral.datamix.results import mix_summary, verdicts
from evoxtral.datamix.six import plan_six
from evoxtral.datamix.source import TRAIN, Source, corpus, open_clips, open_source
from evoxtral.datamix.training import (
    Drawn,
    class_weights,
    filter_alike,
    leakage,
    meet_targets,
    missed,
    own_ratios,
    read_mix,
    skewed,
    target_table,
    training_mix,
)
