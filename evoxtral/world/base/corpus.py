"""The base model's corpus on disk and in memory: log-mel features and frame targets.

The corpus is written in shards of log-mel features, each atomic: a killed run goes on where it
stopped.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from evoxtral import runs
from evoxtral.progress import progress
from evoxtral.world import speech
from evoxtral.world.base import targets
from evoxtral.world.base.architecture import FRAME_RATE, SAMPLE_RATE, Architecture
from evoxtral.world.base.plan import Utterance
from evoxtral.world.speech.parallel import RenderJob, render_many

SHARD = 500
_EXTRA_FRAMES = 4
_BACKGROUND_SHARE = 0.3


@dataclass(frozen=True)
class Utterances:
    """Features and targets of one kind of utterance, held in memory.

    Attributes:
        texts: transcripts (tagged scripts for `expressive`), length n.
        voices: voice ids, length n.
        mels: log-mel features, each of shape (mel frames, bands), float16, without the silent
            tail of the window.
        floors: the value that pads each clip's window.
        phonemes: phoneme class per encoder frame, each of shape (frames,).
        sounds: class in `targets.SOUNDS` per encoder frame.
        prosody: pitch, voicing, loudness per encoder frame, each of shape (frames, 3).
    """

    texts: list[str]
    voices: list[str]
    mels: list[NDArray[np.float16]]
    floors: list[float]
    phonemes: list[NDArray[np.uint8]]
    sounds: list[NDArray[np.uint8]]
    prosody: list[NDArray[np.float16]]

    def __len__(self) -> int:
        return len(self.texts)


def _batched(rows: Iterable[Utterance], size: int) -> Iterator[list[Utterance]]:
    """Lists of `size` rows; the last may be shorter (`itertools.batched` needs Python 3.12)."""
    remaining = iter(rows)
    while block := list(islice(remaining, size)):
        yield block


def make(folder: Path, utterances: Sequence[Utterance], shape: Architecture, workers: int) -> None:
    """Synthesise the utterances and write their features in shards; resumes after a kill.

    Utterances longer than the window are left out: half a clip has the wrong transcript.
    """
    shards = {
        folder / f"{kind.replace(':', '-').replace(' ', '_')}-{number:04d}.npz": rows
        for kind, group in groupby(utterances, lambda row: row.kind)
        for number, rows in enumerate(_batched(group, SHARD))
    }
    missing = {path: rows for path, rows in shards.items() if not path.exists()}
    extractor = WhisperFeatureExtractor(
        feature_size=shape.mel_bins, chunk_length=shape.window_seconds
    )
    jobs = (
        RenderJob(row.key, row.text, row.voice, row.seed)
        for rows in missing.values()
        for row in rows
    )
    rendered = render_many(jobs, speech.RenderSettings(), workers)
    total = sum(map(len, missing.values()))
    with _one_thread(), progress(total, "synthesis", unit="clip") as bar:
        for path, rows in missing.items():
            described = []
            for row in rows:
                clip = next(rendered)[1]
                if len(clip.audio) <= shape.window_seconds * SAMPLE_RATE:
                    described.append(_describe(row, clip, extractor))
                bar.update()
            _write_shard(path, described)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: one clip is too little work for more, and workers need the rest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


_Described = tuple[NDArray[np.float16], NDArray[np.float16], dict[str, Any]]


def _describe(
    row: Utterance, clip: speech.Rendered, extractor: WhisperFeatureExtractor
) -> _Described:
    """Log-mel frames, prosody and facts of one clip."""
    audio, events = clip.audio, list(clip.events)
    if row.kind in {"neutral", "refine"}:
        audio, sound = add_background(audio, np.random.default_rng(row.seed))
        events += sound
    mel, floor = _features(audio, extractor)
    facts = {
        "kind": row.kind,
        "text": row.text,
        "voice": row.voice,
        "floor": floor,
        "mel_frames": len(mel),
        "phonemes": clip.phonemes,
        "events": events,
    }
    return mel, targets.prosody_frames(audio, len(mel) // 2), facts


def _write_shard(path: Path, described: Sequence[_Described]) -> None:
    mels, prosody, facts = zip(*described, strict=True)
    buffer = io.BytesIO()
    note = np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)
    np.savez(buffer, mel=np.concatenate(mels), prosody=np.concatenate(prosody), facts=note)
    runs.write_bytes(path, buffer.getvalue())


def _features(
    audio: NDArray[np.float32], extractor: WhisperFeatureExtractor
) -> tuple[NDArray[np.float16], float]:
    """Log-mel frames of the clip without the window's silent tail, and the tail's value."""
    whole = extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0].T
    floor = float(whole.min())
    frames = min(len(whole), 2 * (-(-len(audio) // 320) + _EXTRA_FRAMES))
    return whole[:frames].astype(np.float16), floor


def add_background(
    audio: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[float, float, str]]]:
    """Lay a knock, a beep, a hiss or a hum over some clips; transcripts do not mention it.

    Returns:
        The audio, same length, and the (start, end, "background") spans in seconds.
    """
    if rng.random() >= _BACKGROUND_SHARE:
        return audio, []
    length = int(min(len(audio), SAMPLE_RATE * rng.uniform(0.08, 0.9)))
    start = int(rng.integers(0, len(audio) - length + 1))
    time = np.arange(length) / SAMPLE_RATE
    kind = rng.integers(4)
    if kind == 0:
        rate = rng.uniform(3, 9)
        noise = rng.normal(size=length)
        sound = noise * np.exp(-40 * np.mod(time, 1 / rate))
    elif kind == 1:
        sound = np.sin(2 * np.pi * rng.uniform(300, 3000) * time)
    elif kind == 2:
        sound = np.diff(rng.normal(size=length + 1))
    else:
        base = rng.uniform(50, 130)
        sound = sum(np.sin(2 * np.pi * base * h * time) / h for h in (1, 2, 3))
    edge = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
    level = np.abs(audio).max() * rng.uniform(0.05, 0.4) / (np.abs(sound).max() + 1e-9)
    mixed = audio.copy()
    mixed[start : start + length] += (sound * edge * level).astype(np.float32)
    span = (start / SAMPLE_RATE, (start + length) / SAMPLE_RATE, "background")
    return np.clip(mixed, -1.0, 1.0), [span]


def load(folder: Path, shape: Architecture) -> tuple[dict[str, Utterances], list[str]]:
    """Read all shards.

    Returns:
        The utterances of each kind, and the phoneme symbols (index 0 is silence).
    """
    shards = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            facts = json.loads(data["facts"].tobytes().decode("utf-8"))
            shards.append((data["mel"], data["prosody"], facts))
    symbols = {p[2] for _, _, facts in shards for fact in facts for p in fact["phonemes"]}
    names = ["", *sorted(symbols - {""})]
    index = {name: i for i, name in enumerate(names)}
    kinds: dict[str, Utterances] = {}
    for mel, prosody, facts in shards:
        at = 0
        for fact in facts:
            end = at + fact["mel_frames"]
            frames = fact["mel_frames"] // 2
            rows = kinds.setdefault(fact["kind"], Utterances([], [], [], [], [], [], []))
            rows.texts.append(fact["text"])
            rows.voices.append(fact["voice"])
            rows.floors.append(fact["floor"])
            rows.mels.append(mel[at:end])
            rows.prosody.append(prosody[at // 2 : end // 2])
            rows.phonemes.append(targets.phoneme_frames(fact["phonemes"], index, frames))
            rows.sounds.append(targets.sound_frames(fact["events"], frames))
            at = end
    if any(len(m) > 2 * shape.window_seconds * FRAME_RATE for k in kinds.values() for m in k.mels):
        raise ValueError("a clip is longer than the window")
    return kinds, names
