"""The mixing note's tree: files, keys, counts and isolation."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from evoxtral import UserError
from evoxtral.mix.mixer import mix_tree
from evoxtral.mix.raw import write_raw
from evoxtral.mix.records import Record

SIZES = {"math": {"gsm8k": 75, "math": 75}, "qa": {"squad2": 876, "hotpotqa": 890},
         "code": {"humaneval": 16, "mbpp": 43}}  # fmt: skip
RATIO = {"math": 4, "qa": 3, "code": 3}


def records(dataset: str, domain: str, n: int, copies: int = 1) -> Iterator[Record]:
    for k in range(n):
        yield Record(
            id=f"{dataset}_{k}", dataset=dataset, domain=domain,
            question=f"{dataset} question {k // copies}", reference_answer="x", answer_type="text",
            metadata={"source": dataset, "original_id": str(k)},
        )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for domain, datasets in SIZES.items():
        for name, n in datasets.items():
            write_raw(data, records(name, domain, n), name, domain)
    return data


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_the_tree_is_that_of_the_note(root: Path) -> None:
    mix_tree(root, RATIO)
    names = [name for datasets in SIZES.values() for name in datasets]
    expected = {"mixed/train_mixed.jsonl", "mixed/test_mixed.jsonl", "mixed/info.json",
                "test/test_index.json"}  # fmt: skip
    for domain, datasets in SIZES.items():
        expected |= {f"raw/{domain}/{name}.jsonl" for name in datasets}
    for name in names:
        expected |= {
            f"processed/{name}/{file}" for file in ("train.jsonl", "test.jsonl", "meta.json")
        }
        expected.add(f"test/{name}_test.jsonl")
    assert {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} == expected


def test_info_and_index_have_the_keys_of_the_note(root: Path) -> None:
    mixed = mix_tree(root, RATIO)
    info = json.loads((root / "mixed" / "info.json").read_text())
    assert info == mixed.info == {
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
    index = json.loads((root / "test" / "test_index.json").read_text())
    assert index["gsm8k"] == "data/test/gsm8k_test.jsonl"
    assert all((root.parent / path).is_file() for path in index.values())
    meta = json.loads((root / "processed" / "mbpp" / "meta.json").read_text())
    assert (meta["domain"], meta["total"], meta["train"], meta["test"]) == ("code", 43, 36, 7)
    assert len(index) == 6


def test_mixed_files_hold_what_the_plan_says(root: Path) -> None:
    mixed = mix_tree(root, RATIO)
    for side, draws in (("train", mixed.train), ("test", mixed.test)):
        found = Counter(
            name.rsplit("_", 1)[0] for name in ids(root / "mixed" / f"{side}_mixed.jsonl")
        )
        table = draws.table()
        assert found == dict(zip(table["dataset"], table["drawn"], strict=True))
        assert sum(found.values()) == mixed.info[f"total_{side}"]


def test_train_and_test_share_no_row(root: Path) -> None:
    mix_tree(root, RATIO)
    train, test = (set(ids(root / "mixed" / f"{side}_mixed.jsonl")) for side in ("train", "test"))
    assert not train & test
    for name in ("gsm8k", "mbpp"):
        a, b = (ids(root / "processed" / name / f"{side}.jsonl") for side in ("train", "test"))
        assert not set(a) & set(b)
        assert len(a) + len(b) == len({*a, *b})
        assert ids(root / "test" / f"{name}_test.jsonl") == b
        assert {x for x in train if x.startswith(name)} <= set(a)


def test_copies_of_a_question_stay_on_one_side(tmp_path: Path) -> None:
    write_raw(tmp_path, records("a", "x", 300, copies=2), "a", "x")
    write_raw(tmp_path, records("b", "y", 60), "b", "y")
    mix_tree(tmp_path, {"x": 1, "y": 1}, "strict")
    sides = [
        {json.loads(line)["question"] for line in
         (tmp_path / "processed" / "a" / f"{side}.jsonl").read_text().splitlines()}
        for side in ("train", "test")
    ]  # fmt: skip
    assert not sides[0] & sides[1]
    assert [len(side) for side in sides] == [125, 25]


def test_same_seed_same_bytes_and_another_seed_others(root: Path) -> None:
    mix_tree(root, RATIO, seed=1)
    first = digest(root)
    mix_tree(root, RATIO, seed=1)
    assert digest(root) == first
    mix_tree(root, RATIO, seed=2)
    assert digest(root) != first


def test_strata_of_our_own_mix_likewise(tmp_path: Path) -> None:
    for name, n in (("plain", 90), ("tagged", 600)):
        write_raw(tmp_path, records(name, name, n), name, name)
    mixed = mix_tree(tmp_path, {"tagged": 3, "plain": 1}, "min")
    assert mixed.train.counts == {"tagged": 225, "plain": 75}
    assert mixed.info["domain_intra_balance"] == "equal shares per domain"


def test_a_missing_domain_is_named(root: Path) -> None:
    with pytest.raises(UserError, match="no raw file of domain 'speech'"):
        mix_tree(root, {**RATIO, "speech": 1})


def test_ids_shared_by_two_datasets_are_refused(root: Path) -> None:
    path = root / "raw" / "math" / "gsm8k.jsonl"
    other = path.with_name("copy.jsonl")
    other.write_text(path.read_text().replace('"dataset":"gsm8k"', '"dataset":"copy"'))
    with pytest.raises(UserError, match="share a name or ids"):
        mix_tree(root, RATIO)


def test_outputs_never_follow_a_link_out(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "mixed").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of"):
        mix_tree(root, RATIO)
    assert not list(outside.iterdir())
