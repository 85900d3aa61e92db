"""Clips on disk in AudioFolder layout: `<root>/<split's folder>/metadata.jsonl` beside the audio.

`datasets.load_dataset("audiofolder", data_dir=root)`, the Hub and W&B read this layout as it is.
A row needs `file_name` and `tagged_text`. What the text decides (`plain_text`, `tags`) is always
read from the text: published rows were found to disagree with their own text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from evoxtral import UserError, runs, tags
from evoxtral.clips.audio import BadAudioError, decode

METADATA = "metadata.jsonl"
MAX_TEXT = 10_000
MAX_NAME = 255

_DENSITY = ((0, "plain"), (2, "light"), (4, "moderate"))
_ALIASES = {"training": "train", "testing": "test", "eval": "test", "evaluation": "test"}
_ALIASES |= dict.fromkeys(("valid", "val", "dev"), "validation")

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
        sha256: Of the 16-bit samples (`audio.audio_digest`): the same sound has the same digest
            as WAV and as FLAC, whatever encoder wrote it.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    file_name: str = Field(min_length=1, max_length=MAX_NAME)
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z")
    tagged_text: str = Field(min_length=1, max_length=MAX_TEXT)
    plain_text: str = Field(max_length=MAX_TEXT)
    tags: tuple[TagMark, ...] = Field(strict=False)
    slice: Label
    domain: Label = "unknown"
    template: Label = "unknown"
    held_out: bool = False
    voice: Label | None = None
    gender: Literal["female", "male"] | None = None
    split: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}\z")
    source: Literal["synthetic", "real"] = "real"
    seconds: float | None = Field(None, gt=0)
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}\z")


def complete(row: Mapping[str, Any], split: str) -> Clip:
    """Make a clip of an untrusted row, which belongs to `split` if it does not say.

    Fields other than `file_name` and `tagged_text` may be absent or null; unknown ones are
    ignored; `plain_text` and `tags` are recomputed.

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
    marks = [{"name": m.name, "word_index": m.word_index} for m in tags.parse(text).tags]
    given = {k: v for k, v in row.items() if k in Clip.model_fields and v is not None}
    stem = f"{given.get('split', split)}-{row['file_name'].rsplit('.', 1)[0]}"
    values = {
        "id": re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:128],
        "slice": next((name for most, name in _DENSITY if len(marks) <= most), "dense"),
        "split": split,
        **given,
        "plain_text": tags.plain_text(text),
        "tags": marks,
    }
    try:
        return Clip.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RowError(f"{name} is {first['input']!r:.60}: {first['msg']}") from error


@dataclass(frozen=True)
class Row:
    """One line of a metadata file, not yet read; `split` is where the file's place puts it."""

    file: Path
    line: int
    split: str
    text: bytes


def folder_of(split: str) -> str:
    """Folder of a split: its name without underscores.

    AudioFolder guesses splits from the words of folder names: `base_test` would be poured into
    `test` and `plain_val` into `validation`.

    >>> folder_of("base_test")
    'basetest'
    """
    return split.replace("_", "")


def read_rows(source: Path | str) -> Iterator[Row]:
    """Yield every line of an AudioFolder, whose subfolders name splits, or of a JSON-lines file.

    Audio lies beside or below the metadata file.

    Raises:
        UserError: There is no such file.
    """
    source = Path(source)
    files = [source / METADATA, *sorted(source.glob(f"*/{METADATA}"))]
    files = [source] if source.is_file() else [file for file in files if file.is_file()]
    if not files:
        raise UserError(
            f"no clips at {source}: give a JSON-lines file, or a folder with {METADATA} in it or "
            "in its subfolders, one line with file_name and tagged_text for each clip"
        )
    for file in files:
        inside = file.parent not in (source, source.parent)
        split = _split_of(file.parent.name) if inside else "train"
        for number, line in enumerate(file.read_bytes().splitlines(), start=1):
            if line.strip():
                yield Row(file, number, split, line)


