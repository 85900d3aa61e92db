"""Claims about scores: headline numbers, names, the base row, the per-tag table, and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evoxtral.checks.model import Claim, Verdict, compare
from evoxtral.checks.pertag import deltas, movements
from evoxtral.checks.uncertainty import largest_sd, smallest_sd

if TYPE_CHECKING:
    from evoxtral.paper import Published


NOTHING = float("nan")


def _scores(published: Published) -> tuple[dict[str, float], ...]:
    """Scores by metric key of base, SFT and RL."""
    core = published.core.set_index("key")
    return tuple(core[system].to_dict() for system in ("base", "sft", "rl"))


def headline_claims(published: Published) -> list[Claim]:
    """Gains of both stages as abstract and section 4.2 state them, and what they leave open."""
    p = published.numbers
    base, sft, rl = _scores(published)
    step = {key: rl[key] - sft[key] for key in rl}
    gain = sft["tag_f1"] - base["tag_f1"]
    fall = 1 - sft["wer"] / base["wer"]
    printed = [
        ("SFT lowers WER, relative", p["wer_reduction"], fall, "percent", 0.01),
        ("SFT raises Tag F1", p["tag_f1_gain_sft"], gain, "points", 0.01),
        ("RAFT raises Tag F1", p["tag_f1_gain_rl"], step["tag_f1"], "points", 0.001),
        ("RAFT raises Tag Recall", p["tag_recall_gain_rl"], step["tag_recall"], "points", 0.001),
        ("RAFT raises Emphasis F1", p["emphasis_f1_gain_rl"], step["emphasis_f1"], "points", 0.001),
    ]
    closed = gain / (1 - base["tag_f1"])
    note = "share of the way from the base score to a perfect one"
    return [
        *(compare("headline", *row) for row in printed),
        _added("headline", "SFT closes the headroom of Tag F1", closed, "percent", note),
    ]


def unit_claims(published: Published) -> list[Claim]:
    """Numbers that are right under another name: points as percent, means, the bold cell."""
    p = published.numbers
    base, sft, rl = _scores(published)
    gain, cost = (rl[key] / sft[key] - 1 for key in ("tag_f1", "wer"))
    harmonic = 2 / (1 / sft["tag_precision"] + 1 / sft["tag_recall"])
    lowest = min(row["hallucination"] for row in (base, sft, rl))
    points = "the card's figure is in percentage points; recomputed as percent"
    mean = "F1 is averaged over clips, not formed from the averages"
    bold = "base predicts no tags, hence none wrong; the report bolds SFT"
    f1_points, wer_points = rl["tag_f1"] - sft["tag_f1"], rl["wer"] - sft["wer"]
    renamed = [
        ("Card: RL gains Tag F1, percent", p["card_tag_f1_gain"], gain, f1_points, 1),
        ("Card: RL costs WER, percent", p["card_wer_cost"], cost, wer_points, 2),
    ]
    others = [
        ("SFT Tag F1 from its precision and recall", sft["tag_f1"], harmonic, mean),
        ("Best Tag Hallucination", sft["hallucination"], lowest, bold),
    ]
    return [
        *(_explained("units", c, a, b, points, meant, d) for c, a, b, meant, d in renamed),
        *(compare("units", c, a, b, "percent", 0.001, note) for c, a, b, note in others),
    ]


def base_claims(published: Published) -> list[Claim]:
    """The base row is the score of predicting no tag and no capitals at all."""
    base, sft, _ = _scores(published)
    seen = published.released
    tagged = seen.clips - seen.untagged
    rest = (sft["tag_f1"] * seen.clips - seen.untagged) / tagged
    no_tags = f"{seen.untagged} of {seen.clips} clips have no tags; predicting none scores 1 there"
    no_caps = f"{seen.without_capitals} of {seen.clips} clips have no capitals; likewise"
    alone = f"if all {seen.untagged} untagged clips are right; the base scores 0 there"
    rows = [
        ("Base Tag F1", base["tag_f1"], seen.untagged / seen.clips, no_tags),
        ("Base Emphasis F1", base["emphasis_f1"], seen.without_capitals / seen.clips, no_caps),
    ]
    claim = f"SFT Tag F1 on the {tagged} tagged clips"
    return [
        *(_explained("base", c, a, b, note, meant=b) for c, a, b, note in rows),
        _added("base", claim, rest, "percent", alone),
    ]


def tag_claims(published: Published) -> list[Claim]:
    """What the text says of Table 3 (section 4.3), and how Table 3 was made."""
    p, table = published.numbers, published.per_tag
    rows, moved = deltas(table), movements(table)
    changed = rows[rows["printed"].notna()]
    whole = int((rows[["counts_sft", "counts_rl"]] != "").to_numpy().sum())
    with_tag = table["tag"].map(published.released.clips_with)
    agree, samples = int(changed["agrees"].sum()), int((with_tag == table["support"]).sum())
    printed = [p[f"tags_{name}"] for name in moved]
    relative = "relative to the SFT score; Table 2 and the text differ in points"
    pooled = "hits and false alarms pooled over clips; the headline F1 is a mean over clips"
    twice = "support counts occurrences; a clip can hold a tag twice"
    few = "hits or false alarms gained or lost, the doubling of [calm] included"
    events = int(changed["fewest_events"].max())
    counts = [
        *((f"Tags {name} after RAFT", p[f"tags_{name}"], n, "") for name, n in moved.items()),
        ("Tags in all", sum(printed), sum(moved.values()), ""),
        ("Printed Δ that are relative changes", len(changed), agree, relative),
        ("F1 scores that whole counts can give", 2 * len(rows), whole, pooled),
        ("Supports that count samples", len(table), samples, twice),
    ]
    return [
        *(compare("tags", claim, a, b, "count", note=note) for claim, a, b, note in counts),
        _added("tags", "Most events needed to explain a change", events, "count", few),
    ]


def noise_claims(published: Published, assumed_sd: Sequence[float]) -> list[Claim]:
    """Whether 50 clips can tell SFT from RL; bounds as in `evoxtral.checks.uncertainty`."""
    _, sft, rl = _scores(published)
    seen, mean = published.released, sft["tag_f1"]
    gain, cost = rl["tag_f1"] - mean, rl["wer"] - sft["wer"]
    spreads = (
        min(assumed_sd),
        max(assumed_sd),
        smallest_sd(mean, seen.clips, seen.untagged),
        largest_sd(mean, seen.clips),
    )
    low, high, least, most = (sd / math.sqrt(seen.clips) for sd in spreads)
    middle = sorted(assumed_sd)[len(assumed_sd) // 2]
    error = middle / math.sqrt(seen.clips)
    range_ = (
        f"±{low:.1%} to ±{high:.1%} for sd {spreads[0]} to {spreads[1]}; "
        f"±{least:.1%} to ±{most:.1%} whatever the clips scored"
    ).replace("%", "")
    f1 = (
        f"{gain / error:.1f} standard errors of the SFT score, at most {gain / least:.1f}; "
        "a paired interval needs the predictions, which are unpublished"
    )
    wer = "per-clip WER is unpublished and has no upper bound"
    label = f"Standard error of SFT Tag F1 if per-clip sd is {middle:.2f}"
    verdict = Verdict.HOLDS if gain > 2 * error else Verdict.UNRESOLVED
    unknown = Verdict.UNRESOLVED
    return [
        _added("noise", label, error, "error", range_),
        Claim("noise", "RL beats SFT in Tag F1", gain, gain, "points", verdict, f1),
        Claim("noise", "RL costs WER", cost, cost, "points", unknown, wer, decimals=2),
    ]


def _added(topic: str, claim: str, value: float, unit: str, note: str) -> Claim:
    return Claim(topic, claim, NOTHING, value, unit, Verdict.ADDED, note)


def _explained(
    topic: str,
    claim: str,
    printed: float,
    recomputed: float,
    note: str,
    meant: float,
    decimals: int = 1,
) -> Claim:
    """A percentage that is right as what was meant, which is not what it is called."""
    right = abs(printed - meant) <= 0.5 * 10 ** -(decimals + 2) + 1e-9
    verdict = Verdict.EXPLAINED if right else Verdict.DIFFERS
    return Claim(topic, claim, printed, recomputed, "percent", verdict, note, decimals)
