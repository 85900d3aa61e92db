"""The composition note: what it asks of a training set, and how far a set meets it.

A goal is `low <= hits / base <= high`, where hits and base are sums over the examples, so that
`balance` can draw for it. `targets.csv` has the note's numbers (sections 1, 2 and 4 to 6); where it
only says "balanced" or "varied", every category of an axis is to hold `FAIR` of an equal share.

No two texts are to reach ROUGE-L 0.7 (section 3). With tokens = lowercased runs of `[a-z0-9]` and
F = 2 LCS / (|a| + |b|), that is rapidfuzz's Indel similarity of two word sequences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Indel

from evoxtral import UserError, paper, tags

Array = NDArray[np.float64]
Verdict = Literal["yes", "no", "not known"]

TARGETS_FILE = Path(__file__).with_name("targets.csv")

STRATA = (0, 1, 3, 6)
"""Fewest tags of each stratum of density."""

EXAMPLES_PER_TAG = 40
"""Fewest examples of each target tag (section 6: 40–80 in a set of 800)."""

MAX_DRAWS = 5
"""Most draws of one text in a rebalanced set (section 5: oversample 3–5x, no further)."""

THRESHOLD = 0.7
"""ROUGE-L from which two texts are alike."""

FAIR = 0.5
CLOSE_WORDS, WIDE_WORDS = 3, 8
VOICES, DOMAINS = 6, 3
OVERSAMPLING = (2.0, 5.0)
LENGTHS = (10.0, 30.0)  # seconds at which short ends and long begins

_FIELDS = ["id", "tagged_text", "plain_text", "domain", "voice", "gender", "seconds"]
_COLUMNS = ["table", "row", "target", "measured", "unit", "pass"]
_BLOCK = 256  # texts compared with all at once: bounds the memory
_EPSILON = 1e-9  # so that no pair falls short by rounding
_WORD = re.compile(r"[a-z0-9]+")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")


TARGETS = pd.read_csv(TARGETS_FILE)
_EQUAL = 1 / TARGETS.groupby("table")["row"].transform("size")
TARGETS = TARGETS.fillna({"low": FAIR * _EQUAL, "high": np.inf})
"""What the note asks.

Columns: `table | row`; `shown`, the table that `judge` shows the row in; `target`, what passes, in
words, behind a minimum the range that the note names for it; `low | high`, what passes; `priority`
in conflicts, 0 for what is no goal; `natural | note`, a tag's frequency and oversampling in the
note's words; `unit`, share, count or text.

