"""How long the method's steps take: beside the straightforward way, and as they grow.

All ways of the same work run in one process and take turns, so that what else the machine does hits
them alike. A round to warm up comes first and is not counted; in it the results of the ways are
compared, but for samples, which are drawn at random. A speed-up is taken within a round.

Each part leaves `<part>_<profile>.csv` and a JSON with its conditions in `reports/speed/`; a
stopped run goes on with the parts that are missing.
"""

from __future__ import annotations

import copy
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    BatchFeature,
    PrinterCallback,
    Trainer,
)

from evoxtral import UserError, metrics, model, params, pipeline, runs
from evoxtral.clips import Clip
from evoxtral.decode import Decoding, in_batches, plan_batches, transcribe
from evoxtral.examples import IGNORED, Examples, LengthSampler
from evoxtral.mix.composition import keep_first
from evoxtral.model import Features, attach, cache_features, read_cached
from evoxtral.params import FineTuning, Raft, Sft
from evoxtral.processes import progress
from evoxtral.report import commit
from evoxtral.train import FineTuner, arguments
from evoxtral.world import scripts

PLAIN, OURS = "plain", "ours"
ROUNDS = 3
APART = 0.05  # most by which results of two ways of the same work may differ, as a share

Way = Callable[[int], Any]  # does some work in a round of that number; gives what it has made


class Depth(NamedTuple):
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


def compared(
    work: str, ways: dict[str, Way], rounds: int, *, most: float | None = None
) -> pd.DataFrame:
    """Run all ways of a work in turn, every other round backwards, after one to warm up.

    With `most` their results may be so far apart: a word error rate, or a share of their size.

    Returns:
        `work | way | round | seconds`, rounds from 1 on.

    Raises:
        RuntimeError: they are further apart: the speed of wrong results says nothing.
    """
    rows = []
    for number in range(rounds + 1):
        made, took = {}, {}
        for way in list(ways)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            made[way] = ways[way](number)
            took[way] = time.perf_counter() - start
        if number:
            rows += [(work, way, number, took[way]) for way in ways]
        elif most is not None:
            first, *others = made.values()
            apart = max(_apart(first, other) for other in others)
            if not apart <= most:
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
    pairs = rounds[~own].merge(rounds[own], on=["work", "round"], suffixes=("_plain", "_ours"))
    pairs["ratio"] = pairs["seconds_plain"] / pairs["seconds_ours"]
    pairs = pairs.rename(columns={"way_plain": "plain", "way_ours": "ours"})
    medians = {f"{side}_seconds": (f"seconds_{side}", "median") for side in (PLAIN, OURS)}
    spread = {"ratio": "median", "low": "min", "high": "max", "rounds": "size"}
    ratios = {name: ("ratio", how) for name, how in spread.items()}
    groups = pairs.groupby(["work", "plain", "ours"], sort=False, as_index=False)
    return groups.agg(**medians, **ratios)


def read(profile: str) -> dict[str, pd.DataFrame]:
    """What was measured of a profile: by this user or, failing that, what the checkout ships.

    Returns:
        `rounds` (`work | way | round | seconds`), `growth` (`curve | work | way | size | k |
        seconds`), `conditions` (a row per part), and `real` (`work | way | round | seconds |
        floor`) where a GPU was measured.

    Raises:
        UserError: a part was not measured.
    """
    found, conditions = {}, []
    for part, measured in (*((part, profile) for part in PARTS), ("real", "paper")):
        folders = (runs.reports_dir(), runs.root() / "reports")
        files = (folder / "speed" / f"{part}_{measured}.json" for folder in folders)
        if file := next(filter(Path.is_file, files), None):
            found[part] = pd.read_csv(file.with_suffix(".csv"))
            conditions.append({"part": part, **runs.read_json(file)})
        elif part != "real":
            how = f"python -m evoxtral speed all --profile {profile}"
            raise UserError(f"{part} was not measured of {profile!r}: run `{how}`")
    rounds = [found.pop(part) for part in ("encode", "sft", "evaluate", "raft")]
    rounds = pd.concat(rounds, ignore_index=True)
    return found | {"rounds": rounds, "conditions": pd.DataFrame(conditions)}


def measure(profile: str, depth: str) -> None:
    """Measure what is not measured yet at this commit: `quick`, `full`, or `none` of it."""
    if depth == "none":
        return
    subject = None
    with progress(len(PARTS), "speed", unit="part") as bar:
        for part, way in PARTS.items():
            file = runs.reports_dir() / "speed" / f"{part}_{profile}.json"
            before = runs.read_json(file) if file.is_file() else {}
            if (before.get("depth"), before.get("commit")) != (depth, commit()):
                subject = subject or Subject(profile, DEPTHS[depth])
                record(part, profile, depth, partial(way, subject))
            bar.update()


