"""Bought audio as a dataset: an AudioFolder like that of the synthetic corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evoxtral import runs
from evoxtral.clips.audio import SAMPLE_RATE, audio_digest, decode
from evoxtral.clips.clip import Clip, folder_of, write_splits
from evoxtral.providers.casting import Line, SpeechSettings
from evoxtral.providers.speech_cache import SpeechCache


def write_corpus(
    folder: Path,
    lines: Sequence[Line],
    settings: SpeechSettings,
    store: SpeechCache,
    failed: set[str],
) -> dict[str, int]:
    """Write audio, metadata and card.

    Args:
        folder: Where to.
        lines: What was asked for.
        settings: How.
        store: Where the audio is.
        failed: Keys without audio; their clips are left out.

    Returns:
        Clips by split.
    """
    splits: dict[str, list[Clip]] = {}
    for line in lines:
        key = line.key(settings)
        if key in failed:
            continue
        samples, _ = decode(store.path(key))
        measured = {"seconds": len(samples) / SAMPLE_RATE, "sha256": audio_digest(samples)}
        clip = line.clip().model_copy(update=measured)
        target = folder / folder_of(line.split) / clip.file_name
        data = store.path(key).read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            runs.write_bytes(target, data)
        splits.setdefault(line.split, []).append(clip)
    write_splits(folder, splits)
    return {split: len(clips) for split, clips in splits.items()}
