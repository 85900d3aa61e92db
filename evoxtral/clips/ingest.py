"""Foreign recordings become a clean corpus: read as ours, judged by file and line, converted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evoxtral import UserError, clips, runs, tags
from evoxtral.clips import Clip, ClipError, Dataset, Row

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
    """Makes clips of foreign rows."""

    columns: Mapping[str, str]  # name of a field of `Clip` by the column that holds it
    tag_names: Mapping[str, str]  # what to write by what a text holds, e.g. [laughs] by <laughter>
    split: str | None = None  # of all rows, whatever they or their folders say

    def __post_init__(self) -> None:
        for ours in self.columns.values():
            if ours not in Clip.model_fields:
                known = ", ".join(Clip.model_fields)
                raise UserError(f"columns names {ours!r}, which no clip has: choose of {known}")

    def __call__(self, row: Mapping[str, Any]) -> Clip:
        """The clip of a row; a `ClipError` where a field is missing or wrong."""
        given = {ours: row[theirs] for theirs, ours in self.columns.items() if theirs in row}
        given = {**row, **given}
        if self.tag_names and isinstance(given.get("tagged_text"), str):
            # The longest first, and all at once: what is written is not read again.
            known = sorted(self.tag_names.items(), key=lambda pair: -len(pair[0]))
            parts = (f"({re.escape(theirs)}" + (")" if ours else r"\s*)") for theirs, ours in known)
            given["tagged_text"] = re.sub(
                "|".join(parts),
                lambda found: known[found.lastindex - 1][1],
                given["tagged_text"],
                flags=re.IGNORECASE,
            )
        clip = clips.complete(given)
        # Files of several splits, or of another dataset, may have the same name.
        moved = {"id": f"{self.split}-{clip.id}"[:128], "split": self.split}
        return clip if self.split is None else clip.model_copy(update=moved)


def pairs(text: str, parameter: str) -> dict[str, str]:
    """Read a parameter of pairs, `theirs:ours`; a `UserError` if it is not written so.

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
    unknown_tags: str = "warn",
    reading: Callable[[dict[str, Any]], Clip] = clips.complete,
    written: Path | None = None,
) -> tuple[Dataset, pd.DataFrame]:
    """Judge every row of a dataset (`clips.read_clips`) and decode every file.

    Gives the usable clips, measured, and findings, `COLUMNS`, which a CSV `written` gets too, also
    when it ends in a `UserError`: no rows, or more than one in twenty rejected. `unknown_tags` says
    whether to keep, warn or reject clips that have a tag outside the report's 17.
    """
    rows = list(clips.read_clips(source, reading))
    if not rows:
        raise UserError(f"{source} has no rows: add a line for each clip")
    seen: dict[str, Row] = {}  # by sound and by text
    usable: dict[Row, Clip] = {}
    found: dict[Row, list[tuple[str, str]]] = {}
    order = {split: k for k, split in enumerate(_LAST, 1)}
    for row in sorted(rows, key=lambda row: order.get(row.clip and row.clip.split, 0)):
        try:
            usable[row], found[row] = _judged(row, seen, unknown_tags)
        except ClipError as error:
            found[row] = [("reject", str(error))]
    findings = pd.DataFrame(
        [(kind, row.file, row.line, reason) for row in rows for kind, reason in found[row]],
        columns=COLUMNS,
    )
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
    return Dataset({usable[row]: row.path for row in rows if row in usable}), findings


def _judged(
    row: Row, seen: dict[str, Row], unknown_tags: str
) -> tuple[Clip, list[tuple[str, str]]]:
    """The clip as measured, and what is odd with it; a `ClipError` if it cannot be used."""
    if row.clip is None:
        raise ClipError(row.fault)
    samples, repairs = clips.decode(row.path)
    said, clip = row.clip, row.clip.measured(samples)
    seconds = clip.seconds
    unknown = ", ".join(sorted({mark.name for mark in clip.tags} - {*tags.TAGS}))
    faults = {
        f"{seconds / 60:,.0f} minutes are too long: cut it into clips": seconds > MAX_SECONDS,
        f"the row says {said.seconds} s, the file has {seconds:.2f} s": (
            abs(seconds - (said.seconds or seconds)) > _SECONDS_TOLERANCE
        ),
        "the audio does not match the row's sha256": said.sha256 not in (None, clip.sha256),
        f"broken brackets in {clip.tagged_text[:60]!r}": not tags.is_balanced(clip.tagged_text),
        f"unknown tags: {unknown}": unknown and unknown_tags == "reject",
    }
    marks = {"audio": clip.sha256, "text": tags.text_key(clip.plain_text)}
    for what, mark in marks.items():
        if (other := seen.get(mark)) and other.clip.split != clip.split:
            faults[f"the {what} is that of {other.place} ({other.clip.split})"] = True
    if wrong := [reason for reason, holds in faults.items() if holds]:
        raise ClipError(wrong[0])
    seen |= {mark: row for mark in marks.values() if mark and mark not in seen}
    odd = [("warning", f"unknown tags: {unknown}")] if unknown and unknown_tags == "warn" else []
    return clip, [*odd, *(("repair", repair) for repair in repairs)]


def ingest(source: Path | str, target: Path, unknown_tags: str, reading: Reading) -> None:
    """Copy what `validate` lets pass to a new folder: 16 kHz mono FLAC, beside it `FINDINGS`."""
    judged, _ = validate(source, unknown_tags, reading, target / FINDINGS)
    rows = []
    for clip in judged.clips:
        rows.append(clip.model_copy(update={"file_name": f"{clip.id}.flac"}))
        clips.write_audio(target / rows[-1].stored, judged.audio(clip))
    clips.write_splits(target, rows)


def fetch(name: str, folder: Path) -> None:
    """Copy a dataset of the Hugging Face Hub, its sound inside tables, to a folder for each split.

    `name` is `owner/name`, `owner/name@revision`, or a folder of tables. Sound stays as it is;
    columns of text or numbers become fields of the rows. A `UserError` if it cannot be loaded.
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
        sounds = [key for key, kind in rows.features.items() if isinstance(kind, datasets.Audio)]
        if len(sounds) != 1:
            raise UserError(f"{name!r}, split {split!r}: {len(sounds)} columns of audio, not one")
        target = folder / re.sub(r"[^A-Za-z0-9]+", "_", str(split))
        written = []
        for number, row in enumerate(rows.cast_column(sounds[0], datasets.Audio(decode=False))):
            audio = row.pop(sounds[0])
            if audio["bytes"] is None:
                raise UserError(
                    f"row {number} has no sound inside its table: download the files and give the "
                    "folder, without hub:"
                )
            file = f"{number:06d}{Path(audio['path'] or '').suffix}"
            runs.write_bytes(target / file, audio["bytes"])
            plain = {k: v for k, v in row.items() if isinstance(v, str | int | float) and v == v}
            written.append({**plain, "file_name": file})
        runs.write_jsonl(target / clips.METADATA, written)
