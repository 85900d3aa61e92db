"""Tables of the training data: corpus, audibility, composition, balance, mixes."""

from __future__ import annotations

from collections.abc import Mapping

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
    "splits": "What the examples are.",
    "findings": "Every row and every file, judged.",
    "audibility": "How audible each tag is in unheard voices.",
    "factors": "How much more often each tag is drawn, and in how many surroundings.",
    "leakage": "Texts of other splits at ROUGE-L {threshold:g} or more to a training text, "
    "untagged.",
    "near_duplicates": "{kept:,} of {total:,} training texts stay when each that reaches ROUGE-L "
    "{threshold:g} to an earlier one is dropped.",
    "class_weights": "Weight of each class by its effective number of clips.",
    "six_splits": "Stages 1 and 2 of the mix.",
    "six_mixes": "Stage 3: domains mixed by ratio.",
    "six_draws": "What the mix that keeps the total draws from each dataset.",
    "ratios": "The largest mix of each ratio without repetition.",
    "training_mix": "Draws of the mix {mix!r} with class balance {class_balance!r}.",
}
_NOTES = {
    "audibility": ("{note}",),
    "near_duplicates": (
        "{shown} of {pairs:,} pairs shown.",
        "Tokens: lowercased runs of letters a to z and digits, words of tags included.",
    ),
    "class_weights": (
        "Weights add up to the number of classes; a clip takes the mean of its classes' weights.",
    ),
    "six_mixes": (
        "sum: as many rows as there are, drawn again where needed.",
        "min: the largest mix that repeats nothing beyond stage 2.",
        "strict: the largest mix that repeats nothing at all.",
    ),
    "six_draws": ("Each row of humaneval is drawn 175 times on average.",),
}
_HEADERS = {
    "splits": {"split": "Split", "clips": "Clips", "hours": "Hours", "voices": "Voices",
               "texts": "Distinct texts", "held_out": "Held-out templates", "tagged": "Tagged",
               "tags": "Tags", "least": "Rarest tag"},
    "findings": {"kind": "Finding", "rows": "Rows", "share": "Share", "examples": "Such as"},
    "audibility": {"shown_tag": "Tag", "group": "Group", "auc": "AUC", "se": "Standard error",
                   "target": "Made for", "pass": "Pass", "clips": "Test clips"},
    "near_duplicates": {"score": "ROUGE-L", "first": "Text", "second": "Is like", "stay": "Stay"},
    "leakage": {"split": "Split", "texts": "Texts", "pairs": "Pairs with a training text",
                "alike": "Texts alike", "share": "Share",
                "heard": "Words the embedded base has heard"},
    "targets": {"table": "Table", "row": "Row", "target": "Target", "before": "Before",
                "met": "Pass", "after": "After", "reached": "Pass", "shortfall": "Shortfall"},
    "factors": {"tag": "Tag", "natural": "Natural frequency", "note": "Factor, note",
                "needed": "Needed", "drawn": "Drawn", "texts": "Texts", "domains": "Domains",
                "voices": "Voices"},
    "class_weights": {"class": "Class", "clips": "Clips", "effective": "Effective, β = {beta:g}"},
    "six_splits": {"dataset": "Dataset", "domain": "Domain", "total": "Rows", "train": "Train",
                   "test": "Test", "balanced": "Train, balanced in its domain"},
    "six_mixes": {"mix": "Total", "side": "Side", "math": "Math", "qa": "Qa", "code": "Code",
                  "total": "All"},
    "six_draws": {"dataset": "Dataset", "domain": "Domain", "rows": "Rows", "drawn": "Drawn",
                  "distinct": "Distinct", "mean draws": "Draws per row", "most draws": "Most"},
    "ratios": {"ratio": "Tagged : plain", "tagged": "Tagged", "plain": "Plain", "total": "Clips",
               "share": "Plain share", "used": "Of all clips"},
    "training_mix": {"draws": "Draws", "clips": "Clips", "share": "Of all draws",
                     "weight": "Mean weight"},
}  # fmt: skip
_COUNTS = (
    "alike balanced clips code distinct domains draws heard least math pairs plain qa rows tags "
    "test texts total train voices"
)
_FORMATS = {
    **dict.fromkeys([*_COUNTS.split(), "most draws", "six_draws drawn", "ratios tagged"], COUNT),
    **dict.fromkeys(("share", "held_out", "tagged", "used"), _SHARE),
    **dict.fromkeys(("needed", "drawn"), Format("number", 2, suffix="x")),
    **dict.fromkeys(("hours", "mean draws"), Format("number", 2)),
    **dict.fromkeys(("auc", "score", "weight"), Format("number", 3)),
    "se": Format("number", 3, prefix="±"),
    "effective": Format("number", 1),
}


