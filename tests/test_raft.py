"""From completions to a training set: rewards, selection, curation, negatives, best of k."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.metrics.rewards import RewardWeights, reward
from evoxtral.raft import (
    TERMS,
    best_of,
    best_of_curve,
    curate,
    curations,
    mix_untagged,
    random_of,
    score,
)

PROPERTY = settings(deadline=None, max_examples=50)
COMPLETIONS = pd.DataFrame(
    [
        ("b", 0, "well [sad] then", 3, True),
        ("a", 1, "oh no [sad]", 3, True),
        ("a", 0, "[sad] oh no no no no no", 7, False),
        ("b", 1, "well then", 2, True),
    ],
    columns=["clip", "index", "text", "tokens", "finished"],
)
EARNED = st.sampled_from([0.0, 0.2, 0.6, 1.0])  # few values: ties are the rule
GROUP = st.lists(st.tuples(EARNED, st.integers(0, 3), st.booleans()), min_size=1, max_size=4)


def table(groups: dict[str, list[tuple[float, int, bool]]]) -> pd.DataFrame:
    rows = [
        (clip, i, f"{clip}{i}", tokens, finished, earned)
        for clip, group in groups.items()
        for i, (earned, tokens, finished) in enumerate(group)
    ]
    return pd.DataFrame(rows, columns=["clip", "index", "text", "tokens", "finished", "reward"])


SCORED = st.dictionaries(st.sampled_from("dbca"), GROUP, min_size=1).map(table)


@pytest.mark.parametrize("convention", ["report", "strict"])
def test_each_row_holds_the_reward_and_its_terms(convention) -> None:
    references = {"a": "[sad] oh no", "b": "well then"}
    weights = RewardWeights(accuracy=0.5, tags=0.2, hallucination=0.3)
    scored = score(COMPLETIONS, references, weights, convention)
    assert scored.columns.tolist() == [*COMPLETIONS.columns, "reward", *TERMS]
    assert scored[["clip", "index"]].to_numpy().tolist() == [["a", 0], ["a", 1], ["b", 0], ["b", 1]]
    for row in scored.to_dict("records"):
        expected = reward(references[row["clip"]], row["text"], weights, convention=convention)
        assert row["reward"] == round(expected.total, 12)
        assert [row[term] for term in TERMS] == [getattr(expected, term) for term in TERMS]


def test_rewards_that_are_equal_on_paper_tie() -> None:
    """23 / 30 either way: 0.4 * 3 / 4 + 0.4 * 2 / 3 + 0.2 and 0.4 + 0.4 * 2 / 3 + 0.2 / 2."""
    reference, texts = "[sad] a b c d", ("[sad] [sad] a b c", "[sad] [calm] a b c d")
    assert len({reward(reference, text).total for text in texts}) == 2
    rows = table({"a": [(0, 1, True)] * 2}).drop(columns="reward").assign(text=texts)
    first, second = score(rows, {"a": reference}, RewardWeights(), "report")["reward"]
    assert first == second


@PROPERTY
@given(SCORED, st.randoms(use_true_random=False))
def test_the_best_of_each_clip_whatever_the_order_of_rows(scored, random) -> None:
    order = list(range(len(scored)))
    random.shuffle(order)
    best, shuffled = best_of(scored), scored.iloc[order]
    pd.testing.assert_frame_equal(best, best_of(shuffled))
    pd.testing.assert_frame_equal(random_of(scored, 3), random_of(shuffled, 3))
    assert best["clip"].tolist() == sorted(set(scored["clip"]))
    for row in best.to_dict("records"):
        group = scored[scored["clip"] == row["clip"]].to_dict("records")
        assert row == min(
            group, key=lambda r: (-r["reward"], not r["finished"], r["tokens"], r["index"])
        )


# Curation


def best(rewards) -> pd.DataFrame:
    """Clips whose ids are not in the order of their rows."""
    ids = [f"c{(i * 7) % 1009:04}" for i in range(len(rewards))]
    return pd.DataFrame({"clip": ids, "reward": np.asarray(rewards, float)})


def test_of_808_clips_the_report_keeps_727_and_exact_728() -> None:
    rows = best(np.random.default_rng(0).permutation(808) / 808)
    report, exact = curate(rows, "report", 0.1), curate(rows, "exact", 0.1)
    assert report.kept == 727
    assert exact.kept == 728
    assert report.threshold == 80 / 808  # the 81st lowest, itself dropped
    assert exact.threshold == 79 / 808


@PROPERTY
@given(st.lists(EARNED, min_size=1, max_size=40), st.integers(0, 99))
def test_exact_keeps_the_exact_number_of_the_best_under_any_ties(rewards, percent) -> None:
    rows = best(rewards)
    curated = curate(rows, "exact", percent / 100)
    cut = int(len(rewards) * Fraction(percent, 100))
    order = sorted(rows.to_dict("records"), key=lambda row: (-row["reward"], row["clip"]))
    kept, dropped = order[: len(order) - cut], order[len(order) - cut :]
    assert curated.rows["clip"].tolist() == sorted(row["clip"] for row in kept)
    assert curated.threshold == (max(row["reward"] for row in dropped) if dropped else None)
    assert curated.mean_after == pytest.approx(np.mean([row["reward"] for row in kept]))


def test_a_curation_that_keeps_nothing_says_why() -> None:
    tied = pd.DataFrame({"clip": list("abcd"), "reward": [0.5] * 4})
    report, exact = curations(tied, 0.25).values()
    assert "no reward exceeds the threshold 0.500" in report
    assert exact.rows["clip"].tolist() == list("abc")


# Negatives

REFERENCES = {
    **{f"t{i:03}": f"[sad] tagged {i}" for i in range(100)},
    **{f"p{i:03}": f"plain NUMBER {i}" for i in range(60)},
}
CLIPS = [f"p{i:03}" for i in range(30)] + [f"t{i:03}" for i in range(70)]
TARGETS = pd.DataFrame({"clip": CLIPS, "text": "[sad] heard", "source": "completion"})


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 99), st.integers(0, 5))
def test_the_untagged_share_is_met_to_the_nearest_clip(percent, seed) -> None:
    assume(70 * percent / (100 - percent) < 60)
    mixed = mix_untagged(TARGETS, REFERENCES, percent / 100, seed)
    untagged = mixed["clip"].str.startswith("p")
    assert abs(untagged.sum() - 70 * percent / (100 - percent)) <= 0.5
    for row in mixed[untagged].to_dict("records"):
        assert (row["text"], row["source"]) == (REFERENCES[row["clip"]], "reference")
    assert mixed["clip"].tolist() == sorted(set(mixed["clip"]))
    pd.testing.assert_frame_equal(
        mixed[~untagged].reset_index(drop=True), TARGETS[30:].reset_index(drop=True)
    )


def test_the_draw_depends_on_the_seed_not_on_the_order_and_is_nested() -> None:
    def plain(share: float, seed: int, references=REFERENCES) -> set[str]:
        mixed = mix_untagged(TARGETS, references, share, seed)
        return {clip for clip in mixed["clip"] if clip.startswith("p")}

    assert len(plain(0.125, 0)) == 10
    assert plain(0.2, 0) == plain(0.2, 0, dict(reversed(REFERENCES.items()))) != plain(0.2, 1)
    assert plain(0.1, 0) < plain(0.2, 0)
    assert any(clip >= "p030" for clip in plain(0.2, 0))  # clips that curation dropped take part
    with pytest.raises(UserError, match="takes 70 untagged clips beside 70 tagged ones, there are"):
        plain(0.5, 0)


# Best of k


def drawn_table(clips: int, k: int, levels: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return table(
        {
            f"c{i:03}": [(r / levels, t, True) for r, t in rng.integers(0, [levels, 3], (k, 2))]
            for i in range(clips)
        }
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31))
def test_the_curve_equals_selection_on_all_subsets(clips, k, levels, seed) -> None:
    scored = drawn_table(clips, k, levels, seed)
    curve = best_of_curve(scored).set_index("j")["value"]
    for j in range(1, k + 1):
        subsets = [scored[scored["index"].isin(own)] for own in combinations(range(k), j)]
        best = [best_of(subset)["reward"].mean() for subset in subsets]
        assert curve[j] == pytest.approx(sum(best) / len(best))
