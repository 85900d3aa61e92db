"""What 02 to 04 stand on: clips, a base, what it hears; transcripts; supervised fine-tuning.

Setup holds the clips and the base model. Each other function here is a stage, or shows one.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from transformers import VoxtralForConditionalGeneration

from evoxtral import UserError, metrics, model, params, processes, runs, tags, train
from evoxtral.clips import Clip, Dataset, to_mp3
from evoxtral.decode import Decoding, decode, transcribe
from evoxtral.metrics import Evaluation
from evoxtral.mix import balance
from evoxtral.mix.source import TRAIN, Source, open_clips
from evoxtral.model import (
    Features,
    Listened,
    LogMels,
    LoraShape,
    Prompter,
    Voxtral,
    arithmetic,
    device,
)
from evoxtral.params import DataMix, FineTuning, Sft
from evoxtral.predictions import Prediction, write_predictions
from evoxtral.tracking import log_adapter, tracker
from evoxtral.train import ADAPTER, Examples, Tuned, Watched, finetune, read_log

TOKEN_MARGIN = 1.5
"""A transcript may be this much longer, in tokens, than the longest one of the training split."""

HEADLINE = ("natural", "test")
"""Splits for the headline numbers: the first that the data has."""

VALIDATION, PLAIN = "validation", "plain_val"
CODE = ("evoxtral.metrics", "evoxtral.model", "evoxtral.decode", "evoxtral.tags", "evoxtral.train")
"""Modules that decide an adapter, besides this one."""

_PREDICTIONS = "predictions.jsonl"
_TRACKED = 8  # clips whose transcripts the tracker gets
_FREE = {"checkpointing", "decode_batch", "device", "micro_batch", "profile", "tracker"}
"""Parameters that change how fine-tuning runs, not what it learns."""


@dataclass(frozen=True, eq=False)
class Setup:
    """Clips and the base model.

    Attributes:
        cfg: of the notebook: base, device, profile.
        mix_cfg: of `01_data_mix.ipynb` in the same profile.
        source: its clips.
    """

    cfg: FineTuning
    mix_cfg: DataMix
    source: Source

    @property
    def sounds(self) -> Dataset:
        """The dataset that reads the clips' audio."""
        assert self.source.clips is not None
        return self.source.clips

    @cached_property
    def base(self) -> Voxtral:
        """The base model, loaded once, never changed; only its encoder listens.

        The rest of it waits in main memory: a GPU holds one language model, the one in use.
        """
        opened = self.fresh()
        opened.model.model.language_model.to("cpu")
        opened.model.lm_head.to("cpu")
        return opened

    def fresh(self) -> Voxtral:
        """The base model, loaded anew: merging or detaching the encoder changes a model."""
        return model.open_base(self.cfg.base, self.cfg.device)

    @cached_property
    def prompter(self) -> Prompter:
        """Makes the base's inputs."""
        return Prompter(self.base)

    def clips(self, split: str) -> Sequence[Clip]:
        """Clips of a split.

        Raises:
            UserError: the data has no such split.
        """
        if not self.has(split):
            found = ", ".join(self.source.splits)
            raise UserError(f"the data has no split {split!r}: it has {found}")
        return self.source.splits[split]

    def has(self, split: str) -> bool:
        """Whether the data has such a split."""
        return bool(self.source.splits.get(split))

    @property
    def headline(self) -> str:
        """The split for the headline numbers.

        Raises:
            UserError: there is no test split.
        """
        found = [name for name in HEADLINE if self.has(name)]
        if not found:
            raise UserError(f"the data has no test split: name one {' or '.join(HEADLINE)}")
        return found[0]

    @property
    def balanced(self) -> str:
        """The split in which rare tags can be judged; the headline split where there is none."""
        return "balanced" if self.has("balanced") else self.headline

    def features(self, split: str) -> Features:
        """What the base's encoder hears in a split, from the cache."""
        return model.cache_features(
            self.base, self.clips(split), self.sounds, self.cfg.profile, split
        )

    def heard(self, split: str, *, encoder_learns: bool) -> Listened:
        """What a split is to a model: cached features, or log-mels if its encoder has adapters."""
        if encoder_learns:
            return LogMels(self.sounds, self.clips(split), self.prompter)
        return self.features(split)

    @cached_property
    def max_new_tokens(self) -> int:
        """Most tokens of a transcript: the longest of the training split, with a margin."""
        longest = max(len(self.prompter.target(clip.tagged_text)) for clip in self.clips(TRAIN))
        return math.ceil(TOKEN_MARGIN * longest)


