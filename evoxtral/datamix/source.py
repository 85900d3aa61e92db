"""Where the examples come from: synthesised here, scripts, bought speech, or one's own clips.

Whatever the source, the later steps see splits of rows with the same attributes. What a source
does not have (scripts have no sound, no speaker, no duration) is missing, and whoever needs it
says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evoxtral import UserError, runs, tags
from evoxtral import clips as dataset
from evoxtral.clips import Clip, CorpusSizes, Policy, Reading
from evoxtral.clips.splits import plan
from evoxtral.datamix import bought, own
from evoxtral.mix.items import Item
from evoxtral.params import DataMix
from evoxtral.world import scripts, speech
from evoxtral.world.scripts import Script

GENERATED, RELEASED, WRITTEN, ELEVENLABS = "generated", "released", "llm", "elevenlabs"
TRAIN, REAL = "train", "real"

CORPUS_CODE = (
    "evoxtral.clips.audio",
    "evoxtral.clips.clip",
    "evoxtral.clips.corpus",
    "evoxtral.clips.folder",
    "evoxtral.clips.splits",
    "evoxtral.world.scripts",
    "evoxtral.world.speech",
    "evoxtral.tags",
)
_SIZES = {field.name for field in dataclasses.fields(CorpusSizes)} & set(DataMix.model_fields)
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
    stage: runs.StageResult | None
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
        UserError: the source does not exist, cannot be fetched, is unusable in too large a part,
            or would have to be paid for.
    """
    real = _real(cfg)  # first: what is wrong with it stops before anything is made or bought
    if cfg.source == GENERATED:
        policy = Policy(unknown_tags=cfg.unknown_tags, max_seconds=speech.MAX_SECONDS)
        return _beside(_generated(corpus(cfg), policy), real)
    return _beside(_foreign(cfg), real)


def open_clips(cfg: DataMix) -> Source:
    """The same for notebooks that come after 01: built or reused, not judged again.

    Raises:
        UserError: as for `open_source`, or the source has no sound.
    """
    if cfg.source == GENERATED:
        real, made = _real(cfg), corpus(cfg)
        clips, none = dataset.load(made.path), pd.DataFrame(columns=_COLUMNS)
        source = Source(GENERATED, clips.splits, clips, made, speech.WINDOW_SECONDS, none, 0)
        return _beside(source, real)
    source = open_source(cfg)
    if source.clips is None:
        raise UserError(
            f"source {cfg.source!r} of 01_data_mix has scripts but no sound, and fine-tuning needs "
            "both: give it a folder or a manifest of clips, or have the scripts spoken by "
            f"{ELEVENLABS}"
        )
    return source


def _foreign(cfg: DataMix) -> Source:
    """What is not synthesised here."""
    if cfg.source == ELEVENLABS:
        return _bought(cfg)
    if cfg.source in (RELEASED, WRITTEN) or cfg.source.endswith(".json"):
        return _scripts(cfg, cfg.source)
    return _recordings(cfg, "source", cfg.source, own.reading(cfg))


def corpus(cfg: DataMix) -> runs.StageResult:
    """The stage that synthesises the generated corpus; every later notebook starts from it."""
    sizes = _sizes(cfg)

    def make(folder: Path) -> None:
        dataset.build_corpus(folder, sizes, cfg.seed, cfg.workers or None)

    params = cfg.model_dump(include={*_SIZES, "seed"})
    return runs.stage("corpus", cfg.profile, params, make, code=CORPUS_CODE)


def _sizes(cfg: DataMix) -> CorpusSizes:
    return CorpusSizes(**cfg.model_dump(include=_SIZES))


def _generated(made: runs.StageResult, policy: Policy) -> Source:
    """The corpus, every file decoded and compared with what its row says."""
    judged = dataset.validate(made.path, policy)
    kinds = {"reject": judged.rejects, "warning": judged.warnings, "repair": judged.repairs}
    rows = [(kind, f.file, f.line, f.reason) for kind, found in kinds.items() for f in found]
    findings = pd.DataFrame(rows, columns=_COLUMNS)
    clips, window = judged.dataset, speech.WINDOW_SECONDS
    return Source(GENERATED, clips.splits, clips, made, window, findings, judged.rows)


