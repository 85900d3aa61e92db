"""Rewards of completions are those of the metrics; groups are described as they are."""

from __future__ import annotations

import pandas as pd
import pytest

from evoxtral import UserError
from evoxtral.metrics import RewardWeights, reward
from evoxtral.raft import TERMS, Completion, group_table, score

REFERENCES = {"a": "[sad] oh no", "b": "well then", "unsampled": "hm"}
COMPLETIONS = [
    Completion("b", 0, "well [sad] then", 3, True),
    Completion("a", 1, "oh no [sad]", 3, True),
    Completion("a", 0, "[sad] oh no no no no no", 7, False),
    Completion("b", 1, "well then", 2, True),
]
WEIGHTS = RewardWeights(accuracy=0.5, tags=0.2, hallucination=0.3)


@pytest.mark.parametrize("convention", ["report", "strict"])
def test_each_row_holds_the_reward_and_its_terms(convention):
    scored = score(COMPLETIONS, REFERENCES, WEIGHTS, convention=convention)
    head = ["clip", "index", "text", "tokens", "finished", "reward"]
    assert scored.columns.tolist() == [*head, *TERMS]
    keys = list(zip(scored["clip"], scored["index"], strict=True))
    assert keys == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    for row in scored.to_dict("records"):
        expected = reward(REFERENCES[row["clip"]], row["text"], WEIGHTS, convention=convention)
        assert row["reward"] == round(expected.total, 12)
        assert [row[term] for term in TERMS] == [getattr(expected, term) for term in TERMS]


def test_the_conventions_differ_where_a_tag_is_misplaced():
    reference = {"a": "a b c [sad]"}
    completions = [Completion("a", 0, "[sad] a b c", 4, True)]
    rewards = [
        score(completions, reference, RewardWeights(), convention=c)["reward"][0]
        for c in ("report", "strict")
    ]
    assert rewards == [1.0, 0.6]


def test_rewards_that_are_equal_on_paper_tie():
    """23 / 30 either way: 0.4 * 3 / 4 + 0.4 * 2 / 3 + 0.2 and 0.4 + 0.4 * 2 / 3 + 0.2 / 2."""
    reference, texts = "[sad] a b c d", ("[sad] [sad] a b c", "[sad] [calm] a b c d")
    assert len({reward(reference, text).total for text in texts}) == 2
    completions = [Completion("a", i, text, 1, True) for i, text in enumerate(texts)]
    assert len(set(score(completions, {"a": reference}, RewardWeights())["reward"])) == 1


def test_the_scores_do_not_depend_on_the_order():
    one = score(COMPLETIONS, REFERENCES, WEIGHTS)
    pd.testing.assert_frame_equal(one, score(COMPLETIONS[::-1], REFERENCES, WEIGHTS))


def test_no_completions_give_an_empty_table_of_the_same_types():
    empty = score([], REFERENCES, WEIGHTS)
    assert empty.empty
    assert empty.dtypes.equals(score(COMPLETIONS, REFERENCES, WEIGHTS).dtypes)


def test_a_clip_without_reference_is_refused():
    with pytest.raises(UserError, match="clip 'b' has no reference"):
        score(COMPLETIONS, {"a": "oh"}, WEIGHTS)


def test_an_unknown_convention_is_refused():
    with pytest.raises(UserError, match="'report' or 'strict'"):
        score(COMPLETIONS, REFERENCES, WEIGHTS, convention="paper")


def test_groups_by_hand():
    scored = pd.DataFrame(
        {
            "clip": ["b", "a", "a", "b", "a", "c", "a"],
            "text": ["x", "p", "q", "x", "q", "lone", "r"],
            "reward": [0.5, 0.25, 0.75, 0.5, 0.75, 1.0, 0.25],
        }
    )
    expected = pd.DataFrame(
        {
            "clip": ["a", "b", "c"],
            "n": [4, 2, 1],
            "mean": [0.5, 0.5, 1.0],
            "best": [0.75, 0.5, 1.0],
            "worst": [0.25, 0.5, 1.0],
            "spread": [0.5, 0.0, 0.0],
            "sd": [0.25, 0.0, 0.0],
            "texts": [3, 1, 1],
            "identical": [False, True, True],
        }
    )
    pd.testing.assert_frame_equal(group_table(scored), expected)
