"""How often to draw each example so that the set meets its goals, and weights instead of draws.

Draws per example are the variables of a linear program: every goal of the note is linear in them,
a text is drawn at most `MAX_DRAWS` times, and the draws add up to the size wanted. Goals that
cannot be met keep a shortfall, which costs; repeating a text costs a little, the second copy less
than the third, so rare material is repeated evenly and only as far as needed. The optimum has a
handful of fractional draws; they are rounded by largest remainder.

Class-balanced weights (Cui et al., CVPR 2019; composition note, section 5) replace the n samples
of a class by their effective number (1 - beta^n) / (1 - beta).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from evoxtral import UserError, runs, tags
from evoxtral.mix.duplicates import keep_first
from evoxtral.mix.goals import MAX_DRAWS, Array, Goal, Item, goals
from evoxtral.mix.source import Source
from evoxtral.mix.three_stage import Part, draw_mix
from evoxtral.params import DataMix
from evoxtral.tags import text_key

MIX_FILE = "mix.jsonl"

# Room for rounding, in examples: bands are narrowed by it, the least that works is taken.
MARGINS = (1.0, 2.0, 4.0)
SHORTFALL_COST = 1000.0
PLAIN = "plain"
"""Class of the examples without tags."""

_Texts = NDArray[np.int64]  # which text an example has, by number


def rebalance(
    items: Sequence[Item],
    seed: int,
    window_seconds: float | None = None,
    size: int | None = None,
) -> tuple[list[Item], pd.DataFrame]:
    """Choose how often to draw each example so that the set meets the note's goals.

    Args:
        items: the examples, ids unique.
        seed: chooses among equally good sets and shuffles.
        window_seconds: the model's window, for length strata; `None` for real data.
        size: examples to draw, as far as no text is drawn too often; as many as there are by
            default.

    Returns:
        The drawn examples, shuffled, and `table | row | target | before | met | after | reached |
        shortfall` of every goal: `met` is the verdict before, `reached` after, and a goal that is
        not reached says why.
    """
    keys: dict[str, int] = {}
    text = np.array([keys.setdefault(text_key(item.plain_text), len(keys)) for item in items])
    size = min(size or len(items), MAX_DRAWS * len(keys))
    wanted = goals(items, window_seconds)
    draws = _choose(wanted, size, text, seed)
    rows = [
        {
            "table": goal.table,
            "row": goal.row,
            "target": goal.target,
            "before": goal.measured(),
            "met": goal.verdict(),
            "after": goal.measured(draws),
            "reached": goal.verdict(draws),
            "shortfall": _shortfall(goal, wanted, draws, text, seed),
        }
        for goal in wanted
    ]
    times = np.repeat(np.arange(len(items)), draws.astype(int))
    drawn = np.random.default_rng(seed).permutation(times)
    return [items[i] for i in drawn], pd.DataFrame(rows)


def missed(targets: pd.DataFrame) -> pd.DataFrame:
    """The goals of `rebalance` that fail before or after."""
    both = (targets["met"] == "yes") & (targets["reached"] == "yes")
    return targets[~both].reset_index(drop=True)


def _shortfall(goal: Goal, wanted: Sequence[Goal], draws: Array, text: _Texts, seed: int) -> str:
    """Why a goal is missed: nothing to draw from, too little of it, or other goals against it."""
    if goal.verdict(draws) == "yes":
        return ""
    carriers = len(set(text[goal.hits > 0].tolist()))
    if not carriers:
        return "no example has it"
    others = [row for row in wanted if row.table == "density" and row.row != goal.row]
    alone = _choose([*others, goal], int(draws.sum()), text, seed)
    value = goal.measured(alone)
    best = f"{value:.0f}" if goal.base is None else f"{100 * value:.1f} %"
    if goal.verdict(alone) == "yes":
        return f"in conflict with other goals; with the density bands alone {best}"
    supply = f"{carriers} distinct text{'s' * (carriers > 1)}, {MAX_DRAWS} draws each"
    return f"at most {best} within the density bands: {supply}"


def _choose(wanted: Sequence[Goal], size: int, text: _Texts, seed: int) -> Array:
    """Whole draws; a wider margin is tried only where rounding costs a goal."""
    tried = []
    for margin in MARGINS:
        optimum = _solve(wanted, size, text, seed, margin)
        whole = _round(optimum, size, text)
        reached = [goal for goal in wanted if goal.verdict(optimum) == "yes"]
        lost = sum(goal.verdict(whole) != "yes" for goal in reached)
        tried.append((lost, whole))
        if not lost:
            break
    return min(tried, key=itemgetter(0))[1]


def _solve(wanted: Sequence[Goal], size: int, text: _Texts, seed: int, margin: float) -> Array:
    """Optimal draws per example, (n,), mostly whole numbers in [0, MAX_DRAWS].

    Variables: each example's first, second, ... copy in [0, 1], then a shortfall per constraint.
    A random cost below the price of a copy chooses among equals.
    """
    n = len(text)
    rows, least, prices = _constraints(wanted, size, margin)
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


def _round(draws: Array, size: int, text: _Texts) -> Array:
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


def _constraints(wanted: Sequence[Goal], size: int, margin: float) -> tuple[Array, Array, Array]:
    """Rows r (m, n), least values (m,) and prices (m,): `r @ draws + shortfall >= least`.

    A share `hits / base >= low` becomes `(hits - low base) @ draws >= margin`. Prices are relative
    to what the goal asks for, so that missing half of a rare goal costs as much as half of a
    common one.
    """
    rows, least, prices = [], [], []
    for goal in wanted:
        base = np.zeros_like(goal.hits) if goal.base is None else goal.base
        asked = goal.low * (1.0 if goal.base is None else max(1.0, size * float(base.mean())))
        rows.append(goal.hits - goal.low * base)
        least.append(goal.low + margin if goal.base is None else margin)
        prices.append(goal.priority / asked)
        if goal.high < float("inf"):
            rows.append(goal.high * base - goal.hits)
            least.append(margin)
            prices.append(goal.priority / asked)
    return np.array(rows), np.array(least), SHORTFALL_COST * np.array(prices)


def class_balanced_weights(
    counts: Mapping[str, int], beta: float, *, normalise: bool = True
) -> dict[str, float]:
    """Weight per class, (1 - beta) / (1 - beta^n).

    Args:
        counts: samples per class, each at least 1.
        beta: in [0, 1); 0 weighs classes alike, towards 1 the weight tends to 1 / n. The note
            names 0.9, 0.99 and 0.999.
        normalise: scale the weights to add up to the number of classes, as the paper does.

    >>> class_balanced_weights({"a": 1, "b": 2}, beta=0.5, normalise=False)
    {'a': 1.0, 'b': 0.6666666666666666}
    """
    raw = {name: (1 - beta) / (1 - beta**count) for name, count in counts.items()}
    scale = len(raw) / sum(raw.values()) if normalise else 1.0
    return {name: weight * scale for name, weight in raw.items()}


def classes(items: Sequence[Item]) -> list[list[str]]:
    """The classes of each example: its distinct tags, sorted, or `plain`."""
    return [sorted(set(tags.find_tags(item.tagged_text))) or [PLAIN] for item in items]


def clip_weights(items: Sequence[Item], beta: float) -> Array:
    """Weight of each clip, (n,): the mean of its classes' weights, scaled to mean 1."""
    own = classes(items)
    weights = class_balanced_weights(Counter(name for row in own for name in row), beta)
    means = np.array([np.mean([weights[name] for name in row]) for row in own])
    return means / means.mean()


