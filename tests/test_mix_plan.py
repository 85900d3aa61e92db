"""The three-stage plan: every figure of the mixing note, and no leakage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.mix.plan import (
    Draws,
    Part,
    apportion,
    check_leakage,
    draw_mix,
    largest_mix,
    split_rows,
    split_sizes,
)

# The note's six datasets: domain, size, and its train and test figures.
NOTE = {
    "gsm8k": ("math", 7_473, 6_227, 1_246),
    "math": ("math", 7_500, 6_250, 1_250),
    "squad2": ("qa", 87_599, 72_999, 14_600),
    "hotpotqa": ("qa", 88_966, 74_138, 14_828),
    "humaneval": ("code", 164, 137, 27),
    "mbpp": ("code", 427, 356, 71),
}
RATIO = {"math": 4, "qa": 3, "code": 3}
PROPERTY = settings(deadline=None)


def parts(side: int) -> list[Part]:
    rows = split_rows(list(NOTE), [row[1] for row in NOTE.values()])[side]
    return [Part(name, row[0], r) for (name, row), r in zip(NOTE.items(), rows, strict=True)]


def drawn(draws: Draws) -> dict[str, int]:
    table = draws.table()
    return dict(zip(table["dataset"], table["drawn"], strict=True))


@pytest.mark.parametrize(("name", "n", "train", "test"), [(k, *v[1:]) for k, v in NOTE.items()])
def test_split_figures_of_the_note(name: str, n: int, train: int, test: int) -> None:
    assert split_sizes(n) == (train, test)
    (a,), (b,) = split_rows([name], [n])
    assert (len(a), len(b)) == (train, test)
    assert sorted([*a, *b]) == list(range(n))


def test_totals_of_the_note() -> None:
    train, test = split_rows(list(NOTE), [row[1] for row in NOTE.values()])
    assert sum(map(len, train)) == 160_107
    assert sum(map(len, test)) == 32_022


def test_sum_mix_of_the_note() -> None:
    draws = draw_mix(parts(0), RATIO, "sum")
    assert draws.pools == {"math": 12_500, "qa": 148_276, "code": 712}
    assert draws.counts == {"math": 64_043, "qa": 48_032, "code": 48_032}
    assert len(draws) == 160_107
    assert draw_mix(parts(1), RATIO, "sum").counts == {"math": 12_809, "qa": 9_607, "code": 9_606}


def test_sum_mix_draws_every_humaneval_row_175_times_on_average() -> None:
    table = draw_mix(parts(0), RATIO, "sum").table().set_index("dataset")
    assert table.loc["humaneval", "drawn"] == 24_016
    assert table.loc["humaneval", "mean draws"] == pytest.approx(24_016 / 137)
    assert round(table.loc["humaneval", "mean draws"]) == 175
    assert table.loc["squad2", "distinct"] < table.loc["squad2", "drawn"]


def test_min_mix_of_the_note_is_2373_not_2374() -> None:
    draws = draw_mix(parts(0), RATIO, "min")
    assert draws.counts == {"math": 949, "qa": 712, "code": 712}
    assert len(draws) == 2_373
    assert drawn(draws)["humaneval"] == drawn(draws)["mbpp"] == 356


def test_strict_mix_repeats_nothing() -> None:
    draws = draw_mix(parts(0), RATIO, "strict")
    assert len(draws) == 913
    assert draws.counts == {"math": 365, "qa": 274, "code": 274}
    assert draws.table()["most draws"].max() == 1


def test_choices_lose_rows_that_cover_keeps() -> None:
    for resample, distinct in (("choices", 0.632), ("cover", 1.0)):
        table = draw_mix(parts(0), RATIO, "sum", resample=resample).table().set_index("dataset")
        share = table.loc["gsm8k", "distinct"] / table.loc["gsm8k", "rows"]
        assert share == pytest.approx(distinct, abs=0.02)


def test_draws_come_from_the_rows_of_their_part_and_are_shuffled() -> None:
    given_parts = parts(1)
    draws = draw_mix(given_parts, RATIO, "min", seed=5)
    for part, row in zip(draws.part, draws.row, strict=True):
        assert row in given_parts[part].rows
    assert (np.diff(draws.part) != 0).mean() > 0.3
    again = draw_mix(given_parts, RATIO, "min", seed=5)
    assert np.array_equal(draws.row, again.row)
    assert not np.array_equal(draws.row, draw_mix(given_parts, RATIO, "min", seed=6).row)


@PROPERTY
@given(st.integers(0, 10_000), st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_apportion_adds_up_and_is_within_one_of_the_share(total: int, ratio: list[int]) -> None:
    counts = apportion(total, ratio)
    assert sum(counts) == total
    for count, part in zip(counts, ratio, strict=True):
        assert abs(count - total * part / sum(ratio)) < 1
        assert part or not count


def test_ties_of_the_remainder_go_to_the_earlier_domain() -> None:
    assert apportion(32_022, [4, 3, 3]) == [12_809, 9_607, 9_606]
    assert apportion(1, [1, 1]) == [1, 0]


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9)), min_size=1, max_size=5)
       .filter(lambda rows: any(part for _, part in rows)))  # fmt: skip
def test_largest_mix_fits_and_cannot_grow(rows: list[tuple[int, int]]) -> None:
    available, ratio = [n for n, _ in rows], [part for _, part in rows]
    counts = largest_mix(available, ratio)
    assert all(count <= n for count, n in zip(counts, available, strict=True))
    more = sum(counts) + 1
    assert any(more * p > n * sum(ratio) for n, p in zip(available, ratio, strict=True))


KEYS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=40), min_size=1, max_size=3)


@PROPERTY
@given(KEYS, st.integers(0, 5))
def test_no_text_is_on_both_sides_of_any_dataset(keys: list[list[int]], seed: int) -> None:
    names = [f"d{k}" for k in range(len(keys))]
    train, test = split_rows(names, keys, seed)
    check_leakage(train, test, keys)
    for key, a, b in zip(keys, train, test, strict=True):
        assert sorted([*a, *b]) == list(range(len(key)))


def test_copies_of_a_text_do_not_change_the_sizes_where_single_rows_can_fill_up() -> None:
    keys = [k // 3 if k < 60 else k for k in range(600)]
    (train,), (test,) = split_rows(["d"], [keys])
    assert (len(train), len(test)) == split_sizes(600)


def test_a_new_dataset_does_not_change_the_split_of_another() -> None:
    alone = split_rows(["a"], [100], seed=2)
    both = split_rows(["b", "a"], [50, 100], seed=2)
    assert np.array_equal(alone[1][0], both[1][1])
    assert not np.array_equal(alone[1][0], split_rows(["a"], [100], seed=3)[1][0])


def test_leakage_is_found() -> None:
    rows = [np.array([0], dtype=np.int32), np.array([1], dtype=np.int32)]
    with pytest.raises(UserError, match="train and test: 1"):
        check_leakage([rows[0]], [rows[1]], [["same", "same"]])


def part(name: str, domain: str, n: int) -> Part:
    return Part(name, domain, np.arange(n, dtype=np.int32))


@pytest.mark.parametrize(
    ("given_parts", "ratio", "message"),
    [
        ([part("a", "x", 3)], {"x": 1, "y": 1}, "make them equal"),
        ([part("a", "x", 3), part("b", "z", 3)], {"x": 1}, "make them equal"),
        ([part("a", "x", 3), part("b", "y", 0)], {"x": 1, "y": 1}, "'b' has no rows"),
        ([part("a", "x", 3)], {"x": 0}, "positive"),
        ([], {}, "positive"),
    ],
)
def test_mixes_that_make_no_sense_are_refused(
    given_parts: list[Part], ratio: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        draw_mix(given_parts, ratio)
