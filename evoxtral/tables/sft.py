"""Tables of fine-tuning: the recipe, and what is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import UserError, checks
from evoxtral.figures.canvas import scientific
from evoxtral.tables.model import COUNT, Format, Table

if TYPE_CHECKING:
    from evoxtral.paper import Published


def recipe(this_run: Mapping[str, object], numbers: Published) -> Table:
    """Table 1 of the report, the composition note's advice, and what this run did.

    Args:
        this_run: settings named as the report's rows, capitals ignored; one that the report does
            not have gets a row of its own.
        numbers: the published numbers.

    Raises:
        UserError: two settings differ in capitals only.
    """
    report = dict(numbers.hyperparameters[["hyperparameter", "value"]].to_numpy())
    note = dict(numbers.sft_advice[["hyperparameter", "advice"]].to_numpy())
    rows: dict[str, str] = {}
    for name in (*report, *note, *this_run):
        rows.setdefault(name.casefold(), name)
    ours = {name.casefold(): _setting(value) for name, value in this_run.items()}
    if len(ours) < len(this_run):
        raise UserError("two settings differ in capitals only: name each setting once")
    frame = pd.DataFrame(
        [(name, report.get(name), note.get(name), ours.get(key)) for key, name in rows.items()],
        columns=["parameter", "report", "note", "run"],
    )
    headers = {
        "parameter": "Setting",
        "report": "Report, Table 1",
        "note": "Composition note",
        "run": "This run",
    }
    return Table(frame, headers, "Settings of supervised fine-tuning.")


def _setting(value: object) -> str | None:
    """A setting in words; small numbers as Table 1 prints them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return COUNT(value)
    if isinstance(value, float):
        return scientific(value) if 0 < abs(value) < 1e-3 else f"{value:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def parameter_counts(frame: pd.DataFrame, numbers: Published) -> Table:
    """Parameters of this run's model beside those of Voxtral-Mini-3B.

    Args:
        frame: `part`, `total`, `trainable`.
        numbers: the published numbers.
    """
    if frame.empty:
        raise UserError("there are no parameters to count: give at least one part")
    rank = int(numbers.numbers["lora_rank"])
    mini = "Voxtral-Mini-3B"
    counted = (checks.lora_parameter_count(rank, encoder=encoder) for encoder in (True, False))
    total = numbers.numbers["total_parameters"]
    rows = [
        (f"{mini}, as printed", total, numbers.numbers["trainable_parameters"]),
        *zip((f"{mini}, encoder adapted", f"{mini}, encoder frozen"), (math.nan,) * 2, counted,
             strict=True),
    ]  # fmt: skip
    columns = ["part", "total", "trainable"]
    shown = pd.concat([frame[columns], pd.DataFrame(rows, columns=columns)], ignore_index=True)
    shown["share"] = shown["trainable"] / shown["total"]
    headers = {"part": "", "total": "Parameters", "trainable": "Trainable", "share": "Share"}
    formats = {"total": COUNT, "trainable": COUNT, "share": Format("percent", 1)}
    note = (
        f"The printed count is that of LoRA of rank {rank} with the encoder's q, k and v adapted, "
        "rounded; the last two rows are counted from layer shapes."
    )
    return Table(shown, headers, "What is trained, and what is not.", formats, notes=(note,))
