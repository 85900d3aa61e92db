"""Costs computed from shapes against numbers known otherwise: published counts and a hand sheet."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from transformers import VoxtralConfig

from evoxtral import runs, tables
from evoxtral.forecast import (
    GPUS,
    Gpu,
    Shapes,
    Workload,
    decode_floor,
    forecast,
    memory,
    train_flops,
)
from evoxtral.model import LoraShape, count_parameters

MINI = Shapes(VoxtralConfig())
WORK = Workload()
A10G, _, H200 = GPUS


def test_weights_are_those_of_the_model() -> None:
    """Against a model on the meta device; with adapters in the encoder, the published count."""
    counted = count_parameters(VoxtralConfig(), LoraShape(64, 128, 0.0, True)).set_index("part")
    everything = counted.loc["all"]
    assert everything["trainable"] == 124_780_544
    adapters = MINI.language_adapters + MINI.projector_adapters + MINI.encoder_adapters
    assert adapters == 124_780_544
    assert MINI.weights == everything["total"] - adapters == 4_676_271_104
    assert MINI.encoder_weights == counted.loc["audio encoder", "total"] - MINI.encoder_adapters
    assert MINI.language_adapters + MINI.projector_adapters == 109_051_904


@pytest.mark.parametrize(
    ("computed", "known"),
    [
        (MINI.encode_flops(), 2.274e12),
        (MINI.project_flops(), 0.019e12),
        (MINI.language_flops(433), 2.83e12),
        (MINI.head_flops(433), 0.35e12),
        (MINI.head_flops(49), 0.04e12),
        (MINI.step_bytes, 7.22e9),
        (MINI.cache_bytes, 122_880),
    ],
)
def test_a_clip_costs_what_the_sheet_says(computed: float, known: float) -> None:
    """Rounded there to three digits, or two."""
    assert computed == pytest.approx(known, rel=0.015)


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"checkpointing": True, "encoder_lora": True, "label_head": False}, 16.62e12),
        ({"checkpointing": True, "cached": False, "label_head": False}, 11.88e12),
        ({"checkpointing": True}, 8.99e12),
        ({"checkpointing": False}, 6.05e12),
    ],
)
def test_a_training_example_costs_what_the_sheet_says(options: dict, known: float) -> None:
    assert train_flops(MINI, WORK, **options) == pytest.approx(known, rel=0.002)


@pytest.mark.parametrize(
    ("rows", "a10g", "h200"), [(4, 490, 68), (16, 132, 18.5), (64, 43, 6.0), (256, 21, 2.9)]
)
def test_decoding_cannot_be_quicker_than_the_sheet_says(
    rows: int, a10g: float, h200: float
) -> None:
    assert decode_floor(MINI, WORK, A10G, 3232, rows) == pytest.approx(a10g, rel=0.03)
    assert decode_floor(MINI, WORK, H200, 3232, rows) == pytest.approx(h200, rel=0.04)


def test_memory_agrees_with_the_estimates() -> None:
    """About 0.3 MB per position and layer, 4 GB per example; checkpointing keeps far less."""
    kept = [MINI.kept_bytes(dropout=dropout) for dropout in (False, True)]
    assert 0.2e6 < kept[0] < 0.3e6 < kept[1] < 0.4e6
    sizes = [memory(MINI, WORK, at_once=n, checkpointing=False) for n in (1, 2)]
    assert 3e9 < sizes[1] - sizes[0] < 5.5e9
    assert sizes[1] < A10G.memory < memory(MINI, WORK, at_once=4, checkpointing=False)
    assert memory(MINI, WORK, at_once=8, checkpointing=True) < A10G.memory


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_step_fits_and_takes_longer_than_its_floor(gpu: Gpu) -> None:
    made = forecast(MINI, gpu)
    assert (made["gigabytes"] <= gpu.memory / 1e9).all()
    assert (made["expected"] > made["floor"]).all()


def test_the_expected_times_lie_in_the_estimated_ranges() -> None:
    """Made from reported token rates, on another way: 7 to 10 min, 38 to 52 s for SFT."""
    times = {gpu.name: forecast(MINI, gpu).set_index("step")["expected"] for gpu in GPUS}
    assert 7 * 60 <= times[A10G.name]["SFT"] <= 10 * 60
    assert 38 <= times[H200.name]["SFT"] <= 52
    assert times[A10G.name]["sampling"] <= 3.5 * 60
    assert times[H200.name]["sampling"] <= 30


def test_a_card_that_is_too_small_is_said_to_be() -> None:
    made = forecast(MINI, dataclasses.replace(A10G, memory=8e9)).set_index("step")
    assert made.loc["SFT", "setting"] == made.loc["sampling", "setting"] == "does not fit"
    assert made["expected"].isna().sum() == 4


def test_the_table_says_that_nothing_was_measured() -> None:
    table = tables.forecast(forecast(MINI, A10G))
    text = tables.to_markdown(table)
    assert "not measured" in text
    assert "| A10G, 24 GB | SFT |" in text


def test_the_readmes_table_is_this_forecast() -> None:
    """Where it is not, the assertion shows the table to paste."""
    made = pd.concat([forecast(MINI, gpu) for gpu in GPUS], ignore_index=True)
    wanted = tables.to_markdown(tables.forecast(made)).strip()
    assert wanted in (runs.root() / "README.md").read_text(encoding="utf-8"), wanted
