"""Where the examples come from: synthesised here, scripts, bought speech, or one's own clips.

Whatever the source, the later steps see splits of rows with the same attributes. What a source
does not have (scripts have no sound, no speaker, no duration) is missing, and whoever needs it
says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from evoxtral import UserError, runs, tags
from evoxtral.clips import Clip, Dataset, load, read_clips
from evoxtral.clips.corpus import SPLITS, build_corpus, plan
from evoxtral.clips.ingest import COLUMNS, FINDINGS, Reading, fetch, ingest, pairs, validate
from evoxtral.mix.goals import Item
from evoxtral.params import DataMix
from evoxtral.providers import elevenlabs, llm
from evoxtral.world import scripts, speech
from evoxtral.world.scripts import Script

GENERATED, RELEASED, WRITTEN, ELEVENLABS = "generated", "released", "llm", "elevenlabs"
TRAIN, REAL = "train", "real"

HUB = "hub:"
"""Before the name of a dataset of the Hugging Face Hub."""

# Of the package `clips` its own file: an edit of `ingest` must not rebuild the corpus.
_CLIP_CODE = ("evoxtral.clips.__init__", "evoxtral.tags")
_WORLD_CODE = ("evoxtral.world.scripts", "evoxtral.world.speech")
CORPUS_CODE = (*_CLIP_CODE, "evoxtral.clips.corpus", *_WORLD_CODE)
INGEST_CODE = (*_CLIP_CODE, "evoxtral.clips.ingest")
_KNOWN = {
    "source": "generated, released, llm, elevenlabs, hub:owner/name, or the path of a JSON of "
    "scripts, a folder or a manifest of clips",
    "scripts": "released, generated, llm, or the path of a JSON of scripts",
    "real": "hub:owner/name, or the path of a folder or a manifest of clips",
}


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
    """

    name: str
    splits: Mapping[str, list[Clip] | list[Script]]
    clips: Dataset | None
    stage: runs.StageResult | None
    window_seconds: float | None
    findings: pd.DataFrame

    @property
    def judged(self) -> int:
        """Number of rows that were judged, rejects included."""
        return sum(map(len, self.splits.values())) + int((self.findings["kind"] == "reject").sum())

    @property
    def items(self) -> list[Item]:
        """The training examples.

        Raises:
            UserError: there is no training split.
        """
        if TRAIN not in self.splits:
            found = ", ".join(self.splits) or "none"
            raise UserError(f"{self.name} has no split {TRAIN!r} (it has {found}): name one so")
        return [Item.of(row) for row in self.splits[TRAIN]]

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
    return _open(cfg, judged=True)


def open_clips(cfg: DataMix) -> Source:
    """The same for notebooks that come after 01: built or reused, the corpus not judged again.

    Raises:
        UserError: as for `open_source`, or the source has no sound.
    """
    source = _open(cfg, judged=False)
    if source.clips is None:
        raise UserError(
            f"source {cfg.source!r} of 01_data_mix has scripts but no sound, and fine-tuning needs "
            "both: give it a folder or a manifest of clips, or have the scripts spoken by "
            f"{ELEVENLABS}"
        )
    return source


def _open(cfg: DataMix, *, judged: bool) -> Source:
    real = None
    if cfg.real:  # first: what is wrong with it stops before anything is made or bought
        reading = dataclasses.replace(_reading(cfg), split=REAL)
        real = _recordings(cfg, "real", cfg.real, reading)
    if cfg.source == GENERATED:
        source = _generated(cfg, judged=judged)
    elif cfg.source == ELEVENLABS:
        source = _bought(cfg)
    elif cfg.source in (RELEASED, WRITTEN) or cfg.source.endswith(".json"):
        source = _scripts(cfg, cfg.source)
    else:
        source = _recordings(cfg, "source", cfg.source, _reading(cfg))
    return source if real is None else _beside(source, real)


def corpus(cfg: DataMix) -> runs.StageResult:
    """The stage that synthesises the generated corpus; every later notebook starts from it."""
    sizes = cfg.model_dump(include=set(SPLITS))

    def make(folder: Path) -> None:
        build_corpus(folder, sizes, cfg.seed, cfg.workers or None)

    return runs.stage("corpus", cfg.profile, {**sizes, "seed": cfg.seed}, make, code=CORPUS_CODE)


def _generated(cfg: DataMix, *, judged: bool) -> Source:
    """The corpus; if it is judged, every file is decoded and compared with what its row says."""
    made = corpus(cfg)
    if judged:
        clips, findings = validate(made.path, cfg.unknown_tags)
    else:
        clips, findings = load(made.path), pd.DataFrame(columns=COLUMNS)
    return Source(GENERATED, clips.splits, clips, made, speech.WINDOW_SECONDS, findings)


