"""The mixing note: every figure of it, no leakage, the tree of files, six datasets read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evoxtral import UserError
from evoxtral.mix.three_stage import (
    RATIO,
    READERS,
    Part,
    Record,
    apportion,
    boxed,
    draw_mix,
    mix_tree,
    plan_six,
    split_rows,
    write_raw,
)

PLAN = plan_six(0)
PROPERTY = settings(deadline=None)


@pytest.mark.parametrize(
    ("mix", "side", "counts"),
    [
        ("sum", "train", (64043, 48032, 48032, 160107)),
        ("sum", "test", (12809, 9607, 9606, 32022)),
        ("min", "train", (949, 712, 712, 2373)),
        ("strict", "train", (365, 274, 274, 913)),
    ],
)
def test_mixes_are_the_notes(mix: str, side: str, counts: tuple[int, ...]) -> None:
    row = PLAN["mixes"].set_index(["mix", "side"]).loc[(mix, side)]
    assert tuple(row[[*RATIO, "total"]]) == counts


def part(name: str, domain: str, n: int) -> Part:
    return Part(name, domain, np.arange(n, dtype=np.int32))


@PROPERTY
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4), st.integers(0, 9))
def test_a_strict_mix_repeats_nothing_and_min_fits_the_ratio(sizes: list[int], seed: int) -> None:
    parts = [part(f"d{k}", "x" if k else "y", n) for k, n in enumerate(sizes)]
    strict = draw_mix(parts, {"x": 3, "y": 1}, "strict", seed)
    assert not strict.duplicated().any()
    for row in strict.itertuples():
        assert row.row < sizes[int(row.dataset[1:])]
    counts = draw_mix(parts, {"x": 3, "y": 1}, "min", seed)["domain"].value_counts()
    assert abs(counts.get("x", 0) - 3 * counts.get("y", 0)) <= 3


@pytest.mark.parametrize(
    ("parts", "ratio", "message"),
    [
        ([part("a", "x", 3), part("b", "z", 3)], {"x": 1}, r"for \['x', 'z'\]"),
        ([part("a", "x", 3), part("b", "y", 0)], {"x": 1, "y": 1}, "'b' has no rows"),
        ([part("a", "x", 3)], {"x": 0}, "parts of 0 or more"),
    ],
)
def test_mixes_that_make_no_sense_are_refused(
    parts: list[Part], ratio: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        draw_mix(parts, ratio)


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
    named = {f"d{k}": own for k, own in enumerate(keys)}
    sides: tuple[set[int], set[int]] = (set(), set())
    for name, rows in split_rows(named, seed).items():
        assert sorted(np.concatenate(rows)) == list(range(len(named[name])))
        for side, own in zip(sides, rows, strict=True):
            side.update(named[name][row] for row in own)
    assert not sides[0] & sides[1]


SIZES = {"math": {"gsm8k": 75, "math": 75}, "qa": {"squad2": 876, "hotpotqa": 890},
         "code": {"humaneval": 16, "mbpp": 43}}  # fmt: skip


def raw(root: Path, domain: str, name: str, rows: Iterator[dict[str, Any]] | int) -> Path:
    if isinstance(rows, int):
        rows = ({"question": f"{name} question {k}"} for k in range(rows))
    path = root / "raw" / domain / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"id": f"{name}_{k}", "dataset": name, "domain": domain,
                    "reference_answer": "x", "answer_type": "text", "metadata": {}, **row})
        for k, row in enumerate(rows)
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for domain, datasets in SIZES.items():
        for name, n in datasets.items():
            raw(tmp_path / "data", domain, name, n)
    return tmp_path / "data"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_tree_is_that_of_the_note(root: Path) -> None:
    info = mix_tree(root, RATIO)
    assert info == json.loads((root / "mixed/info.json").read_text()) == {
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
    index = json.loads((root / "test/test_index.json").read_text())
    assert index == {name: f"data/test/{name}_test.jsonl" for name in names}
    meta = json.loads((root / "processed/mbpp/meta.json").read_text())
    assert meta == {
        "dataset": "mbpp", "domain": "code", "total": 43, "train": 36, "test": 7,
        "split_ratio": info["split_ratio"], "answer_types": {"text": 43},
    }  # fmt: skip
    mixed = [read(root / f"mixed/{side}_mixed.jsonl") for side in ("train", "test")]
    assert [len(rows) for rows in mixed] == [info["total_train"], info["total_test"]]
    questions = [{row["question"] for row in rows} for rows in mixed]
    assert not questions[0] & questions[1]
    for name in names:
        train, test = (read(root / f"processed/{name}/{side}.jsonl") for side in ("train", "test"))
        assert {row["id"] for row in train + test} == {row["id"] for row in read(
            root / f"raw/{names[name]}/{name}.jsonl")}  # fmt: skip
        assert read(root / f"test/{name}_test.jsonl") == test
        assert {row["id"] for row in mixed[0] if row["dataset"] == name} <= {
            row["id"] for row in train
        }


def test_same_seed_same_bytes_and_another_seed_others(root: Path) -> None:
    digests = []
    for seed in (1, 1, 2):
        mix_tree(root, RATIO, seed=seed)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        digests.append(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": ""}, "line 1: question"),
        ({"question": "x", "answer_type": "number"}, "line 1: answer_type"),
        ({"question": "x", "domain": "qa"}, "line 1: dataset and domain are not the file's"),
        ({"question": "x", "id": "math_0"}, "'math_0' is used twice"),
    ],
)
def test_a_bad_line_is_named(root: Path, row: dict[str, str], message: str) -> None:
    raw(root, "math", "gsm8k", iter([row]))
    with pytest.raises(UserError, match=message):
        mix_tree(root, RATIO)


NOTE: dict[str, Any] = {"id": "gsm8k_0", "dataset": "gsm8k", "domain": "math", "question": "x",
                        "answer_type": "numeric", "metadata": {"source": "gsm8k"}}  # fmt: skip


def test_numbers() -> None:
    for answer in ("24", "-0.5", "1,250", "1,250,000.5"):
        assert Record.model_validate(NOTE | {"reference_answer": answer})
    for answer in ("12,50", "1/2", r"\frac{1}{2}", "", "inf", "x"):
        with pytest.raises(ValidationError, match="is no number"):
            Record.model_validate(NOTE | {"reference_answer": answer})


def test_boxes() -> None:
    for inside in (r"\text{a {b} c}", r"\left\{x\right.", r"\begin{matrix}1\\2\\\end{matrix}"):
        assert boxed(rf"so $\boxed{{{inside}}}$") == inside
    assert boxed(r"not \boxed{2}, but \fbox{3}") == "3"
    assert boxed(r"so \boxed 5.") == "5"


ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "How many in all?", "answer": "June: 600.\n#### 1,800"},
    "math": {"problem": "Find $x$.", "level": "Level 1", "type": "Algebra",
             "solution": r"Not \boxed{2}, but $x = \boxed{\frac{1}{4}}$."},
    "squad2": {"id": "5a", "context": "The Orba rises on Mount Sel. ",
               "question": " Where does the Orba end?",
               "answers": {"text": [], "answer_start": []}},
    "hotpotqa": {"id": "5b", "question": "Which is longer?", "answer": "Orba", "level": "medium",
                 "context": {"title": ["Orba", "Lusa"],
                             "sentences": [["It is a river.", " It is 80 km long."],
                                           ["It is 60 km long."]]}},
    "humaneval": {"task_id": "HumanEval/0", "entry_point": "twice", "prompt": "def twice(x):\n",
                  "canonical_solution": "    return 2 * x\n", "test": "assert f(2) == 4\n"},
    "mbpp": {"task_id": 602, "prompt": "Add two numbers.", "code": "def add(a, b):\n  return a + b",
             "test_imports": ["import math"], "test_list": ["assert add(1, 2) == 3"]},
}  # fmt: skip
EXPECTED = {
    "gsm8k": ("How many in all?", "1800", "numeric", {"original_id": "0"}),
    "math": ("Find $x$.", r"\frac{1}{4}", "text", {"level": "Level 1", "type": "Algebra"}),
    "squad2": ("The Orba rises on Mount Sel.\n\nWhere does the Orba end?", "", "text",
               {"original_id": "5a"}),
    "hotpotqa": ("Orba: It is a river. It is 80 km long.\n\nLusa: It is 60 km long.\n\n"
                 "Which is longer?", "Orba", "text", {"level": "medium"}),
    "humaneval": ("def twice(x):\n", "    return 2 * x\n", "code",
                  {"original_id": "HumanEval/0", "entry_point": "twice"}),
    "mbpp": ("Add two numbers.", "def add(a, b):\n  return a + b", "code",
             {"original_id": "602", "test_list": ["assert add(1, 2) == 3"]}),
}  # fmt: skip


@pytest.mark.parametrize("dataset", READERS)
def test_rows_of_the_six_datasets_become_records(dataset: str, tmp_path: Path) -> None:
    [record] = read(write_raw(tmp_path, dataset, [ROWS[dataset]]))
    question, answer, kind, metadata = EXPECTED[dataset]
    assert record["id"] == f"{dataset}_0"
    assert (record["question"], record["reference_answer"]) == (question, answer)
    assert record["answer_type"] == kind
    assert {"source": dataset, **metadata}.items() <= record["metadata"].items()


@pytest.mark.parametrize(
    ("dataset", "row", "message"),
    [
        ("gsm8k", ROWS["gsm8k"] | {"answer": "24 #### many"}, "row 0: .*is no number"),
        ("math", ROWS["math"] | {"solution": "4"}, r"no .*boxed"),
        ("math", ROWS["math"] | {"solution": r"\boxed{4"}, "that closes"),
        ("humaneval", ROWS["humaneval"] | {"canonical_solution": " "}, "must not be empty"),
    ],
)
def test_rows_that_do_not_fit_are_named(
    dataset: str, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        write_raw(tmp_path, dataset, [row])
    assert not list(tmp_path.rglob("*.jsonl"))


def test_the_hub_is_asked_for_every_configuration_and_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(hub_id: str, config: str | None, *, split: str) -> list[dict[str, Any]]:
        asked.append((hub_id, config, split))
        return [ROWS["mbpp"]]

    monkeypatch.setitem(__import__("sys").modules, "datasets", SimpleNamespace(load_dataset=load))
    assert len(read(write_raw(tmp_path, "mbpp"))) == 4
    assert {split for _, _, split in asked} == {"train", "test", "validation", "prompt"}
