"""Raw files: validated line by line, read by offset, never outside their folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evoxtral import UserError, runs
from evoxtral.mix.raw import inside, read_raw, write_raw
from evoxtral.mix.records import Record


def record(k: int, **change: Any) -> Record:
    fields = {
        "id": f"toy_{k}", "dataset": "toy", "domain": "math", "question": f"Frage № {k}?",
        "reference_answer": str(k), "answer_type": "numeric",
        "metadata": {"source": "toy", "original_id": str(k)},
    }  # fmt: skip
    return Record.model_validate(fields | change)


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    path = write_raw(tmp_path, (record(k) for k in range(5)), "toy", "math")
    assert path == tmp_path / "raw" / "math" / "toy.jsonl"
    raw = read_raw(path)
    lines = [json.loads(line) for line in raw.lines([4, 0, 4])]
    assert [line["id"] for line in lines] == ["toy_4", "toy_0", "toy_4"]
    assert lines[1]["question"] == "Frage № 0?"
    assert len(raw.offsets) == 5
    assert raw.answer_types == {"numeric": 5}


def test_a_last_line_without_newline_is_a_line(tmp_path: Path) -> None:
    path = write_raw(tmp_path, [record(0), record(1)], "toy", "math")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert [line[-1:] for line in read_raw(path).lines([1, 0])] == [b"\n", b"\n"]


def test_keys_ignore_case_and_white_space(tmp_path: Path) -> None:
    rows = [record(0, question="How  many?"), record(1, question="how many?"), record(2)]
    keys = read_raw(write_raw(tmp_path, rows, "toy", "math")).keys
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: record: Invalid JSON"),
        ('{"id": "toy_1"}', "line 2: dataset: Field required"),
        (record(1, id="toy_0").model_dump_json(), "line 2: id 'toy_0' is used twice"),
        (record(1, dataset="other").model_dump_json(), r"belongs in raw/math/other\.jsonl"),
        (record(1).model_dump_json().replace("numeric", "number"), "line 2: answer_type"),
        ("", "line 2: record"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write_raw(tmp_path, [record(0)], "toy", "math")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=message):
        read_raw(path)


@pytest.mark.parametrize("name", ["../../x", "/abs", "nul\0", "a" * 300, "", "a.b", "a b"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    for dataset, domain in ((name, "math"), ("toy", name)):
        with pytest.raises(UserError, match="use a-z"):
            write_raw(tmp_path / "data", [], dataset, domain)
    assert not (tmp_path / "data").exists()


def test_a_link_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "data"
    (root / "raw").mkdir(parents=True)
    (root / "raw" / "math").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="leads out of"):
        write_raw(root, [record(0)], "toy", "math")
    assert not list((tmp_path / "outside").iterdir())
    assert inside(root, "raw") == root / "raw"


def test_a_record_of_another_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="toy_0 is of math/toy"):
        write_raw(tmp_path, [record(0)], "other", "math")
    assert not list(tmp_path.rglob("*.jsonl*"))


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    runs.write_stream(path, [b"old\n"])

    def broken() -> Iterator[bytes]:
        yield b"new\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.write_stream(path, broken())
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]
