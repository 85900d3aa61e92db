"""What the Evoxtral report and model card print, alone and beside measured numbers.

`load` reads `reports/paper/*.csv`: fractions are fractions (22.0 % is 0.220) with the printed
digits, changes printed as text stay text. `evoxtral.claims` recomputes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evoxtral import UserError, runs

SYSTEMS = {"base": "base", "sft": "SFT", "rl": "RL"}
"""Names of measured systems by their columns in the published tables."""

TINY_WORLD = "same method, tiny world"
WITHIN, OUTSIDE, NO_INTERVAL = "within interval", "outside interval", "no interval"
NOT_MEASURED = "not measured"

# Half of the last printed digit: Table 2 prints error rates in percent with two decimals.
_HALF = {"wer": 0.00005, "cer": 0.00005}
_HALF_OTHERS = 0.0005


@dataclass(frozen=True)
class Published:
    """All published numbers.

    Attributes:
        hyperparameters: Table 1; `hyperparameter`, `value` (text as printed).
        sft_advice: the composition note on the same; `hyperparameter`, `advice`, `quote`.
        core: Table 2; `key`, `metric`, `direction` (`lower` or `higher` is better), fractions
            `base`, `sft`, `rl`, and `best`, the system the report names.
        per_tag: Table 3; `tag`, F1 `sft` and `rl`, `delta` as printed, `support`.
        rl_settings: the card's RL stage; `parameter`, `value` (text as printed).
        sources: where each file comes from.
        numbers: of the running text, by key.
        released: counts over the references of the 50 benchmark clips.
        clips_with: in how many of these clips each tag occurs.
    """

    hyperparameters: pd.DataFrame
    sft_advice: pd.DataFrame
    core: pd.DataFrame
    per_tag: pd.DataFrame
    rl_settings: pd.DataFrame
    sources: pd.DataFrame
    numbers: Mapping[str, float]
    released: Mapping[str, int]
    clips_with: Mapping[str, int]


def folder() -> Path:
    """Where the published numbers lie in a checkout."""
    return runs.root() / "reports" / "paper"


def load() -> Published:
    """Read all published numbers.

    Raises:
        UserError: a file is missing.
    """
    numbers, counts = read("text_numbers"), read("released_counts")
    whole, with_tag = counts[counts["tag"] == ""], counts[counts["what"] == "clips with the tag"]
    return Published(
        hyperparameters=read("table1_hyperparameters"),
        sft_advice=read("sft_advice"),
        core=read("table2_core"),
        per_tag=read("table3_per_tag"),
        rl_settings=read("rl_settings"),
        sources=read("sources"),
        numbers=dict(zip(numbers["key"], numbers["value"], strict=True)),
        released=dict(zip(whole["what"], whole["value"], strict=True)),
        clips_with=dict(zip(with_tag["tag"], with_tag["value"], strict=True)),
    )


def read(name: str) -> pd.DataFrame:
    """One file of `reports/paper`, its empty cells empty texts.

    Raises:
        UserError: it is missing.
    """
    path = folder() / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with git checkout reports/paper")
    return pd.read_csv(path, keep_default_na=False)


def scientific(value: float) -> str:
    """A number as mantissa and power of ten.

    >>> scientific(0.0002), scientific(2.5e-5)
    ('2×10⁻⁴', '2.5×10⁻⁵')
    """
    mantissa, exponent = f"{value:e}".split("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{float(mantissa):g}×10{digits}"


def verdict(
    profile: str, printed: float, value: float, low: float, high: float, half: float
) -> str:
    """What a comparison of one number amounts to.

    A run in the tiny world repeats the method, not the experiment: whatever its numbers are, the
    verdict says just that.

    Args:
        profile: of the run; only `paper` repeats the experiment.
        printed: the published value.
        value: measured, with the ends `low` and `high` of its interval; NaN where there is none.
        low: see there.
        high: see there.
        half: of the last printed digit, by which the published value is uncertain.

    >>> verdict("paper", 0.672, 0.66, 0.61, 0.70, 0.0005)
    'within interval'
    """
    if math.isnan(value):
        return NOT_MEASURED
    if profile != "paper":
        return TINY_WORLD
    if math.isnan(low):
        return NO_INTERVAL
    return WITHIN if low - half <= printed <= high + half else OUTSIDE


def core_compared(printed: Published, scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """Table 2 beside measured scores under the report's protocol.

    Args:
        printed: the published numbers.
        scores: of `bench.score_frame`; systems `base`, `SFT`, `RL`, any may be absent.
        profile: of the run.

    Returns:
        Columns `system`, `protocol`, `key`, `metric`, fractions `paper`, `measured` and `delta`
        (measured - paper), interval `low`, `high` of the measured value, clips `n_paper` and `n`
        (0 if not measured), `verdict`.
    """
    clips = int(printed.numbers["bench_clips"])
    rows = [
        (name, row["key"], row["key"], row["metric"], row[column], clips)
        for row in printed.core.to_dict("records")
        for column, name in SYSTEMS.items()
    ]
    return _beside(rows, scores, profile, "n")


def per_tag_compared(printed: Published, scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """Table 3 beside measured F1: as `core_compared`, `key` is a tag, `n` its occurrences."""
    rows = [
        (SYSTEMS[column], f"f1[{row['tag']}]", row["tag"], f"F1 [{row['tag']}]", row[column],
         row["support"])
        for row in printed.per_tag.to_dict("records")
        for column in ("sft", "rl")
    ]  # fmt: skip
    return _beside(rows, scores[scores["support"] > 0], profile, "support")


def _beside(
    rows: Sequence[tuple[object, ...]], scores: pd.DataFrame, profile: str, count: str
) -> pd.DataFrame:
    frame = pd.DataFrame(
        rows, columns=["system", "place", "key", "metric", "paper", "n_paper"]
    )  # fmt: skip
    own = scores[scores["protocol"].str.startswith("paper/")].set_index(["system", "metric"])
    found = own.reindex(pd.MultiIndex.from_frame(frame[["system", "place"]])).reset_index()
    measured = found["value"]
    said = [
        verdict(profile, *numbers, _HALF.get(key, _HALF_OTHERS))
        for key, *numbers in zip(frame["key"], frame["paper"], measured, found["low"],
                                 found["high"], strict=True)
    ]  # fmt: skip
    return pd.DataFrame(
        {
            "system": frame["system"],
            "protocol": own["protocol"].iloc[0],
            "key": frame["key"],
            "metric": frame["metric"],
            "paper": frame["paper"],
            "measured": measured,
            "delta": measured - frame["paper"],
            "low": found["low"],
            "high": found["high"],
            "n_paper": frame["n_paper"],
            "n": found[count].fillna(0).astype(int),
            "verdict": said,
        }
    )


def changes(printed: Published, paired: pd.DataFrame, profile: str) -> pd.DataFrame:
    """What each stage changes, in points: printed, and measured on the same clips.

    No interval of a printed change can be known, since the predictions are not published.

    Args:
        printed: the published numbers.
        paired: of `bench.paired_frame`; a step that is absent is left empty.
        profile: of the run.

    Returns:
        Columns `step`, `protocol`, `key`, `metric`, fractions `paper`, `measured`, `delta`,
        `low`, `high`, clips `n`, `direction` (`same`, `opposite`, or `not shown` where the
        measured interval holds 0) and `verdict`.
    """
    own = paired[paired["protocol"].str.startswith("paper/")]
    own = own.set_index(["reference", "system", "metric"])
    absent = {"difference": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    rows = []
    for before, after in (("base", "sft"), ("sft", "rl")):
        step = (SYSTEMS[before], SYSTEMS[after])
        for row in printed.core.to_dict("records"):
            change, place = row[after] - row[before], (*step, row["key"])
            found = own.loc[place] if place in own.index else absent
            value, low, high = (float(found[name]) for name in ("difference", "low", "high"))
            # Both printed values are rounded.
            half = 2 * _HALF.get(row["key"], _HALF_OTHERS)
            said = verdict(profile, change, value, low, high, half)
            rows.append(
                (" → ".join(step), row["key"], row["metric"], change, value, value - change, low,
                 high, int(found["n"]), _direction(change, value, low, high), said)
            )  # fmt: skip
    names = ["step", "key", "metric", "paper", "measured", "delta", "low", "high", "n"]
    frame = pd.DataFrame(rows, columns=[*names, "direction", "verdict"])
    frame.insert(1, "protocol", own["protocol"].iloc[0])
    return frame


def _direction(printed: float, value: float, low: float, high: float) -> str:
    """Whether a measured change goes the way of the printed one."""
    if math.isnan(value):
        return NOT_MEASURED
    # Written so that an interval of NaN shows nothing.
    if not (low > 0 or high < 0):
        return "not shown"
    return "same" if (low > 0) == (printed > 0) else "opposite"
