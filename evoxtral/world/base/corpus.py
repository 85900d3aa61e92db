"""What the embedded base model learns from: neutral speech, sounds, and text, all made here.

* `neutral`: plain sentences with background sounds, to transcribe without any tag; `refine`:
  others, with longer lists of words, for the second cycle.
* `expressive`: tagged scripts, which the encoder alone hears, framewise, so that its features keep
  laughs, whispers and pitch apart; the language model never sees their text.
* `dev`, `test`, `test_voices` (held-out voices), `expressive_test`: sentences nobody trained on.
* `probe_train:<tag>` and `probe_test:<tag>` (held-out voices): the same sentences with one tag and
  without (`plain`), for linear probes of the frozen encoder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from evoxtral.world.base.model import FRAME_RATE, SAMPLE_RATE, SHAPE, build_extractor
from evoxtral.world.scripts.draft import STATES
from evoxtral.world.scripts.grammar import GRAMMAR, bare
from evoxtral.world.speech import RenderJob, render_many

TEST_SETS = {
    "test": "neutral, training voices",
    "test_voices": "neutral, held-out voices",
    "expressive_test": "expressive, all voices",
}
KINDS = ("neutral", "refine", "expressive", "dev", "test", "test_voices", "expressive_test")
SOUNDS = ("none", "background", "laughs", "sighs", "gasps", "clears throat", "crying")
MIN_DISTANCE = 0.7  # ROUGE-L that no test sentence has to a training sentence
SHARD = 500  # most clips in a file
_BACKGROUND_SHARE = 0.3
_HOP = SAMPLE_RATE // FRAME_RATE
_SPAN = 1024

Floats = NDArray[np.floating]
Plan = dict[str, list[RenderJob]]  # by kind


def build(cfg: TinyBase) -> runs.StageResult:
    """The stage that synthesises what the base learns from and is tested on."""
    sizes = cfg.model_dump(include={*KINDS, "probe"})

    def fill(folder: Path) -> None:
        make(folder, plan(sizes, cfg.seed), cfg.workers or None)

    code = ("tags", "world.base.corpus", "world.base.model", "world.scripts", "world.speech")
    code = [f"evoxtral.{module}" for module in code]
    return runs.stage("base-corpus", cfg.profile, {**sizes, "seed": cfg.seed}, fill, code=code)


def plan(sizes: Mapping[str, int], seed: int) -> Plan:
    """Decide text, voice and seed of every clip: of each of `KINDS`, `probe` of each tag and none.

    Half of the test sentences are from template families that training never sees. A third of the
    training texts are word lists: without a grammar to lean on, the language model must listen.
    """
    dev, tested = sizes["dev"], sizes["dev"] + sizes["test"]
    wanted = tested + sizes["test_voices"]
    test = scripts.plain_sentences(wanted // 2, seed + 1, held_out=True)
    familiar = wanted - len(test)
    test += scripts.plain_sentences(familiar, seed + 2, held_out=False, exclude=test)
    mixed = [test[i] for i in np.random.default_rng(seed).permutation(wanted)]
    expressive = scripts.generate(sizes["expressive"], seed + 4, held_out=False, exclude=test)
    heard = [script.plain_text for script in expressive]
    unseen = scripts.generate(sizes["expressive_test"], seed + 7, exclude=heard)
    training, held_out = speech.TRAINING_VOICES, speech.HELD_OUT_VOICES
    said = {
        "dev": (mixed[:dev], training),
        "test": (mixed[dev:tested], training),
        "test_voices": (mixed[tested:], held_out),
        "expressive": ([script.tagged_text for script in expressive], training),
        "expressive_test": ([script.tagged_text for script in unseen], speech.VOICES),
        "neutral": (_training_texts(sizes["neutral"], 6, seed + 8, seed + 3, test), training),
        "refine": (_training_texts(sizes["refine"], 10, seed + 9, seed + 10, test), training),
    }
    planned = {kind: _jobs(kind, *spoken, seed) for kind, spoken in said.items()}
    for part, count, voices, own in (
        ("probe_train", sizes["probe"], training, seed + 5),
        ("probe_test", sizes["probe"] // 2, held_out, seed + 6),
    ):
        sentences = scripts.plain_sentences(count, own, held_out=voices is held_out)
        for tag, texts in _probes(sentences, own):
            planned[f"{part}:{tag}"] = _jobs(f"{part}:{tag}", texts, voices, own)
    return planned


def _jobs(
    kind: str, texts: Sequence[str], voices: Sequence[speech.Voice], seed: int
) -> list[RenderJob]:
    return [
        RenderJob(
            tagged_text=text,
            voice=voices[i % len(voices)],
            seed=int(runs.digest([seed, kind, i])[:8], 16),
        )
        for i, text in enumerate(texts)
    ]


def _training_texts(
    count: int, longest: int, of_lists: int, of_sentences: int, test: Sequence[str]
) -> list[str]:
    """Lists of `longest` words at most, then sentences, none close to a test sentence; by seed."""
    parts = count // 3, count - count // 3
    spare = [n * 3 // 2 + 1000 for n in parts]  # some will be too close
    lists = scripts.word_lists(spare[0], of_lists, longest, exclude=test)
    sentences = scripts.plain_sentences(spare[1], of_sentences, held_out=False, exclude=test)
    texts = []
    for drawn, wanted in zip((lists, sentences), parts, strict=True):
        close = set(near_duplicates(drawn, test, MIN_DISTANCE)["first"])
        texts += [text for i, text in enumerate(drawn) if i not in close][:wanted]
    return texts


def _probes(sentences: Sequence[str], seed: int) -> Iterator[tuple[str, list[str]]]:
    """The sentences without a tag and once with each of the 17."""
    yield "plain", [*sentences]
    rng = np.random.default_rng(seed)
    places = [int(rng.integers(0, text.count(" ") + 1)) for text in sentences]
    for tag in tags.TAGS:
        texts = []
        for text, place in zip(sentences, places, strict=True):
            words = text.split()
            words.insert(0 if tag in STATES else place, f"[{tag}]")
            texts.append(" ".join(words))
        yield tag, texts


@dataclass(frozen=True, eq=False)
class Clip:
    """Features and frame targets of one utterance; an encoder frame is two mel frames."""

    text: str  # with tags where the kind is expressive
    voice: str
    mel: Floats  # log-mel, (mel frames, bands), without the window's silent tail
    floor: float  # the value that pads the window
    phonemes: NDArray[np.uint8]  # class of each encoder frame, (frames,)
    sounds: NDArray[np.uint8]  # index into `SOUNDS` of each frame, (frames,)
    prosody: Floats  # pitch, voicing, loudness of each frame, (frames, 3)


Kinds = dict[str, list[Clip]]


def make(folder: Path, planned: Plan, workers: int | None) -> None:
    """Synthesise missing shards of what is planned, without the clips longer than the window."""
    missing = {}
    for kind, jobs in planned.items():
        name = kind.replace(":", "-").replace(" ", "_")
        for start in range(0, len(jobs), SHARD):
            path = folder / f"{name}-{start // SHARD:04d}.npz"
            if not path.exists():
                missing[path] = kind, jobs[start : start + SHARD]
    extractor = build_extractor(SHAPE)
    wanted = [job for _, jobs in missing.values() for job in jobs]
    rendered = render_many(wanted, workers)
    with progress(len(wanted), "synthesis", unit="clip") as bar, ExitStack() as after:
        after.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # one clip is too little work for more, and workers need the rest
        for path, (kind, jobs) in missing.items():
            described = []
            for job in jobs:
                clip = next(rendered)
                if len(clip.audio) <= extractor.n_samples:
                    described.append(_describe(kind, job, clip, extractor))
                bar.update()
            mels, prosody, facts = zip(*described, strict=True)
            note = np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)
            buffer = io.BytesIO()
            np.savez(buffer, mel=np.concatenate(mels), prosody=np.concatenate(prosody), facts=note)
            runs.write_bytes(path, buffer.getvalue())


def _describe(
    kind: str, job: RenderJob, clip: speech.Rendered, extractor: WhisperFeatureExtractor
) -> tuple[Floats, Floats, dict[str, Any]]:
    """Log-mel frames, prosody and facts of one clip."""
    audio, sounds = clip.audio, []
    if kind in {"neutral", "refine"}:
        audio, sounds = add_background(audio, np.random.default_rng(job.seed))
    whole = extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="np").input_features[0].T
    mel = whole[: 2 * (-(-len(audio) // _HOP) + 4)].astype(np.float16)
    facts = {
        "kind": kind,
        "text": job.tagged_text,
        "voice": job.voice.id,
        "floor": float(whole.min()),
        "mel_frames": len(mel),
        "phonemes": clip.phonemes,
        "events": [*clip.events, *sounds],
    }
    return mel, prosody_frames(audio, len(mel) // 2), facts


def add_background(
    audio: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[tuple[float, float, str]]]:
    """Lay knocks, a beep, a hiss or a hum over some clips, which transcripts do not mention.

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
    names = ["", *sorted(symbols)]
    kinds = {}
    for mel, prosody, facts in shards:
        end = 0
        for fact in facts:
            start, end = end, end + fact["mel_frames"]
            own = prosody[start // 2 : end // 2]
            phonemes = frame_labels(fact["phonemes"], names, len(own))
            sounds = frame_labels(fact["events"], SOUNDS, len(own))
            said = fact["text"], fact["voice"], mel[start:end], fact["floor"]
            kinds.setdefault(fact["kind"], []).append(Clip(*said, phonemes, sounds, own))
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

    Pitch is log2 in units of 150 Hz, 0 where unvoiced; voicing the peak of the autocorrelation
    between 60 and 500 Hz, in [0, 1]; loudness log10 of the mean square, about in [0, 1].
    """
    padded = np.zeros(frames * _HOP + _SPAN, np.float32)
    keep = min(len(audio), frames * _HOP)
    padded[_SPAN // 2 : _SPAN // 2 + keep] = audio[:keep]
    views = np.lib.stride_tricks.sliding_window_view(padded, _SPAN)[::_HOP][:frames]
    windowed = views * np.hanning(_SPAN).astype(np.float32)
    spectrum = fft.rfft(windowed, 2 * _SPAN, axis=1)
    correlation = fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :_SPAN]
    energy = correlation[:, :1] + 1e-6
    shortest, longest = SAMPLE_RATE // 500, SAMPLE_RATE // 60
    lags = correlation[:, shortest:longest] / energy
    best = lags.argmax(axis=1)
    voicing = np.clip(lags[np.arange(frames), best], 0.0, 1.0)
    pitch = np.log2(SAMPLE_RATE / (best + shortest) / 150.0)
    loudness = np.log10(np.mean(views**2, axis=1) + 1e-8) / 8.0 + 1.0
    voiced = (voicing > 0.4) & (loudness > 0.4)
    return np.stack([np.where(voiced, pitch, 0.0), voicing, loudness], axis=1).astype(np.float16)


def read_lines(count: int, seed: int, kinds: Kinds) -> list[str]:
    """Sentences with capitalised emphasis and stage directions, deterministic by seed.

    None is one of those that the model is watched and tested on.
    """
    rng = np.random.default_rng(seed)
    tests = [*kinds["dev"], *(clip for kind in TEST_SETS for clip in kinds[kind])]
    tested = [tags.plain_text(clip.text) for clip in tests]
    directions = GRAMMAR["stage_directions"]
    lines = []
    for sentence in scripts.plain_sentences(count, seed, held_out=False, exclude=tested):
        words = sentence.split()
        if rng.random() < 0.5:
            spots = [i for i, word in enumerate(words) if bare(word) in scripts.EMPHASIS_WORDS]
            if spots:
                at = rng.choice(spots)
                words[at] = words[at].upper()
        for _ in range(rng.integers(0, 3)):
            direction = directions[rng.integers(len(directions))]
            words.insert(rng.integers(0, len(words) + 1), f"[{direction}]")
        lines.append(" ".join(words))
    return lines
