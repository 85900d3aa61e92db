"""Clips: recordings with tagged transcripts, on disk in AudioFolder layout.

`<root>/<split's folder>/metadata.jsonl` lies beside the audio. A row needs `file_name` and
`tagged_text`; `plain_text` and `tags` are always read from the text, since published rows
disagree with their own.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from pydantic import BaseModel, Field, ValidationError

from evoxtral import UserError, runs, tags

if TYPE_CHECKING:
    from evoxtral.world.scripts import Script

SAMPLE_RATE = 16_000
MIN_SECONDS = 0.1
SILENCE = 1e-4  # largest absolute sample below which a recording is silent: -80 dB of full scale
SCALE = 8.0  # above this, float samples are not scaled to [-1, 1]; lossy codecs overshoot 1
METADATA = "metadata.jsonl"

_DENSITY = ("plain", "light", "light", "moderate", "moderate", "dense")  # by number of tags
_ALIASES = {"training": "train", "testing": "test", "eval": "test", "evaluation": "test"}
_ALIASES |= dict.fromkeys(("valid", "val", "dev"), "validation")

Samples = npt.NDArray[np.float32]
"""Shape (n,), 16 kHz mono, in [-1, 1]."""


class ClipError(UserError):
    """A row or a recording that cannot be used; the message is the reason without the place."""


def decode(path: Path | str) -> tuple[Samples, tuple[str, ...]]:
    """Read a recording of any length; what was changed to make it `Samples`, a phrase each.

    A `ClipError` if it is missing, damaged, shorter than 0.1 s, silent, not finite or no audio.
    """
    path = Path(path)
    if not path.is_file():
        raise ClipError("the file does not exist")
    if path.stat().st_size == 0:
        raise ClipError("the file is empty")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, MemoryError, ValueError) as error:
        # The last two: as many samples as the header says do not fit.
        reason = getattr(error, "error_string", "its length is not known").strip(" .").lower()
        raise ClipError(
            f"cannot be decoded ({reason}): give a whole WAV, FLAC, MP3 or OGG file"
        ) from None
    repairs = []
    if samples.shape[1] > 1:
        repairs.append(f"{samples.shape[1]} channels mixed to one")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        repairs.append(f"{rate} Hz resampled to {SAMPLE_RATE}")
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if len(mono) < MIN_SECONDS * SAMPLE_RATE:
        raise ClipError(f"{len(mono) / SAMPLE_RATE:.3f} s is too short to hold speech")
    peak = float(np.abs(mono).max())
    if peak < SILENCE:
        raise ClipError("silent: no sample above -80 dB of full scale")
    if not peak <= SCALE:  # NaN included
        raise ClipError(f"samples reach {peak:,.0f}: float audio must lie in [-1, 1]")
    return mono, tuple(repairs)


def audio_digest(samples: Samples) -> str:
    """Hex SHA-256 of samples as 16-bit little-endian PCM."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()


def write_audio(path: Path | str, samples: Samples) -> None:
    """Write a 16-bit FLAC file, whole or absent after a kill; same samples, same bytes.

    Louder samples are clipped; those on the 16-bit grid (k / 32768) come back exactly.
    """
    runs.write_bytes(path, _encoded(_pcm(samples), format="FLAC", subtype="PCM_16"))


def to_mp3(samples: Samples) -> bytes:
    """MP3, which every browser plays; same samples and library, same bytes."""
    return _encoded(samples, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE",
                    compression_level=0.7)  # fmt: skip


def _pcm(samples: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")


def _encoded(samples: npt.NDArray[Any], **kind: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, **kind)
    return buffer.getvalue()


class TagMark(BaseModel, frozen=True, from_attributes=True):
    """A tag and the number of words before it."""

    name: str
    word_index: int


class Clip(BaseModel, frozen=True, allow_inf_nan=False):
    """One recording with its transcript; a row of `metadata.jsonl`."""

    file_name: str  # path of the audio from the folder of its metadata file, with `/`
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z")  # unique in its dataset
    tagged_text: str  # transcript with `[tags]` and CAPS emphasis
    plain_text: str  # the same without them (`tags.plain_text`)
    tags: tuple[TagMark, ...]  # with their places (`tags.parse`)
    slice: str  # tag density or purpose the script was written for
    domain: str = "unknown"  # conversation, podcast, ...
    template: str = "unknown"  # template family of the script
    held_out: bool = False  # whether that family is kept out of training
    voice: str | None = None  # speaker
    gender: Literal["female", "male"] | None = None
    split: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}\z")
    source: Literal["synthetic", "real"] = "real"  # whether a machine or a person spoke
    seconds: float | None = None  # at 16 kHz; None before the audio has been read
    sha256: str | None = None  # of the 16-bit samples (`audio_digest`), in whatever container

    @property
    def stored(self) -> str:
        """Its file below a dataset that `write_splits` describes."""
        return f"{folder_of(self.split)}/{self.file_name}"

    def measured(self, samples: Samples) -> Clip:
        """The same, with duration and digest of its samples."""
        heard = {"seconds": len(samples) / SAMPLE_RATE, "sha256": audio_digest(samples)}
        return self.model_copy(update=heard)