class Drawn(NamedTuple):
    """A clip of the training mix: draws per epoch, and a factor of its loss."""

    id: str
    draws: int
    weight: float


def training_mix(cfg: DataMix, source: Source) -> runs.StageResult:
    """The stage that says how often fine-tuning draws each clip: `mix.jsonl`, see `read_mix`."""

    def make(folder: Path) -> None:
        runs.write_jsonl(folder / MIX_FILE, (row._asdict() for row in _draw(cfg, source)))

    names = {"seed", "threshold", "mix", "class_balance", "beta"}
    params = {**cfg.model_dump(include=names), "window": source.window_seconds}
    inputs = {"source": source.digest}
    own = ("balance", "duplicates", "goals", "three_stage")
    code = (*(f"evoxtral.mix.{name}" for name in own), "evoxtral.tags")
    return runs.stage("training-mix", cfg.profile, params, make, inputs=inputs, code=code)


def read_mix(folder: Path) -> list[Drawn]:
    """The training mix of a stage's folder."""
    return [Drawn(**row) for row in runs.read_jsonl(folder / MIX_FILE)]


def _draw(cfg: DataMix, source: Source) -> list[Drawn]:
    """Draws and weights of the clips that are drawn, in the order of ids."""
    items = source.items
    texts = [item.tagged_text for item in items]
    kept = [items[i] for i in keep_first(texts, cfg.threshold, cfg.workers or None)]
    drawn = kept
    if cfg.mix == "targets":
        drawn, _ = rebalance(kept, cfg.seed, source.window_seconds, len(items))
    elif cfg.mix != "written":
        mix = draw_ratio(kept, cfg.mix, cfg.seed)
        drawn = [kept[i] for i in mix["row"]]
    times = Counter(item.id for item in drawn)
    weights = dict.fromkeys(times, 1.0)
    if cfg.class_balance != "none":
        weights = {i.id: w for i, w in zip(drawn, clip_weights(drawn, cfg.beta), strict=True)}
    if cfg.class_balance == "weighted":
        return [Drawn(name, times[name], round(weights[name], 6)) for name in sorted(times)]
    factors = {name: np.clip(np.rint(weight), 1, MAX_DRAWS) for name, weight in weights.items()}
    return [
        Drawn(name, min(MAX_DRAWS, times[name] * int(factors[name])), 1.0) for name in sorted(times)
    ]


def draw_ratio(items: Sequence[Item], ratio: str, seed: int) -> pd.DataFrame:
    """The largest mix of tagged and plain examples without repetition, such as `3:1`.

    Returns:
        `dataset | domain | row` of `draw_mix`: domain is `tagged` or `plain`, row a position.
    """
    tagged = np.array([bool(tags.find_tags(item.tagged_text)) for item in items])
    sides = {"tagged": tagged, PLAIN: ~tagged}
    parts = [Part(name, name, np.flatnonzero(side)) for name, side in sides.items()]
    return draw_mix(
        parts, dict(zip(sides, map(int, ratio.split(":")), strict=True)), "strict", seed
    )
