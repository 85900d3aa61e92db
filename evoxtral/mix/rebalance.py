"""Take a set of examples to its composition goals by choosing how often each is drawn.

Draws per example are the variables of a linear program: every goal of the note is linear in them
(`goals`), a text is drawn at most `MAX_DRAWS` times, and the draws add up to the size wanted.
Goals that cannot be met keep a shortfall, which costs; repeating a text costs a little, the
second copy less than the third, so rare material is repeated evenly and only as far as needed.
The optimum has a handful of fractional draws; they are rounded by largest remainder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from evoxtral import UserError
from evoxtral.mix.goals import MAX_DRAWS, Goal, all_goals, density_goals
from evoxtral.mix.items import Features, Item
from evoxtral.tags import text_key

# Room for rounding, in examples: bands are narrowed by it, the least that works is taken.
MARGINS = (1.0, 2.0, 4.0)
SHORTFALL_COST = 1000.0


@dataclass(frozen=True)
class Rebalanced:
    """Result of `rebalance`.

    Attributes:
        items: the drawn examples in shuffled order; an example drawn twice is there twice.
        draws: times each input id is drawn, 0 included, in input order.
        table: `table | row | target | before | after | reached | shortfall`, one row per goal.
    """

    items: tuple[Item, ...]
    draws: dict[str, int]
    table: pd.DataFrame


def check_splits(items: Sequence[Item]) -> None:
    """Refuse a set in which one text stands in two splits.

    Raises:
        UserError: names the text and the splits.
    """
    where: dict[str, str | None] = {}
    for item in items:
        key = text_key(item.plain_text)
        first = where.setdefault(key, item.split)
        if first != item.split:
            raise UserError(
                f"the text of {item.id!r} ({key[:60]!r}) stands in splits {first!r} and "
                f"{item.split!r}: give all clips of a text the same split"
            )


def _check(items: Sequence[Item], size: int, text: NDArray[np.int64]) -> None:
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise UserError(f"id {twice[0]!r} occurs more than once: give every example its own id")
    most = MAX_DRAWS * len(set(text.tolist()))
    if not 1 <= size <= most:
        raise UserError(
            f"size is {size}: no text is drawn more than {MAX_DRAWS} times, so give 1 to {most}"
        )


def _constraints(
    goals: Sequence[Goal], size: int, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows r (m, n), least values (m,) and prices (m,): `r @ draws + shortfall >= least`.

    A share `hits / base >= low` becomes `(hits - low base) @ draws >= margin`. Prices are relative
    to what the goal asks for, so that missing half of a rare goal costs as much as half of a
    common one.
    """
    rows, least, prices = [], [], []
    for goal in goals:
        base = np.zeros_like(goal.hits) if goal.base is None else goal.base
        wanted = goal.low * (1.0 if goal.base is None else max(1.0, size * float(base.mean())))
        rows.append(goal.hits - goal.low * base)
        least.append(goal.low + margin if goal.base is None else margin)
        prices.append(goal.priority / wanted)
        if goal.high < float("inf"):
            rows.append(goal.high * base - goal.hits)
            least.append(margin)
            prices.append(goal.priority / wanted)
    return np.array(rows), np.array(least), SHORTFALL_COST * np.array(prices)


def _solve(
    goals: Sequence[Goal], size: int, text: NDArray[np.int64], seed: int, margin: float
) -> NDArray[np.float64]:
    """Optimal draws per example, (n,), mostly whole numbers in [0, MAX_DRAWS].

    Variables: each example's first, second, ... copy in [0, 1], then a shortfall per constraint.
    A random cost below the price of a copy chooses among equals.
    """
    n = len(text)
    rows, least, prices = _constraints(goals, size, margin)
    m = len(rows)
    shared = np.flatnonzero(np.bincount(text) > 1)
    per_text = sparse.csr_matrix((np.ones(n), (text, np.arange(n))))[shared]
    every = sparse.csr_matrix(np.ones((1, n)))
    copies = sparse.hstack([sparse.vstack([rows, every, per_text])] * MAX_DRAWS)
    shortfall = sparse.vstack([sparse.eye(m), sparse.csr_matrix((1 + len(shared), m))])
    spread = np.random.default_rng(seed).uniform(0, 0.1, size=MAX_DRAWS * n)
    cost = (np.repeat(np.arange(MAX_DRAWS), n) + spread) / size
    result = optimize.milp(
        np.concatenate([cost, prices]),
        constraints=optimize.LinearConstraint(
            sparse.hstack([copies, shortfall]).tocsr(),
            np.concatenate([least, [size], np.zeros(len(shared))]),
            np.concatenate([np.full(m, np.inf), [size], np.full(len(shared), MAX_DRAWS)]),
        ),
        bounds=optimize.Bounds(0, np.append(np.ones(MAX_DRAWS * n), np.full(m, np.inf))),
    )
    if result.x is None:
        raise UserError(f"rebalancing found no solution ({result.message}); try another size")
    return result.x[: MAX_DRAWS * n].reshape(MAX_DRAWS, n).sum(axis=0)


