"""Clips on disk in AudioFolder layout: `<root>/<split's folder>/metadata.jsonl` beside the audio.

`datasets.load_dataset("audiofolder", data_dir=root)`, the Hub and W&B read this layout as it is.
Whatever is read here may come from anyone: file names are confined to their folder, and a bad
line is a `Row` with a fault, not a crash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs
from evoxtral.clips.clip import MAX_NAME, Clip, RowError, complete

CARD = "README.md"
METADATA = "metadata.jsonl"
MAX_LINE = 1_000_000

_ALIASES = {
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("valid", "val", "dev"), "validation"),
    **dict.fromkeys(("testing", "eval", "evaluation"), "test"),
}
_DRIVE = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True)
class Row:
    """One line of a metadata file, not yet trusted.

    Attributes:
        file: The metadata file.
        line: From 1.
        split: Where the file's place puts it.
        confined: Whether the row's own `split` has to agree with that.
        value: The JSON object; empty if there is a fault.
        fault: Why the line is none.
    """

    file: Path
    line: int
    split: str
    confined: bool
    value: Mapping[str, Any]
    fault: str | None = None

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


def folder_of(split: str) -> str:
    """Folder of a split: its name without underscores.

    AudioFolder guesses splits from the words of folder names: `base_test` would be poured into
    `test`, `train_extra` into `train` and `plain_val` into `validation`.

    >>> folder_of("base_test")
    'basetest'
    """
    return split.replace("_", "")


def read_rows(source: Path | str) -> Iterator[Row]:
    """Yield every line of an AudioFolder or of one JSON-lines manifest.

    Args:
        source: A folder with `metadata.jsonl` in it or in its subfolders, which then name the
            splits, or a JSON-lines file. Audio lies beside or below the metadata file.

    Raises:
        UserError: There is no such file.
    """
    source = Path(source)
    if source.is_file():
        yield from _read_file(source, "train", confined=False)
        return
    files = [source / METADATA, *sorted(source.glob(f"*/{METADATA}"))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise UserError(
            f"no clips at {source}: give a JSON-lines file, or a folder with {METADATA} in it or "
            "in its subfolders, one line with file_name and tagged_text for each clip"
        )
    for file in files:
        inside = file.parent != source
        split = _split_of(file.parent.name) if inside else "train"
        yield from _read_file(file, split, confined=inside)


def _split_of(folder: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")
    return _ALIASES.get(name, name if name[:1].isalpha() else f"split_{name}")[:32]


def _read_file(file: Path, split: str, *, confined: bool) -> Iterator[Row]:
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _read_line(Row(file, number, split, confined, {}), line)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error


def _read_line(empty: Row, line: bytes) -> Row:
    place = (empty.file, empty.line, empty.split, empty.confined)
    try:
        if len(line) > MAX_LINE:
            raise ValueError(f"{len(line):,} bytes are too long for a row")
        text = line.decode("utf-8-sig" if empty.line == 1 else "utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        if not isinstance(value, dict):
            raise ValueError("expected a JSON object")
    except UnicodeDecodeError:
        return Row(*place, {}, "not UTF-8 text")
    except RecursionError:
        return Row(*place, {}, "nested too deeply")
    except json.JSONDecodeError as error:
        return Row(*place, {}, f"not valid JSON ({error.msg} at column {error.colno})")
    except ValueError as error:
        return Row(*place, {}, str(error))
    return Row(*place, value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a field stands there twice")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def safe_path(folder: Path, name: str) -> Path:
    """Path of an existing regular file named by untrusted metadata, inside its folder.

    Raises:
        RowError: The name leads out of the folder (`..`, absolute, a symbolic link), is no
            sensible name (empty, too long, control characters, backslashes), or names no file.
    """
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME:
        raise RowError(f"file_name must have 1 to {MAX_NAME} bytes")
    if not name.isprintable() or "\\" in name:
        raise RowError("file_name holds control characters or backslashes")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        raise RowError(f"file_name {name!r} leads out of its folder")
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError as error:
        raise RowError(f"the file {name!r} does not exist") from error
    except (OSError, RuntimeError) as error:
        raise RowError(f"file_name {name!r} cannot be followed") from error
    if not real.is_relative_to(folder.resolve()):
        raise RowError(f"file_name {name!r} is a link that leads out of its folder")
    if not real.is_file():
        raise RowError(f"{name!r} is not a regular file")
    return path


def read_clip(row: Row) -> tuple[Clip, Path]:
    """The clip of a row and its audio file.

    Raises:
        RowError: The row cannot be used.
    """
    if row.fault is not None:
        raise RowError(row.fault)
    clip = complete(row.value, row.split)
    folder = row.file.parent
    if row.confined and folder.name != folder_of(clip.split) and row.split != clip.split:
        raise RowError(f"the row says split {clip.split!r} but lies in folder {folder.name!r}")
    return clip, safe_path(folder, clip.file_name)


def write_split(root: Path | str, split: str, clips: Iterable[Clip]) -> Path:
    """Write the metadata of a split; the audio lies or will lie beside it.

    Returns:
        The metadata file.
    """
    rows = (clip.model_dump(mode="json") for clip in clips)
    return runs.write_jsonl(Path(root) / folder_of(split) / METADATA, rows)


def write_card(root: Path | str, splits: Iterable[str]) -> Path:
    """Write a dataset card that gives every folder its split's name.

    With it `datasets.load_dataset(root)` and the Hub see all splits, not only train, validation
    and test.
    """
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: {folder_of(split)}/*"]
    lines += ["---", "", "Synthetic speech with inline expression tags, made by Evoxtral.", ""]
    return runs.write_text(Path(root) / CARD, "\n".join(lines))
