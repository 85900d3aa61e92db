"""The three-stage mix at the mixing note's sizes: pandas in memory, against planned row numbers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from evoxtral import runs
from evoxtral.datamix.six import RATIO, SIZES
from evoxtral.mix.mixer import mix_tree
from evoxtral.mix.plan import apportion
from evoxtral.speed.measure import Comparison, alternate, clocked

__all__ = ["IN_MEMORY", "OURS", "mix_in_memory", "three_stage_mix", "write_rows"]

IN_MEMORY = "pandas, all in memory"
OURS = "ours"

_WORDS = 70
"""Words of a question: half a kilobyte, as the note's datasets have on average."""


def write_rows(root: Path, share: float, seed: int = 0) -> int:
    """Raw files of the six datasets, with so large a share of their rows, of made-up words.

    Returns:
        Rows written.
    """
    rng = np.random.default_rng(seed)
    words = np.array(["".join(rng.choice(list("etaoinshrdlu"), 6)) for _ in range(4096)])
    total = 0
    for name, (domain, size) in SIZES.items():
        rows = max(6, round(share * size))
        path = root / "raw" / domain / f"{name}.jsonl"
        runs.write_stream(path, _lines(name, domain, rows, words, rng))
        total += rows
    return total


def _lines(
    name: str, domain: str, rows: int, words: np.ndarray, rng: np.random.Generator
) -> Iterator[bytes]:
    for number in range(rows):
        row = {
            "id": f"{name}_{number}",
            "dataset": name,
            "domain": domain,
            "question": " ".join(rng.choice(words, _WORDS)),
            "reference_answer": str(number),
            "answer_type": "numeric",
            "metadata": {"source": name, "original_id": str(number)},
        }
        yield json.dumps(row).encode() + b"\n"


def three_stage_mix(repeats: int, share: float = 1.0) -> Comparison:
    """Measure splitting, balancing, mixing and writing.

    Args:
        repeats: rounds that count.
        share: of the note's 192,129 rows.

    Raises:
        RuntimeError: the two mixes are not of the same size.
    """
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder, str(i)) for i, name in enumerate((IN_MEMORY, OURS))}
        rows = max(write_rows(root, share) for root in roots.values())
        ways = {
            IN_MEMORY: clocked(lambda _: mix_in_memory(roots[IN_MEMORY])),
            OURS: clocked(lambda _: mix_tree(roots[OURS], RATIO).info["domain_distribution_train"]),
        }
        rounds, made = alternate(ways, repeats, _check)
        written = sum(p.stat().st_size for p in roots[OURS].rglob("*.jsonl"))
        read = sum(p.stat().st_size for p in (roots[OURS] / "raw").rglob("*.jsonl"))
    facts = {"rows": rows, "bytes_read": read, "bytes_written": written - read, **made[-1][OURS]}
    return Comparison(
        "three-stage mix", "thousand rows", rows / 1000, rounds, (IN_MEMORY,), (OURS,), None, facts
    )  # fmt: skip


def _check(made: Mapping[str, Mapping[str, int]]) -> None:
    if made[IN_MEMORY] != made[OURS]:
        raise RuntimeError(
            f"the mixes have {made[IN_MEMORY]} and {made[OURS]} rows: the speed of wrong results "
            "says nothing"
        )


def mix_in_memory(root: Path) -> dict[str, int]:
    """The note's three stages as one writes them with pandas.

    No copy of a question is looked for on the other side of the split, and nothing is validated.

    Returns:
        Rows of each domain in the training mix.
    """
    sides: dict[str, dict[str, list[pd.DataFrame]]] = {"train": {}, "test": {}}
    for name, (domain, _) in SIZES.items():
        frame = pd.read_json(root / "raw" / domain / f"{name}.jsonl", lines=True)
        test = frame.sample(n=round(len(frame) / 6), random_state=0)
        for side, own in (("train", frame.drop(test.index)), ("test", test)):
            sides[side].setdefault(domain, []).append(own)
            _write(own, root / "processed" / name / f"{side}.jsonl")
        _write(test, root / "test" / f"{name}_test.jsonl")
    counts = {side: _mix(root, side, domains) for side, domains in sides.items()}
    return counts["train"]


def _mix(root: Path, side: str, domains: Mapping[str, list[pd.DataFrame]]) -> dict[str, int]:
    """Stages 2 and 3: balance the datasets of each domain, mix the domains, write."""
    total = sum(len(frame) for frames in domains.values() for frame in frames)
    counts = dict(zip(RATIO, apportion(total, list(RATIO.values())), strict=True))
    parts = []
    for domain, frames in domains.items():
        most = max(map(len, frames))
        pool = pd.concat([frame.sample(n=most, replace=True, random_state=0) for frame in frames])
        parts.append(pool.sample(n=counts[domain], replace=True, random_state=0))
    _write(pd.concat(parts).sample(frac=1, random_state=0), root / "mixed" / f"{side}_mixed.jsonl")
    return counts


def _write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_json(path, orient="records", lines=True)
