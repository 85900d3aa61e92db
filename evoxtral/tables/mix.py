"""Tables of the training data: corpus, audibility, composition, balance, mixes."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from evoxtral.tables.model import COUNT, TEXT, Format, Table

_SHARE = Format("percent", 1)
_CAPTIONS = {
    "density": "Tag density (note, section 6).",
    "plain": "Plain examples, in every range the note names.",
    "tags": "Share of tagged examples that carry each tag (section 5).",
    "examples": "Examples that carry each tag (section 6).",
    "axes": "Axes of stratification (section 3).",
    "speakers": "Speakers (section 6).",
    "positions": "Places of tags, and words between them (section 6).",
    "duplicates": "Texts alike, ROUGE-L (section 6).",
    "checklist": "The quality checklist (section 6).",
}
_MEASURED = {"share": _SHARE, "count": COUNT, "text": TEXT}


def _formats(
    counts: Iterable[str] = (), shares: Iterable[str] = (), **others: Format
) -> dict[str, Format]:
    """Printing rules of columns of counts, of columns of shares, and of others by name."""
    return {**dict.fromkeys(counts, COUNT), **dict.fromkeys(shares, _SHARE), **others}


def splits(frame: pd.DataFrame) -> Table:
    """Splits of a source (`datamix.split_summary`)."""
    headers = {
        "split": "Split",
        "clips": "Clips",
        "hours": "Hours",
        "voices": "Voices",
        "texts": "Distinct texts",
        "held_out": "Held-out templates",
        "tagged": "Tagged",
        "tags": "Tags",
        "least": "Rarest tag",
    }
    formats = _formats(
        ("clips", "voices", "texts", "tags", "least"),
        ("held_out", "tagged"),
        hours=Format("number", 2),
    )
    return Table(frame, headers, "What the examples are.", formats)


def findings(frame: pd.DataFrame) -> Table:
    """What validation found (`datamix.findings_summary`)."""
    headers = {"kind": "Finding", "rows": "Rows", "share": "Share", "examples": "Such as"}
    caption = "Every row and every file, judged."
    return Table(frame, headers, caption, _formats(["rows"], ["share"]))


def audibility(frame: pd.DataFrame) -> Table:
    """Linear probes on simple statistics of the sound (`datamix.audible`)."""
    shown = frame.assign(
        shown_tag=[f"[{tag}]" for tag in frame["tag"]],
        target=[
            f"≥ {low:g}" if high == 1 else f"{low:g}–{high:g}"
            for low, high in zip(frame["low"], frame["high"], strict=True)
        ],
    )
    headers = {
        "shown_tag": "Tag",
        "group": "Group",
        "auc": "AUC",
        "se": "Standard error",
        "target": "Made for",
        "pass": "Pass",
        "clips": "Test clips",
    }
    formats = _formats(["clips"], auc=Format("number", 3), se=Format("number", 3, prefix="±"))
    notes = ("An error of 0 only says that no test clip was out of order.",)
    if frame.empty:
        notes = ("This source has no clips with and without a tag to compare.",)
    return Table(shown, headers, "How audible each tag is in unheard voices.", formats, notes=notes)


def composition(frame: pd.DataFrame, name: str) -> Table:
    """One table of the composition note for several sets (`datamix.side_by_side`).

    Args:
        frame: `row`, `target`, `unit`; then `<set>` and `<set>: pass` for each set.
        name: of the table, a key of the captions here.
    """
    sets = [column for column in frame.columns if f"{column}: pass" in frame.columns]
    headers = {"row": "Row", "target": "Target"}
    for column in sets:
        headers |= {column: column.capitalize(), f"{column}: pass": "Pass"}
    rules = [_MEASURED[unit] for unit in frame["unit"]]
    passed = [f"{column} {(frame[f'{column}: pass'] == 'yes').sum()}" for column in sets]
    note = f"Rows that pass, of {len(frame)}: {', '.join(passed)}."
    return Table(frame, headers, _CAPTIONS[name], dict.fromkeys(sets, rules), notes=(note,))


def factors(frame: pd.DataFrame) -> Table:
    """Oversampling and contexts of each tag (`datamix.factors`)."""
    headers = {
        "tag": "Tag",
        "natural": "Natural frequency",
        "note": "Factor, note",
        "needed": "Needed",
        "drawn": "Drawn",
        "texts": "Texts",
        "domains": "Domains",
        "voices": "Voices",
    }
    times = Format("number", 2, suffix="x")
    formats = _formats(("texts", "domains", "voices"), needed=times, drawn=times)
    caption = "How much more often each tag is drawn, and in how many surroundings."
    shown = frame.assign(needed=frame["needed"].where(frame["needed"] < float("inf")))
    return Table(shown, headers, caption, formats)


def near_duplicates(
    pairs: pd.DataFrame, total: int, kept: int, threshold: float, most: int = 10
) -> Table:
    """Pairs of texts alike (`datamix.Filtered.pairs`), the most alike first.

    Args:
        pairs: `score`, `first`, `second`, `kept`.
        total: texts compared.
        kept: texts that stay.
        threshold: ROUGE-L from which two are alike.
        most: pairs to show.
    """
    shown = pairs.head(most)
    shown = shown.assign(stay=["both" if both else "one" for both in shown["kept"]])
    headers = {"score": "ROUGE-L", "first": "Text", "second": "Is like", "stay": "Stay"}
    caption = (
        f"{kept:,} of {total:,} training texts stay when each that reaches ROUGE-L {threshold:g} "
        "to an earlier one is dropped."
    )
    notes = (
        f"{len(shown)} of {len(pairs):,} pairs shown.",
        "Tokens: lowercased runs of letters a to z and digits, words of tags included.",
    )
    return Table(shown, headers, caption, {"score": Format("number", 3)}, notes=notes)


def leakage(frame: pd.DataFrame, threshold: float) -> Table:
    """Texts of other splits that are like a training text (`datamix.leakage`)."""
    shown = frame.assign(share=frame["alike"] / frame["texts"].clip(lower=1))
    headers = {
        "split": "Split",
        "texts": "Texts",
        "pairs": "Pairs with a training text",
        "alike": "Texts alike",
        "share": "Share",
        "heard": "Words the embedded base has heard",
    }
    formats = _formats(("texts", "pairs", "alike", "heard"), ["share"])
    caption = (
        f"Texts of other splits at ROUGE-L {threshold:g} or more to a training text, untagged."
    )
    return Table(shown, headers, caption, formats)


def targets(frame: pd.DataFrame, caption: str) -> Table:
    """Goals before and after rebalancing (`datamix.target_table`)."""
    rules = [COUNT if table == "examples" else _SHARE for table in frame["table"]]
    headers = {
        "table": "Table",
        "row": "Row",
        "target": "Target",
        "before": "Before",
        "met": "Pass",
        "after": "After",
        "reached": "Pass",
        "shortfall": "Shortfall",
    }
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    note = f"Of {len(frame)} targets shown, {met} are met before and {reached} after."
    return Table(frame, headers, caption, dict.fromkeys(("before", "after"), rules), notes=(note,))


def class_weights(frame: pd.DataFrame, beta: float) -> Table:
    """Class-balanced weights (`datamix.class_weights`)."""
    betas = [name for name in frame.columns if name not in ("class", "clips", "effective")]
    headers = {"class": "Class", "clips": "Clips", "effective": f"Effective, β = {beta:g}"}
    headers |= {name: f"Weight, β = {name}" for name in betas}
    weights = dict.fromkeys(betas, Format("number", 3))
    formats = _formats(["clips"], effective=Format("number", 1)) | weights
    caption = "Weight of each class by its effective number of clips."
    note = "Weights add up to the number of classes; a clip takes the mean of its classes' weights."
    return Table(frame, headers, caption, formats, notes=(note,))


def dataset_splits(frame: pd.DataFrame) -> Table:
    """Six datasets after stages 1 and 2 (`datamix.SixPlan.splits`)."""
    headers = {
        "dataset": "Dataset",
        "domain": "Domain",
        "total": "Rows",
        "train": "Train",
        "test": "Test",
        "balanced": "Train, balanced in its domain",
    }
    formats = _formats(("total", "train", "test", "balanced"))
    return Table(frame, headers, "Stages 1 and 2 of the mix.", formats)


def dataset_mixes(frame: pd.DataFrame) -> Table:
    """Totals of stage 3 (`datamix.SixPlan.mixes`)."""
    domains = [name for name in frame.columns if name not in ("mix", "side", "total")]
    headers = {"mix": "Total", "side": "Side", **{d: d.capitalize() for d in domains}}
    headers["total"] = "All"
    notes = (
        "sum: as many rows as there are, drawn again where needed.",
        "min: the largest mix that repeats nothing beyond stage 2.",
        "strict: the largest mix that repeats nothing at all.",
    )
    caption = "Stage 3: domains mixed by ratio."
    return Table(frame, headers, caption, _formats([*domains, "total"]), notes=notes)


def dataset_draws(frame: pd.DataFrame) -> Table:
    """How hard each dataset is worked (`mix.plan.Draws.table`)."""
    headers = {
        "dataset": "Dataset",
        "domain": "Domain",
        "rows": "Rows",
        "drawn": "Drawn",
        "distinct": "Distinct",
        "mean draws": "Draws per row",
        "most draws": "Most",
    }
    formats = _formats(("rows", "drawn", "distinct", "most draws"))
    formats["mean draws"] = Format("number", 2)
    hardest = frame.loc[frame["mean draws"].idxmax()]
    note = (
        f"Each row of {hardest['dataset']} is drawn {hardest['mean draws']:.0f} times on average."
    )
    caption = "What the mix that keeps the total draws from each dataset."
    return Table(frame, headers, caption, formats, notes=(note,))


def ratios(frame: pd.DataFrame) -> Table:
    """Task : original mixes of our own clips (`datamix.own_ratios`)."""
    headers = {
        "ratio": "Tagged : plain",
        "tagged": "Tagged",
        "plain": "Plain",
        "total": "Clips",
        "share": "Plain share",
        "used": "Of all clips",
    }
    formats = _formats(("tagged", "plain", "total"), ("share", "used"))
    return Table(frame, headers, "The largest mix of each ratio without repetition.", formats)


def training_mix(frame: pd.DataFrame, caption: str) -> Table:
    """Clips by how often they are drawn: `draws`, `clips`, `share`, `weight` (mean)."""
    headers = {"draws": "Draws", "clips": "Clips", "share": "Of all draws", "weight": "Mean weight"}
    formats = _formats(("draws", "clips"), ["share"], weight=Format("number", 3))
    return Table(frame, headers, caption, formats)
