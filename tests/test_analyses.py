"""Confusions, numbers of tags, known noise, and which model for which use."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, analyses, metrics, stats, tags
from evoxtral.analyses import (
    INVENTED,
    MISSED,
    NO_DIFFERENCE,
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


def test_pairs_are_counted_per_clip() -> None:
    frame = analyses.count_pairs(NUMBERS)
    assert frame.to_numpy().tolist() == [
        ["many", 0, 0, 1], ["many", 0, 1, 1], ["many", 1, 1, 1], ["many", 2, 3, 1],
        ["none", 0, 0, 2], ["none", 1, 0, 1], ["none", 2, 0, 1],
    ]  # fmt: skip


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
    assert drop_tags([text], 0.0) == [text.strip()]
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


N = 40
SPOKEN = [f"[sad] one two three [pause] four {k}" for k in range(N)]
WORDS = [f"one two three four {k}" for k in range(N)]  # no tag, no error
TAGS = [f"[sad] one too three [pause] four {k}" for k in range(N)]  # all tags, one error
NEARLY = [*TAGS[:-1], f"one too three [pause] four {N - 1}"]


def test_each_use_gets_the_model_that_is_better_for_it() -> None:
    frame = analyses.choose(_split(SPOKEN, SFT=WORDS, RL=TAGS))
    assert set(frame["protocol"]) == {PAPER, STRICT}
    for _, rows in frame.set_index("metric").groupby("protocol"):
        assert rows["choice"].to_dict() == {"WER": "SFT", "Tag F1": "RL"}
        assert rows.loc["WER", "difference"] == pytest.approx(-0.2)
        assert rows.loc["Tag F1", "text"] == (
            "Tag F1 of RL 100.0%: against SFT (0.0%) +100.0 points [+100.0, +100.0]"
        )


def test_no_choice_without_a_difference_to_every_other() -> None:
    frame = analyses.choose(_split(SPOKEN, base=WORDS, SFT=TAGS, RL=NEARLY))
    row = frame[(frame["metric"] == "Tag F1") & (frame["protocol"] == STRICT)].iloc[0]
    assert (row["choice"], row["best"], row["rival"]) == (NO_DIFFERENCE, "SFT", "RL")
    assert row["low"] <= 0 < row["difference"]
    assert row["text"].count(NO_DIFFERENCE) == 1
    assert "against base (0.0%) +100.0 points" in row["text"]


def test_the_baseline_does_not_compete_and_equal_models_show_no_difference() -> None:
    systems = {"SFT": TAGS, "my-adapter": list(TAGS), "no tags": WORDS}
    frame = analyses.choose(_split(SPOKEN, **systems))
    assert set(frame["best"]) == {"SFT"}
    assert set(frame["choice"]) == {NO_DIFFERENCE}
    assert frame["text"].str.contains("my-adapter").all()
    with pytest.raises(UserError, match="two models"):
        analyses.choose(_split(SPOKEN, SFT=TAGS, **{"no tags": WORDS}))
