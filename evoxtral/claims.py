"""What the published numbers do and do not say, recomputed from the published numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from evoxtral.paper import SYSTEMS, Published

ASSUMED_SD = (0.25, 0.30, 0.35)
"""Spreads of per-clip Tag F1 to assume; nothing published tells."""

HOLDS, DIFFERS, EXPLAINED = "holds", "differs", "explained"
UNRESOLVED, ADDED = "not resolved", "not printed"
"""What recomputing says. `explained`: the number is right, but it is not what it is called;
`not resolved`: the published numbers cannot decide; `not printed`: follows from them."""

_Row: TypeAlias = tuple[str, float, float, str, str, str, int]  # of a claim, without its topic
_ROUNDING = 1e-9


def claims(printed: Published) -> pd.DataFrame:
    """Every claim of report and card that their own numbers can check.

    Returns:
        Columns `topic`, `claim`, `printed` (fraction or count, NaN where nothing is),
        `recomputed` (the same from other published numbers), `unit` (`count`, `percent`, `points`,
        `error`), `verdict`, `note` (every number in it is computed), `decimals` to show.
    """
    topics = {
        "data": _data_claims(printed),
        "model": _model_claims(printed),
        "headline": _headline_claims(printed),
        "units": _unit_claims(printed),
        "base": _base_claims(printed),
        "tags": _tag_claims(printed),
        "noise": _noise_claims(printed),
    }
    rows = [(topic, *row) for topic, own in topics.items() for row in own]
    names = ["topic", "claim", "printed", "recomputed", "unit", "verdict", "note", "decimals"]
    return pd.DataFrame(rows, columns=names)


def summary(frame: pd.DataFrame) -> str:
    """`claims` as a Markdown list: how many hold, and each that does not."""
    checked = frame[frame["printed"].notna()]
    open_ = checked[checked["verdict"] != HOLDS]
    held = len(checked) - len(open_)
    lines = [f"Of {len(checked)} printed numbers checked, **{held} hold**. The others:", ""]
    lines += [
        f"- *{row.claim}*: **{row.verdict}**{f'; {row.note}' if row.note else ''}."
        for row in open_.itertuples()
    ]
    return "\n".join(lines)


def _check(
    claim: str, printed: float, recomputed: float, unit: str, step: float = 1.0, note: str = ""
) -> _Row:
    """A claim that holds if the recomputed value rounds to the printed one, `step` its digit."""
    close = abs(printed - recomputed) <= step / 2 + _ROUNDING
    return claim, printed, recomputed, unit, HOLDS if close else DIFFERS, note, 1


def _added(claim: str, value: float, unit: str, note: str) -> _Row:
    return claim, math.nan, value, unit, ADDED, note, 1


def _explained(
    claim: str, printed: float, recomputed: float, note: str, meant: float, decimals: int = 1
) -> _Row:
    """A percentage that is right as what was meant, which is not what it is called."""
    right = abs(printed - meant) <= 0.5 * 10 ** -(decimals + 2) + _ROUNDING
    return claim, printed, recomputed, "percent", EXPLAINED if right else DIFFERS, note, decimals


def _scores(printed: Published) -> Iterator[dict[str, float]]:
    """Scores by metric key of base, SFT and RL."""
    core = printed.core.set_index("key")
    return (core[system].to_dict() for system in SYSTEMS)


def kept_strictly_above(n: int, share: float) -> int:
    """Clips left by the rule `reward > sorted(rewards)[int(share * n)]` when no reward is tied.

    >>> kept_strictly_above(808, 0.1)
    727
    """
    return n - (int(share * n) + 1)


def _data_claims(printed: Published) -> list[_Row]:
    """Split sizes, effective batch and the number of curated clips (sections 3.1 to 3.3)."""
    p = printed.numbers
    split = p["train_clips"] + p["validation_clips"] + p["test_clips"]
    batch = p["batch_size"] * p["accumulation"]
    clips = int(p["train_clips"])
    kept = kept_strictly_above(clips, p["filtered_share"])
    note = f"the {clips - kept} smallest rewards go; there was no tie at the threshold"
    return [
        _check("The three splits hold all scripts", p["scripts"], split, "count"),
        _check("Effective batch size", p["effective_batch_size"], batch, "count"),
        _check("Clips the filter keeps", p["curated_clips"], kept, "count", note=note),
    ]


# Linear maps that the report's target names match in Voxtral-Mini-3B: how many, inputs, outputs.
_LANGUAGE = (
    (30, 3072, 4096), (30, 3072, 1024), (30, 3072, 1024), (30, 4096, 3072),  # q, k, v, o_proj
    (30, 3072, 8192), (30, 3072, 8192), (30, 8192, 3072),  # gate, up, down_proj
    (1, 5120, 3072), (1, 3072, 3072),  # multi_modal_projector
)  # fmt: skip
_ENCODER = ((3 * 32, 1280, 1280),)  # its output map is `out_proj`, which no name matches


def lora_parameter_count(rank: int, *, encoder: bool) -> int:
    """Trainable parameters of LoRA on Voxtral-Mini-3B with the report's target names.

    A pair on a map of n inputs and m outputs has rank (n + m) weights (Hu et al. 2022, section
    4.1). The bare names `q_proj`, `k_proj`, `v_proj` also match the encoder's attention, which
    the report calls frozen (section 3.1): `encoder` says whether they are counted.

    >>> lora_parameter_count(64, encoder=True), lora_parameter_count(64, encoder=False)
    (124780544, 109051904)
    """
    maps = _LANGUAGE + (_ENCODER if encoder else ())
    return sum(count * rank * (n + m) for count, n, m in maps)


def _model_claims(printed: Published) -> list[_Row]:
    """The trainable parameters with the encoder frozen, as stated, and adapted."""
    count, rank = printed.numbers["trainable_parameters"], int(printed.numbers["lora_rank"])
    frozen, adapted = (lora_parameter_count(rank, encoder=own) for own in (False, True))
    lacks = f"so the encoder was not frozen: a rank-{rank} adapter has fewer"
    why = f"the bare names q/k/v_proj also match the encoder, {adapted - frozen:,} parameters"
    name = "Trainable parameters, encoder"
    return [
        _check(f"{name} frozen as stated", count, frozen, "count", 1e5, lacks),
        _check(f"{name} adapted too", count, adapted, "count", 1e5, why),
    ]


def _headline_claims(printed: Published) -> list[_Row]:
    """Gains of both stages as abstract and section 4.2 state them, and what they leave open."""
    p = printed.numbers
    base, sft, rl = _scores(printed)
    step = {key: rl[key] - sft[key] for key in rl}
    gain = sft["tag_f1"] - base["tag_f1"]
    fall = 1 - sft["wer"] / base["wer"]
    closed = gain / (1 - base["tag_f1"])
    note = "share of the way from the base score to a perfect one"
    recall, emphasis = step["tag_recall"], step["emphasis_f1"]
    return [
        _check("SFT lowers WER, relative", p["wer_reduction"], fall, "percent", 0.01),
        _check("SFT raises Tag F1", p["tag_f1_gain_sft"], gain, "points", 0.01),
        _check("RAFT raises Tag F1", p["tag_f1_gain_rl"], step["tag_f1"], "points", 0.001),
        _check("RAFT raises Tag Recall", p["tag_recall_gain_rl"], recall, "points", 0.001),
        _check("RAFT raises Emphasis F1", p["emphasis_f1_gain_rl"], emphasis, "points", 0.001),
        _added("SFT closes the headroom of Tag F1", closed, "percent", note),
    ]


def _unit_claims(printed: Published) -> list[_Row]:
    """Numbers that are right under another name: points as percent, means, the bold cell."""
    p = printed.numbers
    base, sft, rl = _scores(printed)
    gain, cost = (rl[key] / sft[key] - 1 for key in ("tag_f1", "wer"))
    f1, wer = rl["tag_f1"] - sft["tag_f1"], rl["wer"] - sft["wer"]
    harmonic = 2 / (1 / sft["tag_precision"] + 1 / sft["tag_recall"])
    lowest = min(row["hallucination"] for row in (base, sft, rl))
    points = "the card's figure is in percentage points; recomputed as percent"
    mean = "F1 is averaged over clips, not formed from the averages"
    bold = "base predicts no tags, hence none wrong; the report bolds SFT"
    by_parts = "SFT Tag F1 from its precision and recall"
    return [
        _explained("Card: RL gains Tag F1, percent", p["card_tag_f1_gain"], gain, points, f1),
        _explained("Card: RL costs WER, percent", p["card_wer_cost"], cost, points, wer, 2),
        _check(by_parts, sft["tag_f1"], harmonic, "percent", 0.001, mean),
        _check("Best Tag Hallucination", sft["hallucination"], lowest, "percent", 0.001, bold),
    ]


def _base_claims(printed: Published) -> list[_Row]:
    """The base row is the score of predicting no tag and no capitals at all."""
    base, sft, _ = _scores(printed)
    clips, untagged = printed.released["clips"], printed.released["clips without tags"]
    plain, tagged = printed.released["clips without capitals"], clips - untagged
    rest = (sft["tag_f1"] * clips - untagged) / tagged
    no_tags = f"{untagged} of {clips} clips have no tags; predicting none scores 1 there"
    no_caps = f"{plain} of {clips} clips have no capitals; likewise"
    alone = f"if all {untagged} untagged clips are right; the base scores 0 there"
    free, calm = untagged / clips, plain / clips
    return [
        _explained("Base Tag F1", base["tag_f1"], free, no_tags, free),
        _explained("Base Emphasis F1", base["emphasis_f1"], calm, no_caps, calm),
        _added(f"SFT Tag F1 on the {tagged} tagged clips", rest, "percent", alone),
    ]


def _tag_claims(printed: Published) -> list[_Row]:
    """What the text says of Table 3 (section 4.3), and how Table 3 was made."""
    p, table = printed.numbers, printed.per_tag
    rows, moves = deltas(table), table["rl"] - table["sft"]
    moved = {"improved": moves > 0, "stable": moves == 0, "regressed": moves < 0}
    counts = {name: int(own.sum()) for name, own in moved.items()}
    said = {name: p[f"tags_{name}"] for name in counts}
    changed = rows[rows["printed"].notna()]
    whole = int((rows[["counts_sft", "counts_rl"]] != "").to_numpy().sum())
    agree = int(changed["agrees"].sum())
    samples = int((table["tag"].map(printed.clips_with) == table["support"]).sum())
    relative = "relative to the SFT score; Table 2 and the text differ in points"
    pooled = "hits and false alarms pooled over clips; the headline F1 is a mean over clips"
    twice = "support counts occurrences; a clip can hold a tag twice"
    few = "hits or false alarms gained or lost, the doubling of [calm] included"
    events = int(changed["fewest_events"].max())
    checked = [
        *((f"Tags {name} after RAFT", said[name], counts[name], "") for name in counts),
        ("Tags in all", sum(said.values()), len(table), ""),
        ("Printed Δ that are relative changes", len(changed), agree, relative),
        ("F1 scores that whole counts can give", 2 * len(rows), whole, pooled),
        ("Supports that count samples", len(table), samples, twice),
    ]
    return [
        *(_check(claim, a, b, "count", note=note) for claim, a, b, note in checked),
        _added("Most events needed to explain a change", events, "count", few),
    ]


def _noise_claims(printed: Published) -> list[_Row]:
    """Whether 50 clips can tell SFT from RL, by the bounds of `tag_f1_errors`."""
    _, sft, rl = _scores(printed)
    gain, cost = rl["tag_f1"] - sft["tag_f1"], rl["wer"] - sft["wer"]
    rows = tag_f1_errors(printed)
    least, low, error, high, most = rows.loc[rows["metric"] == "sft", "se"]
    small, middle, large = ASSUMED_SD
    range_ = (
        f"±{low:.1%} to ±{high:.1%} for sd {small} to {large}; "
        f"±{least:.1%} to ±{most:.1%} whatever the clips scored"
    ).replace("%", "")
    f1 = (
        f"{gain / error:.1f} standard errors of the SFT score, at most {gain / least:.1f}; "
        "a paired interval needs the predictions, which are unpublished"
    )
    wer = "per-clip WER is unpublished and has no upper bound"
    label = f"Standard error of SFT Tag F1 if per-clip sd is {middle:.2f}"
    verdict = HOLDS if gain > 2 * error else UNRESOLVED
    return [
        _added(label, error, "error", range_),
        ("RL beats SFT in Tag F1", gain, gain, "points", verdict, f1, 1),
        ("RL costs WER", cost, cost, "points", UNRESOLVED, wer, 2),
    ]


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

    Returns:
        `tag`, `delta`, `printed` (fraction, NaN for a dash), `relative` (NaN for no change),
        `points` (difference of fractions), `agrees` (printed equals relative at its digits),
        `counts_sft` and `counts_rl` (text, hits/predicted that agree with the score),
        `fewest_events` (hits and false alarms gained or lost that explain it), `support`.
    """
    rows = [_delta(row) for row in per_tag.to_dict("records")]
    return pd.DataFrame(rows).astype({"fewest_events": "Int64"})


