"""The mixing note: every figure of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral.mix.three_stage import RATIO, apportion, draw_mix, plan_six

PROPERTY = settings(deadline=None)


def test_mixes_are_the_notes() -> None:
    mixes = plan_six(0)["mixes"].set_index(["mix", "side"])
    for mix, side, counts in (
        ("sum", "train", [64043, 48032, 48032, 160107]),
        ("sum", "test", [12809, 9607, 9606, 32022]),
        ("min", "train", [949, 712, 712, 2373]),
        ("strict", "train", [365, 274, 274, 913]),
    ):
        assert mixes.loc[(mix, side), [*RATIO, "total"]].tolist() == counts


def rows(**sizes: int) -> pd.DataFrame:
    """Datasets of these sizes, the first in domain x, all others in y."""
    names = np.repeat(list(sizes), list(sizes.values()))
    return pd.DataFrame(
        {"dataset": names, "domain": np.where(names == next(iter(sizes)), "x", "y")}
    )


@PROPERTY
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4), st.integers(0, 9))
def test_datasets_of_a_domain_have_equal_shares_of_a_mix_of_the_ratio(
    sizes: list[int], seed: int
) -> None:
    whole = rows(**{f"d{k}": n for k, n in enumerate(sizes)})
    for total in ("strict", "min", "sum"):
        mix = draw_mix(whole, {"x": 3, "y": 1}, total, seed)
        counts = mix["domain"].value_counts()
        assert abs(counts.get("x", 0) - 3 * counts.get("y", 0)) <= 3
        shares = Counter(mix["dataset"][mix["domain"] == "y"])
        assert max(shares.values(), default=0) - min(shares.values(), default=0) <= 1
        assert total != "strict" or not mix.index.duplicated().any()
        assert total != "sum" or len(mix) == len(whole)
        assert mix.equals(draw_mix(whole, {"x": 3, "y": 1}, total, seed))


@pytest.mark.parametrize("total", ["min", "strict"])
def test_nothing_fits_a_domain_without_rows(total: str) -> None:
    assert draw_mix(rows(a=3, b=3), {"x": 1, "z": 1}, total).empty


@PROPERTY
@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_apportion_adds_up_and_is_within_one_of_the_share(total: int, ratio: list[int]) -> None:
    counts = apportion(total, ratio)
    assert sum(counts) == total
    for count, share in zip(counts, ratio, strict=True):
        assert abs(count - total * share / sum(ratio)) < 1
        assert share or not count
