"""A folder belongs to one order: another one is refused, not mixed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evoxtral import UserError, runs


def claim(folder: Path, name: str, key: Any, shown: dict[str, Any]) -> None:
    """Make sure that a folder is new, or was made for the same order.

    Args:
        folder: The folder; its lock is held.
        name: Of the file that says what the folder is for.
        key: All that decides the order, JSON-serialisable.
        shown: What a reader wants to know of it.

    Raises:
        UserError: It holds something else.
    """
    digest = runs.digest(key)
    if (folder / name).exists():
        if runs.read_json(folder / name).get("digest") != digest:
            raise UserError(f"{folder} was made for another order: choose another folder")
    elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty and has no {name}: choose another folder")
    else:
        runs.write_json(folder / name, {**shown, "digest": digest})