Section 5 leaves out `confused` and `scared`: its general rule, 5–10 % of tagged examples, stands.
"""


def targets_of(table: str) -> pd.DataFrame:
    """The targets of one table, by row."""
    return TARGETS[TARGETS["table"] == table].set_index("row")


RARE = set(TARGETS.loc[TARGETS["natural"].isin(["low", "very low"]), "row"])
"""Tags, in brackets, that the note calls low or very low in natural frequency."""


def examples(rows: Iterable[Any]) -> pd.DataFrame:
    """Scripts or clips as a frame: id, texts, domain, voice, gender and seconds."""
    values = [[getattr(row, name, None) for name in _FIELDS] for row in rows]
    return pd.DataFrame(values, columns=_FIELDS)


def near_duplicates(
    first: Sequence[str], second: Sequence[str] | None = None, threshold: float = THRESHOLD
) -> pd.DataFrame:
    """Pairs of texts whose ROUGE-L, tag words included, reaches the threshold, in (0, 1].

    `first | second | rouge_l`, sorted: positions of a text of `first` and of a later one of it, or
    of any of `second` where that is given. Two texts without any word are equal.

    >>> near_duplicates(["[sighs] I CAN'T!", "x", "I can't sigh"], threshold=0.5).to_dict("records")
    [{'first': 0, 'second': 2, 'rouge_l': 0.75}]
    """
    letters: dict[str, str] = {}  # one character for each word: strings compare fastest

    def spelt(text: str) -> str:
        found = _WORD.findall(text.lower())
        return "".join(letters.setdefault(word, chr(len(letters))) for word in found)

    rows = list(map(spelt, first))
    columns = rows if second is None else list(map(spelt, second))
    found = [np.empty((0, 3))]
    for start in range(0, len(rows), _BLOCK):
        block, scorer = rows[start : start + _BLOCK], Indel.normalized_similarity
        score = process.cdist(block, columns, scorer=scorer, dtype=np.float64, workers=-1)
        i, j = (score >= threshold - _EPSILON).nonzero()
        found.append(np.column_stack([i + start, j, score[i, j]]))
    frame = pd.DataFrame(np.concatenate(found), columns=["first", "second", "rouge_l"])
    frame = frame.astype({"first": int, "second": int})
    later = (frame["first"] < frame["second"]) | (second is not None)
    return frame[later].reset_index(drop=True)


def keep_first(texts: Sequence[str], threshold: float = THRESHOLD) -> list[int]:
    """Positions kept when each text is dropped that is near a text kept before it.

    >>> keep_first(["a b c d", "a b c e", "x y"])
    [0, 2]
    """
    dropped: set[int] = set()
    for first, second, _ in near_duplicates(texts, threshold=threshold).itertuples(index=False):
        if first not in dropped:
            dropped.add(second)
    return [i for i in range(len(texts)) if i not in dropped]


@dataclass(frozen=True, eq=False)
class Goals:
    """Some rows of `TARGETS`; per row and example, numerators and denominators (0 for a count)."""

    rows: pd.DataFrame
    hits: Array
    base: Array

    def take(self, places: Sequence[int]) -> Goals:
        """Some of the goals, in the order given."""
        rows = self.rows.iloc[places].reset_index(drop=True)
        return Goals(rows, self.hits[places], self.base[places])

    def measured(self, draws: Array | None = None) -> Array:
        """Shares in [0, 1] or counts, every example drawn once or `draws` times; NaN if 0 / 0."""
        times = np.ones(self.hits.shape[1]) if draws is None else draws
        hits, base = self.hits @ times, self.base @ times
        unless = np.where(self.rows["unit"] == "count", hits, np.nan)
        return np.divide(hits, base, out=unless, where=base > 0)

    def verdicts(self, draws: Array | None = None) -> NDArray[np.str_]:
        """`yes` for what is measured within its band, bounds included, else `no`."""
        value = self.measured(draws)
        within = (value >= self.rows["low"] - 1e-12) & (value <= self.rows["high"] + 1e-12)
        return np.where(within, "yes", "no")


def _marks(texts: Iterable[str]) -> pd.DataFrame:
    """Every tag: `text | tag | third | gap`, its third of a text and the words since the last."""
    found = [
        (k, mark.name, mark.word_index, max(len(text.words), 1))
        for k, text in enumerate(map(tags.parse, texts))
        for mark in text.tags
    ]
    frame = pd.DataFrame(found, columns=["text", "tag", "place", "words"])
    frame = frame.astype({"text": int, "place": int, "words": int})
    frame["third"] = np.minimum(3 * (frame["place"] / frame["words"]), 2).astype(int)
    frame["gap"] = frame.groupby("text")["place"].diff()
    return frame


def goals(items: pd.DataFrame, window_seconds: float | None = None) -> Goals:
    """Count every target of the note that the examples can be measured on.

    Emotion and non-verbal sounds are shares of the axis' tag occurrences; valence, length and
    gender are shares of all examples, the last two absent if a single example does not have it.
    Where clips were made for a model's window, no longer than `window_seconds`, its thirds are the
    goal of length, and the note's strata are counted only.
    """
    if items.empty:
        raise UserError("no examples: a composition needs at least one")
    n, marks = len(items), _marks(items["tagged_text"])

    def per_text(which: pd.Series) -> NDArray[np.int64]:
        return np.bincount(marks["text"][which], minlength=n)

    stratum = np.searchsorted(STRATA, np.bincount(marks["text"], minlength=n), "right") - 1
    tagged = stratum > 0
    counts = pd.DataFrame({tag: per_text(marks["tag"] == tag) for tag in tags.TAGS})
    loud = [bool(tags.emphasis_words(tags.strip_tags(text))) for text in items["tagged_text"]]
    has = (counts > 0).rename(columns="[{}]".format).assign(CAPS=tagged & loud)
    sign = {"positive": 1, "negative": -1, "neutral": 0}
    valence = np.sign(counts @ [sign[tags.VALENCE[tag]] for tag in tags.TAGS])
    seconds = items["seconds"].astype(float)
    thirds = np.array([1, 2]) / 3 * (window_seconds or math.nan)
    rows = TARGETS.groupby("table")["row"].agg(list)
    hits = {
        "density": np.eye(len(STRATA))[stratum].T,
        "plain": np.tile(~tagged, (len(rows["plain"]), 1)),
        "tags": has[rows["tags"]].T,
        "examples": has[rows["examples"]].T,
        "emotion": counts[rows["emotion"]].T,
        "non-verbal": counts[rows["non-verbal"]].T,
        "valence": [valence == sign[row] for row in rows["valence"]],
        "length": np.eye(3)[np.digitize(seconds, LENGTHS)].T,
        "window": np.eye(3)[np.digitize(seconds, thirds)].T,
        "gender": [items["gender"] == row for row in rows["gender"]],
        "position": [per_text(marks["third"] == k) for k in range(3)],
        "spacing": [per_text(marks["gap"] <= CLOSE_WORDS), per_text(marks["gap"] >= WIDE_WORDS)],
    }
    base = {"tags": tagged, "examples": np.zeros(n), "spacing": per_text(marks["gap"].notna())}
    base |= {axis: np.sum(hits[axis], axis=0) for axis in ("emotion", "non-verbal", "position")}
    for axis, known in (
        ("length", seconds.notna().all()),
        ("window", seconds.notna().all() and window_seconds),
        ("gender", items["gender"].notna().all()),
    ):
        if not known:
            del hits[axis]
    wanted = TARGETS[TARGETS["table"].isin(hits)].reset_index(drop=True)
    wanted["row"] = [row.format(*thirds) for row in wanted["row"]]
    if "window" in hits:
        wanted.loc[wanted["table"] == "length", "priority"] = 0
    return Goals(
        wanted,
        np.concatenate([np.array(own, float) for own in hits.values()]),
        np.array([base.get(table, np.ones(n)) for table in wanted["table"]], float),
    )


def judge(
    items: pd.DataFrame,
    window_seconds: float | None = None,
    natural: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The note's tables and its ten checks, measured for a set.

    The checklist's factors are relative to `natural`, the set before oversampling.

    Returns:
        `table | row | target | measured | unit | pass`: measured is a number (a text in the
        checklist) or missing; `pass` is yes, no, or "not known" where the data lacks what it needs.
        Two checks have a second row, a reading that is ours, since the note's own cannot be met:
        shares in place of factors, and thirds of the window in place of seconds.
    """
    wanted = goals(items, window_seconds)
    own = wanted.rows.assign(measured=wanted.measured(), **{"pass": wanted.verdicts()})
    unknown = [
        ("axes", row, "known for every example", None, "share", "not known")
        for row in ("length: duration", "gender: speaker")
        if row.split(":")[0] not in set(own["table"])
    ]
    rows = [*unknown, *_speakers(items["voice"]), *_alike(items)]
    others = pd.DataFrame(rows, columns=_COLUMNS)
    checks = TARGETS[TARGETS["table"] == "checklist"].copy()
    rare = [*_rare(items, natural)]
    if natural is None:
        rare[0] = ("factor not known", "not known")
    checks[["measured", "pass"]] = _checks(items, own, others.set_index("row"), *rare)
    merged = own["table"] != own["shown"]
    own["row"] = own["row"].mask(merged, own["table"] + ": " + own["row"])
    own = own.assign(table=own["shown"])[_COLUMNS]
    return pd.concat([own, others, checks[_COLUMNS]], ignore_index=True)


