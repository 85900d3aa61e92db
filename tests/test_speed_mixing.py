"""The three-stage mix, written down twice: both ways make mixes of the same size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evoxtral.datamix.six import RATIO, SIZES
from evoxtral.mix.mixer import mix_tree
from evoxtral.speed import mixing

SHARE = 1 / 400


def test_rows_are_those_of_the_note(tmp_path: Path) -> None:
    rows = mixing.write_rows(tmp_path, SHARE)
    files = {path.stem: path for path in (tmp_path / "raw").rglob("*.jsonl")}
    assert set(files) == set(SIZES)
    counts = {name: len(path.read_text().splitlines()) for name, path in files.items()}
    assert sum(counts.values()) == rows
    assert counts["hotpotqa"] == round(SIZES["hotpotqa"][1] * SHARE)
    assert counts["humaneval"] == 6
    line = len(files["gsm8k"].read_text().splitlines()[0])
    assert 400 < line < 800


def test_both_ways_mix_as_much(tmp_path: Path) -> None:
    for name in ("a", "b"):
        mixing.write_rows(tmp_path / name, SHARE)
    counts = mixing.mix_in_memory(tmp_path / "a")
    mixed = mix_tree(tmp_path / "b", RATIO)
    assert counts == mixed.info["domain_distribution_train"]
    for path in ("mixed/train_mixed.jsonl", "mixed/test_mixed.jsonl", "processed/mbpp/train.jsonl",
                 "test/squad2_test.jsonl"):  # fmt: skip
        a, b = ((tmp_path / name / path).read_text().splitlines() for name in ("a", "b"))
        assert len(a) == len(b), path
        assert set(json.loads(a[0])) == set(json.loads(b[0]))


def test_the_mix_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mixing.three_stage_mix(1, SHARE)
    assert made.units == pytest.approx(made.facts["rows"] / 1000)
    assert made.facts["bytes_written"] > made.facts["bytes_read"] > 0
    assert set(made.rounds["way"]) == {mixing.IN_MEMORY, mixing.OURS}
    monkeypatch.setattr(mixing, "mix_in_memory", lambda _: {"math": 1})
    with pytest.raises(RuntimeError, match="speed of wrong results"):
        mixing.three_stage_mix(1, SHARE)