def _delta(row: Mapping[str, object]) -> dict[str, object]:
    sft, rl, support = float(row["sft"]), float(row["rl"]), int(row["support"])
    text, moved = str(row["delta"]), row["rl"] != row["sft"]
    printed, step = math.nan, 0.0
    if text != "—":
        digits = text.replace("−", "-").rstrip("%")
        places = len(digits.partition(".")[2]) + 2
        printed, step = round(float(digits) / 100, places), 10.0**-places
    relative = (rl - sft) / sft if moved and sft else math.nan
    agrees = abs(printed - relative) <= step / 2 + _ROUNDING if moved else printed != printed
    before, after = attainable_counts(sft, support), attainable_counts(rl, support)
    # Predictions less hits are false alarms.
    events = [abs(h - g) + abs((p - h) - (q - g)) for g, q in before for h, p in after]
    return {
        "tag": row["tag"],
        "delta": text,
        "printed": printed,
        "relative": relative,
        "points": rl - sft,
        "agrees": agrees,
        "counts_sft": _options(before),
        "counts_rl": _options(after),
        "fewest_events": min(events, default=None),
        "support": support,
    }


def _options(counts: Sequence[tuple[int, int]]) -> str:
    text = ", ".join(f"{hits}/{predicted}" for hits, predicted in counts[:3])
    return f"{text}, …" if len(counts) > 3 else text


