"""The released scripts: the report's split and supports, exactly; malformed files, clearly."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from evoxtral import UserError, paper, tags
from evoxtral.world.scripts import bench_rows, fetch_released, read_released, split_released
from evoxtral.world.scripts.released import RELEASED_SHA256
from evoxtral.world.scripts.script import Script

SUPPORT = paper.load().per_tag.set_index("tag")["support"].to_dict()
"""The report's Table 3."""
STRAY = {
    "curious",
    "curious tone",
    "emotional",
    "laughs nervously",
    "serious",
    "slams door",
    "sniffles",
    "worried",
    "yawns",
}


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Script]:
    return read_released(released_path)


def test_hash_is_that_of_the_file(released_path: Path) -> None:
    digest = hashlib.sha256(released_path.read_bytes()).hexdigest()
    assert digest == RELEASED_SHA256
    assert (digest[:8], digest[-6:]) == ("4c7c89a3", "2e5773")


def test_reading(released: list[Script]) -> None:
    assert len(released) == 1010
    assert [released[0].id, released[-1].id] == ["r-0000", "r-1009"]
    assert Counter(s.slice for s in released) == {
        "moderate": 253,
        "light": 252,
        "plain": 248,
        "dense": 153,
        "edge": 94,
        "demo": 10,
    }
    assert len({s.domain for s in released}) == 17


def test_tags_of_the_released_scripts(released: list[Script]) -> None:
    found = {tag for s in released for tag in tags.find_tags(s.tagged_text)}
    assert len(found) == 26
    assert found - set(tags.TAGS) == STRAY


def test_split_has_the_reports_sizes_and_is_a_partition(released: list[Script]) -> None:
    split = split_released(released)
    assert {name: len(rows) for name, rows in split.items()} == {
        "train": 808,
        "validation": 101,
        "test": 101,
    }
    assert sorted(s.id for rows in split.values() for s in rows) == [s.id for s in released]


def test_bench_rows_have_the_supports_of_table_3(released: list[Script]) -> None:
    bench = bench_rows(split_released(released)["test"])
    assert len(bench) == 50
    counts = Counter(tag for s in bench for tag in tags.find_tags(s.tagged_text))
    assert {tag: counts[tag] for tag in tags.TAGS} == SUPPORT
    assert sum(not tags.find_tags(s.tagged_text) for s in bench) == 11
    assert sum(not tags.emphasis_words(s.tagged_text) for s in bench) == 21


@pytest.mark.slow
def test_split_is_that_of_datasets(released: list[Script]) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the `datasets` extra")
    whole = datasets.Dataset.from_dict({"id": [s.id for s in released]})
    first = whole.train_test_split(test_size=0.2, seed=42)
    second = first["test"].train_test_split(test_size=0.5, seed=42)
    expected = {
        "train": first["train"]["id"],
        "validation": second["train"]["id"],
        "test": second["test"]["id"],
    }
    split = split_released(released)
    for name, ids in expected.items():
        assert [s.id for s in split[name]] == list(ids)


def test_too_few_to_split() -> None:
    rows = [Script(f"r-{i}", "Hi.", "plain", "podcast", "released", False) for i in range(4)]
    with pytest.raises(UserError, match="at least 5"):
        split_released(rows)


GOOD = {"tagged_text": "[sighs] No.", "domain": "podcast", "slice_type": "light"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "scripts.json"),
        ('{"rows": []}', "JSON list"),
        (json.dumps([GOOD, "text"]), "row 1: expected an object"),
        (json.dumps([GOOD, {"domain": "podcast"}]), "row 1: .*'tagged_text'"),
        (json.dumps([{**GOOD, "tagged_text": "  "}]), "row 0: .*'tagged_text'"),
        (json.dumps([GOOD, GOOD, {**GOOD, "slice_type": 3}]), "row 2: .*'slice_type'"),
    ],
)
def test_malformed_files_are_named_with_their_row(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "scripts.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_released(path)
    assert str(path) in str(caught.value)


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json"):
        read_released(tmp_path / "absent.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"bytes\.json"):
        read_released(tmp_path / "bytes.json")


def test_only_the_text_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "scripts.json"
    path.write_text(json.dumps([{**GOOD, "plain_text": "Wrong.", "tags_used": ["calm"]}]))
    (script,) = read_released(path)
    assert (script.plain_text, tags.find_tags(script.tagged_text)) == ("No.", ["sighs"])


def test_an_intact_cached_copy_needs_no_network(tmp_path: Path, released_path: Path) -> None:
    cached = tmp_path / "evoxtral_scripts.json"
    cached.write_bytes(released_path.read_bytes())
    assert fetch_released(tmp_path) == cached


def test_failed_download_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("pooch.retrieve", unreachable)
    with pytest.raises(UserError, match=r"by hand.*no route"):
        fetch_released(tmp_path)
