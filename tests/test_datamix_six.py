"""Every figure of the mixing note from the six sizes."""

from __future__ import annotations

import pytest

from evoxtral.datamix.six import RATIO, SIZES, plan_six

PLAN = plan_six(0)


def test_splits_and_balanced_sizes_are_the_notes() -> None:
    rows = PLAN.splits.set_index("dataset")
    assert rows["train"].to_dict() == {
        "gsm8k": 6227, "math": 6250, "squad2": 72999, "hotpotqa": 74138, "humaneval": 137,
        "mbpp": 356, "all": 160107,
    }  # fmt: skip
    assert rows["test"].to_dict() == {
        "gsm8k": 1246, "math": 1250, "squad2": 14600, "hotpotqa": 14828, "humaneval": 27,
        "mbpp": 71, "all": 32022,
    }  # fmt: skip
    assert PLAN.splits.groupby("domain")["balanced"].sum().to_dict() == {
        "": 161488, "code": 712, "math": 12500, "qa": 148276,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mix", "side", "counts"),
    [
        ("sum", "train", (64043, 48032, 48032, 160107)),
        ("sum", "test", (12809, 9607, 9606, 32022)),
        ("min", "train", (949, 712, 712, 2373)),
        ("strict", "train", (365, 274, 274, 913)),
    ],
)
def test_mixes_are_the_notes(mix: str, side: str, counts: tuple[int, ...]) -> None:
    row = PLAN.mixes.set_index(["mix", "side"]).loc[(mix, side)]
    assert tuple(row[[*RATIO, "total"]]) == counts


def test_humaneval_is_drawn_175_times() -> None:
    rows = PLAN.draws.set_index("dataset")
    assert round(rows.loc["humaneval", "mean draws"]) == 175
    assert rows["rows"].to_dict()["humaneval"] == 137
    assert set(rows.index) == set(SIZES)


def test_counts_do_not_depend_on_the_seed() -> None:
    other = plan_six(1)
    assert other.splits.equals(PLAN.splits)
    assert other.mixes.equals(PLAN.mixes)