def largest_sd(mean: float, n: int) -> float:
    """Largest sample standard deviation of `n` scores in [0, 1] with this mean.

    Reached when every score is 0 or 1 (Bhatia and Davis 2000): variance mean * (1 - mean).
    """
    return math.sqrt(mean * (1 - mean) * n / (n - 1))


def smallest_sd(mean: float, n: int, binary: int) -> float:
    """Smallest sample standard deviation of `n` scores in [0, 1], `binary` < n of them 0 or 1.

    The spread is least when the other scores are all equal; the number of ones is the one that
    leaves least.

    >>> smallest_sd(0.5, 4, 0), round(smallest_sd(0.5, 4, 2), 3)
    (0.0, 0.408)
    """
    others = n - binary
    squares = []
    for ones in range(binary + 1):
        level = (n * mean - ones) / others
        if -1e-9 <= level <= 1 + 1e-9:  # a mean of ones can round above 1
            extremes = ones * (1 - mean) ** 2 + (binary - ones) * mean**2
            squares.append(extremes + others * (level - mean) ** 2)
    return math.sqrt(min(squares) / (n - 1))


def tag_f1_errors(printed: Published) -> pd.DataFrame:
    """Standard errors of the published Tag F1: `metric | mean | assumption | sd | se`.

    The scores of single clips are unpublished, so their spread is bounded only: they lie in
    [0, 1], and a clip without reference tags scores 0 or 1. Between the bounds stand assumptions.
    """
    scores = printed.core.set_index("key").loc["tag_f1"]
    n, untagged = printed.released["clips"], printed.released["clips without tags"]
    rows = []
    for name in ("sft", "rl"):
        mean = float(scores[name])
        spreads = [("smallest possible", smallest_sd(mean, n, untagged))]
        spreads += [("assumed", sd) for sd in ASSUMED_SD]
        spreads += [("largest possible", largest_sd(mean, n))]
        rows += [(name, mean, label, sd, sd / math.sqrt(n)) for label, sd in spreads]
    return pd.DataFrame(rows, columns=["metric", "mean", "assumption", "sd", "se"])
