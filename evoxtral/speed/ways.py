"""The ways that are measured: ours, and what one writes with transformers and peft alone."""

from __future__ import annotations

import copy
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from transformers import (
    BatchFeature,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    VoxtralForConditionalGeneration,
)

from evoxtral import UserError, params, pipeline, runs
from evoxtral.clips import Clip
from evoxtral.clips.audio import SAMPLE_RATE
from evoxtral.decode import Decoding, decode, plan_batches, transcribe
from evoxtral.mix.duplicates import keep_first
from evoxtral.model import (
    Features,
    attach,
    cache_features,
    load,
    merge,
    read_cached,
)
from evoxtral.params import FineTuning, Raft, Sft
from evoxtral.pipeline import Setup, open_setup
from evoxtral.report.provenance import commit
from evoxtral.speed import OURS, PARTS, PLAIN, ROUNDS, compared
from evoxtral.train import Examples, collate
from evoxtral.train.trainer import FineTuner, LengthSampler, Watched


@dataclass(frozen=True)
class Depth:
    """How much is measured: rounds, clips of a comparison, ks, clips and texts of the curves."""

    rounds: int
    clips: int
    ks: tuple[int, ...]
    sizes: tuple[int, ...]
    texts: tuple[int, ...]


DEPTHS = {
    "quick": Depth(1, 8, (1, 4), (4, 8), (100, 200)),
    "full": Depth(ROUNDS, 64, (1, 4, 16), (125, 250, 500, 1_000), (1_250, 2_500, 5_000, 10_000)),
}


def conditions(profile: str, depth: str) -> dict[str, Any]:
    """What belongs beside a measurement; nothing that names the machine."""
    cuda = torch.cuda.is_available()
    about = Path("/proc/cpuinfo")  # Linux; `platform` often knows the architecture only
    lines = about.read_text().splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    machine = {
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        **{name: metadata.version(name) for name in ("numpy", "peft", "torch", "transformers")},
    }
    today = datetime.now(UTC).date().isoformat()
    return {"profile": profile, "depth": depth, "measured": today, **commit(), "machine": machine}


