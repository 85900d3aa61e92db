"""Small tables of the fine-tuning notebooks: epochs, what was learnt, what can be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from evoxtral.tables.model import Format, Table

_EPOCHS = {
    "validation_loss": ("Validation loss", Format("number", 3)),
    "validation_wer": ("WER", Format("percent", 1)),
    "validation_tag_f1": ("Tag F1 (paper)", Format("percent", 1)),
    "validation_strict_tag_f1": ("Tag F1 (strict, tagged clips)", Format("percent", 1)),
    "plain_wer": ("WER, plain speech", Format("percent", 1)),
}


def epochs(frame: pd.DataFrame) -> Table:
    """Validation after every epoch.

    Args:
        frame: `epoch`, `chosen`, and what was measured of the validation scores.
    """
    measured = [name for name in _EPOCHS if name in frame and frame[name].notna().any()]
    rows = frame[["epoch", *measured]].copy()
    rows["kept"] = ["kept" if chosen else "" for chosen in frame["chosen"]]
    headers = {"epoch": "Epoch", **{name: _EPOCHS[name][0] for name in measured}, "kept": ""}
    formats = {"epoch": Format("number", 0), **{name: _EPOCHS[name][1] for name in measured}}
    return Table(rows, headers, "Validation after every epoch.", formats)


def learnt(groups: Mapping[str, Sequence[str]]) -> Table:
    """Tags by what became of them."""
    rows = [(name, len(own), ", ".join(f"[{tag}]" for tag in own)) for name, own in groups.items()]
    frame = pd.DataFrame(rows, columns=["group", "count", "tags"])
    headers = {"group": "What became of them", "count": "Tags", "tags": "Which"}
    note = (
        "Learnt: F1 of one half or more. Audible: the linear probe reaches an AUC of 0.9, so the "
        "encoder holds the tag."
    )
    caption = "What was learnt, and what was not."
    return Table(frame, headers, caption, {"count": Format("count")}, notes=(note,))


def takeaways(rows: Sequence[tuple[str, str]]) -> Table:
    """Questions and what the results answer.

    Args:
        rows: question and answer; the numbers in it come from the results.
    """
    frame = pd.DataFrame(rows, columns=["question", "answer"])
    return Table(frame, {"question": "Question", "answer": "Answer"}, "What can be said.")
