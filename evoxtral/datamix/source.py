"""Where the examples come from: synthesised here, the released scripts, or one's own clips.

Whatever the source, the later steps see splits of rows with the same attributes. What a source
does not have (scripts have no sound, no speaker, no duration) is missing, and whoever needs it
says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evoxtral import dataset, paths, scripts, speech, stages, tags
from evoxtral.dataset import Clip, CorpusSizes, Policy
from evoxtral.dataset.clip import RowError
from evoxtral.dataset.folder import read_clip, read_rows
from evoxtral.errors import UserError
from evoxtral.mix.items import Item
from evoxtral.params import DataMix
from evoxtral.scripts import Script

__all__ = ["GENERATED", "RELEASED", "TRAIN", "Source", "corpus", "open_clips", "open_source"]

GENERATED, RELEASED, TRAIN = "generated", "released", "train"

CORPUS_CODE = (
    "evoxtral.dataset.audio",
    "evoxtral.dataset.clip",
    "evoxtral.dataset.corpus",
    "evoxtral.dataset.folder",
    "evoxtral.dataset.splits",
    "evoxtral.scripts",
    "evoxtral.speech",
    "evoxtral.tags",
)
INGEST_CODE = ("evoxtral.dataset", "evoxtral.tags")
_COLUMNS = ["kind", "file", "line", "reason"]


@dataclass(frozen=True, eq=False)
class Source:
    """Examples by split.

    Attributes:
        name: as the parameter `source` says.
        splits: rows by split, in order; clips, or scripts where there is no sound.
        clips: the clips with their audio, or None.
        stage: the stage that holds them, or None.
        window_seconds: the model's window if clips were made for it, None for real data.
        findings: `kind` (reject, warning, repair), `file`, `line`, `reason`.
        judged: rows that were judged, rejects included.
    """

    name: str
    splits: Mapping[str, list[Clip] | list[Script]]
    clips: dataset.Dataset | None
    stage: stages.StageResult | None
    window_seconds: float | None
    findings: pd.DataFrame
    judged: int

    @property
    def items(self) -> list[Item]:
        """The training examples.

        Raises:
            UserError: there is no training split.
        """
        if TRAIN not in self.splits:
            found = ", ".join(self.splits) or "none"
            raise UserError(f"{self.name} has no split {TRAIN!r} (it has {found}): name one so")
        rows = self.splits[TRAIN]
        return [dataclasses.replace(Item.of(row), split=TRAIN) for row in rows]

    @property
    def digest(self) -> str:
        """Identifies what the training examples are, for the stages that follow."""
        total = hashlib.sha256()
        for item in self.items:
            total.update(repr(item).encode())
        return total.hexdigest() if self.stage is None else self.stage.digest


def open_source(cfg: DataMix) -> Source:
    """Build or reuse the examples that the parameters name, and judge every one.

    Raises:
        UserError: the source does not exist, cannot be fetched, or is unusable in too large a part.
    """
    policy = Policy(unknown_tags=cfg.unknown_tags)
    if cfg.source == GENERATED:
        made = corpus(cfg)
        return _generated(made, dataclasses.replace(policy, max_seconds=speech.MAX_SECONDS))
    if cfg.source == RELEASED:
        return _scripts(cfg, scripts.fetch_released(paths.runs_dir() / "released"))
    path = _path(cfg.source)
    return _scripts(cfg, path) if path.suffix == ".json" else _ingested(cfg, path, policy)


def open_clips(cfg: DataMix) -> Source:
    """The same for notebooks that come after 01: built or reused, not judged again.

    Raises:
        UserError: as for `open_source`, or the source has no sound.
    """
    if cfg.source == GENERATED:
        made = corpus(cfg)
        clips, none = dataset.load(made.path), pd.DataFrame(columns=_COLUMNS)
        return Source(GENERATED, clips.splits, clips, made, speech.WINDOW_SECONDS, none, 0)
    source = open_source(cfg)
    if source.clips is None:
        raise UserError(
            f"source {cfg.source!r} of 01_data_mix has scripts but no sound, and fine-tuning needs "
            "both: give it a folder or a manifest of clips"
        )
    return source


def corpus(cfg: DataMix) -> stages.StageResult:
    """The stage that synthesises the generated corpus; every later notebook starts from it."""
    sizes = CorpusSizes(**cfg.model_dump(include=_sizes()))

    def make(folder: Path) -> None:
        dataset.build_corpus(folder, sizes, cfg.seed, cfg.workers or None)

    params = cfg.model_dump(include={*_sizes(), "seed"})
    return stages.stage("corpus", cfg.profile, params, make, code=CORPUS_CODE)


def _sizes() -> set[str]:
    return {field.name for field in dataclasses.fields(CorpusSizes)} & set(DataMix.model_fields)


def _path(name: str) -> Path:
    path = Path(name).expanduser()
    path = path if path.is_absolute() else paths.root() / path
    if not path.exists():
        raise UserError(
            f"source {name!r} does not exist: give {GENERATED}, {RELEASED}, or the path of a JSON "
            "of scripts, a folder or a manifest of clips"
        )
    return path


def _generated(made: stages.StageResult, policy: Policy) -> Source:
    """The corpus, every file decoded and compared with what its row says."""
    judged = dataset.validate(made.path, policy)
    kinds = {"reject": judged.rejects, "warning": judged.warnings, "repair": judged.repairs}
    rows = [(kind, f.file, f.line, f.reason) for kind, found in kinds.items() for f in found]
    findings = pd.DataFrame(rows, columns=_COLUMNS)
    clips, window = judged.dataset, speech.WINDOW_SECONDS
    return Source(GENERATED, clips.splits, clips, made, window, findings, judged.rows)


def _ingested(cfg: DataMix, path: Path, policy: Policy) -> Source:
    """One's own clips, copied as 16 kHz mono FLAC into a stage; the copy is what is used."""

    def make(folder: Path) -> None:
        shutil.rmtree(folder)  # a killed run's half copy is of no use: `ingest` starts over
        dataset.ingest(path, folder, policy)

    params = {"source": _content(path), "unknown_tags": cfg.unknown_tags}
    made = stages.stage("clips", cfg.profile, params, make, code=INGEST_CODE)
    rows = [
        (kind, found.file, found.line, found.reason)
        for kind in ("reject", "warning", "repair")
        for found in pd.read_csv(made.path / f"{kind}s.csv", dtype=str).itertuples()
    ]
    findings = pd.DataFrame(rows, columns=_COLUMNS)
    clips = dataset.load(made.path)
    judged = len(clips.clips) + int((findings["kind"] == "reject").sum())
    return Source(path.name, clips.splits, clips, made, None, findings, judged)


