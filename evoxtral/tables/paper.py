"""The tables of the report: the same builders serve published and measured numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pandas as pd

from evoxtral.tables.model import COUNT, Best, Format, Table, best_in_row

SYSTEM_LABELS: Mapping[str, str] = MappingProxyType(
    {"base": "Base Voxtral", "sft": "Evoxtral SFT", "rl": "Evoxtral RL"}
)
_ARROWS = {"lower": "↓", "higher": "↑"}
_F1 = Format("number", 3)
# The report prints the two error rates with two digits and everything else with one.
_TWO_DIGITS = frozenset({"wer", "cer"})
_NAMES = {"sft": "SFT", "rl": "RL", "base": "Base"}


def settings(frame: pd.DataFrame, caption: str) -> Table:
    """Name and value, as Table 1 and the card's RL settings print them."""
    name, value = frame.columns
    return Table(frame, {name: name.capitalize(), value: "Value"}, caption)


def sources(frame: pd.DataFrame, caption: str) -> Table:
    """Where each file of published numbers comes from."""
    headers = {"file": "File", "source": "Source", "place": "Place", "note": "Note"}
    return Table(frame, headers, caption)


def core(frame: pd.DataFrame, caption: str, labels: Mapping[str, str] = SYSTEM_LABELS) -> Table:
    """Core metrics of several systems (report, Table 2); the best of each row is computed.

    Args:
        frame: `key`, `metric`, `direction` and one column of fractions per system; a column
            `best`, if there is one, is shown beside the computed best as what the source names.
        caption: one sentence.
        labels: printed name of each system's column, in order.
    """
    shown = frame.copy()
    shown["shown_metric"] = [
        f"{m} {_ARROWS[d]}" for m, d in zip(frame["metric"], frame["direction"], strict=True)
    ]
    rows = frame[list(labels)].to_dict("records")
    winners = [best_in_row(r, d) for r, d in zip(rows, frame["direction"], strict=True)]
    shown["best_computed"] = [", ".join(_NAMES.get(w, w) for w in ws) for ws in winners]
    headers = {"shown_metric": "Metric", **labels}
    notes: tuple[str, ...] = ()
    if "best" in frame:
        shown["best_printed"] = [_NAMES.get(name, name) for name in frame["best"]]
        headers |= {"best_printed": "Best, printed"}
        differ = shown.loc[shown["best_printed"] != shown["best_computed"], "metric"]
        notes = tuple(f"The printed best of {m} is not the best of its row." for m in differ)
    digits = [Format("percent", 2 if key in _TWO_DIGITS else 1) for key in frame["key"]]
    return Table(
        frame=shown,
        headers={**headers, "best_computed": "Best, computed"},
        caption=caption,
        formats=dict.fromkeys(labels, digits),
        best=Best(tuple(labels), tuple(frame["direction"])),
        notes=notes,
    )


def per_tag(frame: pd.DataFrame, caption: str) -> Table:
    """F1 of each tag before and after the second stage (report, Table 3).

    Args:
        frame: `tag`, F1 `sft` and `rl`, `support`; `delta`, a printed change, may be absent.
        caption: one sentence.
    """
    shown = frame.assign(shown_tag=[f"[{tag}]" for tag in frame["tag"]])
    printed = {"delta": "Δ, printed"} if "delta" in frame else {}
    headers = {"shown_tag": "Tag", "sft": "SFT F1", "rl": "RL F1", **printed}
    return Table(
        frame=shown,
        headers={**headers, "support": "Support"},
        caption=caption,
        formats={"sft": _F1, "rl": _F1, "support": COUNT},
        best=Best(("sft", "rl"), ("higher",) * len(frame)),
    )


def deltas(frame: pd.DataFrame, caption: str) -> Table:
    """Printed changes beside recomputed ones (`evoxtral.checks.deltas`)."""
    headers = {
        "tag": "Tag",
        "delta": "Δ, printed",
        "relative": "Relative",
        "points": "Points",
        "counts_sft": "SFT hits/predicted",
        "counts_rl": "RL hits/predicted",
        "fewest_events": "Fewest events",
        "support": "Support",
    }
    formats = {
        "relative": Format("percent", 2, signed=True),
        "points": Format("points", 1, signed=True),
        "fewest_events": COUNT,
        "support": COUNT,
    }
    return Table(frame, headers, caption, formats)


def uncertainty(frame: pd.DataFrame, caption: str) -> Table:
    """Standard errors of mean scores (`evoxtral.checks.standard_errors`)."""
    shown = frame.assign(shown_metric=[_NAMES.get(name, name) for name in frame["metric"]])
    headers = {
        "shown_metric": "Tag F1 of",
        "mean": "Mean",
        "assumption": "Per-clip spread",
        "sd": "sd",
        "se": "Standard error",
    }
    formats = {
        "mean": Format("percent", 1),
        "sd": Format("number", 2),
        "se": Format("points", 1, prefix="±", suffix=" pp"),
    }
    return Table(shown, headers, caption, formats)


def claims(frame: pd.DataFrame, caption: str) -> Table:
    """Printed and recomputed numbers with a verdict (`evoxtral.checks.claims`)."""
    headers = {
        "claim": "Claim",
        "printed": "Printed",
        "recomputed": "Recomputed",
        "verdict": "Verdict",
        "note": "Note",
    }
    units = zip(frame["unit"], frame["decimals"], strict=True)
    formats = [COUNT if u == "count" else replace(_CLAIM[u], decimals=d) for u, d in units]
    return Table(frame, headers, caption, {"printed": formats, "recomputed": formats})


_CLAIM = {
    "percent": Format("percent"),
    "points": Format("points", signed=True, suffix=" pp"),
    "error": Format("points", prefix="±", suffix=" pp"),
}
