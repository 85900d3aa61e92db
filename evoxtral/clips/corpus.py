"""The synthetic corpus on disk: rendered on several cores, resumable, the same bytes every time.

    <folder>/plan.json                       what the corpus is made of, and its digest
    <folder>/<split's folder>/<id>.flac      the audio: 16 kHz, mono, 16 bit
    <folder>/<split's folder>/metadata.jsonl one row for each clip
    <folder>/README.md                       dataset card: names of the splits
    <folder>/manifest.json                   SHA-256 of every file above; written last

A clip is done when its file is there, since files appear whole. A killed build therefore needs no
journal: the next one reads what is there and renders the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from evoxtral import UserError, runs
from evoxtral.clips.audio import BadAudioError, Decoded, audio_digest, decode, write_audio
from evoxtral.clips.clip import Clip, complete
from evoxtral.clips.folder import CARD, METADATA, folder_of, write_card, write_split
from evoxtral.clips.splits import CorpusSizes, Plan, PlannedClip, plan
from evoxtral.progress import progress
from evoxtral.world.speech import MAX_SECONDS, Rendered, RenderSettings
from evoxtral.world.speech.parallel import RenderJob, render_many

_PLAN, _MANIFEST = "plan.json", "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """SHA-256 of every file of a corpus by its path below the corpus folder."""

    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """One SHA-256 for the whole corpus."""
        return runs.digest(dict(self.files))


@dataclass(frozen=True, slots=True)
class _Take:
    """What is known of a rendered clip; `file_sha256` is None if it is too long and not kept."""

    seconds: float
    sha256: str = ""
    file_sha256: str | None = None


def build_corpus(
    folder: Path | str,
    sizes: CorpusSizes,
    seed: int,
    workers: int | None = None,
    settings: RenderSettings | None = None,
    *,
    exclude: Collection[str] = (),
) -> Manifest:
    """Render a synthetic corpus, or what is missing of it.

    Args:
        folder: Where to; empty, absent, or left by an earlier build of the same corpus.
        sizes: Clips in each split.
        seed: All randomness derives from it.
        workers: Rendering processes; one for each processor if None. Does not change a byte.
        settings: How much clips vary; the defaults if None.
        exclude: Plain texts that no test set may hold.

    Returns:
        The manifest, also written to `manifest.json`.

    Raises:
        UserError: The folder holds something else, another process is writing it, or the disk is
            full.
    """
    folder = Path(folder).absolute()
    settings = settings or RenderSettings()
    plans = plan(sizes, seed, exclude)
    with runs.exclusive(folder):
        _claim(folder, plans, settings)
        takes = _render(folder, plans, settings, workers)
        for part in plans:
            rows = [_clip(clip, takes[clip.script.id]) for clip in _chosen(part, takes)]
            write_split(folder, part.split, rows)
        write_card(folder, [part.split for part in plans])
        return _write_manifest(folder, plans, takes)


def _claim(folder: Path, plans: Sequence[Plan], settings: RenderSettings) -> None:
    """Make sure that the folder is ours, and remove what killed writers left in it."""
    key = [
        [part.split, len(part.wanted), *map(asdict, part.wanted + part.spares)] for part in plans
    ]
    claim = {
        "clips": {part.split: len(part.wanted) for part in plans},
        "settings": asdict(settings),
        "digest": runs.digest([key, asdict(settings)]),
    }
    if (folder / _PLAN).exists():
        if runs.read_json(folder / _PLAN)["digest"] != claim["digest"]:
            raise UserError(f"{folder} holds another corpus: delete it or choose another folder")
    elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no corpus: choose another folder")
    else:
        runs.write_json(folder / _PLAN, claim)
    for path in folder.rglob(".*.tmp"):
        path.unlink()


def _render(
    folder: Path, plans: Sequence[Plan], settings: RenderSettings, workers: int | None
) -> dict[str, _Take]:
    """Render until every split is full; clips too long for the window give way to spares."""
    takes = dict(_found(folder, plans))
    total = sum(len(part.wanted) for part in plans)
    with progress(total, "corpus", unit="clip", done=len(takes)) as bar:
        while todo := [
            clip for part in plans for clip in _chosen(part, takes) if clip.script.id not in takes
        ]:
            by_id = {clip.script.id: clip for clip in todo}
            jobs = (
                RenderJob(key, clip.script.tagged_text, clip.voice.id, clip.seed)
                for key, clip in by_id.items()
            )
            with closing(render_many(jobs, settings, workers)) as rendered:
                for key, result in rendered:
                    takes[key] = _keep(_path(folder, by_id[key]), result)
                    bar.update(takes[key].file_sha256 is not None)
    return takes


def _found(folder: Path, plans: Sequence[Plan]) -> Iterator[tuple[str, _Take]]:
    """Clips that an earlier build left whole; a damaged file is as good as none."""
    for part in plans:
        for clip in (*part.wanted, *part.spares):
            path = _path(folder, clip)
            if not path.exists():
                continue
            try:
                decoded = decode(path)
            except BadAudioError:
                path.unlink()
            else:
                yield clip.script.id, _take(decoded, path.read_bytes())


def _keep(path: Path, rendered: Rendered) -> _Take:
    """Write a rendered clip, unless it is too long for the window."""
    if rendered.duration > MAX_SECONDS:
        return _Take(rendered.duration)
    return _take(Decoded(rendered.audio), write_audio(path, rendered.audio))


def _take(decoded: Decoded, data: bytes) -> _Take:
    sha256 = audio_digest(decoded.samples)
    return _Take(decoded.seconds, sha256, hashlib.sha256(data).hexdigest())


def _chosen(part: Plan, takes: Mapping[str, _Take]) -> list[PlannedClip]:
    """The clips of a split as far as is known: wanted ones and spares, without the too long."""
    long = {key for key, take in takes.items() if take.file_sha256 is None}
    clips = [clip for clip in (*part.wanted, *part.spares) if clip.script.id not in long]
    if len(clips) < len(part.wanted):
        raise UserError(
            f"too many scripts of {part.split!r} last longer than {MAX_SECONDS} s: "
            "choose settings with a faster rate or shorter pauses"
        )
    return clips[: len(part.wanted)]


def _path(folder: Path, clip: PlannedClip) -> Path:
    return folder / folder_of(clip.split) / f"{clip.script.id}.flac"


def _clip(planned: PlannedClip, take: _Take) -> Clip:
    script = planned.script
    row = {
        "file_name": f"{script.id}.flac",
        "id": script.id,
        "tagged_text": script.tagged_text,
        "slice": script.slice,
        "domain": script.domain,
        "template": script.template,
        "held_out": script.held_out,
        "voice": planned.voice.id,
        "gender": planned.voice.gender,
        "source": "synthetic",
        "seconds": take.seconds,
        "sha256": take.sha256,
    }
    return complete(row, planned.split)


def _write_manifest(folder: Path, plans: Sequence[Plan], takes: Mapping[str, _Take]) -> Manifest:
    files = {
        _path(folder, clip).relative_to(folder).as_posix(): takes[clip.script.id].file_sha256
        for part in plans
        for clip in _chosen(part, takes)
    }
    others = [_PLAN, CARD, *(f"{folder_of(part.split)}/{METADATA}" for part in plans)]
    files |= {name: runs.digest_file(folder / name) for name in others}
    manifest = Manifest(dict(sorted(files.items())))
    runs.write_json(folder / _MANIFEST, {"digest": manifest.digest, "files": manifest.files})
    return manifest


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of a finished corpus.

    Raises:
        UserError: The folder holds no finished corpus.
    """
    path = Path(folder) / _MANIFEST
    if not path.is_file():
        raise UserError(f"{folder} holds no finished corpus: build it with build_corpus")
    return Manifest(runs.read_json(path)["files"])
