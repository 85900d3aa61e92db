"""How foreign rows are read: their columns and their notation of tags become ours."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from evoxtral import UserError
from evoxtral.clips.clip import Clip, RowError, complete
from evoxtral.clips.folder import Row


@dataclass(frozen=True)
class Reading:
    """What to change in every row before it is judged; by default nothing.

    Attributes:
        columns: Name of a field of `Clip` by the column that holds it.
        tag_names: What to write by what their texts hold, whatever its case, e.g. `[laughs]` by
            `<laughter>`; nothing takes it out.
        split: The split that all rows belong to, whatever they or their folders say.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    tag_names: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns.values()) - set(Clip.model_fields))
        if unknown:
            known = ", ".join(Clip.model_fields)
            raise UserError(f"columns names {unknown[0]!r}, which no clip has: choose of {known}")

    @property
    def key(self) -> dict[str, Any]:
        """All that decides what is read, for the digests of stages."""
        return dataclasses.asdict(self)

    def __call__(self, row: Row) -> Row:
        """A row as ours; one with a fault stays as it is."""
        if row.fault is not None:
            return row
        given = ((theirs, ours) for theirs, ours in self.columns.items() if theirs in row.value)
        value = {**row.value, **{ours: row.value[theirs] for theirs, ours in given}}
        if isinstance(value.get("tagged_text"), str):
            value["tagged_text"] = self._renamed(value["tagged_text"])
        if self.split is None:
            return dataclasses.replace(row, value=value)
        with suppress(RowError):  # whoever judges the row will say so
            # Files of several splits, or of another dataset, may have the same name.
            value["id"] = f"{self.split}-{complete(value, row.split).id}"[:128]
        value["split"] = self.split
        return dataclasses.replace(row, value=value, split=self.split, confined=False)

    def _renamed(self, text: str) -> str:
        if not self.tag_names:
            return text
        # The longest first, and all at once: what is written is not read again.
        known = sorted(self.tag_names.items(), key=lambda pair: -len(pair[0]))
        parts = (re.escape(theirs) + ("" if ours else r"\s*") for theirs, ours in known)
        pattern = "|".join(f"({part})" for part in parts)
        return re.sub(pattern, lambda found: known[found.lastindex - 1][1], text, flags=re.I)


def pairs(text: str, parameter: str) -> dict[str, str]:
    """Read a parameter of pairs.

    Args:
        text: `theirs:ours, theirs:ours`; empty for none.
        parameter: Its name, for messages.

    Raises:
        UserError: It is not written so, or something comes twice.

    >>> pairs("<laughter>:[laughs], [noise]:", "tag_names")
    {'<laughter>': '[laughs]', '[noise]': ''}
    """
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        theirs, colon, ours = (own.strip() for own in part.rpartition(":"))
        if not colon or not theirs or theirs in found:
            raise UserError(
                f"{parameter} holds {part!r}: write theirs:ours, each once, with commas between"
            )
        found[theirs] = ours
    return found
