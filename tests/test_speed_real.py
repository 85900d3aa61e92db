"""The real-size path on tiny shapes: lengths are kept, shapes are those that are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import VoxtralConfig

from evoxtral import runs
from evoxtral.__main__ import main
from evoxtral.forecast import Shapes, Workload
from evoxtral.model import open_base, read_cached
from evoxtral.speed.measure import Comparison
from evoxtral.speed.real import Real, draw_lengths, real_speed

LENGTHS = runs.root() / "reports" / "speed" / "target_lengths.csv"


def tiny(lengths: list[int]) -> Real:
    config = VoxtralConfig(**open_base("tiny", "cpu").model.config.to_dict())
    work = Workload(k=2, test=2, batch=2)
    return Real(config, lengths, torch.device("cpu"), torch.float32, work, at_once=2)


def test_lengths_are_those_of_the_released_transcripts() -> None:
    drawn = draw_lengths(LENGTHS, 20_000)
    assert sum(drawn) / len(drawn) == pytest.approx(48.6, abs=0.5)
    assert (min(drawn), max(drawn)) == (16, 98)
    assert drawn == draw_lengths(LENGTHS, 20_000)
    assert drawn != draw_lengths(LENGTHS, 20_000, seed=1)


def test_counts_of_the_table_are_the_shares(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("tokens,clips\n3,1\n7,0\n")
    assert draw_lengths(tmp_path / "t.csv", 5) == [3] * 5


def test_a_batch_decodes_to_its_longest_row() -> None:
    real = tiny([3, 9, 4, 8])
    read_cached(real.model)
    assert real.write(4, 1, 0.0) == 2 * 9 + 2 * 4
    assert real.write(4, 2, 0.7) == 2 * (2 * 9 + 2 * 4)
    assert real.write(1, 1, 0.0) == 3


def test_every_step_is_timed_beside_its_floor() -> None:
    made = {one.work: one for one in real_speed(tiny([3, 5, 4, 6]), 1)}
    assert list(made) == ["encode", "SFT", "sampling, k = 2", "evaluation"]
    assert all(isinstance(one, Comparison) and one.ratios.empty for one in made.values())
    assert made["SFT"].units == 2
    assert made["sampling, k = 2"].units == 8
    assert all(need.flops > 0 for one in made.values() for need in one.needs["ours"])
    assert [one.rounds["seconds"].item() > 0 for one in made.values()] == [True] * 4


def test_the_default_is_of_real_size() -> None:
    with torch.device("meta"):
        real = Real(VoxtralConfig(), [3], torch.device("meta"))
        count = sum(weight.numel() for weight in real.model.parameters())
    assert count == Shapes(VoxtralConfig()).weights == 4_676_271_104
    assert real.model.dtype == torch.bfloat16
    assert len(real.prompter.prompt(1)) == 384


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which it would start")
def test_without_a_gpu_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "real"]) != 0
    assert "needs a GPU" in capsys.readouterr().err
