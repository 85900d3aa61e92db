"""Clips: recordings with tagged transcripts, on disk in AudioFolder layout.

`<root>/<split's folder>/metadata.jsonl` lies beside the audio. A row needs `file_name` and
`tagged_text`; `plain_text` and `tags` are always read from the text, since published rows
disagree with their own.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, field_validator

from evoxtral import UserError, runs, tags
from evoxtral.clips.audio import SAMPLE_RATE, ClipError, Samples, audio_digest, read_whole

if TYPE_CHECKING:
    from evoxtral.world.scripts import Script

METADATA = "metadata.jsonl"

_DENSITY = ("plain", "light", "light", "moderate", "moderate", "dense")  # by number of tags
_SPLIT = r"[a-z][a-z0-9_]{0,31}"
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_GENDERS = {
    **dict.fromkeys(("f", "female", "woman"), "female"),
    **dict.fromkeys(("m", "male", "man"), "male"),
}


class TagMark(BaseModel, frozen=True, from_attributes=True):
    """A tag and the number of words before it."""

    name: str
    word_index: int


class Clip(BaseModel, frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True):
    """One recording with its transcript; a row of `metadata.jsonl`."""

    file_name: str  # path of the audio from the folder of its metadata file, with `/`
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z")  # unique in its dataset
    tagged_text: str  # transcript with `[tags]` and CAPS emphasis
    plain_text: str  # the same without them (`tags.plain_text`)
    tags: tuple[TagMark, ...]  # with their places (`tags.parse`)
    slice: str  # tag density or purpose the script was written for
    domain: str = "unknown"  # conversation, podcast, ...
    template: str = "unknown"  # template family of the script
    held_out: bool = False  # whether that family is kept out of training
    voice: str | None = None  # speaker
    gender: Literal["female", "male"] | None = None
    split: str = Field(pattern=rf"^{_SPLIT}\z")
    source: Literal["synthetic", "real"] = "real"  # whether a machine or a person spoke
    seconds: float | None = None  # at 16 kHz; None before the audio has been read
    sha256: str | None = None  # of the 16-bit samples (`audio_digest`), in whatever container

    @field_validator("gender", mode="before")
    @classmethod
    def _gender(cls, said: object) -> str | None:
        return _GENDERS.get(re.split("[^a-z]", str(said).lower())[0])

    @property
    def stored(self) -> str:
        """Its file below a dataset that `write_splits` describes."""
        return f"{folder_of(self.split)}/{self.file_name}"

    def measured(self, samples: Samples) -> Clip:
        """The same, with duration and digest of its samples."""
        heard = {"seconds": len(samples) / SAMPLE_RATE, "sha256": audio_digest(samples)}
        return self.model_copy(update=heard)


def density(text: str) -> str:
    """Name of a tagged text's tag density, as the released scripts have it.

    >>> [density("[sighs] " * n) for n in (0, 2, 4, 5)]
    ['plain', 'light', 'moderate', 'dense']
    """
    return _DENSITY[min(len(tags.parse(text).tags), 5)]


def speech(clips: Iterable[Clip]) -> str:
    """What kind of speech clips are, in words."""
    kinds = {"synthetic": "synthetic speech", "real": "recordings of people"}
    found = {clip.source for clip in clips}
    return " and ".join(said for kind, said in kinds.items() if kind in found)


def complete(row: Mapping[str, Any], split: str = "train") -> Clip:
    """Make a clip of a row with `file_name`, `tagged_text` and perhaps more.

    Other fields are taken where they fit and left where they do not: foreign rows use our names for
    things of their own. `split` is that of a row without one. A `ClipError` if sound or text is
    missing.
    """
    for name, what in (("file_name", "sound"), ("tagged_text", "text")):
        if not isinstance(row.get(name), str) or not row[name].strip():
            has = ", ".join(map(str, row))
            raise ClipError(
                f"it names no {what}: {name!r} is missing or empty (it has {has:.90}; the "
                "parameter columns maps names)"
            )
    text, split = row["tagged_text"], split_of(row.get("split"), split)
    stem = f"{split}-{row['file_name'].rsplit('.', 1)[0]}"
    derived = {
        "id": re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:128],
        "slice": density(text),
    }
    certain = {"split": split, "plain_text": tags.plain_text(text), "tags": tags.parse(text).tags}
    try:
        return Clip.model_validate({**derived, **row, **certain})
    except ValidationError as error:
        wrong = {fault["loc"][0] for fault in error.errors()}
        fitting = {name: value for name, value in row.items() if name not in wrong}
        return Clip.model_validate({**derived, **fitting, **certain})


def clip_of(script: Script, split: str, voice: str, gender: str | None) -> Clip:
    """The clip that a script becomes in a voice, not yet measured."""
    own = {"file_name": f"{script.id}.flac", "voice": voice, "gender": gender, "split": split}
    return complete({**asdict(script), **own, "source": "synthetic"})


class Row(NamedTuple):
    """A row of a metadata file: its clip and audio file, or why it cannot be used."""

    file: str  # below the dataset
    line: int  # from 1
    clip: Clip | None
    path: Path | None
    fault: str = ""
    repair: str = ""  # what was changed to use it

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"


def split_of(name: object, default: str = "") -> str:
    """The split that a name stands for, by its first word; the default if it can name none.

    >>> [split_of(name, "train") for name in ("Dev", "test-clean", "base_test", "My data", 3)]
    ['validation', 'test', 'base_test', 'my_data', 'train']
    """
    slug = re.sub(r"[^a-z0-9]+", "_", str(name or "").lower()).strip("_")
    slug = _SPLITS.get(slug.split("_")[0], slug)
    return slug if re.fullmatch(_SPLIT, slug) else default


def folder_of(split: str) -> str:
    """Folder of a split: its name as one word, since AudioFolder would take `base_test` for `test`.

    >>> folder_of("base_test")
    'basetest'
    """
    return split.replace("_", "")


def read_clips(
    source: Path | str, make: Callable[[dict[str, Any], str], Clip] = complete
) -> Iterator[Row]:
    """Yield every row of a folder of recordings, or of a list as JSON lines, CSV or TSV.

    A folder is an AudioFolder (`metadata`, its subfolders name splits), has a list for each split
    (`train.tsv`, sound in `clips/`: Common Voice), or transcripts beside the sound (LibriSpeech).
    `make` makes a clip of a row without nulls and the split of its file, else of its folder, else
    train. A `UserError` if there is no such file, or one is no list.
    """
    root, ids = Path(source).absolute(), set()
    for file in _lists(root):
        name = file.name if file == root else file.relative_to(root).as_posix()
        stem, *folders = name.split("/")[-1].split(".")[0], *reversed(name.split("/")[:-1])
        splits = [split_of(own) for own in (stem, *folders)]
        known = [split for split in splits if split in _SPLITS.values()]
        split = next(filter(None, [*known, *splits[1:2]]), "train")
        for line, row in _rows(file):
            try:
                clip, repair = make({k: v for k, v in row.items() if v is not None}, split), ""
                paths = [file.parent / folder / clip.file_name for folder in ("", "clips")]
                path = next(filter(Path.is_file, paths), None)
                if path is None:
                    raise ClipError(f"the file {clip.file_name!r} does not exist")
            except ClipError as error:
                yield Row(name, line, None, None, str(error))
                continue
            if clip.id in ids:
                repair = f"the id {clip.id!r} comes twice: numbered"
                clip = clip.model_copy(update={"id": f"{clip.id[:100]}-again-{len(ids)}"})
            ids.add(clip.id)
            yield Row(name, line, clip, path, "", repair)


def _lists(root: Path) -> list[Path]:
    """The files that list the recordings of a folder; of equal names the first kind."""
    if root.is_file():
        return [root]
    stems = {"metadata", *_SPLITS.values()}
    found: dict[Path, Path] = {}
    for suffix in ("jsonl", "csv", "tsv"):
        here = [f for f in root.glob(f"*.{suffix}") if {f.stem, split_of(f.stem)} & stems]
        for file in (*sorted(here), *sorted(root.glob(f"*/metadata.{suffix}"))):
            found.setdefault(file.with_suffix(""), file)
    if files := [*found.values()] or sorted(root.glob("**/*.trans.txt")):
        return files
    raise UserError(
        f"no clips at {root}: give a list of recordings (JSON lines, CSV or TSV), or a folder with "
        f"{METADATA} in it or in its subfolders, a row with file_name and tagged_text for each clip"
    )


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a list with their lines, from 1."""
    if file.suffix not in (".csv", ".tsv", ".txt"):
        yield from enumerate(runs.read_jsonl(file), start=1)
        return
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no UTF-8 text: save it as UTF-8") from error
    if file.suffix == ".txt":  # as in LibriSpeech: speaker, chapter and number, then the words
        for line, row in enumerate(text.splitlines(), start=1):
            name, _, said = row.partition(" ")
            sounds = [sound.name for sound in file.parent.glob(f"{name}.*")]
            speaker = name.partition("-")[0]
            yield line, {"file_name": min(sounds, default=name), "tagged_text": said,
                         "voice": speaker}  # fmt: skip
        return
    # Tabs separate columns in which quotation marks are only marks.
    style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if file.suffix == ".tsv" else {}
    table = csv.DictReader(io.StringIO(text, newline=""), **style)
    try:
        for row in table:
            yield table.line_num, {k: v for k, v in row.items() if k and v}
    except csv.Error as error:
        reason = f"{error}; close the quotation marks before it, or give JSON lines"
        raise UserError(f"{file}, line {table.line_num}: {reason}") from error


