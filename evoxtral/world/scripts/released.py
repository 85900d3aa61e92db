"""The 1,010 scripts released with the report: fetching, reading, and the report's own split.

Only the text is trusted. The file's `plain_text`, `tags_used` and `tag_count` disagree with its
`tagged_text` in part, and are not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evoxtral import UserError
from evoxtral.world.scripts.generator import Script

RELEASED_URL = (
    "https://raw.githubusercontent.com/aytoast/ser/"
    "3d56213460e1b9c833ff086e9edac589bb4d52fa/data/scripts/scripts.json"
)
RELEASED_SHA256 = "4c7c89a3e32885592d2be2dbc72d08638a67e200b861d3a8e2e6ebd97d2e5773"

_FIELDS = ("tagged_text", "slice_type", "domain")


def fetch_released(cache_dir: Path) -> Path:
    """Download the released scripts into a folder, verified by SHA-256, or use the copy there.

    Raises:
        UserError: The file cannot be downloaded, or is not the pinned one.
    """
    import pooch  # only here: it loads tqdm's notebook bar, which warns where widgets are missing

    try:
        path = pooch.retrieve(
            RELEASED_URL,
            known_hash=f"sha256:{RELEASED_SHA256}",
            path=cache_dir,
            fname="evoxtral_scripts.json",
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"Download {RELEASED_URL} by hand and give its path, since fetching failed: {error}"
        ) from error
    return Path(path)


def read_released(path: Path) -> list[Script]:
    """Read a JSON list of objects with `tagged_text`, `domain` and `slice_type`, as spelt there.

    Raises:
        UserError: The file cannot be read, or a row lacks a field; names file and row.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Give a readable JSON file of scripts in place of {path}: {error}"
        ) from error
    if not isinstance(rows, list):
        raise UserError(f"{path} must hold a JSON list of scripts, not a {type(rows).__name__}.")
    scripts = []
    for index, row in enumerate(rows):
        said = [row.get(k) if isinstance(row, dict) else None for k in _FIELDS]
        if not all(isinstance(text, str) and text.strip() for text in said):
            raise UserError(
                f"{path}, row {index}: give an object with non-empty strings {', '.join(_FIELDS)}."
            )
        scripts.append(Script(f"r-{index:04d}", *said, template="released", held_out=False))
    return scripts


def split_released(scripts: Sequence[Script]) -> dict[str, list[Script]]:
    """Split into train, validation and test (808/101/101) exactly as the report did.

    Same rows in the same order as `datasets.Dataset.train_test_split(test_size=0.2, seed=42)`
    followed by `train_test_split(test_size=0.5, seed=42)` on its test part.

    Raises:
        UserError: Fewer than 5 scripts, so that a part would be empty.
    """
    if len(scripts) < 5:
        raise UserError(f"Give at least 5 scripts to split; got {len(scripts)}.")
    train, rest = _train_test_split(scripts, test_share=0.2)
    validation, test = _train_test_split(rest, test_share=0.5)
    return {"train": train, "validation": validation, "test": test}


def _train_test_split(rows: Sequence[Script], test_share: float) -> tuple[list[Script], ...]:
    """As `datasets` does it: the first ⌈share·n⌉ rows of a permutation are the test."""
    n_test = math.ceil(test_share * len(rows))
    shuffled = [rows[i] for i in np.random.default_rng(42).permutation(len(rows))]
    return shuffled[n_test:], shuffled[:n_test]