_Row = tuple[str, str, str, Any, str, Verdict]


def _speakers(voices: pd.Series) -> list[_Row]:
    """Distinct voices, and the share of the most used one: our rule, at most twice an equal one."""
    shares = voices.value_counts(normalize=True)
    count, known = len(shares), voices.notna().all()
    most = 2 / max(count, 1)
    enough = "yes" if count >= VOICES else "no" if known else "not known"
    even = ("yes" if shares.max() <= most else "no") if known else "not known"
    measured = (count, shares.max()) if known else (None, None)
    target = f"≤ {100 * most:.0f} %" if count else "twice an equal share"
    return [
        ("axes", "speakers: distinct voices", f"≥ {VOICES} (6–8)", measured[0], "count", enough),
        ("axes", "speakers: share of the most used voice", target, measured[1], "share", even),
    ]


def _alike(items: pd.DataFrame) -> Iterator[_Row]:
    """Pairs of texts alike, tagged and plain; an id drawn several times counts once."""
    tagged = items.drop_duplicates("id")["tagged_text"]
    for name, texts in (("tagged text", tagged), ("plain text", tagged.map(tags.plain_text))):
        pairs = len(near_duplicates(texts))
        found = ("count", "no" if pairs else "yes")
        yield "positions", f"pairs alike, {name}", f"no pair ≥ {THRESHOLD}", pairs, *found


