"""The mixing note: split each dataset 5 : 1, balance those of a domain, mix the domains by a ratio.

Only row numbers are planned with: 192,129 rows take a moment. Three totals for the last stage,
with the note's numbers (ratio 4 : 3 : 3, six datasets):

* `min`: the largest mix that repeats nothing beyond stage 2: 2,373 = 949 + 712 + 712.
* `sum`: as many rows as went in, drawn again and again: 160,107 = 64,043 + 48,032 + 48,032, for
  which each of HumanEval's 137 rows is drawn 175 times on average.
* `strict`: the largest mix that repeats nothing at all: 913 = 365 + 274 + 274.

Files have the note's layout: `raw/<domain>/<dataset>.jsonl` becomes
`processed/<dataset>/{train,test}.jsonl` and `meta.json`, `test/<dataset>_test.jsonl` and
`test_index.json`, `mixed/{train,test}_mixed.jsonl` and, last, `mixed/info.json`.

What the note does not say, and what holds here: a question is complete, so SQuAD's paragraph and
HotpotQA's ten precede it; an unanswerable SQuAD 2.0 question has the empty reference; MATH answers
are numeric where the box holds a number. The note's 87,599 rows are those of SQuAD 1.1 (2.0 has
130,319), its 427 MBPP rows all four splits of the sanitized version.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from evoxtral import UserError, runs

Rows = NDArray[np.int32]
Total = Literal["sum", "min", "strict"]
_NUMBER = re.compile(r"[+-]?((\d{1,3}(,\d{3})+|\d+)(\.\d*)?|\.\d+)")
_Row = Mapping[str, Any]

SIZES = {
    "gsm8k": ("math", 7_473), "math": ("math", 7_500), "squad2": ("qa", 87_599),
    "hotpotqa": ("qa", 88_966), "humaneval": ("code", 164), "mbpp": ("code", 427),
}  # fmt: skip
"""Domain and rows of each of the note's datasets."""

RATIO = {"math": 4, "qa": 3, "code": 3}
SPLIT_RATIO = "5:1 (train:test = 83.3%:16.7%)"


@dataclass(frozen=True)
class Part:
    """Rows of one dataset that may be drawn; `domain` is what a ratio is between."""

    name: str
    domain: str
    rows: Rows


def apportion(total: int, ratio: Sequence[int]) -> list[int]:
    """Split `total` by a ratio in whole numbers: largest remainder, ties to the earlier part.

    >>> apportion(160_107, [4, 3, 3])
    [64043, 48032, 48032]
    """
    shares = [Fraction(total * part, sum(ratio)) for part in ratio]
    counts = [int(share) for share in shares]
    order = sorted(range(len(ratio)), key=lambda k: counts[k] - shares[k])
    for k in order[: total - sum(counts)]:
        counts[k] += 1
    return counts


