"""The released scripts: the report's split and supports, exactly; malformed files, clearly."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from evoxtral import UserError, paper, tags
from evoxtral.world.scripts import Script, fetch_released, read_released, split_released
from evoxtral.world.scripts.released import RELEASED_SHA256

GOOD = {"tagged_text": "[sighs] No.", "domain": "podcast", "slice_type": "light"}


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Script]:
    return read_released(released_path)


def test_the_released_file(released_path: Path, released: list[Script]) -> None:
    assert hashlib.sha256(released_path.read_bytes()).hexdigest() == RELEASED_SHA256
    assert [s.id for s in released] == [f"r-{i:04d}" for i in range(1010)]
    slices = {"moderate": 253, "light": 252, "plain": 248, "dense": 153, "edge": 94, "demo": 10}
    assert Counter(s.slice for s in released) == slices
    assert len({s.domain for s in released}) == 17
    assert len({tag for s in released for tag in tags.find_tags(s.tagged_text)}) == 26


def test_split_is_a_partition_with_the_supports_of_table_3(released: list[Script]) -> None:
    split = split_released(released)
    sizes = {"train": 808, "validation": 101, "test": 101}
    assert {name: len(rows) for name, rows in split.items()} == sizes
    assert sorted(s.id for rows in split.values() for s in rows) == [s.id for s in released]
    bench = [s.tagged_text for s in split["test"][:50]]
    counts = Counter(tag for text in bench for tag in tags.find_tags(text))
    support = paper.load().per_tag.set_index("tag")["support"]
    assert {tag: counts[tag] for tag in tags.TAGS} == support.to_dict()
    with pytest.raises(UserError, match="at least 5"):
        split_released(released[:4])


@pytest.mark.slow
def test_split_is_that_of_datasets(released: list[Script]) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the `datasets` extra")
    whole = datasets.Dataset.from_dict({"id": [s.id for s in released]})
    first = whole.train_test_split(test_size=0.2, seed=42)
    second = first["test"].train_test_split(test_size=0.5, seed=42)
    expected = [first["train"]["id"], second["train"]["id"], second["test"]["id"]]
    split = split_released(released)
    assert [[s.id for s in rows] for rows in split.values()] == [list(ids) for ids in expected]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "readable JSON"),
        (b"\xff\xfe\x00", "readable JSON"),
        ('{"rows": []}', "JSON list"),
        (json.dumps([GOOD, "text"]), "row 1"),
        (json.dumps([GOOD, {"domain": "podcast"}]), "row 1: .*tagged_text"),
        (json.dumps([{**GOOD, "tagged_text": "  "}]), "row 0: .*tagged_text"),
        (json.dumps([GOOD, GOOD, {**GOOD, "slice_type": 3}]), "row 2: .*slice_type"),
        (None, "readable JSON"),
    ],
)
def test_malformed_files_are_named_with_their_row(
    tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    path = tmp_path / "scripts.json"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as caught:
        read_released(path)
    assert str(path) in str(caught.value)


def test_fetching(tmp_path: Path, released_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intact copy needs no network; a failed download is one sentence."""
    cached = tmp_path / "evoxtral_scripts.json"
    cached.write_bytes(released_path.read_bytes())
    assert fetch_released(tmp_path) == cached

    def unreachable(*args: object, **kwargs: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("pooch.retrieve", unreachable)
    with pytest.raises(UserError, match=r"by hand.*no route"):
        fetch_released(tmp_path)
