"""Foreign recordings become a clean corpus: read as ours, judged by file and line, converted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evoxtral import UserError, clips, runs, tags
from evoxtral.clips import Clip, Dataset, Row
from evoxtral.clips.audio import ClipError, decode, write_audio

COLUMNS = ["kind", "file", "line", "reason"]
"""Of findings; a kind is reject, warning or repair, a line counts from 1."""

_Finding = tuple[str, str]  # kind and reason
_KINDS = {"warn": "warning", "reject": "reject"}  # by policy

FINDINGS = "findings.csv"
STORED = (".parquet", ".arrow")
"""Suffixes of tables that `datasets` exports or saves to disk, with the sound inside."""

MAX_SECONDS = 1800.0
MAX_LOST = 0.25  # seconds; where more is missing, or nobody knows, the sound may lack words
SILENCE = 1e-4  # largest absolute sample below which a recording is silent: -80 dB of full scale
MAX_REJECT_SHARE = 0.05

_SECONDS_TOLERANCE = 0.1
# What is found in two splits is taken out of the later one; splits not named here come first.
_LAST = ("validation", "plain_val", "raft_prompts", "train")


@dataclass(frozen=True)
class Reading:
    """Makes clips of foreign rows, and says what of them is used."""

    columns: Mapping[str, str] = field(default_factory=dict)  # our field by their column, or ""
    tag_names: Mapping[str, str] = field(default_factory=dict)  # our [laughs] by their <laughter>
    split: str | None = None  # of all rows, whatever they or their folders say
    unknown_tags: str = "warn"  # keep, warn or reject clips with a tag outside the report's 17
    shared_texts: str = "reject"  # warn or reject clips with a text of another split

    def __post_init__(self) -> None:
        for ours in self.columns.values():
            if ours and ours not in Clip.model_fields:
                known = ", ".join(Clip.model_fields)
                raise UserError(f"columns names {ours!r}, which no clip has: choose of {known}")

    def __call__(self, row: Mapping[str, Any], split: str) -> Clip:
        """The clip of a row; a `ClipError` where sound or text is missing."""
        given = {name: value for name, value in row.items() if name not in self.columns}
        given |= {
            ours: row[theirs] for theirs, ours in self.columns.items() if ours and theirs in row
        }
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
        clip = clips.complete(given, split)
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
    source: Path | str, reading: Reading, written: Path | None = None
) -> tuple[Dataset, pd.DataFrame]:
    """Judge every row of recordings (`clips.read_clips`) and decode every file.

    Gives the usable clips, measured, and findings, `COLUMNS`, which a CSV `written` gets too, also
    when it ends in a `UserError`: no rows, or more than one in twenty rejected.
    """
    rows = list(clips.read_clips(source, reading))
    if not rows:
        raise UserError(f"{source} has no rows: add a line for each clip")
    rows, notes = _rewritten(rows)
    heard, found = {}, {}
    for row in rows:
        heard[row], found[row] = _heard(row, reading)
    seen: dict[str, Row] = {}  # by sound and by text
    order = {split: k for k, split in enumerate(_LAST, 1)}
    for row in sorted(rows, key=lambda row: order.get(row.clip and row.clip.split, 0)):
        if not _rejects(found[row]):
            found[row] += _shared(row, heard[row], seen, reading)
    usable = {heard[row]: row.path for row in rows if not _rejects(found[row])}
    found = {row: _rejects(own)[:1] or own for row, own in found.items()}
    found[rows[0]] = [*notes, *found[rows[0]]]
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
    return Dataset(usable), findings


def _rejects(found: Sequence[_Finding]) -> list[_Finding]:
    return [one for one in found if one[0] == "reject"]


def _rewritten(rows: list[Row]) -> tuple[list[Row], list[_Finding]]:
    """Rows with foreign marks read (`tags.read_marks`), and what that changed, each once.

    Texts that are all in capitals, which mean emphasis here, are written in small letters.
    """
    read = [tags.read_marks(row.clip.tagged_text) if row.clip else ("", []) for row in rows]
    capitals = "".join(tags.strip_tags(text) for text, _ in read).isupper()
    changes = Counter(change for _, own in read for change in own)
    notes = [("warning", f"{n:,} × {change}") for change, n in changes.items()]
    if capitals:
        notes.append(("repair", "all texts are in capitals, which mean emphasis: written small"))
    written = []
    for row, (text, _) in zip(rows, read, strict=True):
        new = text.lower() if capitals else text
        if row.clip and not new:
            row = row._replace(clip=None, fault=f"nothing is left of {row.clip.tagged_text[:60]!r}")
        elif row.clip and new != row.clip.tagged_text:
            said = row.clip.model_dump(exclude={"slice"}) | {"tagged_text": new}
            row = row._replace(clip=clips.complete(said))
        written.append(row)
    return written, notes


def _heard(row: Row, reading: Reading) -> tuple[Clip | None, list[_Finding]]:
    """The clip as measured, None if there is none, and what is wrong or odd with text and sound."""
    if row.clip is None:
        return None, [("reject", row.fault)]
    try:
        sound = decode(row.path)
    except ClipError as error:
        return None, [("reject", str(error))]
    clip = row.clip.measured(sound.samples)
    found = [("repair", repair) for repair in (row.repair, *sound.repairs) if repair]
    if sound.damage:
        found.append(("warning" if sound.lost <= MAX_LOST else "reject", sound.damage))
    if clip.plain_text and np.abs(sound.samples).max() < SILENCE:
        found.append(
            ("reject", "silent: no sample above -80 dB of full scale, for a text of words")
        )
    if clip.seconds > MAX_SECONDS:
        found.append(
            ("reject", f"{clip.seconds / 60:,.0f} minutes are too long: cut it into clips")
        )
    if not tags.is_balanced(clip.tagged_text):
        found.append(("reject", f"broken brackets in {clip.tagged_text[:60]!r}"))
    if abs(clip.seconds - (row.clip.seconds or clip.seconds)) > _SECONDS_TOLERANCE:
        reason = f"the row says {row.clip.seconds} s, the file has {clip.seconds:.2f} s"
        found.append(("warning", reason))
    if row.clip.sha256 not in (None, clip.sha256):
        found.append(("warning", "the audio does not match the row's sha256"))
    unknown = sorted({mark.name for mark in clip.tags} - {*tags.TAGS})
    if unknown and reading.unknown_tags != "keep":
        found.append((_KINDS[reading.unknown_tags], f"unknown tags: {', '.join(unknown)}"))
    return clip, found


def _shared(row: Row, clip: Clip, seen: dict[str, Row], reading: Reading) -> list[_Finding]:
    """What a clip shares with one of another split; `seen` is kept."""
    found = []
    marks = {"audio": clip.sha256, "text": tags.text_key(clip.plain_text)}
    for what, mark in marks.items():
        other = seen.get(mark, row)
        if other.clip.split != clip.split:
            reason = f"the {what} is that of {other.place} ({other.clip.split})"
            if what == "text" and reading.shared_texts == "reject":
                reason += "; set shared_texts to warn if speakers read the same texts"
            found.append((_KINDS[reading.shared_texts] if what == "text" else "reject", reason))
    if not _rejects(found):
        for mark in filter(None, marks.values()):
            seen.setdefault(mark, row)
    return found


def copy(source: Path | str, target: Path, reading: Reading) -> None:
    """Copy what `validate` lets pass to a new folder: 16 kHz mono FLAC, beside it `FINDINGS`."""
    judged, _ = validate(source, reading, target / FINDINGS)
    rows = []
    for clip, path in judged.files.items():
        rows.append(clip.model_copy(update={"file_name": f"{clip.id}.flac"}))
        write_audio(target / rows[-1].stored, decode(path).samples)
    clips.write_splits(target, rows)


def pinned(name: str) -> str:
    """A name, see `fetch`, at the commit it means now on the Hugging Face Hub, offline last meant.

    The name itself where neither is known: then `fetch` says what is wrong with it.
    """
    from huggingface_hub import resolve_revision
    from huggingface_hub.errors import RevisionResolutionError

    path, _, revision = name.partition("@")
    try:
        named = {"repo_type": "dataset", "revision": revision or None}
        return f"{path}@{resolve_revision(path.partition(':')[0], **named).resolved}"
    except (OSError, ValueError, RevisionResolutionError):
        return name


def fetch(name: str, folder: Path) -> None:
    """Copy a dataset that `datasets` loads to a folder for each split.

    `name` is `owner/name` or `owner/name:config` of the Hugging Face Hub, `@revision` after it, or
    a folder. Sound stays as it is; columns of text or numbers become fields of the rows; a row
    without sound has no `file_name`. A `UserError` if it cannot be loaded.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError("datasets are missing: pip install evoxtral[datasets]") from error
    path, _, revision = name.partition("@")
    path, _, config = path.partition(":")
    try:
        if any(Path(path).rglob("*.arrow")):
            loaded = datasets.load_from_disk(path)
        else:
            loaded = datasets.load_dataset(path, config or None, revision=revision or None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"the dataset {name!r} cannot be loaded: {reason}") from error
    tables = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    for split, rows in tables.items():
        sounds = [key for key, kind in rows.features.items() if isinstance(kind, datasets.Audio)]
        if len(sounds) != 1:
            raise UserError(f"{name!r}, split {split!r}: {len(sounds)} columns of audio, not one")
        target = folder / re.sub(r"[^A-Za-z0-9]+", "_", str(split))
        written = []
        for number, row in enumerate(rows.cast_column(sounds[0], datasets.Audio(decode=False))):
            audio = row.pop(sounds[0]) or {"bytes": None, "path": None}
            path, data = Path(audio["path"] or ""), audio["bytes"]
            data = path.read_bytes() if data is None and path.is_file() else data
            plain = {k: v for k, v in row.items() if isinstance(v, str | int | float) and v == v}
            if data is not None:
                plain["file_name"] = f"{number:06d}{path.suffix}"
                runs.write_bytes(target / plain["file_name"], data)
            written.append(plain)
        runs.write_jsonl(target / clips.METADATA, written)
