"""What the embedded base model learns from: neutral speech, sounds, and text.

Kinds of utterance, all synthesised here:

* `neutral`: plain sentences in every training voice, with background sounds; these teach both
  the encoder and the language model, which therefore transcribes words and writes no tag.
* `refine`: the same with other words, and longer lists of them; for the second cycle.
* `expressive`: tagged scripts rendered with their expression; the encoder alone hears them,
  framewise, so that its features keep laughs, whispers and pitch apart. Their transcripts and
  tags are never shown to the language model.
* `expressive_test`: tagged scripts nobody trained on, in all voices.
* `probe_train:<tag>` and `probe_test:<tag>`: the same sentences with one tag and without, for
  linear probes of the frozen encoder; the latter in held-out voices.
* `dev`, `test` and `test_voices`: neutral sentences nobody trained on; the first two in training
  voices, the last in held-out ones.
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
from scipy import fft
from transformers import WhisperFeatureExtractor

from evoxtral import runs, tags
from evoxtral.mix import duplicates
from evoxtral.processes import progress
from evoxtral.world import scripts, speech
from evoxtral.world.base.model import FRAME_RATE, SAMPLE_RATE, Architecture
from evoxtral.world.speech import RenderJob, render_many

MIN_DISTANCE = 0.7
"""No test sentence has this ROUGE-L or more to a training sentence."""

_LIST_SHARE, _LONGEST_LIST, _LONGEST_REFINING_LIST = 1 / 3, 6, 10


@dataclass(frozen=True)
class CorpusSizes:
    """Utterances of each kind; `probe` counts the clips of each tag, and of none."""

    neutral: int
    refine: int
    expressive: int
    dev: int
    test: int
    test_voices: int
    expressive_test: int
    probe: int


@dataclass(frozen=True)
class Utterance:
    """One utterance to synthesise; `text` may hold tags only where `kind` is expressive."""

    key: str
    kind: str
    text: str
    voice: str
    seed: int


def plan(sizes: CorpusSizes, seed: int) -> list[Utterance]:
    """Decide every utterance: text, voice and seed; deterministic.

    Test sentences come first, half of them from template families that training never sees;
    training sentences too close to any of them (ROUGE-L) are dropped. A third of the training
    texts are short lists of words: without a grammar to lean on, the language model must listen.
    """
    wanted = sizes.dev + sizes.test + sizes.test_voices
    half = wanted // 2
    test = scripts.plain_sentences(half, seed + 1, held_out=True)
    test += scripts.plain_sentences(wanted - half, seed + 2, held_out=False, exclude=test)
    neutral = _training_texts(sizes.neutral, _LONGEST_LIST, (seed + 8, seed + 3), test)
    refine = _training_texts(sizes.refine, _LONGEST_REFINING_LIST, (seed + 9, seed + 10), test)
    expressive = [
        script.tagged_text
        for script in scripts.generate(sizes.expressive, seed + 4, held_out=False, exclude=test)
    ]
    unseen = [
        script.tagged_text
        for script in scripts.generate(
            sizes.expressive_test, seed + 7, exclude={tags.plain_text(t) for t in expressive}
        )
    ]
    training = [voice.id for voice in speech.VOICES if not voice.held_out]
    held_out = [voice.id for voice in speech.VOICES if voice.held_out]
    order = np.random.default_rng(seed).permutation(wanted)
    mixed = iter([test[i] for i in order])
    return [
        *_utterances("dev", list(islice(mixed, sizes.dev)), training, seed),
        *_utterances("test", list(islice(mixed, sizes.test)), training, seed),
        *_utterances("test_voices", list(mixed), held_out, seed),
        *_utterances("expressive", expressive, training, seed),
        *_utterances("expressive_test", unseen, [*training, *held_out], seed),
        *_probes("probe_train", sizes.probe, training, seed + 5),
        *_probes("probe_test", sizes.probe // 2, held_out, seed + 6),
        *_utterances("neutral", neutral, training, seed),
        *_utterances("refine", refine, training, seed),
    ]


def _training_texts(
    count: int, longest_list: int, seeds: tuple[int, int], test: Sequence[str]
) -> list[str]:
    """Lists of words, then sentences, none of them close to a test sentence."""
    listed = int(count * _LIST_SHARE)
    lists = scripts.word_lists(_spare(listed), seeds[0], longest_list, exclude=test)
    sentences = scripts.plain_sentences(
        _spare(count - listed), seeds[1], held_out=False, exclude=test
    )
    return [*_far_from(test, lists)[:listed], *_far_from(test, sentences)[: count - listed]]


def _spare(count: int) -> int:
    """Texts to draw so that `count` remain after those close to the test are dropped."""
    return count * 3 // 2 + 1000


def _far_from(test: Sequence[str], drawn: list[str]) -> list[str]:
    near = duplicates.near_duplicates_between(drawn, test, threshold=MIN_DISTANCE)
    close = {first for first, *_ in near}
    return [text for i, text in enumerate(drawn) if i not in close]


def _probes(kind: str, count: int, voices: Sequence[str], seed: int) -> Iterator[Utterance]:
    """The same sentences in the same voices without a tag and once with each of the 17."""
    sentences = scripts.plain_sentences(count, seed, held_out=kind == "probe_test")
    rng = np.random.default_rng(seed)
    places = [int(rng.integers(0, text.count(" ") + 1)) for text in sentences]
    for tag in ("", *tags.TAGS):
        at_start = tags.group_of(tag) == "emotion" or tag in {"whispers", "shouts"}
        texts = []
        for text, place in zip(sentences, places, strict=True):
            words = text.split()
            words[0 if at_start else place : 0] = [f"[{tag}]"] if tag else []
            texts.append(" ".join(words))
        yield from _utterances(f"{kind}:{tag or 'plain'}", texts, voices, seed)


def _utterances(
    kind: str, texts: Sequence[str], voices: Sequence[str], seed: int
) -> Iterator[Utterance]:
    for i, text in enumerate(texts):
        own = int(runs.digest([seed, kind, i])[:8], 16)
        yield Utterance(f"{kind}-{i:06d}", kind, text, voices[i % len(voices)], own)


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
        sounds: class in `SOUNDS` per encoder frame.
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
    rendered = render_many(jobs, workers)
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
    return mel, prosody_frames(audio, len(mel) // 2), facts


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
            rows.phonemes.append(phoneme_frames(fact["phonemes"], index, frames))
            rows.sounds.append(sound_frames(fact["events"], frames))
            at = end
    if any(len(m) > 2 * shape.window_seconds * FRAME_RATE for k in kinds.values() for m in k.mels):
        raise ValueError("a clip is longer than the window")
    return kinds, names


SOUNDS = ("none", "background", "laughs", "sighs", "gasps", "clears throat", "crying")
"""Classes of non-speech sound; index 0 is speech or silence."""

_HOP = SAMPLE_RATE // FRAME_RATE
_SPAN = 1024
_LOWEST_HZ, _HIGHEST_HZ = 60, 500


def _fill(frames: int, spans: Iterable[tuple[float, float, int]]) -> NDArray[np.uint8]:
    labels = np.zeros(frames, np.uint8)
    for start, end, label in spans:
        labels[round(start * FRAME_RATE) : max(round(end * FRAME_RATE), 0)] = label
    return labels


def phoneme_frames(
    phonemes: Sequence[tuple[float, float, str]], index: dict[str, int], frames: int
) -> NDArray[np.uint8]:
    """Phoneme class of each frame, shape (frames,); 0 is silence or an unknown symbol."""
    return _fill(frames, ((start, end, index.get(name, 0)) for start, end, name in phonemes))


def sound_frames(events: Sequence[tuple[float, float, str]], frames: int) -> NDArray[np.uint8]:
    """Index into `SOUNDS` of each frame, shape (frames,); `[pause]` is silence."""
    known = ((s, e, SOUNDS.index(name)) for s, e, name in events if name in SOUNDS)
    return _fill(frames, known)


def prosody_frames(audio: NDArray[np.float32], frames: int) -> NDArray[np.float16]:
    """Pitch, voicing and loudness of each frame.

    Args:
        audio: 16 kHz mono samples, shape (n,).
        frames: frames to return.

    Returns:
        Shape (frames, 3): log2 of the pitch in units of 150 Hz (0 where unvoiced); voicing, the
        height of the normalised autocorrelation's peak between 60 and 500 Hz, in [0, 1];
        loudness, log10 of the mean square, scaled to about [0, 1].
    """
    padded = np.zeros(frames * _HOP + _SPAN, np.float32)
    keep = min(len(audio), frames * _HOP)
    padded[_SPAN // 2 : _SPAN // 2 + keep] = audio[:keep]
    views = np.lib.stride_tricks.sliding_window_view(padded, _SPAN)[::_HOP][:frames]
    windowed = views * np.hanning(_SPAN).astype(np.float32)
    spectrum = fft.rfft(windowed, 2 * _SPAN, axis=1)
    correlation = fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :_SPAN]
    energy = correlation[:, :1] + 1e-6
    shortest, longest = SAMPLE_RATE // _HIGHEST_HZ, SAMPLE_RATE // _LOWEST_HZ
    lags = correlation[:, shortest:longest] / energy
    best = lags.argmax(axis=1)
    voicing = np.clip(lags[np.arange(frames), best], 0.0, 1.0)
    pitch = np.log2(SAMPLE_RATE / (best + shortest) / 150.0)
    loudness = np.log10(np.mean(views**2, axis=1) + 1e-8) / 8.0 + 1.0
    voiced = (voicing > 0.4) & (loudness > 0.4)
    return np.stack([np.where(voiced, pitch, 0.0), voicing, loudness], axis=1).astype(np.float16)


STAGE_DIRECTIONS = (
    "sad music", "music", "angry crowd", "nervous dog", "calm sea", "frustrated driver",
    "confused voices", "scared cat", "excited children", "happy song", "door opens",
    "phone rings", "rain", "wind", "laughs on the radio", "the crowd laughs", "sighs of the wind",
    "he sighs at the door", "gasps from the crowd", "she gasps again", "clears the table",
    "he clears his throat twice", "throat singing", "crying baby", "a child crying",
    "whispers in the hall", "someone whispers", "shouts outside", "he shouts back",
    "stammers his name", "she stammers a lot", "pause music", "long pause in the game",
    "lights go dark", "glass breaks", "car stops", "bell rings", "dog barks", "steps",
)  # fmt: skip
"""None equals a tag of the vocabulary; together they hold every word the tags are made of."""


def read_lines(count: int, seed: int) -> list[str]:
    """Sentences with capitalised emphasis and stage directions, deterministic by seed."""
    rng = np.random.default_rng(seed)
    emphatic = sorted(scripts.EMPHASIS_WORDS)
    sentences = scripts.plain_sentences(count, seed, held_out=False)
    return [_decorate(sentence, rng, emphatic) for sentence in sentences]


def _decorate(sentence: str, rng: np.random.Generator, emphatic: list[str]) -> str:
    words = sentence.split()
    if rng.random() < 0.5:
        choices = [i for i, word in enumerate(words) if word.strip(".,!?").lower() in emphatic]
        if choices:
            at = int(rng.choice(choices))
            words[at] = words[at].upper()
    for _ in range(int(rng.integers(0, 3))):
        direction = STAGE_DIRECTIONS[int(rng.integers(len(STAGE_DIRECTIONS)))]
        words.insert(int(rng.integers(0, len(words) + 1)), f"[{direction}]")
    return " ".join(words)