def _rng(seed: int, name: str) -> np.random.Generator:
    """A stream per dataset: adding a dataset does not change the split of another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def split_rows(
    keys: Mapping[str, Sequence[Hashable]], seed: int = 0
) -> dict[str, tuple[Rows, Rows]]:
    """Stage 1: train and test rows of each dataset, sorted.

    Rows with the same key are one text and stay on one side, in all datasets together. A test
    side has `round(n / 6)` rows, or fewer where copies of a text make that impossible.
    """
    in_test: dict[Hashable, bool] = {}
    sides = {}
    for name, own in keys.items():
        copies = Counter(own)
        left = round(len(own) / 6) - sum(n for key, n in copies.items() if in_test.get(key))
        undecided = [key for key in copies if key not in in_test]
        for k in _rng(seed, name).permutation(len(undecided)):
            key = undecided[k]
            in_test[key] = copies[key] <= left
            left -= copies[key] * in_test[key]
        mask = np.array([in_test[key] for key in own], dtype=bool)
        sides[name] = tuple(np.flatnonzero(m).astype(np.int32) for m in (~mask, mask))
    return sides


def _repeat(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """`count` draws as even as possible: whole copies, then a sample without replacement."""
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


def _balance(sizes: Sequence[int], part: Part, total: Total, seed: int) -> Rows:
    """Stage 2 for one dataset of a domain whose datasets have these sizes."""
    rng = _rng(seed, part.name)
    if total == "strict":
        return rng.permutation(part.rows)[: min(sizes)]
    if len(part.rows) == max(sizes):
        return part.rows
    return rng.choice(part.rows, max(sizes), replace=True)


def draw_mix(
    parts: Sequence[Part], ratio: Mapping[str, int], total: Total = "sum", seed: int = 0
) -> pd.DataFrame:
    """Stages 2 and 3: a shuffled `dataset | domain | row`, a line per draw.

    Inside a domain the parts have equal shares of the mix, to one row.

    Raises:
        UserError: ratio and parts do not fit, or a part has no rows.
    """
    found = {part.domain for part in parts}
    if found != set(ratio) or min(ratio.values()) < 0 or not any(ratio.values()):
        raise UserError(f"ratio {dict(ratio)}: give parts of 0 or more for {sorted(found)}")
    empty = [part.name for part in parts if not len(part.rows)]
    if empty:
        raise UserError(f"dataset {empty[0]!r} has no rows to draw: leave it out")
    sizes = {d: [len(part.rows) for part in parts if part.domain == d] for d in ratio}
    balanced = [_balance(sizes[part.domain], part, total, seed) for part in parts]
    whole = sum(sum(own) for own in sizes.values())
    if total != "sum":
        pools = Counter(dict.fromkeys(ratio, 0))
        for part, rows in zip(parts, balanced, strict=True):
            pools[part.domain] += len(rows)
        whole = min(pools[d] * sum(ratio.values()) // share for d, share in ratio.items() if share)
    counts = dict(zip(ratio, apportion(whole, list(ratio.values())), strict=True))
    left = {d: apportion(counts[d], [1] * len(own)) for d, own in sizes.items()}
    rng = np.random.default_rng(seed)
    taken = [
        _repeat(rows, left[part.domain].pop(0), rng)
        for part, rows in zip(parts, balanced, strict=True)
    ]
    names = [
        np.repeat([(p.name, p.domain)], len(t), axis=0) for p, t in zip(parts, taken, strict=True)
    ]
    mix = pd.DataFrame(np.concatenate(names), columns=["dataset", "domain"])
    mix["row"] = np.concatenate(taken)
    return mix.iloc[rng.permutation(len(mix))].reset_index(drop=True)


def plan_six(seed: int = 0) -> dict[str, pd.DataFrame]:
    """The note's six datasets on paper: no dataset is downloaded.

    Returns:
        `splits`: `dataset | domain | total | train | test | balanced`, the last after stage 2,
        and a row of sums; `mixes`: `mix | side | math | qa | code | total`; `draws` of the
        training mix `sum`: `dataset | domain | rows | drawn | distinct | mean draws | most draws`.
    """
    keys = {name: [(name, row) for row in range(size)] for name, (_, size) in SIZES.items()}
    split = split_rows(keys, seed)
    parts = {
        side: [Part(name, SIZES[name][0], rows[k]) for name, rows in split.items()]
        for k, side in enumerate(("train", "test"))
    }
    mixed = {
        (total, side): draw_mix(own, RATIO, total, seed)
        for total in ("sum", "min", "strict")
        for side, own in parts.items()
    }
    mixes = [
        {"mix": total, "side": side, **mix["domain"].value_counts()[list(RATIO)], "total": len(mix)}
        for (total, side), mix in mixed.items()
    ]
    splits = pd.DataFrame(
        [(name, *SIZES[name], *map(len, rows)) for name, rows in split.items()],
        columns=["dataset", "domain", "total", "train", "test"],
    )
    times = mixed["sum", "train"].value_counts(["dataset", "row"]).groupby("dataset")
    draws = times.agg(["sum", "size", "max"]).reindex(splits["dataset"]).reset_index()
    draws.columns = ["dataset", "drawn", "distinct", "most draws"]
    draws.insert(1, "domain", splits["domain"])
    draws.insert(2, "rows", splits["train"])
    draws.insert(5, "mean draws", draws["drawn"] / draws["rows"])
    splits["balanced"] = splits.groupby("domain")["train"].transform("max")
    splits.loc[len(splits)] = {"dataset": "all", "domain": "", **splits.iloc[:, 2:].sum()}
    return {"splits": splits, "mixes": pd.DataFrame(mixes), "draws": draws}


class Record(BaseModel):
    """The note's unified record; only a text question may lack an answer (an empty one)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    dataset: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")
    domain: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")
    question: str = Field(min_length=1)
    reference_answer: str
    answer_type: Literal["numeric", "text", "code"]
    metadata: dict[str, JsonValue]

    @model_validator(mode="after")
    def _check(self) -> Record:
        if self.answer_type == "numeric" and not _NUMBER.fullmatch(self.reference_answer):
            raise ValueError(f"numeric answer {self.reference_answer!r} is no number")
        if self.answer_type == "code" and not self.reference_answer.strip():
            raise ValueError("a code answer must not be empty")
        return self


