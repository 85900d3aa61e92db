"""How often to draw each example so that the set meets its goals, and weights instead of draws.

Draws per example are the variables of a linear program: every goal of the note is linear in them,
a text is drawn at most `MAX_DRAWS` times, and the draws add up to the size wanted. A shortfall of a
goal costs much, repeating a text little, the second copy less than the third. The optimum's few
fractional draws are rounded by largest remainder.

Class-balanced weights (Cui et al., CVPR 2019; composition note, section 5) replace the n samples
of a class by their effective number (1 - beta^n) / (1 - beta).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, sparse

from evoxtral import UserError, runs, tags
from evoxtral.mix.composition import MAX_DRAWS, TARGETS_FILE, Array, Goals, goals, keep_first
from evoxtral.mix.source import Source
from evoxtral.mix.three_stage import draw_mix
from evoxtral.params import DataMix
from evoxtral.tags import text_key

PLAIN = "plain"
"""Class of the examples without tags."""

_MIX_FILE = "mix.jsonl"
_MARGINS = (1.0, 2.0, 4.0)  # examples by which bands are narrowed, to leave room for rounding
_SHORTFALL_COST = 1000.0

_Texts = NDArray[np.int64]  # which text an example has, by number


def rebalance(
    items: pd.DataFrame,
    seed: int,
    window_seconds: float | None = None,
    size: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw `size` examples, by default as many as `items` has, so that they meet the note's goals.

    Returns:
        The drawn examples, shuffled, and `table | row | target | before | met | after | reached |
        shortfall` of every goal: verdicts before and after, and why a goal is not reached.
    """
    text, texts = pd.factorize(items["plain_text"].map(text_key))
    size = min(size or len(items), MAX_DRAWS * len(texts))
    wanted = goals(items, window_seconds)
    wanted = wanted.take(np.flatnonzero(wanted.rows["priority"]))
    draws = _choose(wanted, size, text, seed)
    table = wanted.rows[["table", "row", "target"]].assign(
        before=wanted.measured(),
        met=wanted.verdicts(),
        after=wanted.measured(draws),
        reached=wanted.verdicts(draws),
    )
    missed = np.flatnonzero(table["reached"] != "yes")
    reasons = {k: _shortfall(k, wanted, size, text, seed) for k in missed}
    table["shortfall"] = [reasons.get(k, "") for k in table.index]
    times = np.repeat(np.arange(len(items)), draws.astype(int))
    drawn = np.random.default_rng(seed).permutation(times)
    return items.iloc[drawn].reset_index(drop=True), table


def missed(targets: pd.DataFrame) -> pd.DataFrame:
    """The goals of `rebalance` that fail before or after."""
    failed = (targets[["met", "reached"]] != "yes").any(axis=1)
    return targets[failed].reset_index(drop=True)


def _shortfall(k: int, wanted: Goals, size: int, text: _Texts, seed: int) -> str:
    """Why a goal is missed: nothing to draw from, too little of it, or other goals against it."""
    carriers = len(np.unique(text[wanted.hits[k] > 0]))
    if not carriers:
        return "no example has it"
    density = np.flatnonzero(wanted.rows["table"] == "density")
    own = wanted.take([*density[density != k], k])
    alone = _choose(own, size, text, seed)
    value, unit = own.measured(alone)[-1], own.rows["unit"].iloc[-1]
    best = f"{value:.0f}" if unit == "count" else f"{100 * value:.1f} %"
    if own.verdicts(alone)[-1] == "yes":
        return f"in conflict with other goals; with the density bands alone {best}"
    supply = f"{carriers} distinct text{'s' * (carriers > 1)}, {MAX_DRAWS} draws each"
    return f"at most {best} within the density bands: {supply}"


def _choose(wanted: Goals, size: int, text: _Texts, seed: int) -> Array:
    """Whole draws; a wider margin is tried only where rounding costs a goal."""
    tried = []
    for margin in _MARGINS:
        optimum = _solve(wanted, size, text, seed, margin)
        whole = _round(optimum, size, text)
        lost = sum((wanted.verdicts(optimum) == "yes") & (wanted.verdicts(whole) != "yes"))
        tried.append((lost, whole))
        if not lost:
            break
    return min(tried, key=itemgetter(0))[1]