def record(part: str, profile: str, depth: str, way: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Measure a part; write it and its conditions, of which none names the machine."""
    about = Path("/proc/cpuinfo")  # Linux; `platform` often knows the architecture only
    names = re.findall(r"model name\s*: (.*)", about.read_text()) if about.is_file() else []
    said = {
        "profile": profile,
        "depth": depth,
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        **{name: metadata.version(name) for name in ("numpy", "peft", "torch", "transformers")},
    }
    file, made = runs.reports_dir() / "speed" / f"{part}_{profile}.csv", way()
    runs.write_text(file, made.round(6).to_csv(index=False))
    runs.write_json(file.with_suffix(".json"), said)
    return made


# The ways of a profile: ours, and what one writes with transformers and peft alone


class Subject:
    """Clips and models of a profile; adapters are loaded or merged before any clock starts.

    Attributes:
        depth: how much is measured.
        some: clips of a comparison.
        plain: the model as loaded: encoder inside, adapter beside the weights.
        ours: the model that reads cached features, adapter merged.
    """

    def __init__(self, profile: str, depth: Depth) -> None:
        self.cfg, self.raft = params.profile(Sft, profile), params.profile(Raft, profile)
        self.setup = pipeline.open_setup(self.cfg)
        self.prompter, self.depth = self.setup.prompter, depth
        self.some = self.clips(self.setup.headline, depth.clips)
        adapter = pipeline.sft_adapters(self.cfg, self.setup)[0].adapter
        self.plain = model.load(self.setup.fresh(), adapter).eval()
        self.ours = model.merge(read_cached(self.setup.fresh()), adapter)

    def clips(self, split: str, wanted: int) -> Sequence[Clip]:
        """So many clips at even distances over a split, or all that there are."""
        own = self.setup.clips(split)
        return own[:: max(1, len(own) // wanted)][:wanted]

    def features(self, clips: Sequence[Clip], *, anew: bool = False) -> Features:
        """Cached encoder features of clips, built anew or where they are missing."""
        wanted = self.setup.base, clips, self.setup.source.clips, "speed", "the clips"
        if anew:
            shutil.rmtree(cache_features(*wanted).folder)
        return cache_features(*wanted)

    def request(self, clips: Sequence[Clip]) -> BatchFeature:
        """What the model's page shows: all that is made of clips anew, of one window each."""
        sounds = [self.setup.source.clips.audio(clip) for clip in clips]
        return self.setup.base.request(sounds, self.cfg.language)

    def greedy(self, clips: Sequence[Clip], *_: int, anew: bool = False) -> list[str]:
        """Greedy transcripts by ours, from the cache."""
        heard, limit = self.features(clips, anew=anew), self.setup.max_new_tokens
        made = transcribe(self.ours, self.prompter, heard, limit, self.cfg.decode_batch)
        return [self.prompter.text(one.ids) for one in made]

    def draw(self, clips: Sequence[Clip], k: int, number: int) -> list[str]:
        """K completions of each clip by ours: a shared prefill of many clips."""
        heard, texts = self.features(clips), []
        how = Decoding(self.setup.max_new_tokens, self.raft.temperature, self.raft.top_p)
        plan = plan_batches(heard, range(len(clips)), self.raft.sample_batch)

        def seeds(clip: int) -> list[tuple[int, ...]]:
            return [(number, clip, index) for index in range(k)]

        for made in in_batches(self.ours, self.prompter, heard, plan, how, seeds):
            texts += [self.prompter.text(one.ids) for group in made for one in group]
        return texts

    def generate(self, clips: Sequence[Clip], **options: Any) -> list[str]:
        """Transcripts by `generate`, clip by clip."""
        options["max_new_tokens"], texts = self.setup.max_new_tokens, []
        for clip in clips:
            asked = self.request([clip]).to(self.plain.device, dtype=self.plain.dtype)
            with torch.no_grad():
                new = self.plain.generate(**asked, **options)[:, asked["input_ids"].shape[1] :]
            texts += self.setup.base.processor.batch_decode(new, skip_special_tokens=True)
        return texts

    def draw_plainly(self, clips: Sequence[Clip], k: int, number: int) -> list[str]:
        """K completions of each clip by `generate`."""
        torch.manual_seed(number)
        how = {"temperature": self.raft.temperature, "top_p": self.raft.top_p, "top_k": 0}
        return self.generate(clips, do_sample=True, num_return_sequences=k, **how)


def _encode(of: Subject) -> pd.DataFrame:
    def plain(_: int) -> list[Tensor]:
        mels = (of.request([clip])["input_features"] for clip in of.some)
        return [model.encode(of.setup.base.model, one) for one in mels]

    ways = {"one clip at a time": plain, OURS: lambda _: of.features(of.some, anew=True)}
    return compared("encode", ways, of.depth.rounds, most=APART)


def _evaluate(of: Subject) -> pd.DataFrame:
    ways: dict[str, Way] = {
        "one clip at a time": lambda _: of.generate(of.some, do_sample=False),
        OURS: lambda _: of.greedy(of.some),
        f"{OURS}, cache built first": lambda _: of.greedy(of.some, anew=True),
    }
    exact = of.plain.dtype == torch.float32
    return compared("evaluation", ways, of.depth.rounds, most=0.0 if exact else APART)


def _raft(of: Subject) -> pd.DataFrame:
    made = []
    for k in of.depth.ks:
        clips = of.clips(of.raft.prompts, max(2, of.depth.clips // k))
        plain, ours = (partial(way, clips, k) for way in (of.draw_plainly, of.draw))
        ways = {"one clip at a time, k sequences": plain, OURS: ours}
        made.append(compared(f"sampling, k = {k}", ways, of.depth.rounds))
    return pd.concat(made, ignore_index=True)


EPOCH = {"epochs": 1, "label_smoothing": 0.0, "checkpointing": False}


def _epoch(make: Callable[..., Trainer], system: nn.Module, cfg: FineTuning) -> list[float]:
    """Losses of one epoch of a Trainer on a copy of the model; nothing is evaluated or saved."""
    never = {"save_strategy": "no", "report_to": "none", "train_sampling_strategy": "sequential"}
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(model=copy.deepcopy(system), args=arguments(cfg, output_dir=folder, **never))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def one_epoch(system: nn.Module, examples: Examples, cfg: FineTuning) -> list[float]:
    """The same of ours, from the cache."""
    return _epoch(partial(FineTuner, cfg, {"eval": examples}, examples), system, cfg)


def _sft(of: Subject) -> pd.DataFrame:
    prompter, cfg = of.prompter, of.cfg.model_copy(update=EPOCH)
    clips = of.clips("train", max(1, of.depth.clips // cfg.batch) * cfg.batch)
    texts = [clip.tagged_text for clip in clips]
    examples = Examples(of.features(clips), texts, range(len(texts)), prompter, [1.0] * len(texts))
    order = [*LengthSampler(examples.lengths, cfg.batch, cfg.seed)]  # ours, for both
    shape = pipeline.lora_shape(cfg)
    theirs = attach(of.setup.fresh(), shape, cfg.seed)
    ours = attach(read_cached(of.setup.fresh()), shape, cfg.seed)

    def padded(rows: Sequence[int]) -> dict[str, Tensor]:
        """A batch as one writes it by hand: log-mels on the spot, prompts masked."""
        asked = of.request([clips[i] for i in rows])
        targets = [torch.tensor(prompter.target(texts[i])) for i in rows]
        learnt = pad_sequence(targets, batch_first=True, padding_value=IGNORED)
        masked = learnt.masked_fill(learnt == IGNORED, prompter.pad)
        ids = torch.cat([asked["input_ids"], masked], dim=1)
        return {
            "input_features": asked["input_features"],
            "input_ids": ids,
            "attention_mask": (ids != prompter.pad).long(),
            "labels": torch.cat([torch.full_like(asked["input_ids"], IGNORED), learnt], dim=1),
        }

    def plain(micro_batch: int, _: int) -> list[float]:
        make = partial(Trainer, train_dataset=order, data_collator=padded)
        return _epoch(make, theirs, cfg.model_copy(update={"micro_batch": micro_batch}))

    ways = {f"plain Trainer, micro-batch {n}": partial(plain, n) for n in (2, cfg.batch)}
    ways[OURS] = lambda _: one_epoch(ours, examples, cfg)
    return compared("SFT", ways, of.depth.rounds, most=APART)


def _growth(of: Subject) -> pd.DataFrame:
    """Evaluation and sampling against clips; sampling against k; the filter against texts."""
    few = of.clips(of.raft.prompts, max(2, of.depth.clips // 8))
    texts = [script.tagged_text for script in scripts.generate(max(of.depth.texts), 0)]
    plan = []
    for size in of.depth.sizes:
        clips = of.clips(of.setup.headline, size)
        plan += [("size", "evaluation", clips, 1, {OURS: of.greedy})]
        plan += [("size", "sampling", clips, 4, {OURS: of.draw})]
    for k in of.depth.ks:
        plan.append(("k", "sampling", few, k, {OURS: of.draw, PLAIN: of.draw_plainly}))
    for n in of.depth.texts:
        plan.append(("texts", "near-duplicates", texts[:n], 1, {OURS: _filter}))
    made = []
    for curve, work, items, k, ways in plan:
        bound = {name: partial(way, items, k) for name, way in ways.items()}
        made.append(compared(work, bound, 1).assign(curve=curve, size=len(items), k=k))
    return pd.concat(made)[["curve", "work", "way", "size", "k", "seconds"]]


def _filter(texts: Sequence[str], *_: int) -> int:
    return len(keep_first(texts))


PARTS = {"encode": _encode, "sft": _sft, "evaluate": _evaluate, "raft": _raft, "growth": _growth}