def _cause(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return repr(error)
    first = error.errors()[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])


def _read_raw(path: Path) -> list[Record]:
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {_cause(error)}") from error
        if (records[-1].domain, records[-1].dataset) != (path.parent.name, path.stem):
            raise UserError(f"{path}, line {number}: dataset and domain are not the file's")
    return records


def mix_tree(
    root: Path, ratio: Mapping[str, int], total: Total = "sum", seed: int = 0
) -> dict[str, Any]:
    """Split, balance and mix what `raw/` holds, and write the rest of the tree.

    Rows with the same question, letter case and white space aside, stay on one side of the split.
    The test mix repeats rows as the training mix does: score models on `test/`.

    Returns:
        The content of `mixed/info.json`.

    Raises:
        UserError: invalid raw files, an id used twice, or a ratio that does not fit.
    """
    files = [path for domain in ratio for path in sorted((root / "raw" / domain).glob("*.jsonl"))]
    raw = {path.stem: _read_raw(path) for path in files}
    domains = {path.stem: path.parent.name for path in files}
    ids = Counter(record.id for records in raw.values() for record in records)
    if ids and max(ids.values()) > 1:
        raise UserError(f"{root}/raw: id {ids.most_common(1)[0][0]!r} is used twice: rename one")
    keys = {name: [" ".join(r.question.lower().split()) for r in raw[name]] for name in raw}
    split = split_rows(keys, seed)

    def write(place: str, rows: Iterable[tuple[str, int]]) -> None:
        lines = (raw[name][row].model_dump_json().encode() + b"\n" for name, row in rows)
        runs.write_stream(root / place, lines)

    mixes = []
    for k, side in enumerate(("train", "test")):
        parts = [Part(name, domains[name], rows[k]) for name, rows in split.items()]
        mixes.append(draw_mix(parts, ratio, total, seed))
        write(f"mixed/{side}_mixed.jsonl", zip(mixes[k]["dataset"], mixes[k]["row"], strict=True))
        for part in parts:
            write(f"processed/{part.name}/{side}.jsonl", product([part.name], part.rows))
    for name, (train, test) in split.items():
        write(f"test/{name}_test.jsonl", product([name], test))
        types = Counter(sorted(record.answer_type for record in raw[name]))
        meta = {"dataset": name, "domain": domains[name], "total": len(raw[name]),
                "train": len(train), "test": len(test), "split_ratio": SPLIT_RATIO,
                "answer_types": types}  # fmt: skip
        runs.write_json(root / f"processed/{name}/meta.json", meta)
    index = {name: f"{root.resolve().name}/test/{name}_test.jsonl" for name in raw}
    runs.write_json(root / "test/test_index.json", index)
    counts = mixes[0]["domain"].value_counts().reindex(list(ratio), fill_value=0).to_dict()
    two_each = set(Counter(domains.values()).values()) == {2}
    info = {
        "split_ratio": SPLIT_RATIO,
        "domain_intra_balance": "50:50 per domain" if two_each else "equal shares per domain",
        "cross_domain_ratio": f"{':'.join(map(str, ratio.values()))} ({':'.join(ratio)})",
        "total_train": len(mixes[0]),
        "total_test": len(mixes[1]),
        "domain_distribution_train": counts,
        **{f"{domain}_pct": round(100 * n / len(mixes[0]), 1) for domain, n in counts.items()},
    }
    runs.write_json(root / "mixed/info.json", info)
    return info


