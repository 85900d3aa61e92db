"""Length strata and tag support."""

from __future__ import annotations

import pytest

from evoxtral import UserError
from evoxtral.clips.clip import complete
from evoxtral.clips.summary import length_shares, length_stratum, tag_support
from evoxtral.tags import TAGS


def clip(text="hi", seconds=None):
    return complete({"file_name": "a.wav", "tagged_text": text, "seconds": seconds}, "train")


@pytest.mark.parametrize(
    ("seconds", "stratum"),
    [(0.1, "short"), (2.66, "short"), (2.67, "medium"), (5.33, "medium"), (5.34, "long")],
)
def test_strata_are_thirds_of_the_window(seconds, stratum):
    assert length_stratum(seconds, 8.0) == stratum


def test_shares_sum_to_one():
    clips = [clip(seconds=s) for s in (1, 2, 4, 7)]
    assert length_shares(clips, 8.0) == {"short": 1 / 2, "medium": 1 / 4, "long": 1 / 4}
    assert length_shares([], 8.0) == {"short": 0, "medium": 0, "long": 0}


def test_unknown_duration_is_refused():
    with pytest.raises(UserError, match="duration of clip 'train-a' is not known"):
        length_shares([clip()], 8.0)


def test_support_counts_occurrences_and_keeps_the_reports_order():
    support = tag_support([clip("[pause] a [pause]"), clip("[sniffs] b [sighs]"), clip("c")])
    assert list(support) == [*TAGS, "sniffs"]
    assert {tag: n for tag, n in support.items() if n} == {"sighs": 1, "pause": 2, "sniffs": 1}
