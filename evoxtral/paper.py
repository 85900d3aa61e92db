"""The numbers the Evoxtral report and model card print, read from `reports/paper/*.csv`.

Fractions are fractions (22.0 % is 0.220) and keep the printed digits; changes printed as text
stay text. Nothing here is computed: `evoxtral.checks` recomputes, `evoxtral.tables` formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from evoxtral import UserError, runs

SYSTEMS = ("base", "sft", "rl")
_TEXT, _NUMBER, _COUNT = "text", "number", "count"
_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "table1_hyperparameters": {"hyperparameter": _TEXT, "value": _TEXT},
        "sft_advice": {"hyperparameter": _TEXT, "advice": _TEXT, "quote": _TEXT},
        "table2_core": {
            "key": _TEXT,
            "metric": _TEXT,
            "direction": _TEXT,
            **dict.fromkeys(SYSTEMS, _NUMBER),
            "best": _TEXT,
        },
        "table3_per_tag": {
            "tag": _TEXT,
            "sft": _NUMBER,
            "rl": _NUMBER,
            "delta": _TEXT,
            "support": _COUNT,
        },
        "rl_settings": {"parameter": _TEXT, "value": _TEXT},
        "text_numbers": {
            "key": _TEXT,
            "value": _NUMBER,
            "unit": _TEXT,
            "source": _TEXT,
            "place": _TEXT,
            "quote": _TEXT,
        },
        "released_counts": {"what": _TEXT, "tag": _TEXT, "value": _COUNT},
        "sources": {"file": _TEXT, "source": _TEXT, "place": _TEXT, "note": _TEXT},
    }
)


@dataclass(frozen=True)
class ReleasedCounts:
    """What the reference transcripts of the benchmark clips contain.

    Attributes:
        clips: number of clips.
        untagged: clips whose reference has no tag.
        without_capitals: clips whose reference has no word in capitals.
        occurrences: how often each tag occurs.
        clips_with: in how many clips each tag occurs.
    """

    clips: int
    untagged: int
    without_capitals: int
    occurrences: Mapping[str, int]
    clips_with: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Published:
    """Everything printed.

    Attributes:
        hyperparameters: Table 1; columns `hyperparameter`, `value` (text as printed).
        sft_advice: the composition note on the same; `hyperparameter`, `advice`, `quote`.
        core: Table 2; `key`, `metric`, `direction` (`lower` or `higher` is better), fractions
            `base`, `sft`, `rl`, and `best`, the system the report names.
        per_tag: Table 3; `tag`, F1 in [0, 1] `sft` and `rl`, `delta` as printed, `support`.
        rl_settings: the card's RL stage; `parameter`, `value` (text as printed).
        quotes: numbers of the running text; `key`, `value`, `unit`, `source`, `place`, `quote`.
        numbers: `quotes` as a mapping from key to value.
        released: counts over the references of the 50 benchmark clips.
        sources: where each file comes from.
    """

    hyperparameters: pd.DataFrame
    sft_advice: pd.DataFrame
    core: pd.DataFrame
    per_tag: pd.DataFrame
    rl_settings: pd.DataFrame
    quotes: pd.DataFrame
    numbers: Mapping[str, float]
    released: ReleasedCounts
    sources: pd.DataFrame


def folder() -> Path:
    """Where the published numbers lie in a checkout."""
    return runs.root() / "reports" / "paper"


def load(path: Path | None = None) -> Published:
    """Read and validate all published numbers.

    Args:
        path: a folder with the CSV files; by default the checkout's own.

    Raises:
        UserError: a file is missing, has other columns, or holds a value out of range.
    """
    place = folder() if path is None else path
    quotes = _unique(_read(place, "text_numbers"), "key")
    return Published(
        hyperparameters=_unique(_read(place, "table1_hyperparameters"), "hyperparameter"),
        sft_advice=_unique(_read(place, "sft_advice"), "hyperparameter"),
        core=_core(_read(place, "table2_core")),
        per_tag=_per_tag(_read(place, "table3_per_tag")),
        rl_settings=_unique(_read(place, "rl_settings"), "parameter"),
        quotes=quotes,
        numbers=MappingProxyType(dict(zip(quotes["key"], quotes["value"], strict=True))),
        released=_released(_read(place, "released_counts")),
        sources=_unique(_read(place, "sources"), "file"),
    )


def _read(place: Path, name: str) -> pd.DataFrame:
    path = place / f"{name}.csv"
    expected = _COLUMNS[name]
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: restore it with git checkout reports/paper") from error
    if list(frame.columns) != list(expected):
        raise UserError(f"{path} must have the columns {', '.join(expected)}")
    for column, kind in expected.items():
        if kind == _TEXT:
            continue
        try:
            frame[column] = frame[column].astype("float64" if kind == _NUMBER else "int64")
        except ValueError as error:
            raise UserError(f"{path}: column {column!r} must hold {kind}s ({error})") from error
    frame.attrs["path"] = str(path)
    return frame


def _unique(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    repeated = frame.loc[frame[column].duplicated(), column]
    if len(repeated):
        raise UserError(f"{frame.attrs['path']}: {column} {repeated.iloc[0]!r} occurs twice")
    return frame


def _fractions(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if not frame[column].between(0.0, 1.0).all():
            raise UserError(
                f"{frame.attrs['path']}: column {column!r} must hold fractions in [0, 1], "
                "not percentages"
            )


def _one_of(frame: pd.DataFrame, column: str, allowed: tuple[str, ...]) -> None:
    strange = frame.loc[~frame[column].isin(allowed), column]
    if len(strange):
        raise UserError(
            f"{frame.attrs['path']}: {column} {strange.iloc[0]!r} is none of {', '.join(allowed)}"
        )


def _core(frame: pd.DataFrame) -> pd.DataFrame:
    _fractions(frame, SYSTEMS)
    _one_of(frame, "direction", ("lower", "higher"))
    _one_of(frame, "best", SYSTEMS)
    return _unique(frame, "key")


def _per_tag(frame: pd.DataFrame) -> pd.DataFrame:
    _fractions(frame, ("sft", "rl"))
    if (frame["support"] < 1).any():
        raise UserError(f"{frame.attrs['path']}: every support must be at least 1")
    return _unique(frame, "tag")


def _released(frame: pd.DataFrame) -> ReleasedCounts:
    whole = {"clips", "clips without tags", "clips without capitals"}
    per_tag = {"occurrences", "clips with the tag"}
    _one_of(frame, "what", tuple(sorted(whole | per_tag)))
    values = {
        what: dict(zip(g["tag"], g["value"], strict=True)) for what, g in frame.groupby("what")
    }
    missing = sorted((whole | per_tag) - set(values))
    if missing:
        raise UserError(f"{frame.attrs['path']} lacks the row {missing[0]!r}")
    return ReleasedCounts(
        clips=int(values["clips"][""]),
        untagged=int(values["clips without tags"][""]),
        without_capitals=int(values["clips without capitals"][""]),
        occurrences=MappingProxyType(values["occurrences"]),
        clips_with=MappingProxyType(values["clips with the tag"]),
    )