def boxed(solution: str) -> str:
    r"""Content of the last `\boxed{...}` of a LaTeX solution, nested braces included.

    >>> boxed(r"so $x = \boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    _, *boxes = re.split(r"\\(?:boxed|fbox)\s*", solution)
    if boxes and not boxes[-1].startswith("{"):
        return re.split(r"[\s$]", boxes[-1], maxsplit=1)[0].rstrip(".")
    depth = 0
    for token in re.finditer(r"\\.|[{}]", boxes[-1] if boxes else "", re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)  # an escaped brace is no brace
        if depth == 0:
            return boxes[-1][1 : token.start()].strip()
    raise ValueError("the solution has no \\boxed answer that closes")


def _math(row: _Row) -> tuple[str, str, str]:
    answer = boxed(row["solution"])
    return row["problem"], answer, "numeric" if _NUMBER.fullmatch(answer) else "text"


def _hotpotqa(row: _Row) -> tuple[str, str, str]:
    pairs = zip(row["context"]["title"], row["context"]["sentences"], strict=True)
    paragraphs = [f"{title}: {''.join(sentences).strip()}" for title, sentences in pairs]
    return "\n\n".join([*paragraphs, row["question"].strip()]), row["answer"], "text"


@dataclass(frozen=True)
class _Reader:
    """A dataset on the Hub; `convert` makes question, answer and its type of a row."""

    hub_id: str
    convert: Callable[[_Row], tuple[str, str, str]]
    kept: tuple[str, ...] = ()  # columns that scoring needs
    id: str = "id"
    configs: tuple[str | None, ...] = (None,)
    splits: tuple[str, ...] = ("train",)


READERS = {
    "gsm8k": _Reader(
        "openai/gsm8k",
        lambda row: (row["question"],
                     row["answer"].rpartition("####")[2].strip().replace(",", ""), "numeric"),
        configs=("main",),
    ),
    "math": _Reader(
        "EleutherAI/hendrycks_math",
        _math,
        ("level", "type"),
        configs=("algebra", "counting_and_probability", "geometry", "intermediate_algebra",
                 "number_theory", "prealgebra", "precalculus"),
    ),
    "squad2": _Reader(
        "rajpurkar/squad_v2",
        lambda row: (f"{row['context'].strip()}\n\n{row['question'].strip()}",
                     next(iter(row["answers"]["text"]), ""), "text"),
        ("answers",),
    ),
    "hotpotqa": _Reader("hotpotqa/hotpot_qa", _hotpotqa, ("level",), configs=("distractor",)),
    "humaneval": _Reader(
        "openai/openai_humaneval",
        lambda row: (row["prompt"], row["canonical_solution"], "code"),
        ("test", "entry_point"),
        "task_id",
        splits=("test",),
    ),
    "mbpp": _Reader(
        "google-research-datasets/mbpp",
        lambda row: (row["prompt"], row["code"], "code"),
        ("test_list", "test_imports"),
        "task_id",
        ("sanitized",),
        ("train", "test", "validation", "prompt"),
    ),
}  # fmt: skip
"""The note's datasets by name."""


def write_raw(root: Path, dataset: str, rows: Iterable[_Row] | None = None) -> Path:
    """Convert a dataset of the note to records in `raw/<domain>/<dataset>.jsonl`.

    Args:
        root: the data folder.
        dataset: a key of `READERS`.
        rows: in its original columns; by default those of the Hub.

    Raises:
        UserError: a row does not have the dataset's format; names it.
    """
    reader, domain = READERS[dataset], SIZES[dataset][0]
    if rows is None:
        import datasets

        parts = product(reader.configs, reader.splits)
        loaded = (datasets.load_dataset(reader.hub_id, name, split=split) for name, split in parts)
        rows = chain.from_iterable(loaded)

    def lines() -> Iterator[bytes]:
        for number, row in enumerate(rows):
            try:
                question, answer, kind = reader.convert(row)
                record = Record(
                    id=f"{dataset}_{number}", dataset=dataset, domain=domain, question=question,
                    reference_answer=answer, answer_type=kind,
                    metadata={"source": dataset, "original_id": str(row.get(reader.id, number)),
                              **{name: row[name] for name in reader.kept}},
                )  # fmt: skip
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{dataset}, row {number}: {_cause(error)}") from error
            yield record.model_dump_json().encode() + b"\n"

    return runs.write_stream(root / "raw" / domain / f"{dataset}.jsonl", lines())
