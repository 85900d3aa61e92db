"""Foreign recordings become a clean corpus: read as ours, judged, converted.

Damage (no audio, no text, a broken row, a file name that leads elsewhere) always rejects a clip,
and so does what stands in two splits. Every judgement names its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from evoxtral import UserError, runs, tags
from evoxtral.clips.audio import SAMPLE_RATE, BadAudioError, audio_digest, decode, write_audio
from evoxtral.clips.clip import (
    METADATA,
    Clip,
    Dataset,
    RowError,
    complete,
    folder_of,
    read_clip,
    read_rows,
    write_splits,
)
from evoxtral.tags import text_key

COLUMNS = ["kind", "file", "line", "reason"]
"""Of findings; a kind is reject, warning or repair, a line counts from 1."""

FINDINGS = "findings.csv"
MAX_SECONDS = 1800.0
MAX_REJECT_SHARE = 0.05

_SECONDS_TOLERANCE = 0.1
# What is found in two splits is taken out of the later one; splits not named here come first.
_LAST = ("validation", "plain_val", "raft_prompts", "train")


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

    def __call__(self, row: Mapping[str, Any], split: str) -> dict[str, Any]:
        """A row, which stands in a split, as ours."""
        given = {ours: row[theirs] for theirs, ours in self.columns.items() if theirs in row}
        value = {**row, **given}
        if isinstance(value.get("tagged_text"), str):
            value["tagged_text"] = self._renamed(value["tagged_text"])
        if self.split is not None:
            # Files of several splits, or of another dataset, may have the same name.
            value["id"] = f"{self.split}-{complete(value, split).id}"[:128]
            value["split"] = self.split
        return value

    def _renamed(self, text: str) -> str:
        if not self.tag_names:
            return text
        # The longest first, and all at once: what is written is not read again.
        known = sorted(self.tag_names.items(), key=lambda pair: -len(pair[0]))
        parts = (re.escape(theirs) + ("" if ours else r"\s*") for theirs, ours in known)
        pattern = "|".join(f"({part})" for part in parts)
        return re.sub(pattern, lambda found: known[found.lastindex - 1][1], text, flags=re.I)


def pairs(text: str, parameter: str) -> dict[str, str]:
    """Read a parameter of pairs, `theirs:ours, theirs:ours`; empty for none.

    Raises:
        UserError: It is not written so, or something comes twice; names the parameter.

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


def validate(
    source: Path | str,
    unknown_tags: Literal["keep", "warn", "reject"] = "warn",
    reading: Reading | None = None,
    written: Path | None = None,
) -> tuple[Dataset, pd.DataFrame]:
    """Judge every row of a dataset and decode every file.

    Args:
        source: An AudioFolder or a JSON-lines manifest (`clip.read_rows`).
        unknown_tags: What to do with clips that have a tag outside the report's 17.
        reading: What to change in every row before; nothing if None.
        written: CSV file to write the findings to, also when there are too many rejects.

    Returns:
        The usable clips, `seconds` and `sha256` measured; and findings, `COLUMNS`: rejected rows
        with the first reason found, oddities of rows that are kept, and what is converted while
        they are read.

    Raises:
        UserError: No rows, or more than one in twenty rejected.
    """
    root = Path(source).absolute()
    rows = list(read_rows(root))
    if not rows:
        raise UserError(f"{source} has no rows: add a line for each clip")
    found: list[tuple[str, str, int, str]] = []
    read, accepted = [], {}
    for number, row in enumerate(rows):
        file = row.file.name if row.file == root else row.file.relative_to(root).as_posix()
        try:
            read.append((number, file, *read_clip(row, reading)))
        except RowError as error:
            found.append(("reject", file, row.line, str(error)))
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for number, file, clip, path in sorted(read, key=lambda one: _protection(one[2].split)):
        line = rows[number].line
        try:
            measured, repairs = _listen(clip, path)
            warnings = list(_oddities(measured, seen, unknown_tags))
        except (RowError, BadAudioError) as error:
            found.append(("reject", file, line, str(error)))
            continue
        seen = dict.fromkeys(_marks(measured), (clip.split, f"{file}:{line}")) | seen
        accepted[number] = (measured, path)
        found += [("warning", file, line, reason) for reason in warnings]
        found += [("repair", file, line, reason) for reason in repairs]
    findings = pd.DataFrame(sorted(found, key=lambda one: one[1:3]), columns=COLUMNS)
    if written is not None:
        runs.write_text(written, findings.to_csv(index=False))
    rejects = findings[findings["kind"] == "reject"]
    if len(rejects) > MAX_REJECT_SHARE * len(rows):
        _, file, line, reason = rejects.iloc[0]
        where = f"; all are in {written}" if written is not None else ""
        raise UserError(
            f"{len(rejects)} of {len(rows)} clips of {source} are unusable, more than the allowed "
            f"{MAX_REJECT_SHARE:.0%}: mend them, first {file}:{line}: {reason}{where}"
        )
    return Dataset.of(root, [accepted[number] for number in sorted(accepted)]), findings


