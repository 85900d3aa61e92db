"""Data in, table out: raw values, printing rules, and renderings."""

from evoxtral.tables.base import architecture, corpus, probes, transcription
from evoxtral.tables.bench import (
    against_paper,
    bench_per_tag,
    bench_scores,
    choices,
    confused,
    counterparts,
    label_noise,
    stage_changes,
    tag_bias,
)
from evoxtral.tables.mix import audibility, composition, data_mix, near_duplicates, targets
from evoxtral.tables.model import COUNT, TEXT, Best, Direction, Format, Table, best_in_row
from evoxtral.tables.paper import (
    SYSTEM_LABELS,
    claims,
    core,
    deltas,
    per_tag,
    settings,
    sources,
    uncertainty,
)
from evoxtral.tables.render import to_csv, to_html, to_latex, to_markdown
from evoxtral.tables.scores import MEASURES, Measure, scores, tag_scores
from evoxtral.tables.speed import exponents, floors, forecast, speed_conditions, speed_ups
from evoxtral.tables.training import (
    curation,
    epochs,
    grid,
    learnt,
    parameter_counts,
    recipe,
    takeaways,
)
