"""Evaluations under both protocols: known values, properties, and oracles."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import jiwer
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import f1_score, precision_score, recall_score

from evoxtral import UserError, metrics, tags
from evoxtral.metrics import (
    ClipScore,
    Evaluation,
    MatchCounts,
    aligned_matches,
    character_edits,
    evaluate,
    hallucinated,
    match_multisets,
    places_in_reference,
    total,
    word_edits,
)
from evoxtral.metrics.rewards import RewardWeights, reward
from evoxtral.tags import parse

PROPERTY = settings(deadline=None, max_examples=60)
NAN = float("nan")

PARTS = st.sampled_from(
    ["oh", "no", "NO", "we're", "fine.", "...", "[sad]", "[pause]", "[slams door]", "[", "]", "[]"]
)
TEXTS = st.lists(PARTS, max_size=8).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)


def clip(reference: str, prediction: str) -> ClipScore:
    return evaluate([reference], [prediction]).clips[0]


def test_empty_references_are_left_out_of_the_paper_mean_and_pooled_by_strict():
    scores = evaluate(["a b c d", "[sad]"], ["a b c", "x y"])
    paper, strict = scores.table("paper")["wer"], scores.table("strict")["wer"]
    assert (paper.value, paper.n, paper.support) == (1 / 4, 1, 4)
    assert (strict.value, strict.n, strict.support) == (3 / 4, 2, 4)


def test_paper_averages_clips_and_strict_pools_counts():
    scores = evaluate(
        ["[sad] [calm] [angry] a b c", "a", "a b", "a"], ["[sad] [sad] a b", "a", "[sad] a b", "a"]
    )
    paper, strict = scores.table("paper"), scores.table("strict")
    assert paper["wer"].value == pytest.approx(1 / 3 / 4)
    assert strict["wer"].value == 1 / 7
    assert paper["tag_f1"].value == pytest.approx((2 / 5 + 1 + 0 + 1) / 4)
    assert paper["hallucination"].value == pytest.approx((0 + 0 + 1 + 0) / 4)
    assert strict["tag_f1"].value == pytest.approx(2 * 1 / (3 + 3))
    assert strict["tag_precision"].value == pytest.approx(1 / 3)
    assert strict["tag_recall"].value == pytest.approx(1 / 3)
    # sad 2·1/(3+1), calm and angry never predicted
    assert strict["tag_f1_macro"].value == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert strict["tag_f1_tagged"].value == pytest.approx(2 * 1 / (2 + 3))
    assert strict["tag_f1_macro_tagged"].value == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert strict["hallucination"].value == pytest.approx(2 / 3)
    assert strict["untagged_clean"].value == pytest.approx(2 / 3)
    assert strict["hallucinated_per_untagged"].value == pytest.approx(1 / 3)
    assert [strict[name].n for name in ("tag_f1", "tag_f1_tagged", "untagged_clean")] == [4, 1, 3]


def test_a_tag_without_support_is_not_part_of_the_macro_average():
    strict = evaluate(["[sad] a"], ["[sad] [sniffs] a"]).table("strict")
    assert strict["tag_f1_macro"].value == 1
    assert strict["tag_f1"].value == pytest.approx(2 / 3)


def test_a_misplaced_tag_is_wrong_but_not_hallucinated():
    strict = evaluate(["a b c d [sad]"], ["[sad] a b c d"]).table("strict")
    assert strict["tag_f1"].value == 0
    assert strict["tag_f1_anywhere"].value == 1
    assert strict["hallucination"].value == 0


def test_per_tag_table_pools_occurrences_and_counts_clips():
    scores = evaluate(
        ["[pause] a [pause] b", "a [pause]", "a"], ["[pause] a b", "a", "[sniffs] [pause] a"]
    )
    assert scores.tag_counts("paper") == {
        "pause": MatchCounts(tp=1, fp=1, fn=2),
        "sniffs": MatchCounts(fp=1),
    }
    pause = scores.per_tag("paper")["pause"]
    assert (pause.value, pause.support, pause.n) == (pytest.approx(2 / 5), 3, 2)
    assert scores.per_tag("paper")["sniffs"].value == 0


def test_words_of_untagged_clips_are_counted_apart():
    strict = evaluate(["[sad] a b", "c d", "e"], ["x y z", "c", "e"]).table("strict")
    found = strict["wer_untagged"]
    assert (found.value, found.support, found.n) == (1 / 3, 3, 2)


def test_metrics_of_several_trainings_are_means_over_them():
    texts = ["[sad] a b", "c d"]
    first, second = evaluate(texts, ["[sad] a x", "c d"]), evaluate(texts, ["a b", "[calm] c d"])
    both = Evaluation(first.clips, (second,))
    for protocol in ("paper", "strict"):
        tables = [own.full_table(protocol) for own in (first, second, both)]
        assert tables[2].keys() == tables[0].keys() & tables[1].keys()
        for name, metric in tables[2].items():
            values = [own[name].value for own in tables[:2] if not math.isnan(own[name].value)]
            assert metric.value == pytest.approx(
                np.mean(values) if values else math.nan, nan_ok=True
            )
    assert both.only({"1"}).repeats[0].clips == second.clips[1:]


@PROPERTY
@given(PAIRS)
def test_metrics_stay_in_bounds(pairs):
    scores = evaluate([r for r, _ in pairs], [p for _, p in pairs])
    unbounded = {"wer", "wer_untagged", "cer", "hallucinated_per_untagged"}
    for protocol in ("paper", "strict"):
        for name, metric in (scores.table(protocol) | scores.per_tag(protocol)).items():
            assert math.isnan(metric.value) or metric.value >= 0, name
            assert math.isnan(metric.value) or metric.value <= 1 or name in unbounded, name
            assert 0 <= metric.n <= len(pairs)


@PROPERTY
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_perfect_prediction_scores_one(texts):
    scores = evaluate(texts, texts)
    errors = {"wer", "wer_untagged", "cer", "hallucination", "hallucinated_per_untagged"}
    for protocol in ("paper", "strict"):
        for name, metric in (scores.table(protocol) | scores.per_tag(protocol)).items():
            expected = 0 if name in errors else 1
            assert math.isnan(metric.value) or metric.value == pytest.approx(expected), name
    assert all(scores.table("paper")[name].value == 1 for name in ("tag_f1", "emphasis_f1"))


@PROPERTY
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_clips_is_irrelevant(pairs, rng):
    shuffled = rng.sample(pairs, len(pairs))
    ours = evaluate([r for r, _ in pairs], [p for _, p in pairs])
    theirs = evaluate([r for r, _ in shuffled], [p for _, p in shuffled])
    for protocol in ("paper", "strict"):
        for name, metric in ours.table(protocol).items():
            other = theirs.table(protocol)[name]
            assert (metric.n, metric.support) == (other.n, other.support)
            assert metric.value == pytest.approx(other.value, nan_ok=True)


@PROPERTY
@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_matching_counts_multisets(reference, prediction):
    matches = match_multisets(reference, prediction)
    common = Counter(reference) & Counter(prediction)
    assert {item: c.tp for item, c in matches.items() if c.tp} == common
    assert {item: c.support for item, c in matches.items() if c.support} == Counter(reference)
    assert {item: c.predicted for item, c in matches.items() if c.predicted} == Counter(prediction)


@PROPERTY
@given(PAIRS)
def test_a_position_can_only_lose_matches(pairs):
    for reference, prediction in pairs:
        strict = clip(reference, prediction).strict
        assert strict.tags.tp <= total(strict.per_tag_anywhere).tp
        assert strict.tags.support == total(strict.per_tag_anywhere).support
        assert strict.tags.predicted == total(strict.per_tag_anywhere).predicted


def test_error_rates_agree_with_jiwer_on_random_pairs():
    rng = random.Random(0)
    vocabulary = ["oh", "no,", "we're", "fine.", "Oh"]

    def sentence() -> str:
        return " ".join(rng.choices(vocabulary, k=rng.randint(1, 9)))

    pairs = [(sentence(), sentence()) for _ in range(500)]
    for reference, prediction in pairs:
        assert word_edits(reference, prediction).rate == jiwer.wer(reference, prediction)
        assert character_edits(reference, prediction).rate == jiwer.cer(reference, prediction)
    references, predictions = map(list, zip(*pairs, strict=True))
    scores = evaluate(references, predictions)
    assert scores.table("strict")["wer"].value == pytest.approx(jiwer.wer(references, predictions))
    assert scores.table("strict")["cer"].value == pytest.approx(jiwer.cer(references, predictions))


def test_tag_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    names = tags.TAGS[:6]
    truth, guess = rng.random((2, 80, 6)) < np.linspace(0.05, 0.6, 6)

    def texts(rows: np.ndarray) -> list[str]:
        return [" ".join(f"[{names[i]}]" for i in np.flatnonzero(row)) + " oh" for row in rows]

    scores = evaluate(texts(truth), texts(guess))
    paper, strict = scores.table("paper"), scores.table("strict")
    for name, function in {"f1": f1_score, "recall": recall_score}.items():
        assert strict[f"tag_{name}"].value == pytest.approx(function(truth, guess, average="micro"))
    assert strict["tag_precision"].value == pytest.approx(
        precision_score(truth, guess, average="micro")
    )
    assert strict["tag_f1_macro"].value == pytest.approx(f1_score(truth, guess, average="macro"))
    assert paper["tag_f1"].value == pytest.approx(
        f1_score(truth, guess, average="samples", zero_division=1.0)
    )
    per_tag = dict(zip(names, f1_score(truth, guess, average=None), strict=True))
    assert {tag: m.value for tag, m in scores.per_tag("paper").items()} == pytest.approx(per_tag)


def test_counts_add_up():
    assert MatchCounts(1, 2, 3) + MatchCounts(4, 5, 6) == MatchCounts(5, 7, 9)


def test_a_normaliser_adds_its_own_error_rate():
    texts = ["[sad] We're fine, um, OKAY."], ["[sad] we are fine okay"]
    assert "wer_normalised" not in evaluate(*texts).table("strict")
    pytest.importorskip("transformers")
    strict = evaluate(*texts, normalise=metrics.normaliser()).table("strict")
    assert strict["wer_normalised"].value == 0
    assert strict["wer"].value > 0.5
    french = evaluate(["ÇA, um"], ["ça"], normalise=metrics.normaliser("fr")).table("strict")
    assert french["wer_normalised"].value == 1 / 2


def test_the_compiled_normaliser_is_the_standard_one():
    module = pytest.importorskip("transformers.models.whisper.english_normalizer")
    standard, ours = module.EnglishTextNormalizer({}), metrics.normaliser()
    for text in ["He's got £2.50, hasn't he?", "Mr. Smith won't pay twenty one dollars", "um (x)"]:
        assert ours(text) == standard(text)


@pytest.mark.parametrize(
    ("references", "predictions", "ids", "message"),
    [
        ([], [], None, "no clips"),
        (["a"], [], None, "exactly one of each"),
        (["a"], ["a"], ["x", "y"], "exactly one of each"),
        (["a", "b"], ["a", "b"], ["x", "x"], "same id"),
        (["a", "b"], ["a", None], None, "row 2, clip '1': the prediction is None, not"),
        (["a", NAN], ["a", "b"], ["x", "y"], "row 2, clip 'y': the reference is nan"),
        (["a"], ["\ud800"], None, r"the prediction is '\\ud800'"),
    ],
)
def test_evaluate_refuses_incomplete_input(references, predictions, ids, message):
    with pytest.raises(UserError, match=message):
        evaluate(references, predictions, ids=ids)


def test_evaluate_reads_the_columns_of_a_table():
    rows = pd.DataFrame({"id": ["x", "y"], "ref": ["[sad] a", "b"], "pred": ["a", "b c"]}, [7, 9])
    lists = evaluate(["[sad] a", "b"], ["a", "b c"], ids=["x", "y"])
    assert evaluate(rows["ref"], rows["pred"], ids=rows["id"]) == lists


@pytest.mark.parametrize(
    ("references", "undefined"),
    [
        (["[sad] A", "[calm] b"], {"wer_untagged", "untagged_clean", "hallucinated_per_untagged"}),
        (["a", "b"], {"tag_f1", "tag_f1_macro", "tag_f1_tagged", "hallucination", "tag_recall"}),
        (["[sad]", "[calm]"], {"wer", "cer", "wer_untagged", "untagged_clean"}),
    ],
)
def test_what_no_clip_defines_is_nan(references, undefined):
    scores = evaluate(references, references)
    ends = scores.intervals("strict")
    for name, metric in scores.table("strict").items():
        assert math.isnan(metric.value) == math.isnan(ends[name].low), name
        assert math.isnan(metric.value) or name not in undefined


def test_intervals_cover_their_metric_and_repeat():
    references = ["[sad] a b", "[calm] c", "d e NO", "f"] * 10
    predictions = ["[sad] a b", "c", "d [sad] e no", "f"] * 10
    scores = evaluate(references, predictions)
    for protocol in ("paper", "strict"):
        intervals = scores.intervals(protocol)
        assert intervals == scores.intervals(protocol)
        assert intervals.keys() > scores.table(protocol).keys()
        assert "f1[sad]" in intervals
        for name, metric in scores.table(protocol).items():
            assert intervals[name].value == metric.value
            assert intervals[name].low <= metric.value <= intervals[name].high


# ---- one clip under each protocol ----

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
    ("Well, [pause] so", "Well [pause], so", 1, 1, 1, 1, 0, 1),
    ("I can't", "I can’t", Fraction(1, 2), 1, 1, 1, 0, 1),
    ("ÉTÉ oh", "été oh", Fraction(1, 2), 1, 1, 1, 0, 1),
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
    ("Well, [pause] so", "Well [pause], so", 0, (1, 0, 0), (1, 0, 0), 1),
    ('"Oh no"', '"[sad] Oh no"', 0, (0, 1, 0), (0, 1, 0), 1),
    ("I can't", "I can’t", 0, (0, 0, 0), (0, 0, 0), 1),
    ("I CAN'T", "I can’t", 0, (0, 0, 0), (0, 0, 0), 0),
    ("ÉTÉ oh", "été oh", 0, (0, 0, 0), (0, 0, 0), 0),
    ("a b c d été [sad]", "e\u0301te\u0301 [sad]", Fraction(4, 5), (1, 0, 0), (1, 0, 0), 1),
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
    counts = clip(reference, prediction).paper
    assert same(counts.words.rate, wer)
    assert same(counts.tags.precision, precision)
    assert same(counts.tags.recall, recall)
    assert same(counts.tags.f1, f1)
    assert same(hallucinated(counts.per_tag), hallucination)
    assert same(counts.emphasis.f1, emphasis)


@pytest.mark.parametrize(
    ("reference", "prediction", "wer", "placed", "anywhere", "emphasis"), STRICT
)
def test_strict_edge_cases(reference, prediction, wer, placed, anywhere, emphasis):
    counts = clip(reference, prediction).strict
    assert same(counts.words.rate, wer)
    assert counts.tags == MatchCounts(*placed)
    assert total(counts.per_tag_anywhere) == MatchCounts(*anywhere)
    assert same(counts.emphasis.f1, emphasis)


# ---- tags by position ----

PLACED = st.lists(
    st.sampled_from(["a", "b", "c", "d", "[sad]", "[pause]", "[pause]"]), max_size=12
).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "prediction", "places"),
    [
        ("", "", [(0, 0)]),
        ("a b", "", [(0, 2)]),
        ("", "a b", [(0, 0), (0, 0), (0, 0)]),
        ("a b", "a b", [(0, 0), (1, 1), (2, 2)]),
        ("a b", "x a b", [(0, 0), (0, 0), (1, 1), (2, 2)]),
        ("a b c", "a c", [(0, 0), (1, 2), (3, 3)]),
        ("a b c", "a x c", [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ("Oh, WELL! No.", "oh no", [(0, 0), (1, 2), (3, 3)]),
        ("a ... b", "a ... b", [(0, 0), (1, 1), (2, 2), (3, 3)]),
    ],
)
def test_places_follow_the_words(reference, prediction, places):
    assert places_in_reference(reference.split(), prediction.split()) == places


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        # ten words too many at the start shift nothing
        ("a b c d [pause]", "x y z u v w x y z u a b c d [pause]", (1, 0, 0)),
        # dropped words widen the place: the tag is right wherever it was among them
        ("a b c [pause] d", "a [pause] d", (1, 0, 0)),
        ("a b [pause] c d e", "[pause] a b c d e", (1, 0, 0)),
        ("a b c [pause] d e", "[pause] a b c d e", (0, 1, 1)),
        # each tag is used once
        ("[pause] a", "[pause] [pause] a", (1, 1, 0)),
        ("[pause] a [pause]", "a [pause]", (1, 0, 1)),
        # nearest first would pair the two inner tags and lose a match
        ("a [pause] b c d [pause] e", "a b c [pause] d e f [pause]", (2, 0, 0)),
        ("a [sad]", "a [calm]", (0, 1, 1)),
    ],
)
def test_matches_by_position(reference, prediction, expected):
    matches = aligned_matches(parse(reference), parse(prediction)).values()
    assert sum(matches, start=MatchCounts()) == MatchCounts(*expected)


@PROPERTY
@given(PLACED, PLACED)
def test_the_matching_is_a_largest_one(reference, prediction):
    wanted, got = parse(reference), parse(prediction)
    places = places_in_reference(wanted.words, got.words)
    reach = np.zeros((len(wanted.tags), len(got.tags)), dtype=int)
    for i, tag in enumerate(wanted.tags):
        for j, other in enumerate(got.tags):
            low, high = places[other.word_index]
            near = low - 2 <= tag.word_index <= high + 2
            reach[i, j] = near and tag.name == other.name
    largest = 0
    if reach.size:
        largest = int((maximum_bipartite_matching(csr_array(reach)) >= 0).sum())
    matches = aligned_matches(wanted, got)
    assert sum(c.tp for c in matches.values()) == largest


@PROPERTY
@given(PLACED, PLACED)
def test_places_never_decrease(reference, prediction):
    places = places_in_reference(reference.split(), prediction.split())
    assert len(places) == len(prediction.split()) + 1
    assert places[0][0] == 0
    assert places[-1][1] == len(reference.split())
    for (first, last), (next_first, next_last) in pairwise(places):
        assert first <= last
        assert (first, last) <= (next_first, next_last)
        assert last <= next_last


# ---- the reward ----

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
        expected = (
            Fraction(2, 5) * max(0, 1 - wer)
            + Fraction(2, 5) * f1
            + Fraction(1, 5) * (1 - hallucination)
        )
        assert result.total == pytest.approx(float(expected))


@PROPERTY
@given(TEXTS, TEXTS)
def test_the_reward_is_made_of_the_metrics(reference, prediction):
    score = clip(reference, prediction)
    for convention, counts in {"report": score.paper, "strict": score.strict}.items():
        result = reward(reference, prediction, convention=convention)
        assert 0 <= result.total <= 1
        assert result.tag_f1 == counts.tags.f1
        if counts.words.reference_length:
            assert result.wer == counts.words.rate
    assert reward(reference, prediction).hallucination == hallucinated(score.paper.per_tag)


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