def _round(draws: NDArray[np.float64], size: int, text: NDArray[np.int64]) -> NDArray[np.float64]:
    """Whole draws that add up to `size`, by largest remainder, with no text above MAX_DRAWS."""
    whole = np.floor(draws + 1e-6)
    per_text = np.bincount(text, whole)
    for i in np.argsort(whole - draws, kind="stable"):
        if whole.sum() == size:
            break
        if per_text[text[i]] < MAX_DRAWS:
            whole[i] += 1
            per_text[text[i]] += 1
    return whole


def _choose(
    goals: Sequence[Goal], size: int, text: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Whole draws; a wider margin is tried only where rounding costs a goal."""
    tried = []
    for margin in MARGINS:
        optimum = _solve(goals, size, text, seed, margin)
        whole = _round(optimum, size, text)
        reached = [goal for goal in goals if goal.verdict(optimum) == "yes"]
        lost = sum(goal.verdict(whole) != "yes" for goal in reached)
        tried.append((lost, whole))
        if not lost:
            break
    return min(tried, key=itemgetter(0))[1]


def _show(goal: Goal, value: float) -> str:
    return f"{value:.0f}" if goal.base is None else f"{100 * value:.1f} %"


def _shortfall(
    goal: Goal,
    density: Sequence[Goal],
    draws: NDArray[np.float64],
    text: NDArray[np.int64],
    seed: int,
) -> str:
    """Why a goal is missed: nothing to draw from, too little of it, or other goals against it."""
    if goal.verdict(draws) == "yes":
        return ""
    carriers = len(set(text[goal.hits > 0].tolist()))
    if not carriers:
        return "no example has it"
    others = [row for row in density if row.row != goal.row]
    alone = _choose([*others, goal], int(draws.sum()), text, seed)
    best = _show(goal, goal.measured(alone))
    if goal.verdict(alone) == "yes":
        return f"in conflict with other goals; with the density bands alone {best}"
    supply = f"{carriers} distinct text{'s' * (carriers > 1)}, {MAX_DRAWS} draws each"
    return f"at most {best} within the density bands: {supply}"


def _table(
    goals: Sequence[Goal],
    density: Sequence[Goal],
    draws: NDArray[np.float64],
    text: NDArray[np.int64],
    seed: int,
) -> pd.DataFrame:
    rows = [
        {
            "table": goal.table,
            "row": goal.row,
            "target": goal.target,
            "before": goal.measured(),
            "after": goal.measured(draws),
            "reached": goal.verdict(draws),
            "shortfall": _shortfall(goal, density, draws, text, seed),
        }
        for goal in goals
    ]
    return pd.DataFrame(rows)


def rebalance(
    items: Sequence[Item],
    size: int | None = None,
    *,
    seed: int = 0,
    split: str | None = None,
    window_seconds: float | None = None,
) -> Rebalanced:
    """Choose how often to draw each example so that the set meets the note's goals.

    Args:
        items: the examples, ids unique; those of other splits are checked, not drawn.
        size: examples to draw; as many as there are by default.
        seed: chooses among equally good sets and shuffles; same seed, same result.
        split: the split to rebalance; needed where the items name several.
        window_seconds: the model's window, for length strata; `None` for real data.

    Returns:
        The drawn set, draws per id, and every goal before and after. A goal that is not reached
        says why.

    Raises:
        UserError: a text in two splits, a repeated id, several splits and none named, or a size
            that needs more than `MAX_DRAWS` draws of a text.
    """
    check_splits(items)
    splits = {item.split for item in items}
    if split is None and len(splits) > 1:
        raise UserError(f"splits {sorted(map(str, splits))}: name the one to rebalance")
    chosen = [item for item in items if split is None or item.split == split]
    features = Features.of(chosen)
    keys: dict[str, int] = {}
    text = np.array([keys.setdefault(text_key(item.plain_text), len(keys)) for item in chosen])
    size = len(chosen) if size is None else size
    _check(chosen, size, text)
    goals = all_goals(features, window_seconds)
    draws = _choose(goals, size, text, seed)
    table = _table(goals, density_goals(features), draws, text, seed)
    times = draws.astype(int)
    drawn = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(chosen)), times))
    per_id = {item.id: int(count) for item, count in zip(chosen, times, strict=True)}
    return Rebalanced(tuple(chosen[i] for i in drawn), per_id, table)