def _content(path: Path) -> str:
    """SHA-256 over the rows of a dataset and the files they name; a bad row is only itself."""
    total = hashlib.sha256()
    for row in read_rows(path):
        total.update(f"{row.file.relative_to(path.parent)}:{row.line}:{row.value}\0".encode())
        try:
            audio = read_clip(row)[1]
        except RowError:
            continue
        with audio.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _scripts(cfg: DataMix, path: Path) -> Source:
    """Scripts without sound, split as the report splits the released ones."""
    rows = scripts.read_released(path)
    findings = pd.DataFrame(list(_oddities(cfg, path.name, rows)), columns=_COLUMNS)
    refused = set(findings.loc[findings["kind"] == "reject", "line"])
    kept = [row for number, row in enumerate(rows, start=1) if number not in refused]
    splits = scripts.split_released(kept)
    return Source(cfg.source, splits, None, None, None, findings, len(rows))


def _oddities(
    cfg: DataMix, file: str, rows: Iterable[Script]
) -> Iterable[tuple[str, str, int, str]]:
    kind = "reject" if cfg.unknown_tags == "reject" else "warning"
    for number, row in enumerate(rows, start=1):
        unknown = sorted(set(tags.find_tags(row.tagged_text)) - set(tags.TAGS))
        if unknown and cfg.unknown_tags != "keep":
            yield kind, file, number, f"unknown tags: {', '.join(unknown)}"
