"""Confusions: every tag is in one pair, and the diagonal is what the metrics count as hits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import bench, metrics, tags
from evoxtral.bench import INVENTED, MISSED, OTHER, pair_tags
from evoxtral.metrics import aligned_matches
from evoxtral.tags import parse

PAIRS = [
    ("oh no", "oh no", []),
    ("[sad] oh no", "oh no", [("sad", None)]),
    ("oh no", "[sad] oh no", [(None, "sad")]),
    ("[sad] oh no", "[calm] oh no", [("sad", "calm")]),
    # An equal tag two words away is taken before another one at the same place.
    ("[sad] a b c", "[calm] a b [sad] c", [("sad", "sad"), (None, "calm")]),
    # Out of reach.
    ("[sad] a b c d", "a b c [sad] d", [("sad", None), (None, "sad")]),
    ("[sad] a b c d", "a b c [calm] d", [("sad", None), (None, "calm")]),
    # As many pairs as can be, then as close as can be.
    ("[sad] a b [sighs] c", "a [calm] b [pause] c", [("sad", "calm"), ("sighs", "pause")]),
    ("[sad] a b c", "a [calm] b [pause] c", [("sad", "calm"), (None, "pause")]),
    ("a [sad] [sighs] b", "a [calm] [pause] b", [("sad", "calm"), ("sighs", "pause")]),
    # Words that were inserted do not move a tag.
    ("a b [sad] c", "x y z a b [calm] c", [("sad", "calm")]),
]


@pytest.mark.parametrize(("reference", "prediction", "expected"), PAIRS)
def test_pairs(reference: str, prediction: str, expected: list) -> None:
    found = pair_tags(parse(reference), parse(prediction))
    assert Counter(found) == Counter(expected)


TEXTS = st.lists(
    st.sampled_from(["a", "b", "c", "d", "[sad]", "[calm]", "[pause]", "[sniffs]"]), max_size=14
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_hits_are_those_of_the_metrics_and_no_tag_is_lost(reference: str, prediction: str) -> None:
    true, predicted = parse(reference), parse(prediction)
    pairs = pair_tags(true, predicted)
    hits = Counter(t for t, p in pairs if t == p)
    counted = {n: c.tp for n, c in aligned_matches(true, predicted).items() if c.tp}
    assert dict(hits) == counted
    assert Counter(t for t, _ in pairs if t) == Counter(tag.name for tag in true.tags)
    assert Counter(p for _, p in pairs if p) == Counter(tag.name for tag in predicted.tags)


def test_the_frame_holds_every_combination() -> None:
    references = ["[sad] oh no", "[sad] well", "[sniffs] so it is", "plain"]
    predictions = ["[calm] oh no", "well", "[pause] so it is", "[pause] plain"]
    frame = bench.confusion(metrics.evaluate(references, predictions))
    assert len(frame) == 19 * 19 - 1
    seen = frame[frame["count"] > 0].set_index(["true", "predicted"])
    assert seen["count"].to_dict() == {
        ("sad", "calm"): 1,
        ("sad", MISSED): 1,
        (OTHER, "pause"): 1,
        (INVENTED, "pause"): 1,
    }
    assert seen["share"].to_dict() == {
        ("sad", "calm"): 0.5,
        ("sad", MISSED): 0.5,
        (OTHER, "pause"): 1,
        (INVENTED, "pause"): 0.5,  # of two predicted pauses one stands where no tag is
    }
    rows = frame[frame["true"] != INVENTED].groupby("true")["share"].sum(min_count=1)
    assert rows.dropna().tolist() == pytest.approx([1] * rows.notna().sum())


def test_other_is_shown_only_where_it_occurs() -> None:
    frame = bench.confusion(metrics.evaluate(["[sad] oh"], ["[sad] oh"]))
    assert set(frame["true"]) == {*tags.TAGS, INVENTED}
    assert set(frame["predicted"]) == {*tags.TAGS, MISSED}
