"""How long the method's steps take: beside the straightforward way, as they grow, on a real GPU.

All ways of doing the same work run in one process and take turns, so that what else the machine
does hits them alike. The first round warms caches up and is not counted; before it, the results of
the ways are compared, but for samples, which are drawn at random. A speed-up is taken within a
round, where conditions are most alike.

Each part leaves `<part>_<profile>.csv` (`work | way | round | seconds`) and a JSON with its
conditions in `reports/speed/`; a stopped run goes on with the parts that are missing.
"""

from __future__ import annotations

import copy
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    BatchFeature,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    VoxtralConfig,
    VoxtralForConditionalGeneration,
)

from evoxtral import UserError, cost, metrics, model, params, pipeline, runs
from evoxtral.clips import SAMPLE_RATE, Clip
from evoxtral.decode import Decoded, Decoding, decode, plan_batches, transcribe
from evoxtral.mix.composition import keep_first
from evoxtral.model import Features, attach, cache_features, read_cached
from evoxtral.params import FineTuning, Raft, Sft, Speed
from evoxtral.processes import progress
from evoxtral.report import commit
from evoxtral.train import IGNORED, Examples, FineTuner, LengthSampler
from evoxtral.world import scripts

PLAIN, OURS = "plain", "ours"
ROUNDS = 3
APART = 0.05
"""Most by which results of two ways of the same work may differ, as a share."""

Way = Callable[[int], Any]
"""A way of doing some work in a round of that number; returns what it has made."""


class Timed(NamedTuple):
    """What a way has made, and its seconds without what comes before."""

    made: Any
    seconds: float


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


# What was measured


def compared(
    work: str, ways: Mapping[str, Way], rounds: int, *, alike: bool = False
) -> pd.DataFrame:
    """Run all ways of a work in turn, once to warm up and then `rounds` times.

    Every other round goes backwards. With `alike` all ways have to make the same.

    Returns:
        `work | way | round | seconds`, rounds from 1 on.

    Raises:
        RuntimeError: they do not: the speed of wrong results says nothing.
    """
    rows = []
    for number in range(rounds + 1):
        made: dict[str, Timed] = {}
        for way in list(ways)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            one = ways[way](number)
            seconds = time.perf_counter() - start
            made[way] = one if isinstance(one, Timed) else Timed(one, seconds)
        if number:
            rows += [(work, way, number, made[way].seconds) for way in ways]
        elif alike:
            first, *others = (one.made for one in made.values())
            apart = max(_apart(first, other) for other in others)
            if not apart <= APART:
                raise RuntimeError(f"{work}: the results of two ways are {apart:.2g} apart")
    return pd.DataFrame(rows, columns=["work", "way", "round", "seconds"])


def _apart(first: Sequence[Any], second: Iterable[Any]) -> float:
    """How far texts (their word error rate) or numbers (relatively) are apart."""
    if isinstance(first[0], str):
        return metrics.evaluate(first, [*second]).table("strict")["wer"].value
    wanted, found = (
        torch.cat([torch.as_tensor(one).flatten().float().cpu() for one in side])
        for side in (first, second)
    )
    return float((wanted - found).norm() / wanted.norm())


def speed_ups(rounds: pd.DataFrame) -> pd.DataFrame:
    """Ours beside every straightforward way of the same work, of `work | way | round | seconds`.

    Returns:
        `work | plain | ours | plain_seconds | ours_seconds | ratio | low | high | rounds`: medians
        over rounds, and the least and the greatest ratio of a round.
    """
    own = rounds["way"].str.startswith(OURS)
    plain, ours = (
        side.rename(columns={"way": name, "seconds": f"{name}_seconds"})
        for name, side in (("plain", rounds[~own]), ("ours", rounds[own]))
    )
    pairs = plain.merge(ours, on=["work", "round"])
    pairs["ratio"] = pairs["plain_seconds"] / pairs["ours_seconds"]
    return pairs.groupby(["work", "plain", "ours"], sort=False, as_index=False).agg(
        plain_seconds=("plain_seconds", "median"),
        ours_seconds=("ours_seconds", "median"),
        ratio=("ratio", "median"),
        low=("ratio", "min"),
        high=("ratio", "max"),
        rounds=("ratio", "size"),
    )


