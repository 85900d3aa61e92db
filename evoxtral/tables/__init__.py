"""Data in, table out: raw values, printing rules, and renderings."""

from evoxtral.tables.bench import (
    MEASURES,
    confused,
    core,
    of,
    scores,
    scores_frame,
    tag_scores,
)
from evoxtral.tables.chapters import (
    audibility,
    composition,
    curation,
    epochs,
    exponents,
    floors,
    forecast,
    grid,
    learnt,
    near_duplicates,
    parameter_counts,
    recipe,
    rl_recipe,
    speed_conditions,
    takeaways,
    targets,
)
from evoxtral.tables.model import Format, Table, to_csv, to_html, to_latex, to_markdown
