"""The mixing note's data tree: raw files in, processed, mixed and test files out.

    <root>/raw/<domain>/<dataset>.jsonl           written by `write_raw`
    <root>/processed/<dataset>/{train,test}.jsonl, meta.json
    <root>/mixed/{train_mixed,test_mixed}.jsonl, info.json
    <root>/test/<dataset>_test.jsonl, test_index.json

Rows are validated once and from then on handled as line numbers and byte offsets: lines are
copied, never held. 192,129 rows of the note's sizes and half a kilobyte each took 6 s and 70 MiB
on two cores. Every file is whole or absent, and `info.json` is written last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evoxtral import UserError, runs
from evoxtral.mix.plan import Draws, Part, Resample, Total, check_leakage, draw_mix, split_rows
from evoxtral.mix.raw import RawFile, inside, read_line, read_raw

SPLIT_RATIO = "5:1 (train:test = 83.3%:16.7%)"


@dataclass(frozen=True)
class Mixed:
    """What `mix_tree` made.

    Attributes:
        info: content of `mixed/info.json`.
        splits: `dataset | domain | total | train | test`.
        train: draws of the training mix.
        test: draws of the test mix.
    """

    info: dict[str, Any]
    splits: pd.DataFrame
    train: Draws
    test: Draws


def _read_all(root: Path, ratio: Mapping[str, int]) -> list[RawFile]:
    """Raw files of the domains of the ratio, in its order, then by name."""
    raws = [
        read_raw(inside(root, "raw", domain, path.name))
        for domain in ratio
        for path in sorted(inside(root, "raw", domain).glob("*.jsonl"))
    ]
    missing = set(ratio) - {raw.domain for raw in raws}
    if missing:
        raise UserError(f"no raw file of domain {min(missing)!r} below {root}/raw: write it first")
    for k, raw in enumerate(raws):
        for other in raws[:k]:
            if raw.dataset == other.dataset or raw.ids & other.ids:
                raise UserError(f"{raw.path} and {other.path} share a name or ids: rename one")
    return raws


def _mixed_lines(raws: Sequence[RawFile], draws: Draws) -> Iterator[bytes]:
    with ExitStack() as stack:
        streams = [stack.enter_context(raw.path.open("rb")) for raw in raws]
        for part, row in zip(draws.part.tolist(), draws.row.tolist(), strict=True):
            streams[part].seek(raws[part].offsets[row])
            yield read_line(streams[part])


def _info(draws: Draws, n_test: int, ratio: Mapping[str, int]) -> dict[str, Any]:
    """`info.json` with the note's keys."""
    per_domain = Counter(part.domain for part in draws.parts)
    even = "50:50 per domain" if set(per_domain.values()) == {2} else "equal shares per domain"
    total = len(draws)
    return {
        "split_ratio": SPLIT_RATIO,
        "domain_intra_balance": even,
        "cross_domain_ratio": f"{':'.join(map(str, ratio.values()))} ({':'.join(ratio)})",
        "total_train": total,
        "total_test": n_test,
        "domain_distribution_train": draws.counts,
        **{f"{d}_pct": round(100 * n / total, 1) for d, n in draws.counts.items()},
    }


def _write_dataset(root: Path, raw: RawFile, rows: Mapping[str, NDArray[np.int32]]) -> None:
    for side, chosen in rows.items():
        target = inside(root, "processed", raw.dataset, f"{side}.jsonl")
        runs.write_stream(target, raw.lines(chosen))
    held_out = inside(root, "test", f"{raw.dataset}_test.jsonl")
    runs.write_stream(held_out, raw.lines(rows["test"]))
    meta = {
        "dataset": raw.dataset,
        "domain": raw.domain,
        "total": len(raw.keys),
        **{side: len(chosen) for side, chosen in rows.items()},
        "split_ratio": SPLIT_RATIO,
        "answer_types": raw.answer_types,
    }
    runs.write_json(inside(root, "processed", raw.dataset, "meta.json"), meta)


def mix_tree(
    root: Path | str,
    ratio: Mapping[str, int],
    total: Total = "sum",
    *,
    resample: Resample = "choices",
    seed: int = 0,
) -> Mixed:
    """Split, balance and mix what `raw/` holds, and write the rest of the tree.

    Rows with the same question stay on one side of the split, and that no question is on both is
    verified. The test mix repeats rows as the training mix does: score models on `test/`.

    Args:
        root: the data folder.
        ratio: parts per domain, such as `{"math": 4, "qa": 3, "code": 3}`.
        total: `min`, `sum` or `strict` (see `plan`).
        resample: `choices` as the note, or `cover`.
        seed: same seed and raw files, same bytes.

    Raises:
        UserError: missing or invalid raw files, or a ratio that does not fit them.
    """
    root = Path(root)
    raws = _read_all(root, ratio)
    keys = [raw.keys for raw in raws]
    train, test = split_rows([raw.dataset for raw in raws], keys, seed)
    check_leakage(train, test, keys)
    mixes = []
    for rows in (train, test):
        parts = [Part(raw.dataset, raw.domain, r) for raw, r in zip(raws, rows, strict=True)]
        mixes.append(draw_mix(parts, ratio, total, resample=resample, seed=seed))
    for raw, a, b in zip(raws, train, test, strict=True):
        _write_dataset(root, raw, {"train": a, "test": b})
    index = {raw.dataset: f"{root.resolve().name}/test/{raw.dataset}_test.jsonl" for raw in raws}
    runs.write_json(inside(root, "test", "test_index.json"), index)
    for side, draws in zip(("train", "test"), mixes, strict=True):
        target = inside(root, "mixed", f"{side}_mixed.jsonl")
        runs.write_stream(target, _mixed_lines(raws, draws))
    info = _info(mixes[0], len(mixes[1]), ratio)
    runs.write_json(inside(root, "mixed", "info.json"), info)
    return Mixed(info, _splits(raws, train, test), *mixes)


def _splits(
    raws: Sequence[RawFile], train: Sequence[NDArray[np.int32]], test: Sequence[NDArray[np.int32]]
) -> pd.DataFrame:
    rows = [
        (raw.dataset, raw.domain, len(raw.keys), len(a), len(b))
        for raw, a, b in zip(raws, train, test, strict=True)
    ]
    return pd.DataFrame(rows, columns=["dataset", "domain", "total", "train", "test"])
