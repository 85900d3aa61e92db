"""The composition note's tables and its ten checks, measured for any set of examples.

One frame holds them all: `table | row | target | measured | unit | pass`. `pass` is `yes`, `no`,
or `not known` where the data lacks what the row needs (a script has no speaker and no duration):
missing information never passes. Shares are fractions in [0, 1].

`reports/paper/released_composition.csv` holds it for the 1,010 released scripts, which the project
does not ship: the comparison works offline, and a test counts it again from the scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evoxtral import UserError, paper, tags
from evoxtral.mix.duplicates import THRESHOLD, keep_first, near_duplicates
from evoxtral.mix.goals import (
    EXAMPLES_PER_TAG,
    FREQUENT,
    MINIMUMS,
    RARE,
    Goal,
    Item,
    Verdict,
    goals,
    known,
)

VOICES, DOMAINS = 6, 3
OVERSAMPLING = (2.0, 5.0)
COLUMNS = ["table", "row", "target", "measured", "unit", "pass"]

_PLAIN = (
    ("plain, the set of 800", 0.30, 0.35),  # section 6
    ("plain, recommended mix", 0.30, 0.40),  # section 1
    ("plain, density table", 0.25, 0.35),  # section 2
    ("plain, against forgetting", 0.25, 0.35),  # section 4
    ("plain, least replay for structured output", 0.10, float("inf")),  # section 4
    ("neutral audio without tags", 0.10, 0.15),  # section 1: a plain text is spoken neutrally
    ("tagged, recommended mix", 0.60, 0.70),  # section 1
)
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_Row = tuple[str, str, str, Any, str, Verdict]


def judge(
    items: Sequence[Item],
    window_seconds: float | None = None,
    natural: Sequence[Item] | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """All tables and the checklist of a set.

    Args:
        items: the set.
        window_seconds: the model's window, for length strata; `None` for real data.
        natural: the set before oversampling, to which the checklist's factors are relative.
        workers: cores for the near-duplicate search.

    Returns:
        A row per row of a table; `measured` is a float where `unit` is `share` or `count`, a text
        where it is `text` (the checklist), missing where it is not known.
    """
    wanted = goals(items, window_seconds)
    alike = _alike(items, workers)
    rows = [
        *_tables(items, wanted),
        *alike,
        *(
            ("checklist", *row[:3], "text", row[3])
            for row in _checks(items, wanted, natural, alike)
        ),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(table: str, goal: Goal, *, row: str = "", target: str = "") -> _Row:
    unit = "share" if goal.base is not None else "count"
    shown = row or goal.row
    return table, shown, target or goal.target, goal.measured(), unit, goal.verdict()


def _named(wanted: Iterable[Goal], *tables: str) -> list[Goal]:
    return [goal for goal in wanted if goal.table in tables]


def _tables(items: Sequence[Item], wanted: Sequence[Goal]) -> list[_Row]:
    """Every table but that of texts alike."""
    density = _named(wanted, "density")
    axes = _named(wanted, "emotion", "non-verbal", "valence", "length", "gender")
    unknown = [
        ("axes", row, "known for every example", None, "share", "not known")
        for row, needs in (("length: duration", "seconds"), ("gender: speaker", "gender"))
        if known(items, needs) is None
    ]
    plain = [
        Goal(
            "plain", row, (1 - hits) if row.startswith("tagged") else hits, hits * 0 + 1, low, high
        )
        for hits in [density[0].hits]
        for row, low, high in _PLAIN
    ]
    return [
        *(_row("density", goal) for goal in density),
        *(_row("plain", goal) for goal in plain),
        *(_row("tags", goal, target=_band(goal.row)) for goal in _named(wanted, "tags")),
        *(_row("examples", goal) for goal in _named(wanted, "examples")),
        *(_row("axes", goal, row=f"{goal.table}: {goal.row}") for goal in axes),
        *unknown,
        *_speakers(items),
        *(
            _row("positions", goal, row=f"{goal.table}: {goal.row}")
            for goal in _named(wanted, "position", "spacing")
        ),
    ]


def _band(tag: str) -> str:
    low, high, *_ = MINIMUMS.get(tag.strip("[]"), FREQUENT)
    return f"{100 * low:g}–{100 * high:g} %"


def _speakers(items: Sequence[Item]) -> list[_Row]:
    """Distinct voices, and the share of the most used one.

    The second is our rule: speakers taken in turn (section 3) give the most used voice no more
    than twice an equal share.
    """
    named = [item.voice for item in items if item.voice is not None]
    voices = set(named)
    all_known = len(named) == len(items)
    enough: Verdict = "yes" if len(voices) >= VOICES else "no" if all_known else "not known"
    count = float(len(voices)) if all_known else None
    top = max(map(named.count, voices)) / len(named) if all_known else None
    most = 2 / len(voices) if voices else None
    even: Verdict = "not known" if top is None else "yes" if top <= most else "no"
    target = f"≤ {100 * most:.0f} %" if most else "twice an equal share"
    return [
        ("speakers", "distinct voices", f"≥ {VOICES} (6–8)", count, "count", enough),
        ("speakers", "share of the most used voice", target, top, "share", even),
    ]


def _alike(items: Sequence[Item], workers: int | None) -> list[_Row]:
    """Pairs at ROUGE-L 0.7 or more, and texts kept greedily, on tagged and on plain text.

    Drawing one example several times is oversampling, not a near-duplicate: an id counts once.
    """
    tagged = list({item.id: item.tagged_text for item in items}.values())
    rows: list[_Row] = []
    for name, texts in (("tagged text", tagged), ("plain text", [*map(tags.plain_text, tagged)])):
        pairs = len(near_duplicates(texts, workers=workers))
        kept = len(keep_first(texts, workers=workers))
        verdict: Verdict = "no" if pairs else "yes"
        rows += [
            ("duplicates", f"pairs, {name}", f"no pair ≥ {THRESHOLD}", float(pairs), "count",
             verdict),
            ("duplicates", f"texts kept, {name}", f"all {len(texts):,}", float(kept), "count",
             verdict),
        ]  # fmt: skip
    return rows


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    return "no" if "no" in found else "not known" if "not known" in found else "yes"


def _checks(
    items: Sequence[Item],
    wanted: Sequence[Goal],
    natural: Sequence[Item] | None,
    alike: Sequence[_Row],
) -> list[tuple[str, str, str, Verdict]]:
    """The quality checklist (section 6) in the note's order; see `judge`.

    Where the note names no number the target states our rule. Tags outside the vocabulary count
    in density, position and spacing.
    """
    density, examples = _named(wanted, "density"), _named(wanted, "examples")
    tagged = [item.tagged_text for item in items if "[" in item.tagged_text]
    sentences = [part for text in tagged for part in _SENTENCE.split(text)]
    bare = float(np.mean(["[" not in part for part in sentences])) if sentences else float("nan")
    filled = sum(goal.hits.any() for goal in density)
    least = min(examples, key=lambda goal: goal.measured())
    passed = [goal.verdict() for goal in examples]
    voices = _speakers(items)[0]
    n_voices = len({item.voice for item in items} - {None})
    pairs, kept = alike[0], alike[1]
    too_many = int(kept[2].split()[1].replace(",", "")) - int(kept[3])
    return [
        (
            "tag density varies naturally",
            "all four strata; tagged texts have untagged sentences",
            f"{filled} of 4 strata; {100 * bare:.0f} % of sentences untagged",
            "yes" if filled == 4 and 0 < bare < 1 else "no",
        ),
        (
            "all target tags are frequent enough",
            f"each of {len(examples)} tags in ≥ {EXAMPLES_PER_TAG} examples",
            f"{passed.count('yes')} of {len(passed)}; least {least.row} {least.measured():.0f}",
            _all(passed),
        ),
        _rare(items, wanted, natural),
        (
            "plain examples against hallucination",
            density[0].target,
            f"{100 * density[0].measured():.1f} %",
            density[0].verdict(),
        ),
        (
            "speaker diversity",
            f"≥ {VOICES} voices (6–8)",
            f"{n_voices} voices" if n_voices else "no voice named",
            voices[5],
        ),
        _spread("audio length varies", "each category {}", _named(wanted, "length")),
        _spread("emotional valence is balanced", "each category {}", _named(wanted, "valence")),
        (
            "no two texts alike",
            "ROUGE-L < 0.7 for every pair",
            f"{pairs[3]:.0f} pairs; {too_many} texts too many",
            pairs[5],
        ),
        _spread("tag positions vary", "each {}", _named(wanted, "position")),
        _spread("tags closely and widely spaced", "each {}", _named(wanted, "spacing")),
    ]


def _spread(check: str, target: str, own: Sequence[Goal]) -> tuple[str, str, str, Verdict]:
    """A check of the categories of an axis."""
    if not own:
        return check, target.format("≥ half an equal share"), "not known", "not known"
    parts = (f"{goal.row.split(' (')[0]} {100 * goal.measured():.1f} %" for goal in own)
    verdict = _all(goal.verdict() for goal in own)
    return check, target.format(own[0].target), ", ".join(parts), verdict


def _rare(
    items: Sequence[Item], wanted: Sequence[Goal], natural: Sequence[Item] | None
) -> tuple[str, str, str, Verdict]:
    """Rare tags: oversampled or at their minimum, and met in several domains."""
    shares = {goal.row.strip("[]"): goal for goal in _named(wanted, "tags")}
    before = {} if natural is None else {goal.row.strip("[]"): goal for goal in goals(natural)}
    factors, verdicts = [], []
    for tag in RARE:
        goal = shares[tag]
        verdict: Verdict = goal.verdict()
        if natural is not None:
            was = before[tag].measured()
            factors.append(goal.measured() / was if was else float("inf"))
            if OVERSAMPLING[0] <= factors[-1] <= OVERSAMPLING[1]:
                verdict = "yes"
        elif verdict == "no":
            verdict = "not known"
        domains = {items[i].domain for i in goal.hits.nonzero()[0]}
        verdicts.append(verdict if len(domains) >= DOMAINS else "no")
    spread = f"factors {min(factors):.1f}–{max(factors):.1f}" if factors else "factor not known"
    return (
        "rare tags are oversampled in diverse contexts",
        f"rare tags 2–5x or at their minimum share, in ≥ {DOMAINS} domains",
        f"{spread}; {verdicts.count('yes')} of {len(RARE)} tags pass",
        _all(verdicts),
    )


def factors(before: Sequence[Item], after: Sequence[Item]) -> pd.DataFrame:
    """Oversampling of each tag, and in how many surroundings the tag is met after it.

    Args:
        before: the examples as written.
        after: the examples as drawn, repeats included.

    Returns:
        `tag | natural | note | needed | drawn | texts | domains | voices`: natural frequency and
        factor in the note's words, the factor that takes the share to its nearest passing value
        and the one it was drawn with, both missing for a tag that nothing carries; the last three
        are missing for CAPS.
    """
    rows = []
    pairs = zip(_named(goals(before), "tags"), _named(goals(after), "tags"), strict=True)
    for goal, drawn in pairs:
        _, _, natural, factor = MINIMUMS.get(goal.row.strip("[]"), FREQUENT)
        share = goal.measured()
        met = [after[i] for i in drawn.hits.nonzero()[0]]
        voices = {item.voice for item in met} - {None}
        seen = (len({item.tagged_text for item in met}), len({item.domain for item in met}),
                len(voices) or None)  # fmt: skip
        needed = min(max(share, goal.low), goal.high) / share if share else None
        rows.append(
            (
                goal.row,
                natural,
                factor,
                needed,
                drawn.measured() / share if share else None,
                *(seen if goal.row != "CAPS" else (None, None, None)),
            )
        )
    names = ["tag", "natural", "note", "needed", "drawn", "texts", "domains", "voices"]
    return pd.DataFrame(rows, columns=names)


def verdicts(frame: pd.DataFrame, column: str = "pass") -> dict[str, dict[str, int]]:
    """Rows per verdict of each table of a frame of `judge` or `balance.rebalance`."""
    return {name: own[column].value_counts().to_dict() for name, own in frame.groupby("table")}


def read_released_composition() -> pd.DataFrame:
    """The composition of the released scripts: `table | row | measured | pass`, as of `judge`.

    Raises:
        UserError: the file is missing.
    """
    path = paper.folder() / "released_composition.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with git checkout reports/paper")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    values = [
        text if table == "checklist" else float(text or "nan")
        for table, text in zip(frame["table"], frame["measured"], strict=True)
    ]
    return frame.assign(measured=pd.Series(values, dtype=object))