def open_setup(cfg: FineTuning) -> Setup:
    """Build or reuse the clips of the profile.

    Raises:
        UserError: the profile's data has no sound, or the base cannot be loaded.
    """
    mix_cfg = params.profile(DataMix, cfg.profile)
    return Setup(cfg, mix_cfg, open_clips(mix_cfg))


# Transcripts


def listener(
    setup: Setup, split: str, adapter: Path | None
) -> tuple[VoxtralForConditionalGeneration, Listened]:
    """A system ready to decode a split: its model, adapter merged, and what it is fed."""
    learnt = adapter is not None and model.shape_of(adapter).encoder_lora
    base = setup.fresh().model
    base = base if learnt else model.read_cached(base)
    heard = setup.heard(split, encoder_learns=learnt)
    return model.merge(base, adapter) if adapter else base, heard


def transcripts(setup: Setup, split: str, adapter: Path | None = None) -> list[str]:
    """What a system writes for each clip of a split, in the clips' order.

    Decoding is greedy, in float32 on a CPU, with the adapter, if any, merged into the weights.
    """
    clips = setup.clips(split)
    limit, batch = setup.max_new_tokens, setup.cfg.decode_batch
    key = {
        "base": setup.base.digest,
        "adapter": model.adapter_digest(adapter) if adapter else "",
        "clips": clips_digest(clips),
        "max_new_tokens": limit,
        "batch": batch,
    }

    def make(folder: Path) -> None:
        system, features = listener(setup, split, adapter)
        seconds = [clip.seconds or 0.0 for clip in clips]
        heard = transcribe(system, setup.prompter, features, seconds, limit, batch, split)
        rows = [
            Prediction(clip.id, setup.prompter.text(one.ids), len(one.ids), one.finished)
            for clip, one in zip(clips, heard, strict=True)
        ]
        if processes.is_main():
            write_predictions(folder / _PREDICTIONS, rows)

    code = ("evoxtral.model", "evoxtral.decode")
    made = runs.stage("transcripts", setup.cfg.profile, key, make, code=code, together=True)
    return [row["text"] for row in runs.read_jsonl(made.path / _PREDICTIONS)]


def clips_digest(clips: Sequence[Clip]) -> str:
    """Digest of clips' ids and audio, in their order."""
    return runs.digest([[clip.id, clip.sha256] for clip in clips])


def evaluate(setup: Setup, split: str, systems: Mapping[str, Path | None]) -> dict[str, Evaluation]:
    """Scores of systems on a split; of each the adapter's folder, None is the base alone."""
    clips = setup.clips(split)
    ids, references = [c.id for c in clips], [c.tagged_text for c in clips]
    normalise = metrics.english_normaliser()
    return {
        name: metrics.evaluate(
            references, transcripts(setup, split, adapter), ids=ids, normalise=normalise
        )
        for name, adapter in systems.items()
    }