def density(text: str) -> str:
    """Name of a tagged text's tag density, as the released scripts have it.

    >>> [density("[sighs] " * n) for n in (0, 2, 4, 5)]
    ['plain', 'light', 'moderate', 'dense']
    """
    return _DENSITY[min(len(tags.parse(text).tags), 5)]


def speech(clips: Iterable[Clip]) -> str:
    """What kind of speech clips are, in words."""
    kinds = {"synthetic": "synthetic speech", "real": "recordings of people"}
    found = {clip.source for clip in clips}
    return " and ".join(said for kind, said in kinds.items() if kind in found)


def complete(row: Mapping[str, Any]) -> Clip:
    """Make a clip of a row with `file_name`, `tagged_text`, `split` and perhaps more.

    Unknown fields are ignored; `plain_text` and `tags` are recomputed. A `ClipError` if a field is
    missing or wrong.
    """
    for name in ("file_name", "tagged_text"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ClipError(f"the field {name!r} is missing or no text")
    text = row["tagged_text"]
    stem = f"{row['split']}-{row['file_name'].rsplit('.', 1)[0]}"
    values = {
        "id": re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:128],
        "slice": density(text),
        **row,
        "plain_text": tags.plain_text(text),
        "tags": tags.parse(text).tags,
    }
    try:
        return Clip.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ClipError(f"{first['loc'][0]} is {first['input']!r:.60}: {first['msg']}") from None


def clip_of(script: Script, split: str, voice: str, gender: str | None) -> Clip:
    """The clip that a script becomes in a voice, not yet measured."""
    own = {"file_name": f"{script.id}.flac", "voice": voice, "gender": gender, "split": split}
    return complete({**asdict(script), **own, "source": "synthetic"})


class Row(NamedTuple):
    """A row of a metadata file: its clip and audio file, or why it cannot be used."""

    file: str  # below the dataset
    line: int  # from 1
    clip: Clip | None
    path: Path | None
    fault: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"


def folder_of(split: str) -> str:
    """Folder of a split: its name as one word, since AudioFolder would take `base_test` for `test`.

    >>> folder_of("base_test")
    'basetest'
    """
    return split.replace("_", "")


def read_clips(
    source: Path | str, make: Callable[[dict[str, Any]], Clip] = complete
) -> Iterator[Row]:
    """Yield every row of an AudioFolder, whose subfolders name splits, or of a JSON-lines file.

    `make` makes a clip of a row without nulls, whose split is its own, its folder's, or train. A
    `UserError` if there is no such file, or a line is no JSON object.
    """
    root = Path(source).absolute()
    files = [root, root / METADATA, *sorted(root.glob(f"*/{METADATA}"))]
    files = [file for file in files if file.is_file()]
    if not files:
        raise UserError(
            f"no clips at {source}: give a JSON-lines file, or a folder with {METADATA} in it or "
            "in its subfolders, one line with file_name and tagged_text for each clip"
        )
    ids: set[str] = set()
    for file in files:
        name = file.name if file == root else file.relative_to(root).as_posix()
        split = re.sub(r"[^a-z0-9]+", "_", file.parent.name.lower()).strip("_")
        split = _ALIASES.get(split, split) if file.parent.parent == root else "train"
        for line, row in enumerate(runs.read_jsonl(file), start=1):
            known = {name: value for name, value in row.items() if value is not None}
            try:
                clip = make({"split": split, **known})
                path = file.parent / clip.file_name
                if clip.id in ids:
                    raise ClipError(f"the id {clip.id!r} comes twice")
                if not path.is_file():
                    raise ClipError(f"the file {clip.file_name!r} does not exist")
            except ClipError as error:
                yield Row(name, line, None, None, str(error))
            else:
                ids.add(clip.id)
                yield Row(name, line, clip, path)


def by_split(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Clips in their order, by split."""
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.split, []).append(clip)
    return found


def write_splits(root: Path, clips: Iterable[Clip]) -> None:
    """Write the metadata of all splits, and a card that tells the Hub each folder's split."""
    card = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, own in by_split(clips).items():
        rows = (clip.model_dump(mode="json") for clip in own)
        runs.write_jsonl(root / folder_of(split) / METADATA, rows)
        card += [f"  - split: {split}", f"    path: {folder_of(split)}/*"]
    card += ["---", "", "Speech with inline expression tags; `source` says who spoke.", ""]
    runs.write_text(root / "README.md", "\n".join(card))


@dataclass(frozen=True)
class Dataset:
    """Clips in the order of their rows, each id once, and the audio file of each."""

    files: Mapping[Clip, Path]

    @property
    def clips(self) -> list[Clip]:
        """All clips."""
        return list(self.files)

    @cached_property
    def splits(self) -> dict[str, list[Clip]]:
        """Clips by split."""
        return by_split(self.files)

    def audio(self, clip: Clip) -> Samples:
        """The recording of a clip; a `UserError` if its file is damaged."""
        path = self.files[clip]
        try:
            return decode(path)[0]
        except ClipError as error:
            raise UserError(f"{path}: {error}; replace the file or remove its row") from error


def load(source: Path | str) -> Dataset:
    """Read the metadata of a dataset (`read_clips`); a `UserError` names the first bad row."""
    files: dict[Clip, Path] = {}
    for row in read_clips(source):
        if row.fault:
            raise UserError(f"{source}: {row.place}: {row.fault}; mend the line or remove it")
        files[row.clip] = row.path
    return Dataset(files)
