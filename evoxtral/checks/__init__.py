"""What the published numbers do and do not say, recomputed from the published numbers."""

from evoxtral.checks.claims import claims, records, summary
from evoxtral.checks.lora import VOXTRAL_MINI, Shapes, adapted_maps, lora_parameter_count
from evoxtral.checks.model import Claim, Verdict
from evoxtral.checks.pertag import attainable_counts, deltas, fewest_events, movements
from evoxtral.checks.training import kept_strictly_above
from evoxtral.checks.uncertainty import (
    ASSUMED_SD,
    largest_sd,
    smallest_sd,
    standard_errors,
    tag_f1_errors,
)
