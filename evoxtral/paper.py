"""What the Evoxtral report and model card print: alone, beside measured numbers, and recomputed.

`load` reads `reports/paper/*.csv`: fractions are fractions (22.0 % is 0.220) with the printed
digits, changes printed as text stay text. `claims` says what these numbers do and do not show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from evoxtral import UserError, runs

SYSTEMS = {"base": "base", "sft": "SFT", "rl": "RL"}
"""Names of measured systems by their columns in the published tables."""

NOT_MEASURED, NOT_PRINTED, NOT_RESOLVED = "not measured", "not printed", "not resolved"
ASSUMED_SD = (0.25, 0.30, 0.35)
"""Spreads of per-clip Tag F1 to assume; nothing published tells."""

_CLAIMS = yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Published:
    """All published numbers."""

    hyperparameters: pd.DataFrame  # Table 1: `hyperparameter`, `value` (text as printed)
    sft_advice: pd.DataFrame  # the composition note: `hyperparameter`, `advice`, `quote`
    core: pd.DataFrame
    """Table 2: `key`, `metric`, `direction` (which way is better: `lower` or `higher`), fractions
    `base`, `sft`, `rl`, and `best`, the system the report names."""
    per_tag: pd.DataFrame  # Table 3: `tag`, F1 `sft` and `rl`, `delta` as printed, `support`
    rl_settings: pd.DataFrame  # the card's RL stage: `parameter`, `value` (text as printed)
    sources: pd.DataFrame  # where each file comes from
    numbers: Mapping[str, float]  # of the running text, by key
    released: Mapping[str, int]  # counts over the references of the 50 benchmark clips
    clips_with: Mapping[str, int]  # in how many of these clips each tag occurs


def load() -> Published:
    """Read all published numbers.

    Raises:
        UserError: a file is missing.
    """
    counts = read("released_counts")
    whole, with_tag = counts[counts["tag"] == ""], counts[counts["what"] == "clips with the tag"]
    return Published(
        hyperparameters=read("table1_hyperparameters"),
        sft_advice=read("sft_advice"),
        core=read("table2_core"),
        per_tag=read("table3_per_tag"),
        rl_settings=read("rl_settings"),
        sources=read("sources"),
        numbers=read("text_numbers").set_index("key")["value"].to_dict(),
        released=whole.set_index("what")["value"].to_dict(),
        clips_with=with_tag.set_index("tag")["value"].to_dict(),
    )


def read(name: str) -> pd.DataFrame:
    """One file of `reports/paper`, its empty cells empty texts.

    Raises:
        UserError: it is missing.
    """
    path = runs.root() / "reports" / "paper" / f"{name}.csv"
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


# Beside measured numbers


def core_compared(printed: Published, scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """Table 2 beside scores of `bench.score_frame`, from which systems may be absent.

    Returns:
        `system`, `protocol`, `key`, `metric`, fractions `paper`, `measured` and `delta` (measured -
        paper), `low`, `high` of the measured value, clips `n_paper` and `n`, and, in the profile
        `paper`, which alone repeats the experiment, a `verdict`.
    """
    core = printed.core.assign(place=printed.core["key"], n_paper=printed.numbers["bench_clips"])
    frame = _beside(core.rename(columns=SYSTEMS), [*SYSTEMS.values()], scores)
    return _judged(frame, profile)


def per_tag_compared(printed: Published, scores: pd.DataFrame, profile: str) -> pd.DataFrame:
    """Table 3 beside measured F1: as `core_compared`, `key` is a tag, `n` its occurrences."""
    frame = printed.per_tag.rename(columns={"tag": "key", "support": "n_paper", **SYSTEMS})
    tags = "[" + frame["key"] + "]"
    frame = frame.assign(metric="F1 " + tags, place="f1" + tags)
    found = scores[scores["support"] > 0].assign(n=scores["support"])
    return _judged(_beside(frame, ["SFT", "RL"], found), profile)


def changes(printed: Published, paired: pd.DataFrame) -> pd.DataFrame:
    """What each stage changes: printed, and measured on the same clips (`bench.paired_frame`).

    No interval of a printed change can be known, since the predictions are not published. As
    `core_compared` with `step` in place of `system`, and for a verdict `direction`: `same`,
    `opposite`, or `not shown` where the measured interval holds 0.
    """
    steps = paired["reference"] + " → " + paired["system"]
    found = paired.assign(system=steps, value=paired["difference"])
    core = printed.core.rename(columns=SYSTEMS).assign(place=printed.core["key"], n_paper=0)
    named = {f"{a} → {b}": core[b] - core[a] for a, b in pairwise(SYSTEMS.values())}
    frame = _beside(core.assign(**named), [*named], found).rename(columns={"system": "step"})
    order = {"key": lambda steps: steps.map([*named].index), "kind": "stable"}
    frame = frame.sort_values("step", **order, ignore_index=True)
    up, down, risen = frame["low"] > 0, frame["high"] < 0, frame["paper"] > 0
    direction = np.select(
        [frame["measured"].isna(), ~(up | down), up == risen],
        [NOT_MEASURED, "not shown", "same"],
        "opposite",
    )
    return frame.drop(columns="n_paper").assign(direction=direction)


def _beside(printed: pd.DataFrame, systems: Sequence[str], found: pd.DataFrame) -> pd.DataFrame:
    """Printed values beside measured ones."""
    names = ["key", "metric", "place", "n_paper"]
    frame = printed.melt(names, systems, "system", "paper", ignore_index=False)
    frame = frame.sort_index(kind="stable", ignore_index=True)
    found = found[found["protocol"].str.startswith("paper/")]
    places = pd.MultiIndex.from_frame(frame[["system", "place"]])
    own = found.set_index(["system", "metric"]).reindex(places).reset_index(drop=True)
    columns = ["system", "protocol", "key", "metric", "paper", "measured", "delta", "low", "high"]
    return frame.assign(
        protocol=found["protocol"].iloc[0],
        measured=own["value"],
        delta=own["value"] - frame["paper"],
        low=own["low"],
        high=own["high"],
        n_paper=frame["n_paper"].astype(int),
        n=own["n"].fillna(0).astype(int),
    )[[*columns, "n_paper", "n"]]


def _judged(frame: pd.DataFrame, profile: str) -> pd.DataFrame:
    """A comparison of `_beside`; with its verdicts if the profile repeats the experiment."""
    if profile != "paper":
        return frame
    # A printed value is uncertain by half its last digit; error rates have two in percent.
    half = np.where(frame["key"].isin(["wer", "cer"]), 0.00005, 0.0005)
    within = (frame["low"] - half <= frame["paper"]) & (frame["paper"] <= frame["high"] + half)
    cases = [frame["measured"].isna(), frame["low"].isna(), within]
    names = [NOT_MEASURED, "no interval", "within interval"]
    return frame.assign(verdict=np.select(cases, names, "outside interval"))


# Recomputed


def claims(printed: Published) -> pd.DataFrame:
    """Every claim of report and card that their own numbers can check (`claims.yaml`).

    Returns:
        `topic`, `claim`, `printed` (fraction or count, NaN where nothing is), `recomputed` from
        other published numbers, `unit`, `verdict`, `note`, `decimals` to show. Verdicts: `holds`;
        `differs`; `explained`: right, but not what it is called; `not resolved`: the published
        numbers cannot decide; `not printed`: follows from them, and is no claim.
    """
    known = _numbers(printed)
    frame = pd.DataFrame(_CLAIMS).fillna({"step": 1, "decimals": 1, "note": ""})
    value, other, beyond = (frame[name].map(known) for name in ("printed", "recomputed", "beyond"))
    apart = (value - frame["meant"].map(known).fillna(other)).abs()
    verdict = np.select(
        [other > beyond, beyond.notna(), value.isna(), apart > frame["step"] / 2 + _ROUNDING,
         frame["meant"].notna()],
        ["holds", NOT_RESOLVED, NOT_PRINTED, "differs", "explained"],
        "holds",
    )  # fmt: skip
    filled = {name: [text.format(**known) for text in frame[name]] for name in ("claim", "note")}
    frame = frame.assign(**filled, printed=value, recomputed=other, verdict=verdict)
    columns = ["topic", "claim", "printed", "recomputed", "unit", "verdict", "note", "decimals"]
    return frame[columns].astype({"decimals": int})


def summary(frame: pd.DataFrame) -> str:
    """`claims` as a Markdown list: how many printed numbers hold, and each claim that does not."""
    printed = frame.loc[frame["printed"].notna(), "verdict"]
    lines = [
        f"- *{row.claim}*: **{row.verdict}**{row.note and f'; {row.note}'}."
        for row in frame[~frame["verdict"].isin(["holds", NOT_PRINTED])].itertuples()
    ]
    head = f"Of {len(printed)} printed numbers checked, **{(printed == 'holds').sum()} hold**."
    return "\n".join([f"{head} Numbers and claims that do not:", "", *lines])


def _numbers(printed: Published) -> dict[str, Any]:
    """Published numbers and what follows from them, by the names that `claims.yaml` uses."""
    p, table = printed.numbers, printed.per_tag
    base, sft, rl = (printed.core.set_index("key")[system] for system in SYSTEMS)
    released = printed.released
    clips, untagged = released["clips"], released["clips without tags"]
    plain = released["clips without capitals"]
    train, rank = int(p["train_clips"]), int(p["lora_rank"])
    # The rule keeps what is strictly above the reward at this place in ascending order.
    removed = int(p["filtered_share"] * train) + 1
    frozen, adapted = (lora_parameter_count(rank, encoder=own) for own in (False, True))
    rows, moves = deltas(table), table["rl"] - table["sft"]
    se = tag_f1_errors(printed).set_index("metric").loc["sft", "se"].tolist()
    gain, change = sft["tag_f1"] - base["tag_f1"], rl["tag_f1"] - sft["tag_f1"]
    printed_rows = rows[rows["printed"].notna()]
    return {
        **p,
        **{f"base_{key}": value for key, value in base.items()},
        **{f"sft_{key}": value for key, value in sft.items()},
        **{f"change_{key}": rl[key] - sft[key] for key in rl.index},
        **{f"relative_{key}": rl[key] / sft[key] - 1 for key in ("tag_f1", "wer")},
        "splits": train + p["validation_clips"] + p["test_clips"],
        "batch": p["batch_size"] * p["accumulation"],
        "kept": train - removed,
        "removed": removed,
        "rank": rank,
        "lora_frozen": frozen,
        "lora_adapted": adapted,
        "lora_encoder": adapted - frozen,
        "wer_fall": 1 - sft["wer"] / base["wer"],
        "sft_gain": gain,
        "headroom": gain / (1 - base["tag_f1"]),
        "harmonic": 2 / (1 / sft["tag_precision"] + 1 / sft["tag_recall"]),
        "lowest": min(row["hallucination"] for row in (base, sft, rl)),
        "clips": clips,
        "untagged": untagged,
        "tagged": clips - untagged,
        "plain": plain,
        "untagged_share": untagged / clips,
        "plain_share": plain / clips,
        "sft_tagged": (sft["tag_f1"] * clips - untagged) / (clips - untagged),
        "improved": int((moves > 0).sum()),
        "stable": int((moves == 0).sum()),
        "regressed": int((moves < 0).sum()),
        "named": int(sum(p[f"tags_{name}"] for name in ("improved", "stable", "regressed"))),
        "tags": len(table),
        "tag_scores": 2 * len(table),
        "deltas": len(printed_rows),
        "relative_deltas": int(printed_rows["agrees"].sum()),
        "attainable": int((rows[["counts_sft", "counts_rl"]] != "").to_numpy().sum()),
        "sample_supports": int((table["tag"].map(printed.clips_with) == table["support"]).sum()),
        "events": int(printed_rows["fewest_events"].max()),
        "sd": ASSUMED_SD,
        "se": [100 * one for one in se],
        "error": se[2],
        "two_errors": 2 * se[2],
        "errors": change / se[2],
        "most_errors": change / se[0],
        "no_bound": math.inf,
    }


# Linear maps that the report's target names match in Voxtral-Mini-3B: how many, inputs, outputs.
_LANGUAGE = (
    (30, 3072, 4096), (30, 3072, 1024), (30, 3072, 1024), (30, 4096, 3072),  # q, k, v, o_proj
    (30, 3072, 8192), (30, 3072, 8192), (30, 8192, 3072),  # gate, up, down_proj
    (1, 5120, 3072), (1, 3072, 3072),  # multi_modal_projector
)  # fmt: skip
_ENCODER = ((3 * 32, 1280, 1280),)  # its output map is `out_proj`, which no name matches


def lora_parameter_count(rank: int, *, encoder: bool) -> int:
    """Trainable parameters of LoRA on Voxtral-Mini-3B with the report's target names.

    A pair on a map of n inputs and m outputs has rank (n + m) weights (Hu et al. 2022, 4.1). The
    names also match q, k and v of the encoder, which the report calls frozen (section 3.1):
    `encoder` says whether they are counted.

    >>> lora_parameter_count(64, encoder=True), lora_parameter_count(64, encoder=False)
    (124780544, 109051904)
    """
    maps = _LANGUAGE + (_ENCODER if encoder else ())
    return sum(count * rank * (n + m) for count, n, m in maps)


def attainable_counts(f1: float, support: int) -> list[tuple[int, int]]:
    """All (hits, predicted), up to four predictions per occurrence, that print as this F1.

    F1 = 2 hits / (support + predicted): three decimals and a small support leave few.

    >>> attainable_counts(0.902, 25)
    [(23, 26)]
    """
    return [
        (hits, predicted)
        for predicted in range(4 * support + 1)
        for hits in range(min(support, predicted) + 1)
        if abs(2 * hits / (support + predicted) - f1) <= 0.0005 + 1e-12
    ]


def deltas(per_tag: pd.DataFrame) -> pd.DataFrame:
    """Recompute the printed change of every tag of Table 3.

    `tag`, `delta`, `printed` (fraction, NaN for a dash), `relative` (NaN for no change), `points`
    (difference of fractions), `agrees` (printed equals relative at its digits), `counts_sft` and
    `counts_rl` (text, hits/predicted that give the score), `fewest_events` (hits and false alarms
    gained or lost that explain it), `support`.
    """
    sft, rl, support = (per_tag[name] for name in ("sft", "rl", "support"))
    digits = per_tag["delta"].where(per_tag["delta"] != "—").str.replace("−", "-").str.rstrip("%")
    printed = (digits + "e-2").astype(float)
    step = 0.01 * 0.1 ** digits.str.partition(".")[2].str.len()
    moved = rl != sft
    relative = ((rl - sft) / sft).where(moved & (sft != 0))
    close = (printed - relative).abs() <= step / 2 + _ROUNDING
    before, after = ([*map(attainable_counts, own, support)] for own in (sft, rl))
    # Predictions less hits are false alarms.
    events = [
        min((abs(h - g) + abs((p - h) - (q - g)) for g, q in a for h, p in b), default=None)
        for a, b in zip(before, after, strict=True)
    ]
    counts_sft, counts_rl = (
        [", ".join([f"{h}/{p}" for h, p in own[:3]] + ["…"] * (len(own) > 3)) for own in side]
        for side in (before, after)
    )
    return per_tag[["tag", "delta"]].assign(
        printed=printed,
        relative=relative,
        points=rl - sft,
        agrees=close.where(moved, printed.isna()),
        counts_sft=counts_sft,
        counts_rl=counts_rl,
        fewest_events=pd.array(events, dtype="Int64"),
        support=support,
    )


def smallest_sd(mean: float, n: int, binary: int) -> float:
    """Smallest sample standard deviation of `n` scores in [0, 1], `binary` < n of them 0 or 1.

    The spread is least when the other scores are all equal; the number of ones is the one that
    leaves least.

    >>> smallest_sd(0.5, 4, 0), round(smallest_sd(0.5, 4, 2), 3)
    (0.0, 0.408)
    """
    ones, others = np.arange(binary + 1), n - binary
    level = (n * mean - ones) / others
    spreads = ones * (1 - mean) ** 2 + (binary - ones) * mean**2 + others * (level - mean) ** 2
    inside = (level >= -1e-9) & (level <= 1 + 1e-9)  # a mean of ones can round above 1
    return math.sqrt(spreads[inside].min() / (n - 1))


def tag_f1_errors(
    printed: Published, measured: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> pd.DataFrame:
    """Standard errors of the published Tag F1: `metric | mean | assumption | sd | se`.

    The scores of single clips are unpublished, so their spread is bounded only: they lie in
    [0, 1], and a clip without reference tags scores 0 or 1. It is largest if every score is 0 or 1
    (Bhatia and Davis 2000). Between the bounds stand assumptions. Mean and spread `measured` in
    other clips, by system, are rows of their own, with the error of as many clips as the report's.
    """
    scores = printed.core.set_index("key").loc["tag_f1"]
    n, untagged = printed.released["clips"], printed.released["clips without tags"]
    rows = []
    for name in ("sft", "rl"):
        mean = float(scores[name])
        spreads = [("smallest possible", smallest_sd(mean, n, untagged))]
        spreads += [("assumed", sd) for sd in ASSUMED_SD]
        spreads += [("largest possible", math.sqrt(mean * (1 - mean) * n / (n - 1)))]
        rows += [(name, mean, label, sd) for label, sd in spreads]
    rows += [(name, mean, "measured here", sd) for name, (mean, sd) in measured.items()]
    frame = pd.DataFrame(rows, columns=["metric", "mean", "assumption", "sd"])
    return frame.assign(se=frame["sd"] / math.sqrt(n))
