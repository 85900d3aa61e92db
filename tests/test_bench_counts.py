"""Numbers of tags per clip, and the bias of a system."""

from __future__ import annotations

import pytest

from evoxtral import bench, metrics

REFERENCES = ["[sad] a [pause] b", "c", "[sighs] d", "e"]
MANY = metrics.evaluate(REFERENCES, ["[sad] a [pause] b [sad]", "[calm] c", "[sighs] d", "e"])
NONE = metrics.evaluate(REFERENCES, ["a b", "c", "d", "e"])


def test_pairs_are_counted_per_clip() -> None:
    frame = bench.count_pairs({"many": MANY, "none": NONE})
    rows = frame.itertuples(index=False, name=None)
    assert list(rows) == [
        ("many", 0, 0, 1),
        ("many", 0, 1, 1),
        ("many", 1, 1, 1),
        ("many", 2, 3, 1),
        ("none", 0, 0, 2),
        ("none", 1, 0, 1),
        ("none", 2, 0, 1),
    ]


def test_bias_is_a_difference_and_a_ratio() -> None:
    frame = bench.count_bias({"many": MANY, "none": NONE}).set_index("system")
    many, none = frame.loc["many"], frame.loc["none"]
    assert tuple(many[["true", "predicted", "difference", "same", "n"]]) == (
        0.75,
        1.25,
        0.5,
        0.5,
        4,
    )
    assert many["ratio"] == pytest.approx(5 / 3)
    assert 0 <= many["low"] <= 0.5 <= many["high"] <= 1
    assert (none["difference"], none["ratio"]) == (-0.75, 0)


def test_without_true_tags_there_is_no_ratio() -> None:
    frame = bench.count_bias({"x": metrics.evaluate(["a", "b"], ["[sad] a", "b"])})
    assert frame["ratio"].isna().all()
    assert frame["difference"].tolist() == [0.5]