def _split_of(folder: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")
    return _ALIASES.get(name, name if name[:1].isalpha() else f"split_{name}")[:32]


def read_clip(
    row: Row, reading: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
) -> tuple[Clip, Path]:
    """The clip of a row and its audio file; `reading` makes a foreign row, of a split, ours.

    Raises:
        RowError: The row cannot be used, its file does not exist, or its name leads out of the
            folder of the metadata.
    """
    try:
        value = json.loads(row.text)
    except ValueError as error:
        raise RowError(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise RowError("expected a JSON object")
    clip = complete(reading(value, row.split) if reading else value, row.split)
    name = Path(clip.file_name)
    if name.is_absolute() or ".." in name.parts:
        raise RowError(f"file_name {clip.file_name!r} leads out of its folder")
    path = row.file.parent / name
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for names that are too long)
        raise RowError(f"the file {clip.file_name!r} does not exist")
    return clip, path


def write_splits(root: Path | str, splits: Mapping[str, Iterable[Clip]]) -> None:
    """Write the metadata of all splits, beside whose audio it lies, and a dataset card.

    The card gives every folder its split's name. With it `datasets.load_dataset(root)` and the
    Hub see all splits, not only train, validation and test.
    """
    card = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, clips in splits.items():
        rows = (clip.model_dump(mode="json") for clip in clips)
        runs.write_jsonl(Path(root) / folder_of(split) / METADATA, rows)
        card += [f"  - split: {split}", f"    path: {folder_of(split)}/*"]
    card += ["---", "", "Synthetic speech with inline expression tags, made by Evoxtral.", ""]
    runs.write_text(Path(root) / "README.md", "\n".join(card))


@dataclass(frozen=True)
class Dataset:
    """Clips by split, and where their audio lies.

    Attributes:
        root: What was loaded, absolute.
        splits: Clips in file order; every id is unique over all splits.
        paths: Absolute path of the audio by clip id.
    """

    root: Path
    splits: Mapping[str, list[Clip]]
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, root: Path, clips: Iterable[tuple[Clip, Path]]) -> Dataset:
        """Sort clips and their audio files into splits."""
        splits: dict[str, list[Clip]] = {}
        paths = {}
        for clip, path in clips:
            splits.setdefault(clip.split, []).append(clip)
            paths[clip.id] = path
        return cls(root, splits, paths)

    def __getitem__(self, split: str) -> list[Clip]:
        """Clips of a split.

        Raises:
            UserError: There is no such split.
        """
        if split not in self.splits:
            raise UserError(
                f"{self.root} has no split {split!r}: choose one of {', '.join(self.splits)}"
            )
        return self.splits[split]

    @property
    def clips(self) -> list[Clip]:
        """All clips, split after split."""
        return [clip for clips in self.splits.values() for clip in clips]

    def audio(self, clip: Clip) -> npt.NDArray[np.float32]:
        """Samples, shape (n,), 16 kHz mono.

        Raises:
            UserError: The file is damaged.
        """
        path = self.paths[clip.id]
        try:
            return decode(path)[0]
        except BadAudioError as error:
            raise UserError(f"{path}: {error}; replace the file or remove its row") from error


def load(source: Path | str) -> Dataset:
    """Read the metadata of a dataset (`read_rows`) and check that its files are there.

    Raises:
        UserError: A row is bad or an id comes twice; names file and line. `ingest.validate` lists
            all faults and goes on without the bad rows.
    """
    clips: dict[str, tuple[Clip, Path]] = {}
    root = Path(source).absolute()
    for row in read_rows(root):
        try:
            clip, path = read_clip(row)
            if clip.id in clips:
                raise RowError(f"the id {clip.id!r} comes twice")
        except RowError as error:
            raise UserError(
                f"{row.file}:{row.line}: {error}; mend the line or remove it"
            ) from error
        clips[clip.id] = (clip, path)
    return Dataset.of(root, clips.values())
