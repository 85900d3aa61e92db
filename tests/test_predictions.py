"""A file of predictions holds exactly one for every clip, or is refused with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.predictions import MAX_TEXT, Prediction, read_predictions, write_predictions

GOOD = ['{"id": "a", "text": "x"}', '{"id": "b", "text": ""}']


def _file(folder: Path, lines: list[str]) -> Path:
    path = folder / "predictions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_keeps_its_bytes_and_is_read_in_the_order_of_the_split(tmp_path: Path) -> None:
    rows = [Prediction("b", "[sad] oh é\u2028", 3, True), Prediction("a", "")]
    path = write_predictions(tmp_path / "p.jsonl", rows)
    assert path.read_text(encoding="utf-8") == (
        '{"id": "b", "text": "[sad] oh é\u2028", "tokens": 3, "finished": true}\n'
        '{"id": "a", "text": "", "tokens": null, "finished": null}\n'
    )
    assert read_predictions(path, ["a", "b"]) == rows[::-1]


def test_a_foreign_file_needs_id_and_text_only(tmp_path: Path) -> None:
    path = _file(tmp_path, ["\ufeff" + GOOD[0], "", '{"id":"b","text":"","tokens":null,"x":[1]}'])
    assert read_predictions(path, ["b", "a"]) == [Prediction("b", ""), Prediction("a", "x")]


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        ([*GOOD, '{"id": "c", "text": "x"}'], 3, "no clip 'c'"),
        ([GOOD[0], "", GOOD[0], GOOD[1]], 3, "stands in line 1 already"),
        (["[1]", *GOOD], 1, "object"),
        ([GOOD[0], "{", GOOD[1]], 2, "Invalid JSON"),
        (["[" * 100_000], 1, "Invalid JSON"),
        (['{"id": 7, "text": "x"}'], 1, "id: Input should be a valid string"),
        (['{"id": "a"}'], 1, "text: Field required"),
        (['{"id": "a", "text": "x", "tokens": -1}'], 1, "greater than or equal to 0"),
        (['{"id": "a", "text": "x", "tokens": true}'], 1, "tokens: Input should be"),
        (['{"id": "a", "text": "x", "finished": 1}'], 1, "finished: Input should be"),
        ([json.dumps({"id": "a", "text": "x" * (MAX_TEXT + 1)})], 1, "at most 20000"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, lines: list[str], line: int, said: str) -> None:
    path = _file(tmp_path, lines)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}:{line}: .*{re.escape(said)}"):
        read_predictions(path, ["a", "b"])


def test_a_missing_clip_or_file_is_named(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"predictions.jsonl: 2 of 4 clips .* first is 'c'"):
        read_predictions(path, ["a", "c", "b", "d"])
    with pytest.raises(UserError, match="cannot read"):
        read_predictions(tmp_path / "none.jsonl", ["a"])
    path.write_bytes(b'{"id": "a", "text": "\xff"}\n')
    with pytest.raises(UserError, match=r"jsonl:1: Invalid JSON"):
        read_predictions(path, ["a"])


@given(st.lists(st.text(max_size=20), max_size=5, unique=True))
def test_any_id_and_text_survive(tmp_path_factory: pytest.TempPathFactory, names: list) -> None:
    names = [name.encode("utf-8", "ignore").decode() for name in names]
    rows = [Prediction(name, name[::-1]) for name in dict.fromkeys(names)]
    path = write_predictions(tmp_path_factory.mktemp("p") / "p.jsonl", rows)
    assert read_predictions(path, [row.id for row in rows]) == rows