def measure(
    profile: str, depth: str, parts: Sequence[str] = (), *, again: bool = False
) -> Iterator[tuple[str, bool]]:
    """Measure the parts that are not measured yet at this commit and depth.

    Yields:
        The name of each part, and whether it was measured now.

    Raises:
        UserError: an unknown part.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise UserError(f"there is no part {unknown[0]!r}: choose of {', '.join(PARTS)}")
    folder, how = runs.reports_dir() / "speed", DEPTHS[depth]
    subject = Subject(profile)
    for part in parts or PARTS:
        file = folder / f"{part}_{profile}"
        said = conditions(profile, depth)
        if not again and file.with_suffix(".json").is_file():
            before = runs.read_json(file.with_suffix(".json"))["conditions"]
            if (before["depth"], before["commit"]) == (depth, said["commit"]):
                yield part, False
                continue
        made = _MEASURED[part](subject, how)
        runs.write_text(file.with_suffix(".csv"), made.round(6).to_csv(index=False))
        runs.write_json(file.with_suffix(".json"), {"conditions": said})
        yield part, True


class Subject:
    """Clips and models of a profile; adapters are loaded or merged before any clock starts."""

    def __init__(self, profile: str) -> None:
        self.cfg = params.profile(Sft, profile)
        self.raft = params.profile(Raft, profile)

    @cached_property
    def setup(self) -> Setup:
        """Base, prompter, audio."""
        return open_setup(self.cfg)

    @cached_property
    def adapter(self) -> Path:
        """The SFT adapter, trained if it is not there."""
        return pipeline.sft_adapter(self.cfg, self.setup).adapter

    @cached_property
    def plain(self) -> nn.Module:
        """The model as loaded: encoder inside, adapter beside the weights."""
        return load(self.setup.fresh().model, self.adapter).eval()

    @cached_property
    def ours(self) -> VoxtralForConditionalGeneration:
        """The model that reads cached features, adapter merged."""
        return merge(read_cached(self.setup.fresh().model), self.adapter)

    def clips(self, split: str, wanted: int) -> list[Clip]:
        """So many clips at even distances over a split, or all that there are."""
        own = self.setup.clips(split)
        wanted = min(wanted, len(own))
        return [own[i * len(own) // wanted] for i in range(wanted)]

    def features(self, clips: Sequence[Clip], *, anew: bool = False) -> Features:
        """Cached encoder features of clips, built anew or where they are missing."""
        setup = self.setup
        made = cache_features(setup.base, clips, setup.sounds, "speed", "the clips")
        if anew:
            shutil.rmtree(made.folder)
            made = cache_features(setup.base, clips, setup.sounds, "speed", "the clips")
        return made

    def request(self, clips: Sequence[Clip]) -> BatchFeature:
        """A transcription request as the model's page shows it, for clips of one window each."""
        setup, base = self.setup, self.setup.base
        frames = 2 * base.model.config.audio_config.max_source_positions  # of the log-mels
        window = {"pad_to_multiple_of": setup.prompter.window, "max_source_positions": frames}
        asked = base.processor.apply_transcription_request(
            language=["en"] * len(clips),
            audio=[setup.sounds.audio(clip) for clip in clips],
            format=["WAV"] * len(clips),
            sampling_rate=SAMPLE_RATE,
            model_id=base.name,
            audio_kwargs=window,
        )
        weight = next(setup.base.model.model.audio_tower.parameters())
        return asked.to(weight.device, dtype=weight.dtype)

    def write(self, clip: Clip, **options: Any) -> list[str]:
        """Transcripts of one clip by `generate`, with its options."""
        inputs = self.request([clip])
        with torch.no_grad():
            ids = self.plain.generate(**inputs, max_new_tokens=self.setup.max_new_tokens, **options)
        new = ids[:, inputs["input_ids"].shape[1] :]
        return self.setup.base.processor.batch_decode(new, skip_special_tokens=True)

    def greedy(self, clips: Sequence[Clip]) -> list[str]:
        """Greedy transcripts by ours, from the cache."""
        setup, seconds = self.setup, [clip.seconds or 0.0 for clip in clips]
        made = transcribe(
            self.ours,
            setup.prompter,
            self.features(clips),
            seconds,
            setup.max_new_tokens,
            self.cfg.decode_batch,
        )
        return [setup.prompter.text(one.ids) for one in made]

    def draw(self, clips: Sequence[Clip], k: int, number: int) -> list[list[str]]:
        """K completions of each clip by ours: a shared prefill of many clips."""
        features, setup, raft = self.features(clips), self.setup, self.raft
        how = Decoding(setup.max_new_tokens, raft.temperature, raft.top_p)
        seconds = [clip.seconds or 0.0 for clip in clips]
        made: dict[int, list[str]] = {}
        for rows in plan_batches(features.windows, seconds, raft.sample_batch):
            groups = decode(
                self.ours,
                setup.prompter.prompt(features.windows[rows[0]]),
                torch.cat([features[i] for i in rows]),
                how,
                setup.prompter.eos,
                [[(raft.seed, number, i, index) for index in range(k)] for i in rows],
                k,
            )
            for i, group in zip(rows, groups, strict=True):
                made[i] = [setup.prompter.text(one.ids) for one in group]
        return [made[i] for i in range(len(clips))]


def _encode(subject: Subject, how: Depth) -> pd.DataFrame:
    clips = subject.clips(subject.setup.headline, how.clips)
    tower = subject.setup.base.model.model.audio_tower

    def one_by_one(_: int) -> list[Tensor]:
        with torch.no_grad():
            asked = (subject.request([clip])["input_features"] for clip in clips)
            return [tower(mels).last_hidden_state for mels in asked]

    features = subject.features(clips)
    apart = max(
        float((heard.float() - features[i].float()).norm() / heard.float().norm())
        for i, heard in enumerate(one_by_one(0))
    )
    _same(apart < 0.05, f"features of the two ways are {apart:.2g} apart")
    ours = {OURS: lambda _: subject.features(clips, anew=True)}
    return compared("encode", {"one clip at a time": one_by_one, **ours}, how.rounds)


