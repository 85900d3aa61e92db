"""Training sets: own words, references in their place, a share of untagged clips."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.raft import completion_targets, control_references, mix_untagged

REFERENCES = {
    **{f"t{i:03}": f"[sad] tagged {i}" for i in range(100)},
    **{f"p{i:03}": f"plain NUMBER {i}" for i in range(60)},
}
CURATED = pd.DataFrame(
    {
        "clip": [f"t{i:03}" for i in range(70)] + [f"p{i:03}" for i in range(30)],
        "text": [f"[sad] heard {i}" for i in range(70)] + ["[sad] hallucinated"] * 30,
        "reward": 0.5,
    }
).sample(frac=1, random_state=0)
TARGETS = completion_targets(CURATED)


def is_plain(frame: pd.DataFrame) -> pd.Series:
    return frame["clip"].str.startswith("p")


def test_own_words():
    assert TARGETS.columns.tolist() == ["clip", "text", "source"]
    assert TARGETS["clip"].tolist() == sorted(CURATED["clip"])
    said = dict(zip(CURATED["clip"], CURATED["text"], strict=True))
    assert dict(zip(TARGETS["clip"], TARGETS["text"], strict=True)) == said
    assert set(TARGETS["source"]) == {"completion"}


def test_the_control_has_the_same_clips_with_their_references():
    control = control_references(CURATED, REFERENCES)
    assert control["clip"].tolist() == TARGETS["clip"].tolist()
    assert control["text"].tolist() == [REFERENCES[clip] for clip in control["clip"]]
    assert set(control["source"]) == {"reference"}
    with pytest.raises(UserError, match="clip 'p000' has no reference"):
        control_references(CURATED, {"t000": ""})


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 99), st.integers(0, 5))
def test_the_untagged_share_is_met_to_the_nearest_clip(percent, seed):
    assume(70 * percent / (100 - percent) < 60)
    mixed = mix_untagged(TARGETS, REFERENCES, percent / 100, seed=seed)
    plain = mixed[is_plain(mixed)]
    assert abs(len(plain) - 70 * percent / (100 - percent)) <= 0.5
    assert plain["text"].tolist() == [REFERENCES[clip] for clip in plain["clip"]]
    assert set(plain["source"]) <= {"reference"}
    assert mixed["clip"].is_monotonic_increasing
    assert mixed["clip"].is_unique
    pd.testing.assert_frame_equal(
        mixed[~is_plain(mixed)].reset_index(drop=True),
        TARGETS[~is_plain(TARGETS)].reset_index(drop=True),
    )


def test_of_70_tagged_clips_ten_more_make_an_eighth():
    mixed = mix_untagged(TARGETS, REFERENCES, 0.125, seed=0)
    assert (len(mixed), is_plain(mixed).sum()) == (80, 10)


def test_the_draw_depends_on_the_seed_not_on_the_order_and_is_nested():
    def plain(share: float, seed: int, references=REFERENCES) -> set[str]:
        mixed = mix_untagged(TARGETS, references, share, seed=seed)
        return set(mixed.loc[is_plain(mixed), "clip"])

    assert plain(0.2, 0) == plain(0.2, 0, dict(reversed(REFERENCES.items())))
    assert plain(0.2, 0) != plain(0.2, 1)
    assert plain(0.1, 0) < plain(0.2, 0)
    assert any(clip >= "p030" for clip in plain(0.2, 0))  # clips that curation dropped take part


def test_too_few_untagged_clips_are_counted():
    message = "a share of 0.5 takes 70 untagged clips beside 70 tagged ones, there are 60"
    with pytest.raises(UserError, match=message):
        mix_untagged(TARGETS, REFERENCES, 0.5, seed=0)


def test_a_target_without_reference_is_refused():
    fewer = {clip: text for clip, text in REFERENCES.items() if clip != "p007"}
    with pytest.raises(UserError, match="clip 'p007' has no reference"):
        mix_untagged(TARGETS, fewer, 0.1, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="untagged share"):
        mix_untagged(TARGETS, REFERENCES, share, seed=0)
