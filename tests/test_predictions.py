"""A file of predictions holds exactly one for every clip, or is refused with its row."""

from __future__ import annotations

import json
import re

import pytest

from evoxtral import UserError
from evoxtral.pipeline import read_predictions

GOOD = ['{"id": "a", "text": "x"}', '{"id": "b", "text": ""}']


def _file(folder, lines):
    path = folder / "predictions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_texts_come_in_the_order_of_the_split(tmp_path):
    path = _file(tmp_path, ["\ufeff" + GOOD[0], "", '{"id":"b","text":"é\u2028","x":[1]}'])
    assert read_predictions(path, ["b", "a"]) == ["é\u2028", "x"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*GOOD, '{"id": "c", "text": "x"}'], "clip 'c' is not in the split; give"),
        ([GOOD[0], "", GOOD[0], GOOD[1]], "clip 'a' has 2 lines"),
        (["[1]", *GOOD], "line 1: expected a JSON object"),
        ([GOOD[0], "{", GOOD[1]], "line 2: not valid JSON"),
        (['{"id": 7, "text": "x"}'], "row 1: id: Input should be a valid string"),
        (['{"id": "a"}'], "row 1: text: Field required"),
        ([json.dumps({"id": "a", "text": "x" * 20_001})], "row 1: text: String should have at mos"),
        (GOOD[1:], "clip 'a' has 0 lines"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, lines, said):
    path = _file(tmp_path, lines)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}[:,] {re.escape(said)}"):
        read_predictions(path, ["a", "b"])
    with pytest.raises(UserError, match="there is no such file"):
        read_predictions(tmp_path / "none.jsonl", ["a"])
