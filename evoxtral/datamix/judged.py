"""Every table of the composition note in one frame, for two sets to stand side by side.

`reports/paper/released_composition.csv` holds that frame for the 1,010 released scripts, which the
project does not ship: the comparison works offline, and a test counts it again from the scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from evoxtral import UserError, paper, runs
from evoxtral.mix.checklist import checklist
from evoxtral.mix.composition import composition, context_table, tag_table
from evoxtral.mix.items import Features, Item
from evoxtral.world import scripts

COLUMNS = ["table", "row", "target", "measured", "unit", "pass"]
TABLES = ("density", "plain", "tags", "examples", "axes", "speakers", "positions", "duplicates")
CHECKLIST = "checklist"
FILE = "released_composition.csv"

_COUNTS = {("speakers", "distinct voices")}
_KEY = {"density": "density", "tags": "tag"}
_STORED = ["table", "row", "measured", "pass"]


def judge(
    rows: Sequence[object],
    window_seconds: float | None = None,
    natural: Sequence[Item] | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """All tables and the checklist of a set: `table | row | target | measured | unit | pass`.

    Args:
        rows: scripts, clips or items.
        window_seconds: the model's window, for length strata; `None` for real data.
        natural: the set before oversampling, for the checklist.
        workers: cores for the near-duplicate search.

    Returns:
        One row per row of a table; `measured` is a float where `unit` is `share` or `count`, a
        text where it is `text` (the checklist), missing where it is not known.
    """
    made = composition(rows, window_seconds, workers)
    parts = [_tidy(name, made[name]) for name in TABLES]
    before = None if natural is None else Features.of(natural)
    checks = checklist(Features.of(rows), window_seconds, before, workers)
    checks = checks.rename(columns={"check": "row"}).assign(table=CHECKLIST, unit="text")
    lines = [line for frame in (*parts, checks) for line in frame[COLUMNS].to_dict("records")]
    return pd.DataFrame(lines, columns=COLUMNS)


def _tidy(name: str, table: pd.DataFrame) -> pd.DataFrame:
    if name == "duplicates":
        return _duplicates(table)
    if name == "axes":
        table = table[table["axis"] != "density"]
    rows = table[_KEY.get(name, "row")]
    if "axis" in table:
        rows = table["axis"] + ": " + rows
    counted = [name == "examples" or (name, row) in _COUNTS for row in rows]
    return pd.DataFrame(
        {
            "table": name,
            "row": rows,
            "target": table["target"],
            "measured": table["measured"],
            "unit": ["count" if c else "share" for c in counted],
            "pass": table["pass"],
        }
    )


def _duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """Pairs and texts kept, as rows of their own."""
    lines = []
    for row in table.to_dict("records"):
        kept = "yes" if row["kept"] == row["texts"] else "no"
        lines += [
            (f"pairs, {row['text']}", row["target"], float(row["measured"]), row["pass"]),
            (f"texts kept, {row['text']}", f"all {row['texts']:,}", float(row["kept"]), kept),
        ]
    tidy = pd.DataFrame(lines, columns=["row", "target", "measured", "pass"])
    return tidy.assign(table="duplicates", unit="count")


def factors(before: Sequence[Item], after: Sequence[Item]) -> pd.DataFrame:
    """Oversampling of each tag, and in how many surroundings the tag is met after it.

    Args:
        before: the examples as written.
        after: the examples as drawn, repeats included.

    Returns:
        `tag | natural | note | needed | drawn | texts | domains | voices`: natural frequency and
        factor in the note's words, the factor that would take the share to its minimum, and the
        one it was drawn with; `drawn` is missing for a tag that nothing carries, the last three
        for CAPS.
    """
    was, now = tag_table(Features.of(before)), tag_table(Features.of(after))
    seen = context_table(Features.of(after)).set_index("tag").reindex(was["tag"])
    return pd.DataFrame(
        {
            "tag": was["tag"],
            "natural": was["natural frequency"],
            "note": was["note factor"],
            "needed": was["factor needed"],
            "drawn": now["measured"] / was["measured"].where(was["measured"] > 0),
            **{name: seen[name].to_numpy() for name in ("texts", "domains", "voices")},
        }
    )


def part(judged: pd.DataFrame, table: str) -> pd.DataFrame:
    """Rows of one table.

    Raises:
        UserError: there is no such table.
    """
    chosen = judged[judged["table"] == table]
    if chosen.empty:
        raise UserError(f"no table {table!r}: choose one of {', '.join(judged['table'].unique())}")
    return chosen.reset_index(drop=True)


def side_by_side(sets: Mapping[str, pd.DataFrame], table: str) -> pd.DataFrame:
    """One table of several sets: `row | target | unit`, then `measured` and `pass` of each.

    Rows and targets are those of the first set; what another set does not have is missing.

    Args:
        sets: `judge` by name of the set.
        table: its name.

    Returns:
        Columns `<set>` (measured) and `<set>: pass`.
    """
    first = part(next(iter(sets.values())), table)
    shown = first[["row", "target", "unit"]]
    for name, judged in sets.items():
        own = judged[judged["table"] == table].set_index("row").reindex(shown["row"])
        verdicts = own["pass"].where(own["pass"].notna(), "not known")
        shown = shown.assign(
            **{name: own["measured"].to_numpy(), f"{name}: pass": verdicts.to_numpy()}
        )
    return shown


def count_released(path: Path) -> pd.DataFrame:
    """What the released scripts' file says: `table | row | measured | pass`, all as text.

    Args:
        path: the released JSON.
    """
    judged = judge(scripts.read_released(path), workers=1)
    texts = [
        "" if pd.isna(value) else value if unit == "text" else f"{round(value, 6):.6g}"
        for value, unit in zip(judged["measured"], judged["unit"], strict=True)
    ]
    return judged.assign(measured=texts)[_STORED]


def write_released_composition(path: Path, folder: Path | None = None) -> Path:
    """Count the released scripts again and write `released_composition.csv`.

    Args:
        path: the released JSON.
        folder: where to, by default the checkout's published numbers.
    """
    target = (folder or paper.folder()) / FILE
    return runs.write_text(target, count_released(path).to_csv(index=False))


def read_released_composition(folder: Path | None = None) -> pd.DataFrame:
    """The composition of the released scripts, as `judge` gives it, without targets.

    Raises:
        UserError: the file is missing or has other columns.
    """
    path = (folder or paper.folder()) / FILE
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with git checkout reports/paper")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(frame.columns) != _STORED:
        raise UserError(f"{path} must have the columns {', '.join(_STORED)}")
    values = [
        text if table == CHECKLIST else float(text) if text else float("nan")
        for table, text in zip(frame["table"], frame["measured"], strict=True)
    ]
    return frame.assign(measured=pd.Series(values, dtype=object))


def for_figures(sets: Mapping[str, pd.DataFrame], name: str) -> dict[str, pd.DataFrame]:
    """One table of several sets as `figures` takes it (see `as_table`)."""
    return {label: as_table(judged, name) for label, judged in sets.items()}


def as_table(judged: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table in the form in which `figures` draws it: density, tags, axes or checklist.

    Args:
        judged: of one set.
        name: of the table.

    Returns:
        `density | measured`, `tag | measured`, `axis | row | measured` or `check | pass`.
    """
    table = part(judged, name)
    if name == CHECKLIST:
        return table.rename(columns={"row": "check"})[["check", "pass"]]
    table = table.assign(measured=table["measured"].astype(float))
    if name == "axes":
        table[["axis", "row"]] = table["row"].str.split(": ", n=1, expand=True)
        return table[["axis", "row", "measured"]]
    return table.rename(columns={"row": _KEY[name]})[[_KEY[name], "measured"]]
