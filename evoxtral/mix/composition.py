"""The composition note's tables, measured: `target | measured | pass` for any set of examples.

`pass` is `yes`, `no`, or `not known` where the data lacks what the row needs (a script has no
speaker and no duration): missing information never passes. Shares are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from evoxtral import tags
from evoxtral.mix.duplicates import THRESHOLD, keep_first, near_duplicates
from evoxtral.mix.goals import (
    FREQUENT,
    MINIMUMS,
    Goal,
    Verdict,
    axis_goals,
    density_goals,
    position_goals,
    tag_count_goals,
    tag_share_goals,
)
from evoxtral.mix.items import Features

VOICES = 6
SECTION_2 = ("25–35 %", "25–30 %", "25–30 %", "10–15 %")

_PLAIN = (
    ("plain, the set of 800", "section 6", 0.30, 0.35),
    ("plain, recommended mix", "section 1", 0.30, 0.40),
    ("plain, density table", "section 2", 0.25, 0.35),
    ("plain, against forgetting", "section 4", 0.25, 0.35),
    ("plain, least replay for structured output", "section 4", 0.10, 1.0),
    ("neutral audio without tags", "section 1", 0.10, 0.15),
    ("tagged, recommended mix", "section 1", 0.60, 0.70),
)


def goal_table(goals: Iterable[Goal]) -> pd.DataFrame:
    """Any goals as `axis | row | target | measured | source | pass`."""
    rows = [
        {
            "axis": goal.table,
            "row": goal.row,
            "target": goal.target,
            "measured": goal.measured(),
            "source": goal.source,
            "pass": goal.verdict(),
        }
        for goal in goals
    ]
    return pd.DataFrame(rows, columns=["axis", "row", "target", "measured", "source", "pass"])


def density_table(features: Features) -> pd.DataFrame:
    """Share of examples with 0, 1–2, 3–5, 6+ tags; section 6 judges, section 2 stands beside."""
    goals = density_goals(features)
    return pd.DataFrame(
        {
            "density": [goal.row for goal in goals],
            "target": [goal.target for goal in goals],
            "measured": [goal.measured() for goal in goals],
            "count": [int(goal.hits.sum()) for goal in goals],
            "section 2": SECTION_2,
            "pass": [goal.verdict() for goal in goals],
        }
    )


def plain_table(features: Features) -> pd.DataFrame:
    """Every range the note gives for plain examples; they disagree, and section 6 judges.

    A plain text is spoken neutrally in our data, so it is also the note's "neutral audio without
    tags" (section 1), for which 10–15 % would do.
    """
    plain = 1 - features.tagged
    goals = []
    for row, source, low, high in _PLAIN:
        hits = 1 - plain if row.startswith("tagged") else plain
        top = high if high < 1 else float("inf")
        goals.append(Goal("plain", row, hits, hits * 0 + 1, low, top, source))
    return goal_table(goals).drop(columns="axis")


def tag_table(features: Features) -> pd.DataFrame:
    """Section 5: each tag's share of tagged examples, its minimum, and the oversampling needed.

    Columns: `tag | natural frequency | note factor | target | measured | count | factor needed |
    pass`. A minimum is passed from its lower end upwards. `factor needed` takes the measured share
    to the nearest passing value: below 1 for `[pause]` and CAPS above their band, infinite where
    no example has the tag.
    """
    rows = []
    for goal in tag_share_goals(features):
        low, high, natural, factor = MINIMUMS.get(goal.row.strip("[]"), FREQUENT)
        rows.append(
            {
                "tag": goal.row,
                "natural frequency": natural,
                "note factor": factor,
                "target": f"{100 * low:g}–{100 * high:g} %",
                "measured": goal.measured(),
                "count": int(goal.hits.sum()),
                "factor needed": _factor_needed(goal),
                "pass": goal.verdict(),
            }
        )
    return pd.DataFrame(rows)


def _factor_needed(goal: Goal) -> float:
    measured = goal.measured()
    if not measured:
        return float("inf")
    return min(max(measured, goal.low), goal.high) / measured


def example_table(features: Features) -> pd.DataFrame:
    """Section 6: examples that carry each of the 17 tags, 40 at least."""
    return goal_table(tag_count_goals(features)).drop(columns="axis")


def axis_table(features: Features, window_seconds: float | None = None) -> pd.DataFrame:
    """Section 3: the stratification axes, with density; unknown axes have a row saying so."""
    goals = [*density_goals(features), *axis_goals(features, window_seconds)]
    table = goal_table(goals)
    missing = [
        {"axis": axis, "row": row, "target": "known for every example", "measured": None,
         "source": "section 3", "pass": "not known"}
        for axis, row, needs in (("length", "duration", "seconds"), ("gender", "speaker", "gender"))
        if features.known(needs) is None
    ]  # fmt: skip
    return pd.concat([table, pd.DataFrame(missing)], ignore_index=True) if missing else table


def voice_verdict(features: Features) -> tuple[int, Verdict]:
    """Distinct known voices, and whether they are at least six (`not known` if some may hide)."""
    voices = {item.voice for item in features.items if item.voice is not None}
    hidden = any(item.voice is None for item in features.items)
    enough: Verdict = "yes" if len(voices) >= VOICES else "not known" if hidden else "no"
    return len(voices), enough


def speaker_table(features: Features) -> pd.DataFrame:
    """Speaker diversity: distinct voices, and the share of the most used one.

    The second row is our rule: speakers taken in turn (section 3) give the most used voice no
    more than twice an equal share.
    """
    n_voices, enough = voice_verdict(features)
    voices = features.known("voice")
    top = max(map(list(voices).count, set(voices))) / len(voices) if voices else None
    balanced = "not known" if top is None else "yes" if top <= 2 / n_voices else "no"
    target = f"≤ {2 / n_voices:.0%}".replace("%", " %") if n_voices else "twice an equal share"
    return pd.DataFrame(
        [
            ("distinct voices", f"≥ {VOICES} (6–8)", n_voices if voices else None, enough),
            ("share of the most used voice", target, top, balanced),
        ],
        columns=["row", "target", "measured", "pass"],
    )


def position_table(features: Features) -> pd.DataFrame:
    """Where tags stand in the text, and how far apart: beginning, middle, end; close, wide."""
    return goal_table(position_goals(features))


def context_table(features: Features) -> pd.DataFrame:
    """In how many different surroundings each tag is met (section 5: diverse contexts).

    Columns: `tag | texts | domains | emotions beside it | voices`; voices is missing where no
    example names its speaker.
    """
    rows = []
    for tag in tags.TAGS:
        chosen = [features.items[i] for i in features.has(tag).nonzero()[0]]
        found = {name for item in chosen for name in tags.find_tags(item.tagged_text)}
        voices = {item.voice for item in chosen} - {None}
        rows.append(
            {
                "tag": f"[{tag}]",
                "texts": len({item.tagged_text for item in chosen}),
                "domains": len({item.domain for item in chosen}),
                "emotions beside it": len(found & set(tags.GROUPS["emotion"]) - {tag}),
                "voices": len(voices) if voices else None,
            }
        )
    return pd.DataFrame(rows)


def duplicate_table(features: Features, workers: int | None = None) -> pd.DataFrame:
    """Pairs at ROUGE-L 0.7 or more, and texts kept greedily, on tagged and on plain text.

    Drawing one example several times is oversampling, not a near-duplicate: an id counts once.
    """
    items = {item.id: item for item in features.items}.values()
    tagged = [item.tagged_text for item in items]
    plain = [tags.plain_text(text) for text in tagged]
    rows = []
    for name, texts in (("tagged text", tagged), ("plain text", plain)):
        pairs = len(near_duplicates(texts, workers=workers))
        rows.append(
            {
                "text": name,
                "target": f"no pair ≥ {THRESHOLD}",
                "measured": pairs,
                "texts": len(texts),
                "kept": len(keep_first(texts, workers=workers)),
                "pass": "yes" if pairs == 0 else "no",
            }
        )
    return pd.DataFrame(rows)


def composition(
    rows: Sequence[object], window_seconds: float | None = None, workers: int | None = None
) -> dict[str, pd.DataFrame]:
    """All tables by name; the checklist of section 6 is `checklist.checklist`.

    Args:
        rows: scripts, clips or items.
        window_seconds: the model's window, for length strata; `None` for real data.
        workers: cores for the near-duplicate search.
    """
    features = Features.of(rows)
    return {
        "density": density_table(features),
        "plain": plain_table(features),
        "tags": tag_table(features),
        "examples": example_table(features),
        "axes": axis_table(features, window_seconds),
        "speakers": speaker_table(features),
        "positions": position_table(features),
        "contexts": context_table(features),
        "duplicates": duplicate_table(features, workers),
    }
