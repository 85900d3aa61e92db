"""Datasets of the Hugging Face Hub, their sound inside tables (Parquet), as an AudioFolder.

Audio is copied as it lies there, not decoded: `ingest` judges and converts it like any other.
Paths that a table names are not followed. Needs `pip install evoxtral[datasets]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs
from evoxtral.clips.folder import METADATA


def fetch(name: str, folder: Path | str) -> None:
    """Copy all splits of a dataset into an AudioFolder.

    Args:
        name: `owner/name` on the Hub, `owner/name@revision`, or a folder of tables.
        folder: Where to; one folder for each split. Columns without audio become fields of the
            rows, where they fit into JSON.

    Raises:
        UserError: `datasets` is not installed, cannot load it, or finds no audio inside it.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError("datasets are missing: pip install evoxtral[datasets]") from error
    path, _, revision = name.partition("@")
    try:
        loaded = datasets.load_dataset(path, revision=revision or None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"the dataset {name!r} cannot be loaded: {reason}") from error
    for split, rows in loaded.items():
        columns = [key for key, kind in rows.features.items() if isinstance(kind, datasets.Audio)]
        if len(columns) != 1:
            raise UserError(f"{name!r}, split {split!r}: {len(columns)} columns of audio, not one")
        rows = rows.cast_column(columns[0], datasets.Audio(decode=False))
        target = Path(folder) / re.sub(r"[^A-Za-z0-9]+", "_", str(split))
        runs.write_jsonl(target / METADATA, _written(target, rows, columns[0]))


def _written(target: Path, rows: Any, column: str) -> Iterator[dict[str, Any]]:
    """Write each row's audio; what becomes of the row."""
    for number, row in enumerate(rows):
        audio = row.pop(column)
        suffix = re.search(r"[.][a-z0-9]{1,5}\Z", (audio["path"] or "").lower())
        file = f"{number:06d}{suffix[0] if suffix else ''}"
        if audio["bytes"] is None:
            raise UserError(
                f"row {number} has no sound inside its table: download the files and give the "
                "folder, without hub:"
            )
        runs.write_bytes(target / file, audio["bytes"])
        yield {**_plain(row), "file_name": file}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = {}
    for name, value in row.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            continue
        plain[name] = value
    return plain