def before_after(
    setup: Setup, split: str, systems: Mapping[str, Path | None], count: int
) -> pd.DataFrame:
    """Clips spread over a split: `id | reference | audio` (a data URI), and a column a system."""
    clips = setup.clips(split)
    chosen = range(0, len(clips), max(1, len(clips) // count))[:count]
    texts = {name: transcripts(setup, split, adapter) for name, adapter in systems.items()}
    return pd.DataFrame(
        {
            "id": [clips[i].id for i in chosen],
            "reference": [clips[i].tagged_text for i in chosen],
            "audio": [_sound(setup, clips[i]) for i in chosen],
            **{name: [own[i] for i in chosen] for name, own in texts.items()},
        }
    )


def _sound(setup: Setup, clip: Clip) -> str:
    data = base64.b64encode(to_mp3(setup.sounds.audio(clip))).decode("ascii")
    return f"data:audio/mpeg;base64,{data}"


# Fine-tuning


def tune(
    kind: Literal["sft", "raft"],
    cfg: FineTuning,
    setup: Setup,
    start: LoraShape | Path,
    training: Callable[[Path], Examples],
    inputs: Mapping[str, str],
    *,
    name: str,
    more: Mapping[str, Any],
    code: Sequence[str],
) -> Tuned:
    """Build or reuse an adapter: that of SFT, or of the last step of RAFT.

    Args:
        kind: names the stage.
        cfg: the hyperparameters.
        setup: clips and base.
        start: shape of fresh adapters, or the folder of those to go on from.
        training: gives the examples to learn; may leave files in the stage's folder.
        inputs: digests of what the examples are made of.
        name: shown while it trains.
        more: what decides the result besides the hyperparameters.
        code: modules that do besides those of fine-tuning.

    Raises:
        UserError: the data has no validation split, or training failed; one sentence.
    """
    shape = start if isinstance(start, LoraShape) else model.shape_of(start)

    def make(folder: Path) -> None:
        examples = training(folder)
        watched = _watched(setup, encoder_learns=shape.encoder_lora)
        with tracker(cfg, folder, name) as run:
            finetune(
                folder,
                setup.fresh(),
                cfg,
                start,
                examples,
                watched,
                what=name,
                report_to="none" if run is None else "wandb",
            )
            if run is not None:
                artefact = "sft-adapter" if kind == "sft" else "rl-adapter"
                log_adapter(run, folder / ADAPTER, artefact, _heard(setup, folder / ADAPTER))

    names = set(FineTuning.model_fields) - _FREE
    key = {**cfg.model_dump(include=names), "precision": precision(cfg), **more}
    known = {"base": setup.base.digest, **inputs}
    code = (*CODE, "evoxtral.pipeline", *code)
    made = runs.stage(kind, cfg.profile, key, make, inputs=known, code=code, together=True)
    return read_log(made.path)


def precision(cfg: FineTuning) -> Literal["float32", "bfloat16"]:
    """Of the arithmetic in training: what `auto` stands for on the device."""
    return arithmetic(cfg.precision, device(cfg.device))


def _watched(setup: Setup, *, encoder_learns: bool) -> list[Watched]:
    """Each clip of validation once, and of plain speech where the data has it."""
    made = []
    for split in (VALIDATION, *([PLAIN] if setup.has(PLAIN) else [])):
        clips, heard = setup.clips(split), setup.heard(split, encoder_learns=encoder_learns)
        texts = [clip.tagged_text for clip in clips]
        examples = Examples(heard, texts, range(len(clips)), setup.prompter, [1.0] * len(clips))
        made.append(Watched(split, examples, [clip.seconds or 0.0 for clip in clips]))
    return made


def _heard(setup: Setup, adapter: Path) -> list[list[Any]]:
    """Id, audio, reference and transcript of some validation clips."""
    with processes.alone():  # the others go on
        system, heard = listener(setup, VALIDATION, adapter)
    settings, rows = Decoding(setup.max_new_tokens), []
    for i, clip in enumerate(setup.clips(VALIDATION)[:_TRACKED]):
        prompt = setup.prompter.prompt(heard.windows[i])
        [[made]] = decode(system, prompt, heard[i], settings, setup.prompter.eos)
        text = setup.prompter.text(made.ids)
        rows.append([clip.id, setup.sounds.audio(clip), clip.tagged_text, text])
    return rows


# What 02 shows


def lora_shape(cfg: Sft) -> LoraShape:
    """The adapters that the parameters name."""
    return LoraShape(cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout, cfg.encoder_lora)


def training_examples(cfg: Sft, setup: Setup) -> Examples:
    """The training mix: each clip as often as 01 draws it, with the weight it gives it."""
    mix = balance.training_mix(setup.mix_cfg, setup.source)
    drawn = {row.id: row for row in balance.read_mix(mix.path)}
    clips = setup.clips(TRAIN)
    missing = sorted(set(drawn) - {clip.id for clip in clips})
    if missing:
        raise UserError(f"the training mix names {missing[0]!r}, which is no clip: run 01 again")
    draws = [
        i for i, clip in enumerate(clips) if clip.id in drawn for _ in range(drawn[clip.id].draws)
    ]
    weights = [drawn[clip.id].weight if clip.id in drawn else 0.0 for clip in clips]
    texts = [clip.tagged_text for clip in clips]
    heard = setup.heard(TRAIN, encoder_learns=cfg.encoder_lora)
    return Examples(heard, texts, draws, setup.prompter, weights)


def sft_adapter(cfg: Sft, setup: Setup) -> Tuned:
    """Build or reuse the SFT adapter; `tune` says what it may raise."""
    inputs = {
        "source": setup.source.digest,
        "mix": balance.training_mix(setup.mix_cfg, setup.source).digest,
    }
    shape = lora_shape(cfg)

    def training(_: Path) -> Examples:
        return training_examples(cfg, setup)

    return tune("sft", cfg, setup, shape, training, inputs, name="SFT", more=asdict(shape), code=())


def settings(cfg: Sft, setup: Setup) -> dict[str, object]:
    """This run's settings, named as the rows of the report's Table 1."""
    examples = training_examples(cfg, setup)
    steps = cfg.batch // cfg.micro_batch
    return {
        "LoRA rank": cfg.lora_rank,
        "LoRA alpha": cfg.lora_alpha,
        "LoRA dropout": cfg.lora_dropout,
        "Target modules": "q/k/v/o_proj, gate/up/down_proj, projector"
        + (", encoder q/k/v_proj" if cfg.encoder_lora else ""),
        "Learning rate": cfg.learning_rate,
        "LR schedule": f"{cfg.schedule}, warm-up over {cfg.warmup:.0%} of the steps",
        "Epochs": cfg.epochs,
        "Batch size": f"{cfg.micro_batch} (effective {cfg.batch}, accumulated over {steps})",
        "NEFTune noise alpha": cfg.neftune_alpha,
        "Label smoothing": cfg.label_smoothing,
        "Precision": precision(cfg),
        "Hardware": str(setup.base.model.device.type).upper(),
        "Training clips": len(set(examples.draws)),
        "Examples per epoch": len(examples),
    }


def example(cfg: Sft, setup: Setup) -> list[tuple[str, bool]]:
    """The first training example with a tag, token by token, and whether each is a label."""
    examples = training_examples(cfg, setup)
    tagged = (i for i, clip in enumerate(examples.draws) if tags.find_tags(examples.texts[clip]))
    return train.masked(examples, next(tagged, 0))


def ceiling(setup: Setup, split: str) -> pd.DataFrame:
    """AUC of a linear probe of the frozen encoder for each tag, learnt on the training split."""
    sides = [(setup.features(name), setup.clips(name)) for name in (TRAIN, split)]
    return model.probe(*sides, setup.base.window_seconds)


def learnt(scores: pd.DataFrame, auc: Mapping[str, float], system: str) -> dict[str, list[str]]:
    """Tags by what became of them: learnt (F1 of half or more), audible but not learnt, neither.

    Args:
        scores: frame of `tables.tag_scores`.
        auc: of the probe, by tag; 0.9 or more counts as audible.
        system: whose F1.
    """
    groups: dict[str, list[str]] = {"learnt": [], "audible, not learnt": [], "hardly audible": []}
    for tag, f1 in zip(scores["tag"], scores[system], strict=True):
        audible = "audible, not learnt" if auc.get(tag, 0.0) >= 0.9 else "hardly audible"
        groups["learnt" if f1 >= 0.5 else audible].append(tag)
    return groups
