"""One clip under each protocol: a table of edge cases with expected fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from evoxtral.metrics import MatchCounts, score_clip

NAN = float("nan")

# reference, prediction, WER, tag precision, recall, F1, hallucination, emphasis F1
PAPER = [
    ("oh no", "oh no", 0, 1, 1, 1, 0, 1),
    ("[sad] oh no", "oh no", 0, 0, 0, 0, 0, 1),
    ("oh no", "[sad] oh no", 0, 0, 0, 0, 1, 1),
    ("", "", NAN, 1, 1, 1, 0, 1),
    ("", "oh no", NAN, 1, 1, 1, 0, 1),
    ("oh no", "", 1, 1, 1, 1, 0, 1),
    ("[laughs]", "[laughs]", NAN, 1, 1, 1, 0, 1),
    ("[laughs]", "[laughs] oh", NAN, 1, 1, 1, 0, 1),
    ("oh", "oh no no no", 3, 1, 1, 1, 0, 1),
    ("[sad] oh no", "[sad] [sad] oh no", 0, Fraction(1, 2), 1, Fraction(2, 3), 0, 1),
    ("[sad] oh no", "[sad] [calm] oh no", 0, Fraction(1, 2), 1, Fraction(2, 3), Fraction(1, 2), 1),
    ("[sad] oh no", "[calm] [calm] [sad]", 1, Fraction(1, 3), 1, Fraction(1, 2), Fraction(2, 3), 1),
    ("[pause] oh [pause] no", "[pause] oh no", 0, 1, Fraction(1, 2), Fraction(2, 3), 0, 1),
    ("a b c d [sad]", "[sad] a b c d", 0, 1, 1, 1, 0, 1),
    ("[slams door] oh", "[Slams Door] oh", 0, 1, 1, 1, 0, 1),
    ("oh NO", "oh no", 0, 1, 1, 1, 0, 0),
    ("oh no", "oh NO", 0, 1, 1, 1, 0, 0),
    ("oh NO, NO", "oh NO, no", 0, 1, 1, 1, 0, Fraction(2, 3)),
    ("Oh no", "oh no.", 1, 1, 1, 1, 0, 1),
    ("[sad] oh no", "[sad oh no", Fraction(1, 2), 0, 0, 0, 0, 1),
    ("[sad] oh no", "sad] oh no", Fraction(1, 2), 0, 0, 0, 0, 1),
    ("[sad] oh no", "[[sad]] oh no", Fraction(1, 2), 0, 0, 0, 1, 1),
    ("[sad] oh no", "[ sad ] oh no", 0, 0, 0, 0, 1, 1),
    ("oh no", "[] oh no", Fraction(1, 2), 1, 1, 1, 0, 1),
    ("so [pause] then", "so[pause]then", 1, 1, 1, 1, 0, 1),
    ("[SAD] oh", "[sad] oh", 0, 1, 1, 1, 0, 0),
]

# reference, prediction, WER, tags matched by position (tp, fp, fn), positions ignored, emphasis F1
STRICT = [
    ("oh no", "oh no", 0, (0, 0, 0), (0, 0, 0), 1),
    ("[sad] oh no", "oh no", 0, (0, 0, 1), (0, 0, 1), 1),
    ("oh no", "[sad] oh no", 0, (0, 1, 0), (0, 1, 0), 1),
    ("", "", NAN, (0, 0, 0), (0, 0, 0), 1),
    ("", "oh", NAN, (0, 0, 0), (0, 0, 0), 1),
    ("oh no", "", 1, (0, 0, 0), (0, 0, 0), 1),
    ("[sad] oh no", "[sad] [sad] oh no", 0, (1, 1, 0), (1, 1, 0), 1),
    ("a b [sad]", "[sad] a b", 0, (1, 0, 0), (1, 0, 0), 1),
    ("a b c [sad]", "[sad] a b c", 0, (0, 1, 1), (1, 0, 0), 1),
    ("[sad] oh no", "[sad oh no", Fraction(1, 2), (0, 0, 1), (0, 0, 1), 1),
    ("[sad] oh no", "sad] oh no", Fraction(1, 2), (0, 0, 1), (0, 0, 1), 1),
    ("[sad] oh no", "[[sad]] oh no", 0, (1, 0, 0), (1, 0, 0), 1),
    ("[clears throat] oh", "[ Clears\nthroat ] oh", 0, (1, 0, 0), (1, 0, 0), 1),
    ("oh no", "[] oh no", 0, (0, 0, 0), (0, 0, 0), 1),
    ("so [pause] then", "so[pause]then", 0, (1, 0, 0), (1, 0, 0), 1),
    ("oh NO, NO", "oh NO, no", 0, (0, 0, 0), (0, 0, 0), Fraction(2, 3)),
    ("[SAD] oh", "[sad] oh", 0, (1, 0, 0), (1, 0, 0), 1),
]


def same(value: float, expected: float | Fraction) -> bool:
    return (math.isnan(value) and math.isnan(expected)) or value == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("reference", "prediction", "wer", "precision", "recall", "f1", "hallucination", "emphasis"),
    PAPER,
)
def test_paper_edge_cases(
    reference, prediction, wer, precision, recall, f1, hallucination, emphasis
):
    counts = score_clip(reference, prediction).paper
    assert same(counts.words.rate, wer)
    assert same(counts.tags.precision, precision)
    assert same(counts.tags.recall, recall)
    assert same(counts.tags.f1, f1)
    assert same(counts.hallucination, hallucination)
    assert same(counts.emphasis.f1, emphasis)


@pytest.mark.parametrize(
    ("reference", "prediction", "wer", "placed", "anywhere", "emphasis"), STRICT
)
def test_strict_edge_cases(reference, prediction, wer, placed, anywhere, emphasis):
    counts = score_clip(reference, prediction).strict
    assert same(counts.words.rate, wer)
    assert counts.tags == MatchCounts(*placed)
    assert counts.tags_anywhere == MatchCounts(*anywhere)
    assert same(counts.emphasis.f1, emphasis)
