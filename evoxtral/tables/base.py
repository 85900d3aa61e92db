"""Tables of the embedded base model."""

from __future__ import annotations

import pandas as pd

from evoxtral.tables.model import COUNT, Format, Table

_PERCENT = Format("percent", 1)


def architecture(frame: pd.DataFrame) -> Table:
    """Sizes of the embedded model beside Voxtral-Mini-3B's: `part`, `tiny`, `mini`."""
    return Table(
        frame,
        {"part": "", "tiny": "Embedded model", "mini": "Voxtral-Mini-3B-2507"},
        "The embedded model has every part of Voxtral, small.",
        {"tiny": COUNT, "mini": COUNT},
    )


def corpus(frame: pd.DataFrame) -> Table:
    """Parts of a speech corpus: `part`, `clips`, `hours`, `voices`, `texts`."""
    return Table(
        frame,
        {
            "part": "Part",
            "clips": "Clips",
            "hours": "Hours",
            "voices": "Voices",
            "texts": "Distinct texts",
        },
        "What the base learns from, and what it is tested on.",
        {"clips": COUNT, "hours": Format("number", 1), "voices": COUNT, "texts": COUNT},
    )


def transcription(frame: pd.DataFrame) -> Table:
    """Word error rates of `tiny.score.transcription_scores`."""
    shown = frame.assign(
        interval=[
            f"{100 * low:.1f} to {100 * high:.1f}%"
            for low, high in zip(frame["low"], frame["high"], strict=True)
        ]
    )
    return Table(
        shown,
        {
            "set": "Test set",
            "clips": "Clips",
            "wer": "WER, as written",
            "wer_normalised": "WER, normalised",
            "interval": "95% interval",
            "tagged": "Transcripts with a tag",
        },
        "Word error rate on unheard speech, and transcripts that hold a bracket.",
        {"clips": COUNT, "wer": _PERCENT, "wer_normalised": _PERCENT, "tagged": COUNT},
    )


def probes(frame: pd.DataFrame) -> Table:
    """Linear probes of `tiny.score.probe_scores`."""
    shown = frame.assign(shown_tag=[f"[{tag}]" for tag in frame["tag"]])
    return Table(
        shown,
        {"shown_tag": "Tag", "group": "Group", "auc": "AUC", "clips": "Test clips"},
        "How well a line through the frozen encoder's features tells each tag, in unheard voices.",
        {"auc": Format("number", 3), "clips": COUNT},
    )