def exponents(points: pd.DataFrame) -> pd.DataFrame:
    """How time grows: slopes of straight lines through logarithms, 1 for proportional.

    Of `work | way | size | seconds`, two sizes or more; returns
    `work | way | smallest | largest | points | slope`.
    """
    rows = []
    for names, own in points.groupby(["work", "way"], sort=False):
        slope, _ = np.polyfit(np.log(own["size"]), np.log(own["seconds"]), 1)
        rows.append((*names, own["size"].min(), own["size"].max(), len(own), slope))
    columns = ["work", "way", "smallest", "largest", "points", "slope"]
    return pd.DataFrame(rows, columns=columns)


def measured(cfg: Speed) -> dict[str, pd.DataFrame]:
    """Measure what the parameters ask for, and read what is there (`read`)."""
    if cfg.measure != "none":
        measure(cfg.profile, cfg.measure)
    return read(cfg.results)


def read(profile: str) -> dict[str, pd.DataFrame]:
    """What was measured of a profile: by this user or, failing that, what the checkout ships.

    Returns:
        `rounds` (`work | way | round | seconds`), `growth` (`curve | work | way | size | k |
        seconds`), `near_duplicates` (`size | kept | seconds`), `conditions` (a row per part), and
        `real` (`work | seconds | floor`) where a GPU was measured; those that are there.

    Raises:
        UserError: nothing was.
    """
    folders = (runs.reports_dir(), runs.root() / "reports")
    own, shipped = (sorted((one / "speed").glob(f"*_{profile}.json")) for one in folders)
    files = {file.stem.removesuffix(f"_{profile}"): file for file in own or shipped}
    if not files:
        raise UserError(f"nothing was measured of {profile!r}: run `python -m evoxtral speed all`")
    frames = {part: pd.read_csv(file.with_suffix(".csv")) for part, file in files.items()}
    rounds = [frames.pop(part) for part in PARTS if part in frames and part not in CURVES]
    if rounds:
        frames["rounds"] = pd.concat(rounds, ignore_index=True)
    said = {part: runs.read_json(file)["conditions"] for part, file in files.items()}
    rows = [{"part": part, **one, **one["machine"]} for part, one in said.items()]
    return frames | {"conditions": pd.DataFrame(rows).drop(columns="machine")}


def measure(profile: str, depth: str) -> None:
    """Measure the parts of a profile that are not measured yet at this commit and depth."""
    subject = None
    with progress(len(PARTS), "speed", unit="part") as bar:
        for part, way in PARTS.items():
            file = runs.reports_dir() / "speed" / f"{part}_{profile}.json"
            before = runs.read_json(file)["conditions"] if file.is_file() else {}
            if (before.get("depth"), before.get("commit")) != (depth, commit()):
                subject = subject or Subject(profile)
                _measure(part, profile, depth, partial(way, subject, DEPTHS[depth]))
            bar.update()


