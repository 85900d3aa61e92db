"""Where the examples come from: synthesised here, scripts, bought speech, or one's own clips.

Later steps see splits of rows with the same attributes; what a source does not have is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd

from evoxtral import UserError, runs, tags
from evoxtral.clips import Clip, Dataset, ingest, load, read_clips
from evoxtral.clips.corpus import SPLITS, build_corpus, plan
from evoxtral.mix.composition import examples, keep_first
from evoxtral.params import DataMix
from evoxtral.providers import elevenlabs, llm
from evoxtral.world import scripts, speech
from evoxtral.world.scripts import Script

GENERATED, RELEASED, WRITTEN, ELEVENLABS = "generated", "released", "llm", "elevenlabs"
TRAIN, REAL = "train", "real"

HUB = "hub:"  # before the name of a dataset of the Hugging Face Hub

# Of the package `clips` its own file: an edit of `ingest` must not rebuild the corpus.
_CLIP_CODE = ("evoxtral.clips.__init__", "evoxtral.clips.audio", "evoxtral.tags")
_WORLD_CODE = ("evoxtral.clips.corpus", "evoxtral.world.scripts", "evoxtral.world.speech")
_KNOWN = {
    "source": "generated, released, llm, elevenlabs, hub:owner/name, or the path of a JSON of "
    "scripts, a folder or a manifest of clips",
    "scripts": "released, generated, llm, or the path of a JSON of scripts",
    "real": "hub:owner/name, or the path of a folder or a manifest of clips",
}
_NO_FAMILY = ("unknown", "released")  # templates of recordings and of the released scripts
_NOTHING = pd.DataFrame(columns=ingest.COLUMNS)


@dataclass(frozen=True, eq=False)
class Source:
    """Examples by split."""

    name: str  # as the parameter `source` says
    splits: Mapping[str, list[Clip] | list[Script]]  # scripts where there is no sound
    clips: Dataset | None = None
    stage: runs.StageResult | None = None  # that holds the clips
    window_seconds: float | None = None  # the model's, if clips were made for it
    findings: pd.DataFrame = field(default_factory=_NOTHING.copy)  # `ingest.COLUMNS`

    @property
    def items(self) -> pd.DataFrame:
        """The training examples, see `composition.examples`; a `UserError` if there are none."""
        if TRAIN not in self.splits:
            found = ", ".join(self.splits) or "none"
            raise UserError(f"{self.name} has no split {TRAIN!r} (it has {found}): name one so")
        return examples(self.splits[TRAIN])

    @property
    def digest(self) -> str:
        """Identifies what the training examples are, for the stages that follow."""
        return self.stage.digest if self.stage else runs.digest(self.items.to_csv())


def open_source(cfg: DataMix, *, judged: bool = True) -> Source:
    """Build or reuse the examples that the parameters name, and judge them if `judged`.

    A `UserError` if they are not there, unusable in too large a part, or must be paid for first.
    """
    judging = ingest.Reading(unknown_tags=cfg.unknown_tags, shared_texts=cfg.shared_texts)
    columns, names = ingest.pairs(cfg.columns, "columns"), ingest.pairs(cfg.tag_names, "tag_names")
    reading, real = replace(judging, columns=columns, tag_names=names), None
    if cfg.real:  # first: what is wrong with it stops before anything is made or bought
        real = _recordings(cfg, "real", cfg.real, replace(reading, split=REAL))
    if cfg.source == GENERATED:
        made = corpus(cfg)
        clips, findings = load(made.path), _NOTHING
        if judged:
            clips, findings = ingest.validate(made.path, judging)
        source = Source(GENERATED, clips.splits, clips, made, speech.WINDOW_SECONDS, findings)
    elif cfg.source == ELEVENLABS:
        source = _bought(cfg)
    elif cfg.source in (RELEASED, WRITTEN) or cfg.source.endswith(".json"):
        source = _scripts(cfg, "source", cfg.source)
    else:
        source = _recordings(cfg, "source", cfg.source, reading)
    if real is None:
        return source
    if source.clips is None or REAL in source.splits:
        what = "has no sound" if source.clips is None else f"has a split {REAL!r} itself"
        raise UserError(f"source {source.name!r} {what}: leave out the parameter 'real'")
    clips = Dataset({**source.clips.files, **real.clips.files})
    findings = pd.concat([source.findings, real.findings], ignore_index=True)
    return replace(source, splits=clips.splits, clips=clips, findings=findings)


def open_clips(cfg: DataMix) -> Source:
    """The same for later notebooks, not judged again; a `UserError` if there is no sound."""
    source = open_source(cfg, judged=False)
    if source.clips is None:
        raise UserError(
            f"source {cfg.source!r} of 01_data_mix has scripts but no sound, and fine-tuning needs "
            "both: give it a folder or a manifest of clips, or have the scripts spoken by "
            f"{ELEVENLABS}"
        )
    return source


def familiarity(source: Source, split: str) -> pd.Series:
    """How new each clip of a split is to training, by id: `known voice, new sentences` and so on.

    A voice is known if it speaks in the split `train`, sentences if one of the same template
    family is in it. A part the data does not tell is left out, `not known` stands for both.
    """
    heard = {getattr(row, "voice", None) for row in source.splits[TRAIN]}
    read = {row.template for row in source.splits[TRAIN]}
    labels = {}
    for row in source.splits[split]:
        parts = []
        if voice := getattr(row, "voice", None):
            parts.append("known voice" if voice in heard else "new voice")
        if row.template not in _NO_FAMILY:
            parts.append("known sentences" if row.template in read else "new sentences")
        labels[row.id] = ", ".join(parts) or "not known"
    return pd.Series(labels, dtype=str)


def corpus(cfg: DataMix) -> runs.StageResult:
    """The stage that synthesises the generated corpus; every later notebook starts from it."""
    sizes = cfg.model_dump(include=set(SPLITS))

    def make(folder: Path) -> None:
        build_corpus(folder, sizes, cfg.seed, cfg.workers or None)

    params, code = {**sizes, "seed": cfg.seed}, (*_CLIP_CODE, *_WORLD_CODE)
    return runs.stage("corpus", cfg.profile, params, make, code=code)


def _recordings(cfg: DataMix, parameter: str, named: str, reading: ingest.Reading) -> Source:
    """Recordings copied into a stage as 16 kHz mono FLAC, with what was found about them."""

    def fetched(folder: Path) -> None:
        shutil.rmtree(folder)  # a killed run's half copy: `datasets` has its own cache
        ingest.fetch(str(path), folder)

    def made(folder: Path) -> None:
        shutil.rmtree(folder)
        ingest.copy(path, folder, reading)

    path = named.removeprefix(HUB)
    if path != named:
        path = ingest.pinned(path)
        name = [path]
    else:
        path = _existing(parameter, named)
        kept = sorted(file for file in path.rglob("*") if file.suffix in ingest.STORED)
        name = [runs.digest_file(file) for file in kept]
    if name:
        path = runs.stage("hub", cfg.profile, {"name": name}, fetched).path
    content = [
        (repr(row._replace(path=None)), row.path and runs.digest_file(row.path))
        for row in read_clips(path, reading)
    ]
    params = {"source": runs.digest(content), "reading": asdict(reading)}
    code = (*_CLIP_CODE, "evoxtral.clips.ingest")
    stage = runs.stage("clips", cfg.profile, params, made, code=code)
    clips, findings = load(stage.path), pd.read_csv(stage.path / ingest.FINDINGS)
    return Source(named, clips.splits, clips, stage, None, findings)


def _existing(parameter: str, named: str) -> Path:
    path = runs.named(named)
    if not path.exists():
        raise UserError(f"{parameter} {named!r} does not exist: give {_KNOWN[parameter]}")
    main = path / "refs" / "main"  # of a dataset in the cache of the Hub
    return path / "snapshots" / main.read_text().strip() if main.is_file() else path


def _bought(cfg: DataMix) -> Source:
    """Scripts spoken by ElevenLabs; a script that is refused is not bought."""
    texts, told = _scripts(cfg, "scripts", cfg.scripts), ""
    for kind, own in texts.findings.groupby("kind"):
        first = own.iloc[0]
        told += f"; {kind}s: {len(own)}, such as {first['file']}:{first['line']}: {first['reason']}"
    train = texts.items["tagged_text"]
    if near := len(train) - len(keep_first(train, cfg.threshold)):
        told += f"; of {len(train)} training texts {near} are near others (threshold "
        told += f"{cfg.threshold:g}): no epoch draws them"
    if cfg.mix != "written":
        told += f"; mix {cfg.mix!r} may leave training clips out, mix 'written' does not"
    stage = elevenlabs.speech(cfg, texts.splits, told)
    clips, failed = load(stage.path), runs.read_jsonl(stage.path / elevenlabs.FAILURES)
    # What was asked for names the stage; what came, which may be more another time, its clips.
    came = runs.digest([clip.model_dump(mode="json") for clip in clips.clips])
    rows = [
        ("reject", elevenlabs.FAILURES, line, f"{row['id']}: {row['reason']}")
        for line, row in enumerate(failed, start=1)
    ]
    unspoken = pd.DataFrame(rows, columns=ingest.COLUMNS)
    findings = pd.concat([unspoken, texts.findings], ignore_index=True)
    return Source(ELEVENLABS, clips.splits, clips, replace(stage, digest=came), None, findings)


def _scripts(cfg: DataMix, parameter: str, named: str) -> Source:
    """Scripts without sound; all but generated ones are split as the report splits its own."""
    if named == GENERATED:
        sizes = cfg.model_dump(include=set(SPLITS))
        planned = plan(sizes, cfg.seed).items()
        return Source(
            named, {name: [clip.script for clip in own[: sizes[name]]] for name, own in planned}
        )
    if named in (RELEASED, WRITTEN):
        path = scripts.fetch_released(runs.runs_dir() / "released")
        path = llm.written(cfg, scripts.read_released(path)) if named == WRITTEN else path
    else:
        path = _existing(parameter, named)
    policy = {"keep": "", "warn": "warning", "reject": "reject"}[cfg.unknown_tags]
    kept, found, line = [], [], {}
    for row in scripts.read_released(path):
        line[row.id] = len(line) + 1
        unknown = sorted({*tags.find_tags(row.tagged_text)} - {*tags.TAGS})
        kind, reason = policy if unknown else "", f"unknown tags: {', '.join(unknown)}"
        if not tags.is_balanced(row.tagged_text):
            kind, reason = "reject", f"broken brackets in {row.tagged_text[:60]!r}"
        if kind:
            found.append((kind, path.name, line[row.id], reason))
        if kind != "reject":
            kept.append(row)
    splits, seen = scripts.split_released(kept), {}
    # Such texts are said first, and stay: the report's own split has two.
    for split in reversed(splits):
        for row in splits[split]:
            other, first = seen.setdefault(tags.text_key(row.plain_text), (split, row.id))
            if other != split and row.plain_text:
                reason = f"the text is that of line {line[first]} ({other})"
                found.insert(0, ("warning", path.name, line[row.id], reason))
    findings = pd.DataFrame(found, columns=ingest.COLUMNS)
    return Source(named, splits, findings=findings)