def by_split(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Clips in their order, by split."""
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.split, []).append(clip)
    return found


def write_splits(root: Path, clips: Iterable[Clip]) -> None:
    """Write the metadata of all splits, and a card that tells the Hub each folder's split."""
    card = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, own in by_split(clips).items():
        rows = (clip.model_dump(mode="json") for clip in own)
        runs.write_jsonl(root / folder_of(split) / METADATA, rows)
        card += [f"  - split: {split}", f"    path: {folder_of(split)}/*"]
    card += ["---", "", "Speech with inline expression tags; `source` says who spoke.", ""]
    runs.write_text(root / "README.md", "\n".join(card))


@dataclass(frozen=True)
class Dataset:
    """Clips in the order of their rows, each id once, and the audio file of each."""

    files: Mapping[Clip, Path]

    @property
    def clips(self) -> list[Clip]:
        """All clips."""
        return list(self.files)

    @cached_property
    def splits(self) -> dict[str, list[Clip]]:
        """Clips by split."""
        return by_split(self.files)

    def audio(self, clip: Clip) -> Samples:
        """The recording of a clip; a `UserError` if its file is damaged."""
        path = self.files[clip]
        try:
            return read_whole(path)
        except ClipError as error:
            raise UserError(f"{path}: {error}; replace the file or remove its row") from error


def load(source: Path | str) -> Dataset:
    """Read the metadata of a dataset (`read_clips`); a `UserError` names the first bad row."""
    files: dict[Clip, Path] = {}
    for row in read_clips(source):
        if fault := row.fault or row.repair:
            raise UserError(f"{source}: {row.place}: {fault}; mend the line or remove it")
        files[row.clip] = row.path
    return Dataset(files)
