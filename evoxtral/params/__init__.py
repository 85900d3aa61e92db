"""Parameters: one strict model per notebook, read from a cell, a file or the command line.

Every notebook has one cell tagged `parameters` with typed literals. The cell after it calls
`load`, which refuses unknown names and wrong values in one sentence before any work starts:
papermill itself only warns about a mistyped name, and hands YAML's `1e-5` over as a string.
"""

from evoxtral.params.loading import MAX_YAML_BYTES, load, profile, read_yaml
from evoxtral.params.models import (
    NOTEBOOKS,
    PROFILES,
    Benchmark,
    DataMix,
    FineTuning,
    Parameters,
    Raft,
    Sft,
    Speed,
    TinyBase,
)