def _recordings(cfg: DataMix, parameter: str, named: str, reading: Reading) -> Source:
    """Recordings copied into a stage as 16 kHz mono FLAC, with what was found about them."""
    path = _place(cfg, parameter, named)

    def make(folder: Path) -> None:
        shutil.rmtree(folder)  # a killed run's half copy is of no use
        ingest(path, folder, cfg.unknown_tags, reading)

    params = {
        "source": _content(path, reading),
        "unknown_tags": cfg.unknown_tags,
        "reading": dataclasses.asdict(reading),
    }
    made = runs.stage("clips", cfg.profile, params, make, code=INGEST_CODE)
    findings, clips = pd.read_csv(made.path / FINDINGS), load(made.path)
    return Source(Path(named).name, clips.splits, clips, made, None, findings)


def _reading(cfg: DataMix) -> Reading:
    return Reading(pairs(cfg.columns, "columns"), pairs(cfg.tag_names, "tag_names"))


def _place(cfg: DataMix, parameter: str, named: str) -> Path:
    """Where recordings lie; those of the Hub are fetched first, once."""
    if not named.startswith(HUB):
        return _existing(parameter, named)
    name = named.removeprefix(HUB)

    def make(folder: Path) -> None:
        shutil.rmtree(folder)  # a killed run's half copy: `datasets` has its own cache
        fetch(name, folder)

    return runs.stage("hub", cfg.profile, {"name": name}, make).path


def _existing(parameter: str, named: str) -> Path:
    path = runs.named(named)
    if not path.exists():
        raise UserError(f"{parameter} {named!r} does not exist: give {_KNOWN[parameter]}")
    return path


def _content(path: Path, reading: Reading) -> str:
    """SHA-256 over the rows of a dataset and the files they name; a bad row is only itself."""
    total = hashlib.sha256()
    for row in read_clips(path, reading):
        total.update(repr(row._replace(path=None)).encode())
        if row.path is not None:
            total.update(runs.digest_file(row.path).encode())
    return total.hexdigest()


def _bought(cfg: DataMix) -> Source:
    """Scripts spoken by ElevenLabs; a script that is refused is not bought."""
    texts = _scripts(cfg, cfg.scripts)
    folder = elevenlabs.speech(cfg, texts.splits).path
    spoken = _recordings(cfg, "source", str(folder), Reading({}, {}))
    refused = texts.findings[texts.findings["kind"] == "reject"]
    findings = pd.concat([refused, spoken.findings], ignore_index=True)
    return dataclasses.replace(spoken, name=ELEVENLABS, findings=findings)


def _beside(source: Source, real: Source) -> Source:
    """A source, and one's own recordings as a split that nothing is trained on."""
    if source.clips is None or REAL in source.splits:
        what = "has no sound" if source.clips is None else f"has a split {REAL!r} itself"
        raise UserError(f"source {source.name!r} {what}: leave out the parameter 'real'")
    for twice in {clip.id for clip in source.clips.clips} & {clip.id for clip in real.clips.clips}:
        raise UserError(f"the id {twice!r} of a real recording is that of a clip: rename it")
    clips = Dataset({**source.clips.files, **real.clips.files})
    return dataclasses.replace(
        source,
        splits=clips.splits,
        clips=clips,
        findings=pd.concat([source.findings, real.findings], ignore_index=True),
    )


def _scripts(cfg: DataMix, named: str) -> Source:
    """Scripts without sound; all but generated ones are split as the report splits its own."""
    if named == GENERATED:
        sizes = cfg.model_dump(include=set(SPLITS))
        plans = plan(sizes, cfg.seed)
        splits = {
            split: [clip.script for clip in clips[: sizes[split]]] for split, clips in plans.items()
        }
        return Source(named, splits, None, None, None, pd.DataFrame(columns=COLUMNS))
    path = _script_file(cfg, named)
    rows = dict(enumerate(scripts.read_released(path), start=1))
    kind = "reject" if cfg.unknown_tags == "reject" else "warning"
    found = [
        (kind, path.name, number, f"unknown tags: {', '.join(unknown)}")
        for number, row in rows.items()
        if (unknown := sorted({*tags.find_tags(row.tagged_text)} - {*tags.TAGS}))
        and cfg.unknown_tags != "keep"
    ]
    for _, _, number, _ in found if kind == "reject" else []:
        del rows[number]
    splits = scripts.split_released(list(rows.values()))
    return Source(named, splits, None, None, None, pd.DataFrame(found, columns=COLUMNS))


def _script_file(cfg: DataMix, named: str) -> Path:
    if named not in (RELEASED, WRITTEN):
        return _existing("source" if cfg.source == named else "scripts", named)
    released = scripts.fetch_released(runs.runs_dir() / "released")
    if named == RELEASED:
        return released
    return llm.written(cfg, scripts.read_released(released))
