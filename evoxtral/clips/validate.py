"""Every row and every file of a dataset, judged before anything is trained on it.

Damage (no audio, no text, a broken row, a file name that leads elsewhere) always rejects a clip.
What may be meant (a tag outside the vocabulary, a sentence spoken in two splits) is a matter of
`Policy`. Every judgement names its file and line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evoxtral import UserError, runs, tags
from evoxtral.clips.audio import BadAudioError, Decoded, audio_digest, decode
from evoxtral.clips.clip import Clip, RowError, disagreements
from evoxtral.clips.folder import Row, read_clip, read_rows
from evoxtral.clips.loading import Dataset
from evoxtral.clips.reading import Reading
from evoxtral.tags import text_key

Action = Literal["keep", "warn", "reject"]

_SECONDS_TOLERANCE = 0.1
# What is found in two splits is taken out of the later one; splits not named here come first.
_LAST = ("validation", "plain_val", "base_train", "train_extra", "raft_prompts", "train")


@dataclass(frozen=True)
class Policy:
    """What to do with clips that are odd but readable: keep silently, warn, or reject.

    Attributes:
        unknown_tags: A tag outside the report's 17.
        text_mismatch: `plain_text` or `tags` of the row disagree with its `tagged_text`; the text
            wins wherever the clip is kept.
        broken_brackets: A bracket that never closes, opens twice or is empty.
        shared_text: The same words, whatever their tags, in two splits; training loses the clip.
        repeated_audio: The same sound twice in one split. In two splits it is always rejected.
        max_reject_share: Rejects above this share of all rows stop the run.
        max_seconds: Longest clip, e.g. the model's window; None for no limit.
    """

    unknown_tags: Action = "warn"
    text_mismatch: Action = "warn"
    broken_brackets: Action = "reject"
    shared_text: Action = "reject"
    repeated_audio: Action = "warn"
    max_reject_share: float = 0.05
    max_seconds: float | None = None


@dataclass(frozen=True)
class Finding:
    """One judgement: the metadata file relative to the source, the line from 1, the reason."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Validation:
    """What a dataset is worth.

    Attributes:
        dataset: The usable clips, `seconds` and `sha256` measured.
        rejects: Rows that are not in it, each with the first reason found.
        warnings: Oddities of rows that are.
        repairs: Files that are converted while they are read (rate, channels, wrong suffix).
        rows: Number of rows judged.
    """

    dataset: Dataset
    rejects: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    repairs: tuple[Finding, ...]
    rows: int


def validate(
    source: Path | str,
    policy: Policy | None = None,
    rejects_csv: Path | str | None = None,
    reading: Reading | None = None,
) -> Validation:
    """Judge every row of a dataset and decode every file.

    Args:
        source: An AudioFolder or a JSON-lines manifest (`folder.read_rows`).
        policy: The defaults of `Policy` if None.
        rejects_csv: Where to write the rejects (file, line, reason), also when they are too many.
        reading: What to change in every row before; nothing if None.

    Raises:
        UserError: No clips at all, or more rejects than `policy.max_reject_share`.
    """
    policy = policy or Policy()
    judge = _Judge(Path(source).absolute(), policy)
    rows = list(map(reading or Reading(), read_rows(judge.root)))
    if not rows:
        raise UserError(f"{source} has no rows: add a line for each clip")
    for row in sorted(rows, key=_protection):
        judge.take(row)
    rejects = judge.sorted(judge.rejects)
    if rejects_csv is not None:
        write_findings(rejects_csv, rejects)
    if len(rejects) > policy.max_reject_share * len(rows):
        first = rejects[0]
        where = f"; all are in {rejects_csv}" if rejects_csv is not None else ""
        raise UserError(
            f"{len(rejects)} of {len(rows)} clips of {source} are unusable, more than the allowed "
            f"{policy.max_reject_share:.0%}: mend them, first {first.file}:{first.line}: "
            f"{first.reason}{where}"
        )
    accepted = [judge.accepted[row.place] for row in rows if row.place in judge.accepted]
    return Validation(
        Dataset.of(judge.root, accepted),
        rejects,
        judge.sorted(judge.warnings),
        judge.sorted(judge.repairs),
        len(rows),
    )


def _protection(row: Row) -> int:
    split = row.value.get("split")
    name = split if isinstance(split, str) else row.split
    return _LAST.index(name) + 1 if name in _LAST else 0