def _protection(split: str) -> int:
    return _LAST.index(split) + 1 if split in _LAST else 0


def _listen(clip: Clip, path: Path) -> tuple[Clip, tuple[str, ...]]:
    """The clip as measured, if that is what its row says; and what is repaired."""
    samples, repairs = decode(path)
    seconds, sha256 = len(samples) / SAMPLE_RATE, audio_digest(samples)
    if seconds > MAX_SECONDS:
        raise RowError(f"{seconds / 60:,.0f} minutes are too long: cut it into clips")
    if clip.seconds is not None and abs(clip.seconds - seconds) > _SECONDS_TOLERANCE:
        raise RowError(f"the row says {clip.seconds} s, the file has {seconds:.2f} s")
    if clip.sha256 not in (None, sha256):
        raise RowError("the audio does not match the row's sha256: it was changed or swapped")
    return clip.model_copy(update={"seconds": seconds, "sha256": sha256}), repairs


def _marks(clip: Clip) -> tuple[tuple[str, str], ...]:
    """What should not come twice."""
    return ("id", clip.id), ("audio", clip.sha256), ("words", text_key(clip.plain_text))


def _oddities(
    clip: Clip, seen: Mapping[tuple[str, str], tuple[str, str]], unknown_tags: str
) -> Iterator[str]:
    """Warnings; what is beyond a warning raises a `RowError`."""
    if not tags.is_balanced(clip.tagged_text):
        raise RowError(f"broken brackets in {clip.tagged_text[:60]!r}")
    unknown = sorted({mark.name for mark in clip.tags} - set(tags.TAGS))
    if unknown and unknown_tags != "keep":
        reason = f"unknown tags: {', '.join(unknown)[:100]}"
        if unknown_tags == "reject":
            raise RowError(reason)
        yield reason
    for kind, value in _marks(clip):
        if not value or (kind, value) not in seen:
            continue
        split, place = seen[kind, value]
        if kind == "id":
            raise RowError(f"the id {clip.id!r} is that of {place}")
        reason = f"the {kind} {'are those' if kind == 'words' else 'is that'} of {place} ({split})"
        if split != clip.split:
            raise RowError(reason)
        if kind == "audio":
            yield reason


def ingest(
    source: Path | str, target: Path, unknown_tags: str = "warn", reading: Reading | None = None
) -> None:
    """Copy the usable clips of a dataset as 16 kHz mono FLAC, with `FINDINGS` beside the splits.

    Takes what `validate` takes, and a new folder.

    Raises:
        UserError: Too many rejects (see `validate`).
    """
    judged, _ = validate(source, unknown_tags, reading, target / FINDINGS)
    splits: dict[str, list[Clip]] = {}
    for clip in judged.clips:
        row = clip.model_copy(update={"file_name": f"{clip.id}.flac"})
        write_audio(target / folder_of(clip.split) / row.file_name, judged.audio(clip))
        splits.setdefault(clip.split, []).append(row)
    write_splits(target, splits)


def fetch(name: str, folder: Path | str) -> None:
    """Copy all splits of a dataset of the Hugging Face Hub, its sound inside tables (Parquet).

    Audio is copied as it lies there, not decoded; paths that a table names are not followed.

    Args:
        name: `owner/name` on the Hub, `owner/name@revision`, or a folder of tables.
        folder: Where to; one folder for each split. Columns without audio become fields of the
            rows if they hold text or numbers.

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
        file = f"{number:06d}{Path(audio['path'] or '').suffix}"
        if audio["bytes"] is None:
            raise UserError(
                f"row {number} has no sound inside its table: download the files and give the "
                "folder, without hub:"
            )
        runs.write_bytes(target / file, audio["bytes"])
        plain = {k: v for k, v in row.items() if isinstance(v, str | int | float) and v == v}
        yield {**plain, "file_name": file}
