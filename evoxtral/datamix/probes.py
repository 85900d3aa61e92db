"""How well each tag can be heard, as a stage: many clips are rendered only to be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evoxtral import runs
from evoxtral.datamix.source import GENERATED, Source
from evoxtral.params import DataMix
from evoxtral.tags import TAGS, group_of
from evoxtral.world import scripts
from evoxtral.world.speech.audibility import audibility

COLUMNS = ["tag", "group", "auc", "se", "clips", "low", "high", "pass"]
FILE = "auc.csv"
CODE = ("evoxtral.world.scripts", "evoxtral.world.speech", "evoxtral.tags")

PLAIN_TO_HEAR, IN_BETWEEN, HARD = (0.9, 1.0), (0.6, 1.0), (0.6, 0.85)
EXPECTED: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("laughs", "sighs", "gasps", "clears throat", "crying"), PLAIN_TO_HEAR),
    **dict.fromkeys(("pause", "whispers", "shouts"), PLAIN_TO_HEAR),
    **dict.fromkeys(("excited", "sad", "angry", "nervous", "frustrated", "stammers"), IN_BETWEEN),
    **dict.fromkeys(("calm", "confused", "scared"), HARD),
}
"""Area under the curve that each tag was made for: events plain to hear, three hard on purpose."""

_WORDS = range(3, 15)
_SPARE = 3  # texts drawn for one that has a fitting number of words


def standard_error(auc: float, n: int) -> float:
    """Standard error of an area under the ROC curve (Hanley and McNeil, 1982).

    Args:
        auc: in [0, 1].
        n: clips, half of them tagged.

    >>> round(standard_error(0.8, 100), 3)
    0.045
    """
    half = n / 2
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (half - 1) * (one + two - 2 * auc**2)
    return float(np.sqrt(max(0.0, variance)) / half)


def audible(cfg: DataMix, source: Source) -> pd.DataFrame:
    """Linear probes for every tag, trained on some voices and tested on others.

    Only what is synthesised here comes in pairs with and without a tag; for any other source the
    frame is empty.

    Returns:
        `tag | group | auc | se | clips | low | high | pass`: area, its standard error, test clips,
        the band the tag was made for and whether the area lies in it; tags in the report's order.
    """
    if source.name != GENERATED:
        return pd.DataFrame(columns=COLUMNS)
    made = runs.stage(
        "audibility",
        cfg.profile,
        cfg.model_dump(include={"seed", "train_pairs", "test_pairs"}),
        lambda folder: _measure(folder, cfg),
        code=CODE,
    )
    rows = pd.read_csv(made.path / FILE).to_dict("records")
    return pd.DataFrame([_row(row) for row in rows], columns=COLUMNS)


def _row(row: dict) -> dict[str, object]:
    low, high = EXPECTED[row["tag"]]
    return {
        "tag": row["tag"],
        "group": group_of(row["tag"]),
        "auc": row["auc"],
        "se": standard_error(row["auc"], row["n"]),
        "clips": row["n"],
        "low": low,
        "high": high,
        "pass": "yes" if low <= row["auc"] <= high else "no",
    }


def _measure(folder: Path, cfg: DataMix) -> None:
    count = cfg.train_pairs + cfg.test_pairs
    drawn = scripts.plain_sentences(_SPARE * count, cfg.seed)
    texts = [text for text in drawn if len(text.split()) in _WORDS][:count]
    found = audibility(
        TAGS,
        texts,
        train_pairs=cfg.train_pairs,
        test_pairs=cfg.test_pairs,
        seed=cfg.seed,
        workers=cfg.workers or None,
    )
    runs.write_text(folder / FILE, found.to_csv(index=False))