def data_mix(name: str, frame: pd.DataFrame, **facts: object) -> Table:
    """A table of `01_data_mix.ipynb` but those of compositions and targets.

    Args:
        name: as the report's file is called.
        frame: raw values.
        facts: what caption, headers and notes name.
    """
    headers = {column: text.format(**facts) for column, text in _HEADERS[name].items()}
    if name == "class_weights":
        betas = [column for column in frame.columns if column not in headers]
        headers |= {column: f"Weight, β = {column}" for column in betas}
    formats = {
        column: _FORMATS.get(f"{name} {column}", _FORMATS.get(column, TEXT)) for column in headers
    }
    if name == "class_weights":
        formats |= dict.fromkeys(betas, Format("number", 3))
    notes = tuple(note.format(**facts) for note in _NOTES.get(name, ()))
    return Table(frame, headers, _CAPTIONS[name].format(**facts), formats, notes=notes)


def audibility(frame: pd.DataFrame) -> Table:
    """Linear probes on simple statistics of the sound (`chapter.audible`)."""
    bands = zip(frame["low"], frame["high"], strict=True)
    shown = frame.assign(
        shown_tag=[f"[{tag}]" for tag in frame["tag"]],
        target=[f"≥ {low:g}" if high == 1 else f"{low:g}–{high:g}" for low, high in bands],
    )
    note = "An error of 0 only says that no test clip was out of order."
    if frame.empty:
        note = "This source has no clips with and without a tag to compare."
    return data_mix("audibility", shown, note=note)


def near_duplicates(pairs: pd.DataFrame, **facts: object) -> Table:
    """The ten pairs of texts most alike (`chapter.filter_alike`)."""
    shown = pairs.head(10)
    shown = shown.assign(stay=["both" if both else "one" for both in shown["kept"]])
    return data_mix("near_duplicates", shown, shown=len(shown), pairs=len(pairs), **facts)


def targets(frame: pd.DataFrame, caption: str) -> Table:
    """Goals before and after rebalancing (`balance.rebalance`)."""
    rules = [COUNT if table == "examples" else _SHARE for table in frame["table"]]
    met, reached = ((frame[column] == "yes").sum() for column in ("met", "reached"))
    note = f"Of {len(frame)} targets shown, {met} are met before and {reached} after."
    formats = dict.fromkeys(("before", "after"), rules)
    return Table(frame, _HEADERS["targets"], caption, formats, notes=(note,))


def composition(sets: Mapping[str, pd.DataFrame], name: str) -> Table:
    """One table of the composition note for several sets side by side.

    Rows and targets are those of the first set; what another set does not have is missing.

    Args:
        sets: `composition.judge` by name of the set.
        name: of the table.
    """
    first = next(iter(sets.values()))
    frame = first.loc[first["table"] == name, ["row", "target", "unit"]].reset_index(drop=True)
    headers, passed = {"row": "Row", "target": "Target"}, []
    for label, judged in sets.items():
        own = judged[judged["table"] == name].set_index("row").reindex(frame["row"])
        frame[label] = own["measured"].to_numpy()
        frame[f"{label}: pass"] = own["pass"].fillna("not known").to_numpy()
        headers |= {label: label.capitalize(), f"{label}: pass": "Pass"}
        passed.append(f"{label} {(own['pass'] == 'yes').sum()}")
    units = {"share": _SHARE, "count": COUNT, "text": TEXT}
    rules = [units[unit] for unit in frame["unit"]]
    note = f"Rows that pass, of {len(frame)}: {', '.join(passed)}."
    return Table(frame, headers, _CAPTIONS[name], dict.fromkeys(sets, rules), notes=(note,))
