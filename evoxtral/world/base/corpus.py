"""What the embedded base model learns from: neutral speech, sounds, and text, all made here.

* `neutral`: plain sentences in every training voice, with background sounds; encoder and language
  model learn from them to transcribe words and to write no tag. `refine`: others, with longer
  lists of words, for the second cycle.
* `expressive`: tagged scripts, which the encoder alone hears, framewise, so that its features keep
  laughs, whispers and pitch apart; the language model never sees their text.
* `dev`, `test`, `test_voices` (held-out voices), `expressive_test`: sentences nobody trained on.
* `probe_train:<tag>` and `probe_test:<tag>` (held-out voices): the same sentences with one tag and
  without, for linear probes of the frozen encoder.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from transformers import WhisperFeatureExtractor

from evoxtral import runs, tags
from evoxtral.mix.composition import near_duplicates
from evoxtral.params import TinyBase
from evoxtral.processes import progress
from evoxtral.world import scripts, speech
from evoxtral.world.base.model import FRAME_RATE, SAMPLE_RATE, SHAPE
from evoxtral.world.speech import RenderJob, render_many

MIN_DISTANCE = 0.7
"""No test sentence has this ROUGE-L or more to a training sentence."""

KINDS = ("neutral", "refine", "expressive", "dev", "test", "test_voices", "expressive_test")
SOUNDS = ("none", "background", "laughs", "sighs", "gasps", "clears throat", "crying")
"""Classes of non-speech sound; index 0 is speech or silence."""
SHARD = 500
"""Most clips in a file."""

_CODE = (
    "evoxtral.tags",
    "evoxtral.world.base.corpus",
    "evoxtral.world.scripts",
    "evoxtral.world.speech",
)
_EXTRA_FRAMES = 4
_BACKGROUND_SHARE = 0.3
_HOP = SAMPLE_RATE // FRAME_RATE
_SPAN = 1024
_LOWEST_HZ, _HIGHEST_HZ = 60, 500

Plan = dict[str, list[RenderJob]]
"""What to synthesise, by kind."""


def build(cfg: TinyBase) -> runs.StageResult:
    """The stage that synthesises what the base learns from and is tested on."""
    sizes = cfg.model_dump(include={*KINDS, "probe"})
    workers = cfg.workers or len(os.sched_getaffinity(0))

    def fill(folder: Path) -> None:
        make(folder, plan(sizes, cfg.seed), workers)

    return runs.stage("base-corpus", cfg.profile, {**sizes, "seed": cfg.seed}, fill, code=_CODE)


def plan(sizes: Mapping[str, int], seed: int) -> Plan:
    """Decide text, voice and seed of every clip: of each of `KINDS`, `probe` of each tag and none.

    Test sentences come first, half of them from template families that training never sees;
    training sentences too close to any of them (ROUGE-L) are dropped. A third of the training
    texts are short lists of words: without a grammar to lean on, the language model must listen.
    """
    dev, tested = sizes["dev"], sizes["dev"] + sizes["test"]
    wanted = tested + sizes["test_voices"]
    half = wanted // 2
    test = scripts.plain_sentences(half, seed + 1, held_out=True)
    test += scripts.plain_sentences(wanted - half, seed + 2, held_out=False, exclude=test)
    mixed = [test[i] for i in np.random.default_rng(seed).permutation(wanted)]
    neutral = _training_texts(sizes["neutral"], 6, (seed + 8, seed + 3), test)
    refine = _training_texts(sizes["refine"], 10, (seed + 9, seed + 10), test)
    expressive = scripts.generate(sizes["expressive"], seed + 4, held_out=False, exclude=test)
    heard = {script.plain_text for script in expressive}
    unseen = scripts.generate(sizes["expressive_test"], seed + 7, exclude=heard)
    training = [voice.id for voice in speech.TRAINING_VOICES]
    held_out = [voice.id for voice in speech.HELD_OUT_VOICES]
    chosen = {
        "dev": (mixed[:dev], training),
        "test": (mixed[dev:tested], training),
        "test_voices": (mixed[tested:], held_out),
        "expressive": ([script.tagged_text for script in expressive], training),
        "expressive_test": ([script.tagged_text for script in unseen], [*training, *held_out]),
        "neutral": (neutral, training),
        "refine": (refine, training),
    }
    return {
        **{kind: _jobs(kind, *spoken, seed) for kind, spoken in chosen.items()},
        **_probes("probe_train", sizes["probe"], training, seed + 5),
        **_probes("probe_test", sizes["probe"] // 2, held_out, seed + 6),
    }


def _training_texts(
    count: int, longest: int, seeds: tuple[int, int], test: Sequence[str]
) -> list[str]:
    """Lists of `longest` words at most, then sentences, none of them close to a test sentence."""
    parts = count // 3, count - count // 3
    spare = [n * 3 // 2 + 1000 for n in parts]  # some will be too close
    lists = scripts.word_lists(spare[0], seeds[0], longest, exclude=test)
    sentences = scripts.plain_sentences(spare[1], seeds[1], held_out=False, exclude=test)
    texts = []
    for drawn, wanted in zip((lists, sentences), parts, strict=True):
        close = set(near_duplicates(drawn, test, MIN_DISTANCE)["first"])
        texts += [text for i, text in enumerate(drawn) if i not in close][:wanted]
    return texts


def _probes(kind: str, count: int, voices: Sequence[str], seed: int) -> Plan:
    """The same sentences in the same voices without a tag and once with each of the 17."""
    sentences = scripts.plain_sentences(count, seed, held_out=kind == "probe_test")
    rng = np.random.default_rng(seed)
    places = [int(rng.integers(0, text.count(" ") + 1)) for text in sentences]
    planned = {}
    for tag in ("", *tags.TAGS):
        at_start = tags.group_of(tag) == "emotion" or tag in {"whispers", "shouts"}
        texts = []
        for text, place in zip(sentences, places, strict=True):
            words = text.split()
            if tag:
                words.insert(0 if at_start else place, f"[{tag}]")
            texts.append(" ".join(words))
        name = f"{kind}:{tag or 'plain'}"
        planned[name] = _jobs(name, texts, voices, seed)
    return planned


def _jobs(kind: str, texts: Sequence[str], voices: Sequence[str], seed: int) -> list[RenderJob]:
    return [
        RenderJob(
            key=f"{kind}-{i:06d}",
            tagged_text=text,
            voice_id=voices[i % len(voices)],
            seed=int(runs.digest([seed, kind, i])[:8], 16),
        )
        for i, text in enumerate(texts)
    ]


@dataclass(frozen=True, eq=False)
class Clip:
    """Features and frame targets of one utterance; an encoder frame is two mel frames."""

    text: str  # with tags where the kind is expressive
    voice: str
    mel: NDArray[np.floating]  # log-mel, (mel frames, bands), without the window's silent tail
    floor: float  # the value that pads the window
    phonemes: NDArray[np.uint8]  # class of each encoder frame, (frames,)
    sounds: NDArray[np.uint8]  # index into `SOUNDS` of each frame, (frames,)
    prosody: NDArray[np.floating]  # pitch, voicing, loudness of each frame, (frames, 3)


Kinds = dict[str, list[Clip]]
"""Clips by kind."""


def make(folder: Path, planned: Plan, workers: int) -> None:
    """Synthesise what is planned and write features in shards; resumes after a kill.

    Clips longer than the window are left out: half a clip has the wrong transcript.
    """
    missing = {}
    for kind, jobs in planned.items():
        for start in range(0, len(jobs), SHARD):
            name = kind.replace(":", "-").replace(" ", "_")
            path = folder / f"{name}-{start // SHARD:04d}.npz"
            if not path.exists():
                missing[path] = [(kind, job) for job in jobs[start : start + SHARD]]
    window = SHAPE.window_seconds
    extractor = WhisperFeatureExtractor(feature_size=SHAPE.mel_bins, chunk_length=window)
    wanted = [job for own in missing.values() for _, job in own]
    rendered = render_many(wanted, workers)
    with progress(len(wanted), "synthesis", unit="clip") as bar, ExitStack() as after:
        after.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # one clip is too little work for more, and workers need the rest
        for path, own in missing.items():
            described = []
            for kind, job in own:
                _, clip = next(rendered)
                if len(clip.audio) <= window * SAMPLE_RATE:
                    described.append(_describe(kind, job, clip, extractor))
                bar.update()
            mels, prosody, facts = zip(*described, strict=True)
            note = np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)
            buffer = io.BytesIO()
            np.savez(buffer, mel=np.concatenate(mels), prosody=np.concatenate(prosody), facts=note)
            runs.write_bytes(path, buffer.getvalue())


def _describe(
    kind: str, job: RenderJob, clip: speech.Rendered, extractor: WhisperFeatureExtractor
) -> tuple[NDArray[np.float16], NDArray[np.float16], dict[str, Any]]:
    """Log-mel frames, prosody and facts of one clip."""
    audio, events = clip.audio, list(clip.events)
    if kind in {"neutral", "refine"}:
        audio, sound = add_background(audio, np.random.default_rng(job.seed))
        events += sound
    whole = extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0].T
    mel = whole[: 2 * (-(-len(audio) // _HOP) + _EXTRA_FRAMES)].astype(np.float16)
    facts = {
        "kind": kind,
        "text": job.tagged_text,
        "voice": job.voice_id,
        "floor": float(whole.min()),
        "mel_frames": len(mel),
        "phonemes": clip.phonemes,
        "events": events,
    }
    return mel, prosody_frames(audio, len(mel) // 2), facts


def add_background(
    audio: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[float, float, str]]]:
    """Lay knocks, a beep, a hiss or a hum over some clips; transcripts do not mention it.

    Returns the audio, same length, and (start, end, "background") spans in seconds.
    """
    if rng.random() >= _BACKGROUND_SHARE:
        return audio, []
    length = int(min(len(audio), SAMPLE_RATE * rng.uniform(0.08, 0.9)))
    start = int(rng.integers(0, len(audio) - length + 1))
    time = np.arange(length) / SAMPLE_RATE
    kind = rng.integers(4)
    if kind == 0:
        rate = rng.uniform(3, 9)
        sound = rng.normal(size=length) * np.exp(-40 * np.mod(time, 1 / rate))
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


def load(folder: Path) -> tuple[Kinds, list[str]]:
    """Read all shards: the clips of each kind, and the phoneme symbols (index 0 is silence)."""
    shards = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            shards.append((data["mel"], data["prosody"], json.loads(data["facts"].tobytes())))
    symbols = {p[2] for *_, facts in shards for fact in facts for p in fact["phonemes"]}
    names = ["", *sorted(symbols - {""})]
    kinds: Kinds = {}
    for mel, prosody, facts in shards:
        end = 0
        for fact in facts:
            start, end, frames = end, end + fact["mel_frames"], fact["mel_frames"] // 2
            clip = Clip(
                fact["text"],
                fact["voice"],
                mel[start:end],
                fact["floor"],
                frame_labels(fact["phonemes"], names, frames),
                frame_labels(fact["events"], SOUNDS, frames),
                prosody[start // 2 : end // 2],
            )
            kinds.setdefault(fact["kind"], []).append(clip)
    return kinds, names


def frame_labels(
    spans: Iterable[tuple[float, float, str]], classes: Sequence[str], frames: int
) -> NDArray[np.uint8]:
    """Class of each frame from (start, end, name) in seconds, shape (frames,); others are 0.

    >>> frame_labels([(0.02, 0.06, "a"), (0.06, 0.1, "pause")], ["", "b", "a"], 6).tolist()
    [0, 2, 2, 0, 0, 0]
    """
    labels = np.zeros(frames, np.uint8)
    for start, end, name in spans:
        if name in classes:
            span = slice(round(start * FRAME_RATE), max(round(end * FRAME_RATE), 0))
            labels[span] = classes.index(name)
    return labels


def prosody_frames(audio: NDArray[np.float32], frames: int) -> NDArray[np.float16]:
    """Pitch, voicing and loudness of each frame of 16 kHz audio, shape (frames, 3).

    Pitch is log2 in units of 150 Hz (0 where unvoiced); voicing the height of the normalised
    autocorrelation's peak between 60 and 500 Hz, in [0, 1]; loudness log10 of the mean square,
    scaled to about [0, 1].
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
    lines = []
    for sentence in scripts.plain_sentences(count, seed, held_out=False):
        words = sentence.split()
        if rng.random() < 0.5:
            bare = [word.strip(".,!?").lower() for word in words]
            stressable = [i for i, word in enumerate(bare) if word in scripts.EMPHASIS_WORDS]
            if stressable:
                at = rng.choice(stressable)
                words[at] = words[at].upper()
        for _ in range(rng.integers(0, 3)):
            direction = STAGE_DIRECTIONS[rng.integers(len(STAGE_DIRECTIONS))]
            words.insert(rng.integers(0, len(words) + 1), f"[{direction}]")
        lines.append(" ".join(words))
    return lines
