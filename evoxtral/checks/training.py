"""Claims about data and model: splits, batch, filter, trainable parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoxtral.checks.lora import lora_parameter_count
from evoxtral.checks.model import Claim, compare

if TYPE_CHECKING:
    from evoxtral.paper import Published


def kept_strictly_above(n: int, share: float) -> int:
    """Clips left by the rule `reward > sorted(rewards)[int(share * n)]` when no reward is tied.

    The element at that index and all before it go: one more than `int(share * n)`.

    >>> kept_strictly_above(808, 0.1)
    727
    """
    return n - (int(share * n) + 1)


def data_claims(published: Published) -> list[Claim]:
    """Split sizes, effective batch and the number of curated clips (sections 3.1 to 3.3)."""
    p = published.numbers
    split = p["train_clips"] + p["validation_clips"] + p["test_clips"]
    batch = p["batch_size"] * p["accumulation"]
    clips = int(p["train_clips"])
    kept = kept_strictly_above(clips, p["filtered_share"])
    note = f"the {clips - kept} smallest rewards go; there was no tie at the threshold"
    return [
        compare("data", "The three splits hold all scripts", p["scripts"], split, "count"),
        compare("data", "Effective batch size", p["effective_batch_size"], batch, "count"),
        compare("data", "Clips the filter keeps", p["curated_clips"], kept, "count", note=note),
    ]


def model_claims(published: Published) -> list[Claim]:
    """The trainable parameters with the encoder frozen, as stated, and adapted."""
    p = published.numbers
    printed, rank = p["trainable_parameters"], int(p["lora_rank"])
    frozen = lora_parameter_count(rank, encoder=False)
    adapted = lora_parameter_count(rank, encoder=True)
    why = f"the bare names q/k/v_proj also match the encoder, {adapted - frozen:,} parameters"
    return [
        compare(
            "model",
            "Trainable parameters, encoder frozen as stated",
            printed,
            frozen,
            "count",
            step=1e5,
            note=f"so the encoder was not frozen: a rank-{rank} adapter has fewer",
        ),
        compare(
            "model",
            "Trainable parameters, encoder adapted too",
            printed,
            adapted,
            "count",
            step=1e5,
            note=why,
        ),
    ]