@dataclass
class _Judge:
    """Takes rows one after the other and remembers what it has seen."""

    root: Path
    policy: Policy
    accepted: dict[str, tuple[Clip, Path]] = field(default_factory=dict)
    rejects: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    repairs: list[Finding] = field(default_factory=list)
    _ids: dict[str, str] = field(default_factory=dict)
    _files: dict[Path, str] = field(default_factory=dict)
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    _sounds: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Judge one row."""
        warnings: list[str] = []
        try:
            clip, path = read_clip(row)
            self._refuse_seen(self._ids, clip.id, f"the id {clip.id!r}")
            self._refuse_seen(self._files, path.resolve(), f"the file {clip.file_name!r}")
            for action, reason in _oddities(row, clip, self.policy):
                self._act(action, reason, warnings)
            clip, decoded = _listen(clip, path, self.policy)
            self._compare(clip, warnings)
        except (RowError, BadAudioError) as error:
            self.rejects.append(self._finding(row, str(error)))
            return
        place = self._shown(row)
        self._ids[clip.id] = self._files[path.resolve()] = place
        self._texts.setdefault(text_key(clip.plain_text), (clip.split, place))
        self._sounds.setdefault(clip.sha256 or "", (clip.split, place))
        self.accepted[row.place] = (clip, path)
        self.warnings += [self._finding(row, reason) for reason in warnings]
        self.repairs += [self._finding(row, reason) for reason in decoded.repairs]

    def sorted(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Findings by file and line."""
        return tuple(sorted(findings, key=lambda f: (f.file, f.line)))

    def _shown(self, row: Row) -> str:
        return f"{self._relative(row.file)}:{row.line}"

    def _relative(self, file: Path) -> str:
        return file.name if file == self.root else file.relative_to(self.root).as_posix()

    def _finding(self, row: Row, reason: str) -> Finding:
        return Finding(self._relative(row.file), row.line, reason)

    @staticmethod
    def _refuse_seen(seen: Mapping[Any, str], key: object, what: str) -> None:
        if key in seen:
            raise RowError(f"{what} is that of {seen[key]}")

    @staticmethod
    def _act(action: Action, reason: str, warnings: list[str]) -> None:
        if action == "reject":
            raise RowError(reason)
        if action == "warn":
            warnings.append(reason)

    def _compare(self, clip: Clip, warnings: list[str]) -> None:
        """Look for the same sound and the same words among what was accepted."""
        split, place = self._sounds.get(clip.sha256 or "", (None, ""))
        if split is not None:
            action = self.policy.repeated_audio if split == clip.split else "reject"
            self._act(action, f"the audio is that of {place} ({split})", warnings)
        key = text_key(clip.plain_text)
        split, place = self._texts.get(key, (None, ""))
        if key and split not in (None, clip.split):
            reason = f"the words are those of {place} ({split})"
            self._act(self.policy.shared_text, reason, warnings)


def _oddities(row: Row, clip: Clip, policy: Policy) -> Iterator[tuple[Action, str]]:
    """What may be meant, with what the policy does about it."""
    if not tags.is_balanced(clip.tagged_text):
        yield policy.broken_brackets, f"broken brackets in {clip.tagged_text[:60]!r}"
    unknown = sorted({mark.name for mark in clip.tags} - set(tags.TAGS))
    if unknown:
        yield policy.unknown_tags, f"unknown tags: {', '.join(unknown)[:100]}"
    for reason in disagreements(row.value, clip):
        yield policy.text_mismatch, reason


def _listen(clip: Clip, path: Path, policy: Policy) -> tuple[Clip, Decoded]:
    """Decode the audio and compare it with what the row says."""
    decoded = decode(path)
    seconds, sha256 = decoded.seconds, audio_digest(decoded.samples)
    if policy.max_seconds is not None and seconds > policy.max_seconds:
        raise RowError(f"{seconds:.2f} s are longer than {policy.max_seconds} s")
    if clip.seconds is not None and abs(clip.seconds - seconds) > _SECONDS_TOLERANCE:
        raise RowError(f"the row says {clip.seconds} s, the file has {seconds:.2f} s")
    if clip.sha256 is not None and clip.sha256 != sha256:
        raise RowError("the audio does not match the row's sha256: it was changed or swapped")
    return clip.model_copy(update={"seconds": seconds, "sha256": sha256}), decoded


def write_findings(path: Path | str, findings: Iterable[Finding]) -> Path:
    """Write findings as CSV: file, line, reason.

    Reasons quote untrusted text: a cell that a spreadsheet would run as a formula gets a leading
    apostrophe.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "line", "reason"])
    for finding in findings:
        writer.writerow([_inert(finding.file), finding.line, _inert(finding.reason)])
    return runs.write_text(path, buffer.getvalue())


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
