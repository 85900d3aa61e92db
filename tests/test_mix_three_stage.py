"""The mixing note: every figure of it, no leakage, and the tree of files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, runs
from evoxtral.mix.three_stage import RATIO, apportion, draw_mix, mix_tree, plan_six, split_rows

PROPERTY = settings(deadline=None)
SIZES = {"math": {"gsm8k": 75, "math": 75}, "qa": {"squad2": 876, "hotpotqa": 890},
         "code": {"humaneval": 16, "mbpp": 43}}  # fmt: skip


def test_mixes_are_the_notes() -> None:
    mixes = plan_six(0)["mixes"].set_index(["mix", "side"])
    for mix, side, counts in (
        ("sum", "train", [64043, 48032, 48032, 160107]),
        ("sum", "test", [12809, 9607, 9606, 32022]),
        ("min", "train", [949, 712, 712, 2373]),
        ("strict", "train", [365, 274, 274, 913]),
    ):
        assert mixes.loc[(mix, side), [*RATIO, "total"]].tolist() == counts


def rows(**sizes: int) -> pd.DataFrame:
    """Datasets of these sizes, the first in domain x, all others in y."""
    names = np.repeat(list(sizes), list(sizes.values()))
    return pd.DataFrame(
        {"dataset": names, "domain": np.where(names == next(iter(sizes)), "x", "y")}
    )


@PROPERTY
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4), st.integers(0, 9))
def test_datasets_of_a_domain_have_equal_shares_of_a_mix_of_the_ratio(
    sizes: list[int], seed: int
) -> None:
    whole = rows(**{f"d{k}": n for k, n in enumerate(sizes)})
    for total in ("strict", "min", "sum"):
        mix = draw_mix(whole, {"x": 3, "y": 1}, total, seed)
        counts = mix["domain"].value_counts()
        assert abs(counts.get("x", 0) - 3 * counts.get("y", 0)) <= 3
        shares = Counter(mix["dataset"][mix["domain"] == "y"])
        assert max(shares.values(), default=0) - min(shares.values(), default=0) <= 1
        assert total != "strict" or not mix.index.duplicated().any()
        assert total != "sum" or len(mix) == len(whole)
        assert mix.equals(draw_mix(whole, {"x": 3, "y": 1}, total, seed))


@pytest.mark.parametrize("ratio", [{"x": 1}, {"x": 1, "z": 1}, {"x": 0, "y": 0}, {"x": 2, "y": -1}])
def test_ratios_that_make_no_sense_are_refused(ratio: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"give parts of 0 or more for \['x', 'y'\]"):
        draw_mix(rows(a=3, b=3), ratio)


@PROPERTY
@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_apportion_adds_up_and_is_within_one_of_the_share(total: int, ratio: list[int]) -> None:
    counts = apportion(total, ratio)
    assert sum(counts) == total
    for count, share in zip(counts, ratio, strict=True):
        assert abs(count - total * share / sum(ratio)) < 1
        assert share or not count


KEYS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=40), min_size=1, max_size=3)


@PROPERTY
@given(KEYS, st.integers(0, 5))
def test_no_text_is_on_both_sides_of_any_dataset(keys: list[list[int]], seed: int) -> None:
    named = [(f"d{k}", key) for k, own in enumerate(keys) for key in own]
    whole = pd.DataFrame(named, columns=["dataset", "key"])
    sides = whole.assign(side=split_rows(whole, seed))
    assert not sides.drop_duplicates(["key", "side"])["key"].duplicated().any()
    tested = (sides["side"] == "test").groupby(sides["dataset"]).agg(["sum", "size"])
    first = tested.loc["d0"]
    assert first["sum"] <= round(first["size"] / 6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for domain, datasets in SIZES.items():
        for name, n in datasets.items():
            rows = ({"id": f"{name}_{k}", "question": f"{name} question {k}", "answer_type": "text"}
                    for k in range(n))  # fmt: skip
            runs.write_jsonl(tmp_path / "data" / "raw" / domain / f"{name}.jsonl", rows)
    return tmp_path / "data"


def read(path: Path) -> list[dict[str, Any]]:
    return list(runs.read_jsonl(path))


def test_the_tree_is_that_of_the_note(root: Path) -> None:
    info = mix_tree(root, RATIO)
    assert info == runs.read_json(root / "mixed/info.json") == {
        "split_ratio": "5:1 (train:test = 83.3%:16.7%)",
        "domain_intra_balance": "50:50 per domain",
        "cross_domain_ratio": "4:3:3 (math:qa:code)",
        "total_train": 1647,
        "total_test": 328,
        "domain_distribution_train": {"math": 659, "qa": 494, "code": 494},
        "math_pct": 40.0,
        "qa_pct": 30.0,
        "code_pct": 30.0,
    }  # fmt: skip
    names = {name: domain for domain, datasets in SIZES.items() for name in datasets}
    assert runs.read_json(root / "test/test_index.json") == {
        name: f"data/test/{name}_test.jsonl" for name in names
    }
    assert runs.read_json(root / "processed/mbpp/meta.json") == {
        "dataset": "mbpp", "domain": "code", "total": 43, "train": 36, "test": 7,
        "split_ratio": info["split_ratio"], "answer_types": {"text": 43},
    }  # fmt: skip
    mixed = [read(root / f"mixed/{side}_mixed.jsonl") for side in ("train", "test")]
    assert [len(own) for own in mixed] == [info["total_train"], info["total_test"]]
    questions = [{row["question"] for row in own} for own in mixed]
    assert not questions[0] & questions[1]
    for name, domain in names.items():
        train, test = (read(root / f"processed/{name}/{side}.jsonl") for side in ("train", "test"))
        assert len(train) + len(test) == SIZES[domain][name]
        assert {(row["dataset"], row["domain"]) for row in train + test} == {(name, domain)}
        assert read(root / f"test/{name}_test.jsonl") == test
        drawn = {row["id"] for row in mixed[0] if row["dataset"] == name}
        assert drawn <= {row["id"] for row in train}


def test_bad_rows_are_named(root: Path) -> None:
    path, row = root / "raw/math/gsm8k.jsonl", {"id": "math_0", "question": "x"}
    runs.write_jsonl(path, [row | {"answer_type": "text"}])
    with pytest.raises(UserError, match="'math_0' is used twice"):
        mix_tree(root, RATIO)
    runs.write_jsonl(path, [row])
    with pytest.raises(UserError, match="a row of dataset 'gsm8k' has no 'answer_type'"):
        mix_tree(root, RATIO)
