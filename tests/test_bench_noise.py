"""Known noise: what is dropped, and that hallucination rises by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, bench, metrics, tags
from evoxtral.bench import PAPER, STRICT, drop_tags, missing_labels

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


def test_the_share_is_met_on_many_tags() -> None:
    texts = ["[sad] a [pause] b [sighs] c"] * 2000
    left = sum(len(tags.find_tags(text)) for text in drop_tags(texts, 0.3, seed=1))
    assert left / 6000 == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 6000))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(UserError, match="from 0 to 1"):
        drop_tags(["[sad] a"], share)


def test_hallucination_of_a_perfect_system_is_the_noise() -> None:
    texts = ["[sad] a [pause] b [sighs] c"] * 200
    shares = (0.0, 0.2, 0.5)
    frame = bench.noise_curve({"perfect": metrics.evaluate(texts, texts)}, shares, seed=5)
    spoilt = [drop_tags(texts, share, seed=5) for share in shares]
    for protocol in (PAPER, STRICT):
        rows = frame[frame["protocol"] == protocol]
        dropped = [1 - sum(len(tags.find_tags(t)) for t in own) / 600 for own in spoilt]
        assert list(rows["value"]) == pytest.approx(dropped)
        assert list(rows["rise"]) == pytest.approx(dropped)
        assert tuple(rows.iloc[0][["rise_low", "rise_high"]]) == (0, 0)
        assert (rows.iloc[1:]["rise_low"] > 0).all()


def test_the_curve_is_that_of_a_new_evaluation() -> None:
    references = ["[sad] a [pause] b", "[sighs] c d", "e [laughs] f", "[pause] g"]
    predictions = ["[sad] a b", "[sighs] [calm] c d", "e f", "[pause] [pause] g"]
    clean = metrics.evaluate(references, predictions)
    frame = bench.noise_curve({"x": clean}, (0.4,), seed=2)
    again = metrics.evaluate(drop_tags(references, 0.4, seed=2), predictions)
    assert again.clips != clean.clips
    for row in frame.to_dict("records"):
        protocol = {PAPER: "paper", STRICT: "strict"}[row["protocol"]]
        i = again.intervals(protocol, seed=2)["hallucination"]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((i.value, i.low, i.high))


@given(SHARES, st.floats(0, 0.99))
def test_missing_labels_explain_the_observed_rate(share: float, genuine: float) -> None:
    observed = min(1.0, genuine + share * (1 - genuine))
    assert missing_labels(observed, genuine) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(("observed", "genuine"), [(0.1, 0.2), (1.2, 0.1), (1.0, 1.0), (0.1, -0.1)])
def test_rates_that_are_none(observed: float, genuine: float) -> None:
    with pytest.raises(UserError, match="hallucination rates"):
        missing_labels(observed, genuine)
