"""Transcribe recordings: read, cut at pauses, decode in batches over all files, put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor
from transformers import VoxtralForConditionalGeneration

from evoxtral.clips.audio import SAMPLE_RATE, BadAudioError, decode
from evoxtral.decode import transcribe
from evoxtral.model import Prompter, merge, open_base
from evoxtral.progress import progress
from evoxtral.transcribe.chunks import Span, plan_chunks
from evoxtral.transcribe.documents import Chunk, Transcript

TOKENS_PER_SECOND = 16
"""Most tokens written for a second of sound; fast English speech with a tag per word has ten."""

_AT_ONCE = 64  # chunks read before they are decoded: as much sound as is held in memory


@dataclass(frozen=True)
class Failure:
    """A recording that cannot be transcribed, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False)
class _Read:
    """A recording cut into chunks."""

    path: Path
    samples: npt.NDArray[np.float32]
    spans: list[Span]
    repairs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Heard:
    """Chunks as the model hears them: log-mels, made when they are asked for."""

    sounds: Sequence[npt.NDArray[np.float32]]
    prompter: Prompter

    @property
    def windows(self) -> list[int]:
        return [1] * len(self)

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, chunk: int) -> Tensor:
        return self.prompter.mels(self.sounds[chunk])


def transcribe_files(
    paths: Iterable[Path | str],
    adapter: Path | str | None = None,
    base: str = "tiny",
    *,
    device: str = "auto",
    batch: int = 16,
    shown: bool = False,
) -> list[Transcript | Failure]:
    """Transcribe recordings of any length.

    Args:
        paths: WAV, FLAC, MP3 or OGG files.
        adapter: folder of a LoRA adapter, merged into the base; None takes the base alone.
        base: `tiny`, a folder, or the id of a Voxtral on the hub.
        device: `auto`, `cpu` or `cuda`.
        batch: chunks decoded at once.
        shown: whether a progress bar is drawn.

    Returns:
        One result per path, in order; a bad file is a `Failure` and stops no other.

    Raises:
        UserError: the base or the adapter cannot be loaded, or they do not belong together.
    """
    opened = open_base(base, device)
    prompter = Prompter(opened)
    model = merge(opened.model, Path(adapter)) if adapter else opened.model
    files = [Path(path) for path in paths]
    results: list[Transcript | Failure] = []
    with progress(len(files), "recordings", unit="file", shown=shown) as bar:
        for group in _groups(files, prompter.window):
            results += _transcribed(group, model, prompter, batch)
            bar.update(len(group))
    return results


def _groups(files: Iterable[Path], window: int) -> Iterator[list[_Read | Failure]]:
    """Files read, in groups of enough chunks to fill batches."""
    group: list[_Read | Failure] = []
    chunks = 0
    for path in files:
        group.append(_read(path, window))
        chunks += len(group[-1].spans) if isinstance(group[-1], _Read) else 0
        if chunks >= _AT_ONCE:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _read(path: Path, window: int) -> _Read | Failure:
    try:
        decoded = decode(path)
    except BadAudioError as error:
        return Failure(path, str(error))
    spans = plan_chunks(decoded.samples, window)
    return _Read(path, decoded.samples, spans, decoded.repairs)


def _transcribed(
    group: Sequence[_Read | Failure],
    model: VoxtralForConditionalGeneration,
    prompter: Prompter,
    batch: int,
) -> Iterator[Transcript | Failure]:
    spans = [(one, span) for one in group if isinstance(one, _Read) for span in one.spans]
    sounds = [one.samples[span.start : span.end] for one, span in spans]
    limit = TOKENS_PER_SECOND * prompter.window // SAMPLE_RATE
    seconds = [len(sound) / SAMPLE_RATE for sound in sounds]
    made = iter(transcribe(model, prompter, _Heard(sounds, prompter), seconds, limit, batch))
    for one in group:
        if isinstance(one, Failure):
            yield one
            continue
        chunks = tuple(
            Chunk(start / SAMPLE_RATE, end / SAMPLE_RATE, prompter.text(text.ids), text.finished)
            for (start, end), text in zip(one.spans, made, strict=False)
        )
        yield Transcript(one.path, len(one.samples) / SAMPLE_RATE, chunks, one.repairs)