def _evaluate(subject: Subject, how: Depth) -> pd.DataFrame:
    clips = subject.clips(subject.setup.headline, how.clips)

    def one_by_one(_: int) -> list[str]:
        return [text for clip in clips for text in subject.write(clip, do_sample=False)]

    def with_cache(_: int) -> list[str]:
        subject.features(clips, anew=True)
        return subject.greedy(clips)

    exact = next(subject.ours.parameters()).dtype == torch.float32
    _same(not exact or one_by_one(0) == subject.greedy(clips), "greedy texts are not the same")
    ours = {OURS: lambda _: subject.greedy(clips), f"{OURS}, cache built first": with_cache}
    return compared("evaluation", {"one clip at a time": one_by_one, **ours}, how.rounds)


def _raft(subject: Subject, how: Depth) -> pd.DataFrame:
    raft, made = subject.raft, []
    options = {"do_sample": True, "temperature": raft.temperature, "top_p": raft.top_p, "top_k": 0}
    for k in how.ks:
        clips = subject.clips(raft.prompts, max(2, how.clips // k))

        def one_by_one(number: int, k: int = k, clips: Sequence[Clip] = clips) -> None:
            torch.manual_seed(raft.seed + number)
            for clip in clips:
                subject.write(clip, num_return_sequences=k, **options)

        ways = {
            "one clip at a time, k sequences": one_by_one,
            OURS: lambda number, k=k, clips=clips: subject.draw(clips, k, number),
        }
        made.append(compared(f"sampling, k = {k}", ways, how.rounds))
    return pd.concat(made, ignore_index=True)


def _same(agree: bool, apart: str) -> None:
    if not agree:
        raise RuntimeError(f"{apart}: the speed of wrong results says nothing")


class _Clock(TrainerCallback):
    """Seconds from the first batch asked for to the end of the last step."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The step's work is done once its last kernel is."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.start


def _steps(model: nn.Module, cfg: FineTuning, make: Callable[..., Trainer]) -> tuple[float, list]:
    """Seconds and losses of one epoch of a Trainer on a copy of the model; nothing is saved."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=cfg.micro_batch,
            gradient_accumulation_steps=cfg.batch // cfg.micro_batch,
            learning_rate=cfg.learning_rate,
            lr_scheduler_type="constant",
            bf16=cfg.precision == "bfloat16",
            save_strategy="no",
            logging_steps=1,
            logging_nan_inf_filter=False,
            report_to="none",
            seed=cfg.seed,
            remove_unused_columns=False,
            label_names=["labels"],
            train_sampling_strategy="sequential",
            use_cpu=next(model.parameters()).device.type == "cpu",
            disable_tqdm=True,
        )
        trainer = make(model=copy.deepcopy(model), args=arguments)
        clock = _Clock()
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clock)
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        return clock.seconds, losses


def steps_from_cache(model: nn.Module, cfg: FineTuning, examples: Examples) -> tuple[float, list]:
    """Optimiser steps by ours."""
    unheard = [Watched("none", examples, ())]  # nothing is evaluated
    collator = partial(collate, pad=examples.prompter.pad)
    make = partial(FineTuner, cfg, unheard, train_dataset=examples, data_collator=collator)
    return _steps(model, cfg, make)


