"""What the report's numbers say, recomputed from its released scripts alone."""

from __future__ import annotations

import pytest

from evoxtral import paper, tags
from evoxtral.metrics import Evaluation, evaluate
from evoxtral.world.scripts import read_released, split_released

SUPPORT = paper.load().per_tag.set_index("tag")["support"].to_dict()
"""The report's Table 3."""


@pytest.fixture(scope="module")
def references(released_path) -> list[str]:
    """The 50 clips of the report's benchmark."""
    split = split_released(read_released(released_path))
    assert {name: len(part) for name, part in split.items()} == {
        "train": 808,
        "validation": 101,
        "test": 101,
    }
    return [script.tagged_text for script in split["test"][:50]]


@pytest.fixture(scope="module")
def no_tags(references) -> Evaluation:
    """The prediction "the reference without its tags, lowercased"."""
    return evaluate(references, [tags.strip_tags(text).lower() for text in references])


def test_supports_of_table_3(no_tags):
    per_tag = no_tags.per_tag("paper")
    assert {tag: metric.support for tag, metric in per_tag.items()} == SUPPORT
    # The report calls support "test samples containing each tag"; it counts occurrences.
    assert (per_tag["pause"].support, per_tag["pause"].n) == (25, 24)


def test_the_base_row_is_the_prediction_of_no_tags(references, no_tags):
    assert sum(not tags.find_tags(text) for text in references) == 11
    assert sum(not tags.emphasis_words(text) for text in references) == 21
    paper = no_tags.table("paper")
    for name in ("tag_f1", "tag_precision", "tag_recall"):
        assert paper[name].value == 0.22
    assert paper["emphasis_f1"].value == 0.42
    assert paper["hallucination"].value == 0.0
    assert {metric.n for metric in paper.values()} == {50}


def test_the_base_row_carries_no_skill(no_tags):
    strict = no_tags.table("strict")
    assert (strict["tag_f1"].value, strict["tag_f1_macro"].value) == (0.0, 0.0)
    assert (strict["tag_f1_tagged"].n, strict["untagged_clean"].n) == (39, 11)
    assert no_tags.intervals("strict")["tag_f1"].high == 0.0
    interval = no_tags.intervals("paper")["tag_f1"]
    assert 0.10 < interval.low < 0.22 < interval.high < 0.36