def _measure(part: str, profile: str, depth: str, way: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Measure a part and write what it gives, and under which conditions it was measured."""
    said = conditions(profile, depth)
    file, made = runs.reports_dir() / "speed" / f"{part}_{profile}", way()
    runs.write_text(file.with_suffix(".csv"), made.round(6).to_csv(index=False))
    runs.write_json(file.with_suffix(".json"), {"conditions": said})
    return made


def conditions(profile: str, depth: str) -> dict[str, Any]:
    """What belongs beside a measurement; nothing that names the machine."""
    about = Path("/proc/cpuinfo")  # Linux; `platform` often knows the architecture only
    names = re.findall(r"model name\s*: (.*)", about.read_text()) if about.is_file() else []
    machine = {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        **{name: metadata.version(name) for name in ("numpy", "peft", "torch", "transformers")},
    }
    today = datetime.now(UTC).date().isoformat()
    said = {"profile": profile, "depth": depth, "measured": today}
    return {**said, "commit": commit(), "machine": machine}


# The ways of a profile: ours, and what one writes with transformers and peft alone


class Subject:
    """Clips and models of a profile; adapters are loaded or merged before any clock starts.

    Attributes:
        plain: the model as loaded: encoder inside, adapter beside the weights.
        ours: the model that reads cached features, adapter merged.
    """

    def __init__(self, profile: str) -> None:
        self.cfg, self.raft = params.profile(Sft, profile), params.profile(Raft, profile)
        self.setup = pipeline.open_setup(self.cfg)
        adapter = pipeline.sft_adapter(self.cfg, self.setup).adapter
        self.plain = model.load(self.setup.fresh().model, adapter).eval()
        self.ours = model.merge(read_cached(self.setup.fresh().model), adapter)

    def clips(self, split: str, wanted: int) -> Sequence[Clip]:
        """So many clips at even distances over a split, or all that there are."""
        own = self.setup.clips(split)
        return own[:: max(1, len(own) // wanted)][:wanted]

    def features(self, clips: Sequence[Clip], *, anew: bool = False) -> Features:
        """Cached encoder features of clips, built anew or where they are missing."""
        wanted = self.setup.base, clips, self.setup.sounds, "speed", "the clips"
        if anew:
            shutil.rmtree(cache_features(*wanted).folder)
        return cache_features(*wanted)

    def request(self, clips: Sequence[Clip]) -> BatchFeature:
        """A transcription request as the model's page shows it, for clips of one window each."""
        setup, base = self.setup, self.setup.base
        frames = 2 * base.model.config.audio_config.max_source_positions  # of the log-mels
        asked = base.processor.apply_transcription_request(
            language=["en"] * len(clips),
            audio=[setup.sounds.audio(clip) for clip in clips],
            format=["WAV"] * len(clips),
            sampling_rate=SAMPLE_RATE,
            model_id=base.name,
            audio_kwargs={
                "pad_to_multiple_of": setup.prompter.window,
                "max_source_positions": frames,
            },
        )
        weight = next(base.model.model.audio_tower.parameters())
        return asked.to(weight.device, dtype=weight.dtype)

    def write(self, clips: Sequence[Clip], **options: Any) -> list[str]:
        """Transcripts by `generate`, clip by clip."""
        options["max_new_tokens"], texts = self.setup.max_new_tokens, []
        for clip in clips:
            asked = self.request([clip])
            with torch.no_grad():
                new = self.plain.generate(**asked, **options)[:, asked["input_ids"].shape[1] :]
            texts += self.setup.base.processor.batch_decode(new, skip_special_tokens=True)
        return texts

    def greedy(self, clips: Sequence[Clip], *_: int) -> list[str]:
        """Greedy transcripts by ours, from the cache."""
        prompter, seconds = self.setup.prompter, [clip.seconds or 0.0 for clip in clips]
        limits = self.setup.max_new_tokens, self.cfg.decode_batch
        made = transcribe(self.ours, prompter, self.features(clips), seconds, *limits)
        return [prompter.text(one.ids) for one in made]

    def draw(self, clips: Sequence[Clip], k: int, number: int) -> list[str]:
        """K completions of each clip by ours: a shared prefill of many clips."""
        raft, prompter = self.raft, self.setup.prompter
        how = Decoding(self.setup.max_new_tokens, raft.temperature, raft.top_p)
        inputs = prompter, self.features(clips), [clip.seconds or 0.0 for clip in clips]
        made = completions(self.ours, *inputs, how, k, (raft.seed, number), raft.sample_batch)
        return [prompter.text(one.ids) for one in made]

    def draw_plainly(self, clips: Sequence[Clip], k: int, number: int) -> list[str]:
        """The same by `generate`."""
        raft = self.raft
        torch.manual_seed(raft.seed + number)
        how = {"temperature": raft.temperature, "top_p": raft.top_p, "top_k": 0}
        return self.write(clips, do_sample=True, num_return_sequences=k, **how)


def completions(
    system: nn.Module,
    prompter: Any,
    heard: Any,
    seconds: Sequence[float],
    how: Decoding,
    k: int,
    seed: tuple[int, ...],
    at_once: int,
) -> list[Decoded]:
    """K completions of each clip of one window, so many clips decoded together."""
    made = []
    for rows in plan_batches(heard.windows, seconds, at_once):
        features = torch.cat([heard[i] for i in rows])
        seeds = [[(*seed, i, index) for index in range(k)] for i in rows]
        groups = decode(system, prompter.prompt(1), features, how, prompter.eos, seeds)
        made += [one for group in groups for one in group]
    return made


def _encode(subject: Subject, how: Depth) -> pd.DataFrame:
    clips, base = subject.clips(subject.setup.headline, how.clips), subject.setup.base.model

    def one_by_one(_: int) -> list[Tensor]:
        return [model.encode(base, subject.request([clip])["input_features"]) for clip in clips]

    ways = {"one clip at a time": one_by_one, OURS: lambda _: subject.features(clips, anew=True)}
    return compared("encode", ways, how.rounds, alike=True)


def _evaluate(subject: Subject, how: Depth) -> pd.DataFrame:
    clips = subject.clips(subject.setup.headline, how.clips)

    def with_cache(_: int) -> list[str]:
        subject.features(clips, anew=True)
        return subject.greedy(clips)

    ways: dict[str, Way] = {
        "one clip at a time": lambda _: subject.write(clips, do_sample=False),
        OURS: lambda _: subject.greedy(clips),
        f"{OURS}, cache built first": with_cache,
    }
    return compared("evaluation", ways, how.rounds, alike=True)


def _raft(subject: Subject, how: Depth) -> pd.DataFrame:
    made = []
    for k in how.ks:
        clips = subject.clips(subject.raft.prompts, max(2, how.clips // k))
        plain = {"one clip at a time, k sequences": partial(subject.draw_plainly, clips, k)}
        ours = {OURS: partial(subject.draw, clips, k)}
        made.append(compared(f"sampling, k = {k}", plain | ours, how.rounds))
    return pd.concat(made, ignore_index=True)


def _epoch(make: Callable[..., Trainer], system: nn.Module, cfg: FineTuning) -> Timed:
    """Losses of one epoch of a Trainer on a copy of the model; nothing is saved."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=cfg.micro_batch,
            gradient_accumulation_steps=cfg.batch // cfg.micro_batch,
            bf16=cfg.precision == "bfloat16",
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            remove_unused_columns=False,
            label_names=["labels"],
            train_sampling_strategy="sequential",
            use_cpu=next(system.parameters()).device.type == "cpu",
            disable_tqdm=True,
        )
        trainer = make(model=copy.deepcopy(system), args=arguments)
        trainer.remove_callback(PrinterCallback)
        seconds = trainer.train().metrics["train_runtime"]
    return Timed([row["loss"] for row in trainer.state.log_history if "loss" in row], seconds)


def _ours(system: nn.Module, examples: Examples, cfg: FineTuning) -> Timed:
    """Optimiser steps by ours, from the cache; nothing is evaluated."""
    return _epoch(partial(FineTuner, cfg, {"eval": examples}, examples), system, cfg)


def _sft(subject: Subject, how: Depth) -> pd.DataFrame:
    setup, prompter = subject.setup, subject.setup.prompter
    known = {"precision": pipeline.precision(subject.cfg), "label_smoothing": 0.0}
    cfg = subject.cfg.model_copy(update=known)
    clips = subject.clips("train", max(1, how.clips // cfg.batch) * cfg.batch)
    texts = [clip.tagged_text for clip in clips]
    weights = [1.0] * len(texts)
    examples = Examples(subject.features(clips), texts, range(len(texts)), prompter, weights)
    order = [*LengthSampler(examples.lengths, cfg.batch, cfg.seed)]  # ours, for both
    shape = pipeline.lora_shape(cfg)
    theirs = attach(setup.fresh().model, shape, cfg.seed)
    ours = attach(read_cached(setup.fresh().model), shape, cfg.seed)

    def padded(rows: Sequence[int]) -> dict[str, Tensor]:
        """A batch as one writes it by hand: log-mels on the spot, prompts masked."""
        prompt = torch.tensor(prompter.prompt(1))
        targets = [torch.tensor(prompter.target(texts[i])) for i in rows]
        ids = [torch.cat([prompt, target]) for target in targets]
        labels = [torch.cat([torch.full_like(prompt, IGNORED), target]) for target in targets]
        pad = partial(pad_sequence, batch_first=True)
        return {
            "input_features": subject.request([clips[i] for i in rows])["input_features"],
            "input_ids": pad(ids, padding_value=prompter.pad),
            "attention_mask": pad([torch.ones_like(row) for row in ids]),
            "labels": pad(labels, padding_value=IGNORED),
        }

    def plain(micro_batch: int, _: int) -> Timed:
        make = partial(Trainer, train_dataset=order, data_collator=padded)
        return _epoch(make, theirs, cfg.model_copy(update={"micro_batch": micro_batch}))

    sizes = (2, cfg.batch)
    ways: dict[str, Way] = {f"plain Trainer, micro-batch {n}": partial(plain, n) for n in sizes}
    ways[OURS] = lambda _: _ours(ours, examples, cfg)
    return compared("SFT", ways, how.rounds, alike=True)


def _growth(subject: Subject, how: Depth) -> pd.DataFrame:
    """Evaluation and sampling against clips; sampling against k on the least number of clips."""
    split = "natural" if subject.setup.has("natural") else "test"
    sets = [subject.clips(split, size) for size in how.sizes]
    few = subject.clips(subject.raft.prompts, max(2, how.clips // 8))
    works = (("evaluation", 1, subject.greedy), ("sampling", 4, subject.draw))
    both = {OURS: subject.draw, PLAIN: subject.draw_plainly}
    plan = [("size", work, clips, k, {OURS: way}) for clips in sets for work, k, way in works]
    plan += [("k", "sampling", few, k, both) for k in how.ks]
    made = []
    for curve, work, clips, k, ways in plan:
        bound = {name: partial(way, clips, k) for name, way in ways.items()}
        made.append(compared(work, bound, 1).assign(curve=curve, size=len(clips), k=k))
    return pd.concat(made)[["curve", "work", "way", "size", "k", "seconds"]]


def _near_duplicates(_: Subject, how: Depth) -> pd.DataFrame:
    """The filter on growing sets of scripts."""
    texts = [script.tagged_text for script in scripts.generate(max(how.texts), 0)]
    rows = []
    for n in how.texts:
        start = time.perf_counter()
        kept = len(keep_first(texts[:n]))
        rows.append(("near-duplicates", OURS, n, kept, time.perf_counter() - start))
    return pd.DataFrame(rows, columns=["work", "way", "size", "kept", "seconds"])


PARTS: dict[str, Callable[[Subject, Depth], pd.DataFrame]] = {
    "encode": _encode,
    "sft": _sft,
    "evaluate": _evaluate,
    "raft": _raft,
    "growth": _growth,
    "near_duplicates": _near_duplicates,
}
CURVES = ("growth", "near_duplicates")
"""Parts without rounds."""


# The real size on random weights: what a GPU takes, without a download


class _Drawn(list[Tensor]):
    """Stands for cached features: of each clip those of one window."""

    @property
    def windows(self) -> list[int]:
        return [1] * len(self)


def real_size(
    config: VoxtralConfig, lengths: Sequence[int], device: torch.device, rounds: int = ROUNDS
) -> pd.DataFrame:
    """The method's steps at real size on random weights, in bfloat16 on a GPU.

    Nothing timed depends on the values of weights, except where a transcript ends; its length is
    therefore given. Floors are arithmetic over what a matrix product reached just before.
    `lengths` are tokens of each clip's transcript, of as many clips as whole optimiser steps take.

    Returns:
        `work | way | round | seconds | floor`, seconds of the whole work.
    """
    precision = "bfloat16" if device.type == "cuda" else "float32"
    dtype = getattr(torch, precision)
    peak = _peak(device, dtype)
    torch.manual_seed(0)
    with device:
        system = VoxtralForConditionalGeneration._from_config(config, dtype=dtype)
    system.requires_grad_(False).eval()
    clips, audio, word = len(lengths), config.audio_config, 5
    heard = torch.randn(1, audio.max_source_positions, audio.hidden_size, dtype=dtype)
    drawn = _Drawn([heard] * clips)
    sizes = cost.Recipe(config, cost.Workload(transcript=round(np.mean(lengths))))
    request = [word] * sizes.work.request + [config.audio_token_id] * sizes.audio_tokens
    prompter = SimpleNamespace(  # a text is its number of tokens, no token ends it
        eos=-1, pad=0, prompt=lambda _: request, target=lambda text: [word] * int(text)
    )

    def hear(_: int) -> None:
        mels = torch.zeros(16, audio.num_mel_bins, 2 * audio.max_source_positions, device=device)
        for first in range(0, clips, len(mels)):
            model.encode(system, mels[: clips - first]).cpu()

    def train(_: int) -> None:
        batch = sizes.work.batch
        known = {"micro_batch": batch, "batch": batch, "precision": precision}
        cfg = params.profile(Sft, "paper").model_copy(update=known)
        texts, weights = [str(n) for n in lengths], [1.0] * clips
        adapted = attach(system, cost.ADAPTERS, 0)
        _ours(adapted, Examples(drawn, texts, range(clips), prompter, weights), cfg)
        adapted.unload()

    def write(k: int, *sampled: float) -> tuple[Way, float]:
        how = Decoding(max(lengths), *sampled)
        flops = 2.0 * (sizes.language + sizes.head) * k * sum(lengths)
        way = partial(completions, system, prompter, drawn, lengths, how, k, at_once=256)
        return lambda number: way((number,)), clips * sizes.prefill_flops() + flops

    k, made = sizes.work.k, []
    for work, (way, flops) in {
        "encode": (hear, clips * sizes.encode_flops()),
        "SFT": (train, clips * sizes.train_flops()),
        f"sampling, k = {k}": write(k, 0.7, 0.9),
        "evaluation": write(1),
    }.items():
        made.append(compared(work, {OURS: way}, rounds).assign(floor=flops / peak))
        read_cached(system)  # after the encoder's turn
    return pd.concat(made, ignore_index=True)


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product, the best of five."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    ways = {OURS: lambda _: (a @ b).sum().item()}  # waits for the device
    return 2.0 * side**3 / compared("product", ways, 5)["seconds"].min()


def measure_real(clips: int) -> pd.DataFrame:
    """Measure Voxtral-Mini-3B's size on the GPU; leaves `reports/speed/real_paper.{csv,json}`.

    Transcripts are as long as the released ones are in Voxtral's tokens
    (`reports/speed/target_lengths.csv`, their ends included).

    Raises:
        UserError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("the real size needs a GPU of 48 GB or more: measure the tiny one instead")
    table = pd.read_csv(runs.root() / "reports" / "speed" / "target_lengths.csv")
    shares = table["clips"] / table["clips"].sum()
    lengths = np.random.default_rng(0).choice(table["tokens"].to_numpy(), clips, p=shares).tolist()
    way = partial(real_size, VoxtralConfig(), lengths, torch.device("cuda"))
    return _measure("real", "paper", "full", way)
