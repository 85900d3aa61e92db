"""A clip: what is known about one recording, and how an untrusted row becomes one.

A row needs `file_name` and `tagged_text`. Everything the text decides (`plain_text`, `tags`) is
read from the text: what a row says about it is only compared, since published rows were found to
disagree with their own text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from evoxtral import UserError, tags

MAX_TEXT = 10_000
MAX_NAME = 255

_UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")
_DENSITY = ((0, "plain"), (2, "light"), (4, "moderate"))

Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]


class RowError(UserError):
    """A row that cannot be used; the message is the reason without the place."""


class TagMark(BaseModel):
    """A tag and the number of words before it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Label
    word_index: int = Field(ge=0)


class Clip(BaseModel):
    """One recording with its transcript; a row of `metadata.jsonl`.

    Attributes:
        file_name: Path of the audio below the folder of its metadata file, with `/`.
        id: Unique in its dataset.
        tagged_text: Transcript with `[tags]` and CAPS emphasis.
        plain_text: The same without them (`tags.plain_text`).
        tags: Tags with their places (`tags.parse`).
        slice: Tag density or purpose the script was written for.
        domain: Conversation, podcast, …; `unknown` where nobody said.
        template: Template family of the script; `unknown` for real recordings.
        held_out: Whether that family is kept out of training.
        voice: Speaker, None if not known.
        gender: Of the voice, None if not known.
        split: train, validation, test, …
        source: Whether a machine or a person spoke.
        seconds: Duration at 16 kHz, None before the audio has been read.
        sha256: Of the 16-bit mono samples at 16 kHz, little-endian (`audio.audio_digest`): the
            same sound has the same digest as WAV and as FLAC, whatever encoder wrote it.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    file_name: str = Field(min_length=1, max_length=MAX_NAME)
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z")
    tagged_text: str = Field(min_length=1, max_length=MAX_TEXT)
    plain_text: str = Field(max_length=MAX_TEXT)
    tags: tuple[TagMark, ...] = Field(strict=False)
    slice: Label
    domain: Label
    template: Label
    held_out: bool
    voice: Label | None
    gender: Literal["female", "male"] | None
    split: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}\z")
    source: Literal["synthetic", "real"]
    seconds: float | None = Field(gt=0)
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}\z")


def complete(row: Mapping[str, Any], split: str) -> Clip:
    """Make a clip of an untrusted row.

    Args:
        row: A JSON object with `file_name` and `tagged_text`. Other fields of `Clip` may be
            absent or null; unknown ones are ignored; `plain_text` and `tags` are recomputed.
        split: Where the row belongs if it does not say.

    Raises:
        RowError: A field is missing or has a wrong type or value.
    """
    for name in ("file_name", "tagged_text"):
        if name not in row:
            raise RowError(f"the field {name!r} is missing")
        if not isinstance(row[name], str):
            raise RowError(f"{name} must be text, not {type(row[name]).__name__}")
    text = row["tagged_text"]
    if not text.strip():
        raise RowError("tagged_text is empty")
    if any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in text):
        raise RowError("tagged_text holds control characters")
    given = {k: v for k, v in row.items() if k in Clip.model_fields and v is not None}
    try:
        return Clip.model_validate(_defaults(given, split) | given | _read(text))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RowError(f"{name} is {_short(first['input'])}: {first['msg']}") from error


def _defaults(given: Mapping[str, Any], split: str) -> dict[str, Any]:
    count = len(tags.find_tags(given["tagged_text"]))
    stem = given["file_name"].rsplit(".", 1)[0]
    name = _UNSAFE_IN_ID.sub("-", f"{given.get('split', split)}-{stem}")
    return {
        "id": name.lstrip("._-")[:128],
        "slice": next((name for most, name in _DENSITY if count <= most), "dense"),
        "domain": "unknown",
        "template": "unknown",
        "held_out": False,
        "voice": None,
        "gender": None,
        "split": split,
        "source": "real",
        "seconds": None,
        "sha256": None,
    }


def _read(text: str) -> dict[str, Any]:
    marks = tags.parse(text).tags
    return {
        "plain_text": tags.plain_text(text),
        "tags": tuple(TagMark(name=m.name[:MAX_NAME], word_index=m.word_index) for m in marks),
    }


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def disagreements(row: Mapping[str, Any], clip: Clip) -> list[str]:
    """Where a row says something about its text that the text does not say.

    Returns:
        One sentence for each of `plain_text` and `tags` that differs; tags may be given as
        objects with name and word index or as bare names.
    """
    found = []
    said = row.get("plain_text")
    if said is not None and said != clip.plain_text:
        found.append(f"plain_text is {_short(said)}, the text says {_short(clip.plain_text)}")
    said = row.get("tags")
    marks = [mark.model_dump() for mark in clip.tags]
    if said is not None and said not in (marks, [mark.name for mark in clip.tags]):
        found.append(f"tags is {_short(said)}, the text says {_short(marks)}")
    return found
