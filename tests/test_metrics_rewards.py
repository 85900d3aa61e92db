"""The reward, by the report's convention and the strict one, as fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.metrics import RewardWeights, reward, score_clip

PROPERTY = settings(deadline=None)
TEXTS = st.lists(
    st.sampled_from(["oh", "no", "NO", "[sad]", "[pause]", "[", "]", "[]"]), max_size=8
).map(" ".join)

# reference, prediction, (WER, F1, hallucination) by the report, the same by strict
CASES = [
    ("oh no", "oh no", (0, 1, 0), (0, 1, 0)),
    ("[sad] oh no", "[sad] oh no", (0, 1, 0), (0, 1, 0)),
    ("[sad] oh no", "oh no", (0, 0, 0), (0, 0, 0)),
    ("oh no", "[sad] oh no", (0, 0, 1), (0, 0, 1)),
    ("[sad] oh no", "[calm] oh no", (0, 0, 1), (0, 0, 1)),
    (
        "[sad] oh no",
        "[sad] [sad] oh no",
        (0, Fraction(2, 3), 0),
        (0, Fraction(2, 3), Fraction(1, 2)),
    ),
    (
        "[sad] oh no",
        "[sad] [calm] oh no",
        (0, Fraction(2, 3), Fraction(1, 2)),
        (0, Fraction(2, 3), Fraction(1, 2)),
    ),
    ("a b c [sad]", "[sad] a b c", (0, 1, 0), (0, 0, 0)),
    ("oh", "oh no no no", (3, 1, 0), (3, 1, 0)),
    ("oh no", "", (1, 1, 0), (1, 1, 0)),
    ("", "", (0, 1, 0), (0, 1, 0)),
    ("", "oh no", (0, 1, 0), (1, 1, 0)),
    ("[sad]", "[sad] oh", (0, 1, 0), (1, 1, 0)),
    ("[sad] oh no", "[sad oh no", (Fraction(1, 2), 0, 0), (Fraction(1, 2), 0, 0)),
    ("[sad] oh no", "[[sad]] oh no", (Fraction(1, 2), 0, 1), (0, 1, 0)),
]


@pytest.mark.parametrize(("reference", "prediction", "report", "strict"), CASES)
def test_reward_edge_cases(reference, prediction, report, strict):
    for convention, (wer, f1, hallucination) in {"report": report, "strict": strict}.items():
        result = reward(reference, prediction, convention=convention)
        assert (result.wer, result.tag_f1, result.hallucination) == pytest.approx(
            (float(wer), float(f1), float(hallucination))
        )
        total = (
            Fraction(2, 5) * max(0, 1 - wer)
            + Fraction(2, 5) * f1
            + Fraction(1, 5) * (1 - hallucination)
        )
        assert result.total == pytest.approx(float(total))


@PROPERTY
@given(TEXTS, TEXTS)
def test_the_reward_is_made_of_the_metrics(reference, prediction):
    score = score_clip(reference, prediction)
    for convention, counts in {"report": score.paper, "strict": score.strict}.items():
        result = reward(reference, prediction, convention=convention)
        assert 0 <= result.total <= 1
        assert result.tag_f1 == counts.tags.f1
        if counts.words.reference_length:
            assert result.wer == counts.words.rate
    assert reward(reference, prediction).hallucination == score.paper.hallucination


@PROPERTY
@given(TEXTS)
def test_a_perfect_prediction_earns_one(text):
    for convention in ("report", "strict"):
        assert reward(text, text, convention=convention).total == pytest.approx(1)


def test_weights_weigh():
    weights = RewardWeights(accuracy=0, tags=0, hallucination=1)
    assert reward("[sad] oh", "[sad] [calm] no", weights).total == 1 / 2


@pytest.mark.parametrize(
    "weights", [(0.5, 0.5, 0.5), (-0.2, 1.0, 0.2), (0.0, 0.0, 0.0), (float("nan"), 0.5, 0.5)]
)
def test_weights_must_make_a_fraction(weights):
    with pytest.raises(UserError, match="sum to 1"):
        RewardWeights(*weights)


def test_an_unknown_convention_is_refused():
    with pytest.raises(UserError, match="'report' or 'strict'"):
        reward("a", "a", convention="paper")
