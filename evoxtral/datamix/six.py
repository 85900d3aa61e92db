"""The mixing note's six datasets through the planner: every figure of the note, from its sizes.

Only row counts go in, so the whole plan takes a moment and no dataset is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import pandas as pd

from evoxtral.mix.plan import Draws, Part, Total, draw_mix, split_rows

SIZES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "gsm8k": ("math", 7_473),
        "math": ("math", 7_500),
        "squad2": ("qa", 87_599),
        "hotpotqa": ("qa", 88_966),
        "humaneval": ("code", 164),
        "mbpp": ("code", 427),
    }
)
"""Domain and rows of each dataset (mixing note, stage 1)."""

RATIO: Mapping[str, int] = MappingProxyType({"math": 4, "qa": 3, "code": 3})


@dataclass(frozen=True, eq=False)
class SixPlan:
    """The plan as rows.

    Attributes:
        splits: `dataset | domain | total | train | test | balanced`, the last after stage 2, with
            a row of sums.
        mixes: `mix | side | math | qa | code | total`; `sum`, `min` and `strict` (see `plan`).
        draws: `dataset | domain | rows | drawn | distinct | mean draws | most draws` of the
            training mix `sum`.
    """

    splits: pd.DataFrame
    mixes: pd.DataFrame
    draws: pd.DataFrame


def plan_six(seed: int = 0) -> SixPlan:
    """Split, balance and mix the six datasets on paper.

    Args:
        seed: which rows; no count depends on it, but `distinct` and `most draws` do.
    """
    train, test = split_rows(list(SIZES), [size for _, size in SIZES.values()], seed)
    sides = {
        side: [Part(name, SIZES[name][0], own) for name, own in zip(SIZES, rows, strict=True)]
        for side, rows in (("train", train), ("test", test))
    }
    mixed = {
        (total, side): draw_mix(parts, RATIO, total, seed=seed)
        for total in ("sum", *(t for t in get_args(Total) if t != "sum"))
        for side, parts in sides.items()
    }
    rows = [_mix_row(total, side, draws) for (total, side), draws in mixed.items()]
    return SixPlan(_splits(sides), pd.DataFrame(rows), mixed["sum", "train"].table())


def _mix_row(total: str, side: str, draws: Draws) -> dict[str, object]:
    return {"mix": total, "side": side, **draws.counts, "total": len(draws)}


def _splits(sides: Mapping[str, list[Part]]) -> pd.DataFrame:
    rows = []
    for train, test in zip(sides["train"], sides["test"], strict=True):
        largest = max(len(p.rows) for p in sides["train"] if p.domain == train.domain)
        rows.append((train.name, train.domain, SIZES[train.name][1], len(train.rows),
                     len(test.rows), largest))  # fmt: skip
    frame = pd.DataFrame(rows, columns=["dataset", "domain", "total", "train", "test", "balanced"])
    sums = frame[["total", "train", "test", "balanced"]].sum()
    frame.loc[len(frame)] = {"dataset": "all", "domain": "", **sums}
    return frame
