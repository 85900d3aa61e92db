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
    FAIR,
    FREQUENT,
    MINIMUMS,
    RARE,
    SPACING_FLOOR,
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
_THIRDS = f"≥ {100 * FAIR / 3:.1f} %"
_CHECKS = {
    "tag density varies naturally": "all four strata; tagged texts have untagged sentences",
    "all target tags are frequent enough": f"each of {len(tags.TAGS)} tags in "
    f"≥ {EXAMPLES_PER_TAG} examples",
    "rare tags are oversampled in diverse contexts": "rare tags 2–5x or at their minimum share, "
    f"in ≥ {DOMAINS} domains",
    "plain examples against hallucination": "30–35 %",
    "speaker diversity": f"≥ {VOICES} voices (6–8)",
    "audio length varies": f"each category {_THIRDS}",
    "emotional valence is balanced": f"each category {_THIRDS}",
    "no two texts alike": f"ROUGE-L < {THRESHOLD} for every pair",
    "tag positions vary": f"each {_THIRDS}",
    "tags closely and widely spaced": f"each ≥ {100 * SPACING_FLOOR:g} %",
}
"""The note's checklist (section 6); where it names no number the target is ours. Tags outside the
vocabulary count in density, position and spacing."""

_AXES = ("emotion", "non-verbal", "valence", "length", "gender")
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
    rows = [*_tables(items, wanted), *_alike(items, workers)]
    checks = zip(_CHECKS.items(), _checks(items, wanted, natural, rows), strict=True)
    rows += [("checklist", *named, said, "text", passed) for named, (said, passed) in checks]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(table: str, goal: Goal, *, target: str = "", prefix: bool = False) -> _Row:
    unit = "share" if goal.base is not None else "count"
    row = f"{goal.table}: {goal.row}" if prefix else goal.row
    return table, row, target or goal.target, goal.measured(), unit, goal.verdict()


def _named(wanted: Iterable[Goal], *tables: str) -> list[Goal]:
    return [goal for goal in wanted if goal.table in tables]


def _tables(items: Sequence[Item], wanted: Sequence[Goal]) -> list[_Row]:
    """Every table but that of texts alike."""
    density = _named(wanted, "density")
    unknown = [
        ("axes", row, "known for every example", None, "share", "not known")
        for row, needs in (("length: duration", "seconds"), ("gender: speaker", "gender"))
        if known(items, needs) is None
    ]
    plain = density[0].hits
    return [
        *(_row("density", goal) for goal in density),
        *(
            _row("plain", Goal("", row, hits, np.ones(len(items)), low, high))
            for row, low, high in _PLAIN
            for hits in [1 - plain if row.startswith("tagged") else plain]
        ),
        *(_row("tags", goal, target=_band(goal.row)) for goal in _named(wanted, "tags")),
        *(_row("examples", goal) for goal in _named(wanted, "examples")),
        *(_row("axes", goal, prefix=True) for goal in _named(wanted, *_AXES)),
        *unknown,
        *_speakers(items),
        *(_row("positions", goal, prefix=True) for goal in _named(wanted, "position", "spacing")),
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
        for row, target, value in (
            ("pairs", f"no pair ≥ {THRESHOLD}", pairs),
            ("texts kept", f"all {len(texts):,}", kept),
        ):
            rows.append(("duplicates", f"{row}, {name}", target, float(value), "count", verdict))
    return rows


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    return "no" if "no" in found else "yes" if found == {"yes"} else "not known"


def _checks(
    items: Sequence[Item],
    wanted: Sequence[Goal],
    natural: Sequence[Item] | None,
    rows: Sequence[_Row],
) -> list[tuple[str, Verdict]]:
    """What is measured and the verdict of each of `_CHECKS`; `rows` are the tables."""
    value = {row[:2]: (row[3], row[5]) for row in rows}
    density, examples = _named(wanted, "density"), _named(wanted, "examples")
    tagged = [item.tagged_text for item in items if "[" in item.tagged_text]
    sentences = [part for text in tagged for part in _SENTENCE.split(text)]
    bare = float(np.mean(["[" not in part for part in sentences])) if sentences else float("nan")
    filled = sum(goal.hits.any() for goal in density)
    least = min(examples, key=lambda goal: goal.measured())
    passed = [goal.verdict() for goal in examples]
    voices = len({item.voice for item in items} - {None})
    pairs, verdict = value["duplicates", "pairs, tagged text"]
    dropped = len({item.id for item in items}) - value["duplicates", "texts kept, tagged text"][0]
    return [
        (f"{filled} of 4 strata; {100 * bare:.0f} % of sentences untagged",
         "yes" if filled == 4 and 0 < bare < 1 else "no"),
        (f"{passed.count('yes')} of {len(passed)}; least {least.row} {least.measured():.0f}",
         _all(passed)),
        _rare(items, wanted, natural),
        (f"{100 * density[0].measured():.1f} %", density[0].verdict()),
        (f"{voices} voices" if voices else "no voice named",
         value["speakers", "distinct voices"][1]),
        _spread(wanted, "length"),
        _spread(wanted, "valence"),
        (f"{pairs:.0f} pairs; {dropped:.0f} texts too many", verdict),
        _spread(wanted, "position"),
        _spread(wanted, "spacing"),
    ]  # fmt: skip


def _spread(wanted: Sequence[Goal], axis: str) -> tuple[str, Verdict]:
    own = _named(wanted, axis)
    parts = (f"{goal.row.split(' (')[0]} {100 * goal.measured():.1f} %" for goal in own)
    return ", ".join(parts) or "not known", _all(goal.verdict() for goal in own)


def _rare(
    items: Sequence[Item], wanted: Sequence[Goal], natural: Sequence[Item] | None
) -> tuple[str, Verdict]:
    """Rare tags: oversampled or at their minimum, and met in several domains."""
    before = {goal.row: goal.measured() for goal in _named(goals(natural or items), "tags")}
    ratios, found = [], []
    for goal in _named(wanted, "tags"):
        if goal.row.strip("[]") not in RARE:
            continue
        was, verdict = before[goal.row], goal.verdict()
        ratios.append(goal.measured() / was if was else float("inf"))
        if natural and OVERSAMPLING[0] <= ratios[-1] <= OVERSAMPLING[1]:
            verdict = "yes"
        elif not natural and verdict == "no":
            verdict = "not known"
        domains = {items[i].domain for i in goal.hits.nonzero()[0]}
        found.append(verdict if len(domains) >= DOMAINS else "no")
    spread = f"factors {min(ratios):.1f}–{max(ratios):.1f}" if natural else "factor not known"
    return f"{spread}; {found.count('yes')} of {len(RARE)} tags pass", _all(found)


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
