"""Confusions, numbers of tags, known noise, and which model for which use."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import analyses, metrics, paper, stats, tags
from evoxtral.analyses import (
    INVENTED,
    MISSED,
    OTHER,
    drop_tags,
    pair_tags,
)
from evoxtral.bench import PAPER, STRICT, Split
from evoxtral.metrics import aligned_matches
from evoxtral.tags import parse


def _split(references: list[str], **wrote: list[str]) -> Split:
    return Split("test", {name: metrics.evaluate(references, own) for name, own in wrote.items()})


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
    frame = analyses.confusion(metrics.evaluate(references, predictions))
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


REFERENCES = ["[sad] a [pause] b", "c", "[sighs] d", "e"]
NUMBERS = _split(
    REFERENCES,
    many=["[sad] a [pause] b [sad]", "[calm] c", "[sighs] d", "e"],
    none=["a b", "c", "d", "e"],
)


def test_bias_is_a_difference_and_a_ratio() -> None:
    frame = analyses.count_bias(NUMBERS).set_index("system")
    many, none = frame.loc["many"], frame.loc["none"]
    measured = many[["true", "predicted", "difference", "same", "n"]]
    assert tuple(measured) == (0.75, 1.25, 0.5, 0.5, 4)
    assert many["ratio"] == pytest.approx(5 / 3)
    assert 0 <= many["low"] <= 0.5 <= many["high"] <= 1
    assert (none["difference"], none["ratio"]) == (-0.75, 0)
    untagged = analyses.count_bias(_split(["a", "b"], x=["[sad] a", "b"]))
    assert untagged["ratio"].isna().all()
    assert untagged["difference"].tolist() == [0.5]


SHARES = st.floats(0, 1, allow_nan=False)


@given(
    st.lists(st.sampled_from(["oh", "NO,", "so", "[sad]", "[pause]", "[Clears  throat]"])),
    SHARES,
    SHARES,
    st.integers(0, 9),
    st.sampled_from(["", " ", "  "]),
)
def test_only_tags_are_dropped_and_more_noise_drops_more(
    parts: list[str], a: float, b: float, seed: int, gap: str
) -> None:
    text = gap.join(parts)
    less, more = sorted((a, b))
    first, second = drop_tags([text], less, seed=seed), drop_tags([text], more, seed=seed)
    assert tags.parse(first[0]).words == tags.parse(second[0]).words == tags.parse(text).words
    places = [{(t.name, t.word_index) for t in tags.parse(x[0]).tags} for x in (first, second)]
    assert places[1] <= places[0]
    assert drop_tags([text], 0.0) == [" ".join(text.split())]
    assert tags.find_tags(drop_tags([text], 1.0)[0]) == []


def test_hallucination_of_a_perfect_system_is_the_noise() -> None:
    texts = ["[sad] a [pause] b [sighs] c"] * 200
    shares = (0.0, 0.2, 0.5)
    frame = analyses.noise_curve(_split(texts, RL=texts), shares, seed=5)
    left = [sum(map(len, map(tags.find_tags, drop_tags(texts, s, seed=5)))) for s in shares]
    dropped = [1 - tags / 600 for tags in left]
    for _, rows in frame.groupby("protocol"):
        assert list(rows["value"]) == list(rows["rise"]) == pytest.approx(dropped)
        assert tuple(rows.iloc[0][["rise_low", "rise_high"]]) == (0, 0)
        assert (rows.iloc[1:]["rise_low"] > 0).all()


def test_the_curve_is_that_of_a_new_evaluation() -> None:
    references = ["[sad] a [pause] b", "[sighs] c d", "e [laughs] f", "[pause] g"]
    predictions = ["[sad] a b", "[sighs] [calm] c d", "e f", "[pause] [pause] g"]
    clean = metrics.evaluate(references, predictions)
    frame = analyses.noise_curve(Split("test", {"RL": clean}), (0.4,), seed=2)
    again = metrics.evaluate(drop_tags(references, 0.4, seed=2), predictions)
    assert again.clips != clean.clips
    for row in frame.to_dict("records"):
        protocol = {PAPER: "paper", STRICT: "strict"}[row["protocol"]]
        ratio = again.table(protocol)["hallucination"].ratio
        [i] = stats.bootstrap_intervals({"": ratio}, seed=2).values()
        assert (row["value"], row["low"], row["high"]) == pytest.approx((i.value, i.low, i.high))


def test_the_spread_of_clips_is_set_beside_the_bounds(numbers: paper.Published) -> None:
    found = analyses.spread(_split(["[sad] a", "b", "[pause] c"], SFT=["a", "b", "[pause] c"],
                                   RL=["[sad] a", "b", "[pause] c"]))  # fmt: skip
    assert found == {"sft": pytest.approx((2 / 3, 3**-0.5)), "rl": (1, 0)}
    row = paper.tag_f1_errors(numbers, found).query("assumption == 'measured here'").iloc[0]
    assert row["se"] == pytest.approx(3**-0.5 / 50**0.5)