def _solve(wanted: Goals, size: int, text: _Texts, seed: int, margin: float) -> Array:
    """Optimal draws per example, (n,), mostly whole numbers in [0, MAX_DRAWS].

    Variables: each example's first, second, ... copy in [0, 1], then a shortfall per bound, priced
    relative to what the goal asks for. A random cost below the price of a copy chooses among
    equals. `hits / base >= low` becomes `(hits - low base) @ draws + shortfall >= margin`.
    """
    goal = wanted.rows
    own = np.repeat(goal.index, 1 + (goal["high"] < np.inf))  # of each bound: low, then high
    upper = np.append(False, own[1:] == own[:-1])
    bound = np.where(upper, goal["high"][own], goal["low"][own])
    gain = np.where(upper, -1, 1)[:, None] * (wanted.hits[own] - bound[:, None] * wanted.base[own])
    least = margin + np.where(goal["unit"][own] == "count", bound, 0)
    asked = goal["low"] * np.maximum(1.0, size * wanted.base.mean(axis=1))
    prices = _SHORTFALL_COST * (goal["priority"] / asked)[own]
    n, m = len(text), len(own)
    spread = np.random.default_rng(seed).uniform(0, 0.1, size=MAX_DRAWS * n)
    cost = (np.repeat(np.arange(MAX_DRAWS), n) + spread) / size
    shared = np.flatnonzero(np.bincount(text) > 1)
    sums = sparse.csr_matrix(np.vstack([gain, np.ones(n), text == shared[:, None]]))
    result = optimize.milp(
        np.append(cost, prices),
        constraints=optimize.LinearConstraint(
            sparse.hstack([sums] * MAX_DRAWS + [sparse.eye(m + 1 + len(shared), m)]),
            np.concatenate([least, [size], np.zeros(len(shared))]),
            np.concatenate([np.full(m, np.inf), [size], np.full(len(shared), MAX_DRAWS)]),
        ),
        bounds=optimize.Bounds(0, np.repeat([1, np.inf], [MAX_DRAWS * n, m])),
    )
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


def class_balanced_weights(counts: Mapping[str, int], beta: float) -> dict[str, float]:
    """Weight per class of n > 0 samples, (1 - beta) / (1 - beta^n), towards 1 / n for beta 1.

    >>> class_balanced_weights({"a": 1, "b": 2}, beta=0.5)
    {'a': 1.0, 'b': 0.6666666666666666}
    """
    return {name: (1 - beta) / (1 - beta**count) for name, count in counts.items()}


def classes(items: pd.DataFrame) -> list[list[str]]:
    """The classes of each example: its distinct tags, sorted, or `plain`."""
    return [sorted(set(tags.find_tags(text))) or [PLAIN] for text in items["tagged_text"]]


def clip_weights(items: pd.DataFrame, beta: float) -> Array:
    """Weight of each clip, (n,): the mean of its classes' weights, scaled to mean 1."""
    own = classes(items)
    weights = class_balanced_weights(Counter(name for row in own for name in row), beta)
    means = np.array([np.mean([weights[name] for name in row]) for row in own])
    return means / means.mean()


def draw_ratio(items: pd.DataFrame, ratio: str, seed: int) -> pd.DataFrame:
    """The largest mix such as `3:1` without repetition; its `domain` is `tagged` or `plain`."""
    tagged = [bool(tags.find_tags(text)) for text in items["tagged_text"]]
    side = np.where(tagged, "tagged", PLAIN)
    shares = dict(zip(("tagged", PLAIN), map(int, ratio.split(":")), strict=True))
    return draw_mix(items.assign(domain=side, dataset=side), shares, "strict", seed)


def training_mix(cfg: DataMix, source: Source) -> runs.StageResult:
    """The stage that says how often fine-tuning draws each clip: `mix.jsonl`, see `read_mix`."""

    def make(folder: Path) -> None:
        items = source.items
        kept = keep_first(items["tagged_text"], cfg.threshold)
        drawn = items.iloc[kept].reset_index(drop=True)
        if cfg.mix == "targets":
            drawn, _ = rebalance(drawn, cfg.seed, source.window_seconds, len(items))
        elif cfg.mix != "written":
            drawn = draw_ratio(drawn, cfg.mix, cfg.seed)
            if drawn.empty:
                raise UserError(f"mix {cfg.mix!r} wants clips with and without tags: set written")
        weights = 1.0 if cfg.class_balance == "none" else clip_weights(drawn, cfg.beta)
        times = drawn.assign(weight=weights).groupby("id")["weight"]
        mix = times.agg(draws="size", weight="first").reset_index()
        if cfg.class_balance == "oversample":
            factors = mix["weight"].round().clip(1, MAX_DRAWS).astype(int)
            mix["draws"] = (mix["draws"] * factors).clip(upper=MAX_DRAWS)
            mix["weight"] = 1.0
        runs.write_jsonl(folder / _MIX_FILE, mix.round({"weight": 6}).to_dict("records"))

    names = {"seed", "threshold", "mix", "class_balance", "beta"}
    params = {**cfg.model_dump(include=names), "window": source.window_seconds}
    inputs = {"source": source.digest, "targets": runs.digest_file(TARGETS_FILE)}
    own = ("mix.balance", "mix.composition", "mix.three_stage", "tags")
    code = [f"evoxtral.{name}" for name in own]
    return runs.stage("training-mix", cfg.profile, params, make, inputs=inputs, code=code)


def read_drawn(folder: Path, items: pd.DataFrame) -> pd.DataFrame:
    """The examples of a training mix, each as often as one epoch draws it."""
    draws = read_mix(folder).set_index("id")["draws"].reindex(items["id"], fill_value=0)
    return items.loc[items.index.repeat(draws)].reset_index(drop=True)


def read_mix(folder: Path) -> pd.DataFrame:
    """The training mix: `id | draws | weight`, draws per epoch and a factor of the loss, by id."""
    return pd.DataFrame(runs.read_jsonl(folder / _MIX_FILE))
