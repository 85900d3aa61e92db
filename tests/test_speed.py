"""Speed: turns and ratios by hand, the ways agree on a smoke run, and what shapes cost."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
import torch
from transformers import VoxtralConfig

from evoxtral import UserError, cost, figures, speed, tables
from evoxtral.world.base.model import build_model
from small_models import SMALL

MINI = cost.Recipe(VoxtralConfig(), cost.Workload())


def test_ways_take_turns_the_warm_up_does_not_count_and_results_must_agree() -> None:
    ran: list[tuple[str, int]] = []

    def way(name: str, made: float):
        return lambda number: ran.append((name, number)) or [made]

    ways = {"slow": way("slow", 6.0), "ours": way("ours", 6.1)}
    rounds = speed.compared("w", ways, 2, most=speed.APART)
    assert ran == [("slow", 0), ("ours", 0), ("ours", 1), ("slow", 1), ("slow", 2), ("ours", 2)]
    assert rounds["way"].tolist() == ["slow", "ours"] * 2
    assert rounds["round"].tolist() == [1, 1, 2, 2]
    with pytest.raises(RuntimeError, match=r"w: the results of two ways are 0\.1 apart"):
        speed.compared("w", ways | {"ours": way("ours", 6.6)}, 1, most=speed.APART)


def test_a_speed_up_is_taken_within_a_round() -> None:
    rows = [("plain", 1, 6.0), ("ours", 1, 2.0), ("plain", 2, 8.0), ("ours", 2, 2.0)]
    rounds = pd.DataFrame(rows, columns=["way", "round", "seconds"]).assign(work="w")
    [row] = speed.speed_ups(rounds).to_dict("records")
    assert (row["ratio"], row["low"], row["high"], row["rounds"]) == (3.5, 3.0, 4.0, 2)
    assert (row["plain_seconds"], row["ours_seconds"]) == (7.0, 2.0)


@pytest.mark.slow
def test_everything_is_measured_once_and_shown(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways compare their results themselves and stop where they differ."""
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path / "runs"))
    speed.measure("smoke", "quick")
    with monkeypatch.context() as patch:
        patch.setattr(speed, "Subject", None)  # a second run measures nothing
        speed.measure("smoke", "quick")
    found = speed.read("smoke")
    ratios = speed.speed_ups(found["rounds"])
    works = {"encode", "SFT", "evaluation", "sampling, k = 1", "sampling, k = 4"}
    assert set(ratios["work"]) == works
    assert set(found["growth"]["curve"]) == {"size", "k", "texts"}
    assert len(found["conditions"]) == len(speed.PARTS)
    assert figures.speed_ups(ratios).axes[0].get_xlim()[1] > ratios["high"].max()


def test_what_is_committed_can_be_shown() -> None:
    found = speed.read("tiny")
    assert (speed.speed_ups(found["rounds"])["ratio"] > 1).any()
    assert "real" not in found, "no GPU was measured: the notebook says so"
    with pytest.raises(UserError, match="encode was not measured of 'none'"):
        speed.read("none")


def test_the_real_size_runs_on_small_shapes_and_needs_a_gpu() -> None:
    config = build_model(SMALL, 64).config
    made = cost.real_size(config, [6] * 16, torch.device("cpu"), rounds=1)
    assert made["work"].tolist() == ["encode", "SFT", "sampling, k = 4", "evaluation"]
    assert (made["floor"] > 0).all()
    assert (made["floor"] < made["seconds"]).all()
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="needs a GPU"):
            cost.measure_real(16)


@pytest.mark.parametrize(
    ("computed", "known"),
    [
        (MINI.encode, 2.274e12),
        (MINI.layers(433), 2.83e12),
        (2 * (MINI.language + MINI.head), 7.22e9),
        (MINI.cache_bytes, 122_880),
    ],
)
def test_a_clip_costs_what_the_sheet_says(computed: float, known: float) -> None:
    """Rounded there to three digits, or two."""
    assert computed == pytest.approx(known, rel=0.015)


def test_more_memory_never_costs_time() -> None:
    forecasts = cost.forecasts()
    frames = [own.set_index("step") for _, own in forecasts.groupby("gpu", sort=False)]
    for small, large in pairwise(frames):
        assert (small["expected"] > large["expected"]).all()
        assert (large["floor"] <= large["expected"]).all()
    shown = tables.to_markdown(tables.forecast(forecasts))
    assert "| A10G, 24 GB | SFT | 2 at a time | 22.3 | 3 min | 9 min |" in shown