def _recordings(cfg: DataMix, parameter: str, named: str, reading: Reading) -> Source:
    """Recordings as copied into a stage, with what was found about them."""
    made = own.clips(cfg, own.place(cfg, parameter, named), reading)
    rows = [
        (kind, found.file, found.line, found.reason)
        for kind in ("reject", "warning", "repair")
        for found in pd.read_csv(made.path / f"{kind}s.csv", dtype=str).itertuples()
    ]
    findings = pd.DataFrame(rows, columns=_COLUMNS)
    clips = dataset.load(made.path)
    judged = len(clips.clips) + int((findings["kind"] == "reject").sum())
    return Source(Path(named).name, clips.splits, clips, made, None, findings, judged)


def _bought(cfg: DataMix) -> Source:
    """Scripts spoken by ElevenLabs; a script that is refused is not bought."""
    texts = _scripts(cfg, cfg.scripts)
    folder = bought.speech(cfg, texts.splits).path
    spoken = _recordings(cfg, "source", str(folder), Reading())
    refused = texts.findings[texts.findings["kind"] == "reject"]
    findings = pd.concat([refused, spoken.findings], ignore_index=True)
    judged = len(refused) + spoken.judged
    return dataclasses.replace(spoken, name=ELEVENLABS, findings=findings, judged=judged)


def _real(cfg: DataMix) -> Source | None:
    """One's own recordings as a split that nothing is trained on, if there are any."""
    if not cfg.real:
        return None
    return _recordings(cfg, "real", cfg.real, dataclasses.replace(own.reading(cfg), split=REAL))


def _beside(source: Source, real: Source | None) -> Source:
    if real is None:
        return source
    if source.clips is None or REAL in source.splits:
        what = "has no sound" if source.clips is None else f"has a split {REAL!r} itself"
        raise UserError(f"source {source.name!r} {what}: leave out the parameter 'real'")
    return dataclasses.replace(
        source,
        splits={**source.splits, **real.splits},
        clips=_together(source.clips, real.clips),
        findings=pd.concat([source.findings, real.findings], ignore_index=True),
        judged=source.judged + real.judged,
    )


def _together(one: dataset.Dataset, other: dataset.Dataset) -> dataset.Dataset:
    twice = sorted(set(one.paths) & set(other.paths))
    if twice:
        raise UserError(f"the id {twice[0]!r} of a real recording is that of a clip: rename it")
    paths = {**one.paths, **other.paths}
    return dataset.Dataset(one.root, {**one.splits, **other.splits}, paths)


def _scripts(cfg: DataMix, named: str) -> Source:
    """Scripts without sound; all but generated ones are split as the report splits its own."""
    if named == GENERATED:
        plans = plan(_sizes(cfg), cfg.seed)
        texts = {part.split: [clip.script for clip in part.wanted] for part in plans}
        none = pd.DataFrame(columns=_COLUMNS)
        return Source(named, texts, None, None, None, none, sum(map(len, texts.values())))
    path = _script_file(cfg, named)
    rows = scripts.read_released(path)
    findings = pd.DataFrame(list(_oddities(cfg, path.name, rows)), columns=_COLUMNS)
    refused = set(findings.loc[findings["kind"] == "reject", "line"])
    kept = [row for number, row in enumerate(rows, start=1) if number not in refused]
    splits = scripts.split_released(kept)
    return Source(named, splits, None, None, None, findings, len(rows))


def _script_file(cfg: DataMix, named: str) -> Path:
    if named not in (RELEASED, WRITTEN):
        return own.existing("source" if cfg.source == named else "scripts", named)
    released = scripts.fetch_released(runs.runs_dir() / "released")
    if named == RELEASED:
        return released
    return bought.written(cfg, scripts.read_released(released))


def _oddities(
    cfg: DataMix, file: str, rows: Iterable[Script]
) -> Iterable[tuple[str, str, int, str]]:
    kind = "reject" if cfg.unknown_tags == "reject" else "warning"
    for number, row in enumerate(rows, start=1):
        unknown = sorted(set(tags.find_tags(row.tagged_text)) - set(tags.TAGS))
        if unknown and cfg.unknown_tags != "keep":
            yield kind, file, number, f"unknown tags: {', '.join(unknown)}"