def _sft(subject: Subject, how: Depth) -> pd.DataFrame:
    setup = subject.setup
    plain_cfg = subject.cfg.model_copy(
        update={"precision": pipeline.precision(subject.cfg), "label_smoothing": 0.0}
    )
    clips = subject.clips("train", max(1, how.clips // plain_cfg.batch) * plain_cfg.batch)
    features = subject.features(clips)
    texts = [clip.tagged_text for clip in clips]
    examples = Examples(features, texts, range(len(texts)), setup.prompter, [1.0] * len(texts))
    shape = pipeline.lora_shape(subject.cfg)
    theirs = attach(setup.fresh().model, shape, plain_cfg.seed)
    ours = attach(read_cached(setup.fresh().model), shape, plain_cfg.seed)

    def collator(rows: Sequence[int]) -> dict[str, Tensor]:
        return _padded(subject, [clips[i] for i in rows])

    def plain(cfg: FineTuning) -> tuple[float, list]:
        order = [*LengthSampler(examples.lengths, cfg.batch, cfg.seed)]  # ours
        make = partial(Trainer, train_dataset=order, data_collator=collator)
        return _steps(theirs, cfg, make)

    exact = plain_cfg.model_copy(update={"precision": "float32"})
    wanted, found = plain(exact)[1], steps_from_cache(ours, exact, examples)[1]
    apart = float(np.abs(np.array(found) / np.array(wanted) - 1).max())
    _same(apart < 5e-2, f"losses of the two ways are {apart:.2g} apart")
    small = plain_cfg.model_copy(update={"micro_batch": 2})
    ways = {
        "plain Trainer, micro-batch 2": lambda _: plain(small)[0],
        f"plain Trainer, micro-batch {plain_cfg.batch}": lambda _: plain(plain_cfg)[0],
        OURS: lambda _: steps_from_cache(ours, plain_cfg, examples)[0],
    }
    return compared("SFT", ways, how.rounds)


def _padded(subject: Subject, clips: Sequence[Clip]) -> dict[str, Tensor]:
    """A batch as one writes it by hand: log-mels on the spot, prompts masked, padded right."""
    asked, prompter = subject.request(clips), subject.setup.prompter
    prompts = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(asked["input_ids"], asked["attention_mask"], strict=True)
    ]
    targets = [prompter.target(clip.tagged_text) for clip in clips]
    longest = max(len(a) + len(b) for a, b in zip(prompts, targets, strict=True))
    made = {
        "input_ids": torch.full((len(clips), longest), prompter.pad),
        "attention_mask": torch.zeros((len(clips), longest), dtype=torch.long),
        "labels": torch.full((len(clips), longest), -100),
    }
    for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        end = len(prompt) + len(target)
        made["input_ids"][row, :end] = torch.tensor([*prompt, *target])
        made["attention_mask"][row, :end] = 1
        made["labels"][row, len(prompt) : end] = torch.tensor(target)
    return made | {"input_features": asked["input_features"]}


def _growth(subject: Subject, how: Depth) -> pd.DataFrame:
    """Evaluation and sampling against clips; sampling against k on the least number of clips."""
    rows = []

    def point(curve: str, work: str, way: str, size: int, k: int, run: Callable[[], Any]) -> None:
        run()
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        columns = {"curve": curve, "work": work, "way": way, "size": size, "k": k}
        rows.append(columns | {"seconds": seconds})

    raft = subject.raft
    options = {"do_sample": True, "temperature": raft.temperature, "top_p": raft.top_p, "top_k": 0}
    for size in how.sizes:
        clips = subject.clips("natural" if subject.setup.has("natural") else "test", size)
        point("size", "evaluation", OURS, len(clips), 1, partial(subject.greedy, clips))
        point("size", "sampling", OURS, len(clips), 4, partial(subject.draw, clips, 4, 1))
    few = subject.clips(raft.prompts, max(2, how.clips // 8))
    for k in how.ks:
        point("k", "sampling", OURS, len(few), k, partial(subject.draw, few, k, 1))
        plain = partial(_each, subject, few, num_return_sequences=k, **options)
        point("k", "sampling", PLAIN, len(few), k, plain)
    return pd.DataFrame(rows)


def _each(subject: Subject, clips: Sequence[Clip], **options: Any) -> list[list[str]]:
    return [subject.write(clip, **options) for clip in clips]


def _near_duplicates(subject: Subject, how: Depth) -> pd.DataFrame:
    """The filter on growing sets: the training texts, then variants with half the words swapped.

    Replacements are drawn from all words, so that lengths and frequencies stay those of the texts.
    """
    texts = [clip.tagged_text for clip in subject.setup.clips("train")]
    rng = np.random.default_rng(0)
    words = [np.array(text.split(), dtype=object) for text in texts]
    pool, rows = np.concatenate(words), []
    for n in how.texts:
        grown = texts[:n]
        for i in range(len(grown), n):
            own = words[i % len(words)].copy()
            places = rng.permutation(len(own))[: max(1, len(own) // 2)]
            own[places] = rng.choice(pool, len(places))
            grown.append(" ".join(own))
        start = time.perf_counter()
        kept = len(keep_first(grown))
        seconds = time.perf_counter() - start
        rows.append({"work": "near-duplicates", "way": OURS, "size": n, "kept": kept})
        rows[-1]["seconds"] = seconds
    return pd.DataFrame(rows)


_MEASURED: dict[str, Callable[[Subject, Depth], pd.DataFrame]] = {
    "encode": _encode,
    "sft": _sft,
    "evaluate": _evaluate,
    "raft": _raft,
    "growth": _growth,
    "near_duplicates": _near_duplicates,
}
