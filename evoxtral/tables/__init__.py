"""Data in, table out: raw values, printing rules, and renderings."""

from evoxtral.tables.bench import (
    MEASURES,
    SYSTEM_LABELS,
    Measure,
    confused,
    core,
    of,
    scores,
    scores_frame,
    systems,
    tag_scores,
)
from evoxtral.tables.mix import audibility, composition, data_mix, near_duplicates, targets
from evoxtral.tables.model import (
    COUNT,
    TEXT,
    Format,
    Table,
    best_in_row,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)
from evoxtral.tables.speed import exponents, floors, forecast, speed_conditions, speed_ups
from evoxtral.tables.training import (
    curation,
    epochs,
    grid,
    learnt,
    parameter_counts,
    recipe,
    rl_recipe,
    takeaways,
)