def _all(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    return "no" if "no" in found else "yes" if found == {"yes"} else "not known"


def _checks(
    items: pd.DataFrame, own: pd.DataFrame, others: pd.DataFrame, *rare: tuple[str, Verdict]
) -> list[tuple[str, Verdict]]:
    """What is measured, and the verdict, of the note's checklist (section 6)."""

    def spread(axis: str) -> tuple[str, Verdict]:
        rows = own[own["table"] == axis]
        named = rows.dropna(subset=["measured"])[["row", "measured"]].itertuples(index=False)
        said = ", ".join(f"{row.split(' (')[0]} {100 * share:.1f} %" for row, share in named)
        return said or "not known", _all(rows["pass"])

    tagged = items.loc[items["tagged_text"].str.contains("[", regex=False), "tagged_text"]
    sentences = pd.Series([part for text in tagged for part in _SENTENCE.split(text)], dtype=str)
    bare = (~sentences.str.contains("[", regex=False)).mean()
    said = f"{100 * bare:.0f} % of sentences untagged" if len(sentences) else "no text tagged"
    filled = (own["measured"][: len(STRATA)] > 0).sum()
    enough = own[own["table"] == "examples"]
    least = enough.loc[enough["measured"].idxmin()]
    voices = items["voice"].nunique()
    alike, speakers = (
        others.loc["pairs alike, tagged text"],
        others.loc["speakers: distinct voices"],
    )
    return [
        (f"{filled} of 4 strata; {said}",
         "yes" if filled == 4 and 0 < bare < 1 else "no"),
        (f"{(enough['pass'] == 'yes').sum()} of {len(enough)}; "
         f"least {least['row']} {least['measured']:.0f}", _all(enough["pass"])),
        *rare,
        (f"{100 * own['measured'][0]:.1f} %", own["pass"][0]),
        (f"{voices} voices" if voices else "no voice named", speakers["pass"]),
        spread("length"),
        spread("window"),
        spread("valence"),
        (f"{alike['measured']:.0f} pairs", alike["pass"]),
        spread("position"),
        spread("spacing"),
    ]  # fmt: skip


def _rare(items: pd.DataFrame, natural: pd.DataFrame | None) -> Iterator[tuple[str, Verdict]]:
    """Rare tags in several domains: by the factor they were drawn with, and by their share."""
    found = factors(items if natural is None else natural, items)
    rare = found[found["tag"].isin(RARE)]
    several = rare["domains"] >= DOMAINS
    for met in (rare["drawn"].between(*OVERSAMPLING), rare["by_share"] == "yes"):
        passed = several & met
        yield f"{passed.sum()} of {len(rare)} tags", "yes" if passed.all() else "no"


def factors(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Oversampling of each tag from `before` to `after`, and the surroundings it is met in then.

    `tag | natural | note | needed | drawn | by_factor | by_share | texts | domains | voices`:
    frequency and factor in the note's words, the factor that takes the share to its nearest passing
    value and the one it was drawn with, both missing for a tag that nothing carries; whether the
    latter, to one decimal, is the note's, and whether the share after is; the last three are
    missing for CAPS.
    """
    wanted = goals(before)
    places = np.flatnonzero(wanted.rows["table"] == "tags")
    own, drawn = wanted.take(places), goals(after).take(places)
    frame = own.rows[["row", "natural", "note"]].rename(columns={"row": "tag"})
    share = pd.Series(own.measured()).replace(0, np.nan)
    frame["needed"] = share.clip(own.rows["low"], own.rows["high"]) / share
    frame["drawn"] = drawn.measured() / share
    ends = frame["note"].str.extract(r"^([\d.]+)(?:–([\d.]+))?x$").astype(float).ffill(axis=1)
    met = frame["drawn"].round(1).between(ends[0], ends[1])
    frame["by_factor"] = met.map({True: "yes", False: "no"}).where(ends[0].notna(), "not known")
    frame["by_share"] = drawn.verdicts()
    met = [after.loc[hits > 0, ["tagged_text", "domain", "voice"]].nunique() for hits in drawn.hits]
    seen = pd.DataFrame(met).set_axis(["texts", "domains", "voices"], axis=1)
    return frame.join(seen.mask(frame["tag"] == "CAPS").replace({"voices": {0: np.nan}}))


def contexts(items: pd.DataFrame) -> pd.DataFrame:
    """In how many examples each sound and each delivery is met with each emotion.

    `tag | examples | alone | <emotion> ...`; `alone` counts the examples without an emotion.
    """
    marks = _marks(items["tagged_text"])
    has = pd.crosstab(marks["text"], marks["tag"]).reindex(columns=tags.TAGS, fill_value=0) > 0
    sounds = has[[*tags.GROUPS["nonverbal"], *tags.GROUPS["delivery"]]].astype(int).T
    emotions = has[[*tags.GROUPS["emotion"]]]
    met = sounds @ emotions.assign(alone=~emotions.any(axis=1)).astype(int)
    met.insert(0, "examples", sounds.sum(axis=1))
    return met.reset_index()


def verdicts(frame: pd.DataFrame, column: str = "pass") -> dict[str, dict[str, int]]:
    """Rows per verdict of each table of a frame of `judge` or `balance.rebalance`."""
    return {name: own[column].value_counts().to_dict() for name, own in frame.groupby("table")}


def read_released_composition() -> pd.DataFrame:
    """What `judge` says of the released scripts, not shipped; a `UserError` if it is missing."""
    frame = paper.read("released_composition")
    rows = zip(frame["table"], frame["measured"], strict=True)
    values = [text if table == "checklist" else float(text or "nan") for table, text in rows]
    return frame.assign(measured=pd.Series(values, dtype=object))
