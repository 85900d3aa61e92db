"""What 02 to 04 stand on: clips, a base, what it hears; transcripts; fine-tuning."""

from __future__ import annotations

import base64
import math
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from transformers import VoxtralForConditionalGeneration

from evoxtral import UserError, metrics, model, params, processes, runs, tags
from evoxtral.clips import Clip
from evoxtral.clips.audio import to_mp3
from evoxtral.decode import transcribe
from evoxtral.examples import Examples
from evoxtral.metrics import Evaluation
from evoxtral.mix import balance
from evoxtral.mix.source import TRAIN, Source, open_clips
from evoxtral.model import Listened, LogMels, LoraShape, Prompter, Voxtral
from evoxtral.params import Benchmark, DataMix, FineTuning, Sft
from evoxtral.train import ADAPTER, Tuned, finetune, read_log

if TYPE_CHECKING:
    from wandb import Run

TOKEN_MARGIN = 1.5
"""A transcript may be this much longer, in tokens, than the longest one of the training split."""

VALIDATION, PLAIN = "validation", "plain_val"
TARGETS = "targets.jsonl"
"""What an adapter has learnt, in its stage's folder: rows as `references` makes them."""

Systems = Mapping[str, Sequence[Path | None]]
"""Adapters of each system, one for each of its trainings; None for the base alone."""

_Tuning = TypeVar("_Tuning", bound=FineTuning)

_CODE = ("evoxtral.metrics", "evoxtral.model", "evoxtral.decode", "evoxtral.tags")
_CODE += ("evoxtral.examples", "evoxtral.train", "evoxtral.pipeline")
_PREDICTIONS = "predictions.jsonl"
_TRACKED = 8  # clips whose transcripts the tracker gets
_FREE = {"checkpointing", "decode_batch", "device", "micro_batch", "profile", "seeds", "tracker"}
"""Parameters that change how fine-tuning runs, not what it learns."""


@dataclass(frozen=True, eq=False)
class Setup:
    """The base and device that a notebook names, and the clips of 01 in the same profile."""

    cfg: FineTuning
    mix_cfg: DataMix
    source: Source

    @cached_property
    def base(self) -> Voxtral:
        """The base model, loaded once, never changed; only its encoder stays on a GPU."""
        opened = model.open_base(self.cfg.base, self.cfg.device)
        opened.model.model.language_model.to("cpu")
        opened.model.lm_head.to("cpu")
        return opened

    def fresh(self) -> VoxtralForConditionalGeneration:
        """The base model, loaded anew: merging or detaching the encoder changes a model."""
        return model.open_base(self.cfg.base, self.cfg.device).model

    @cached_property
    def prompter(self) -> Prompter:
        """Makes the base's inputs."""
        return Prompter(self.base, self.cfg.language)

    @cached_property
    def max_new_tokens(self) -> int:
        """Most tokens of a transcript: the longest of the training split, with a margin."""
        longest = max(len(self.prompter.target(clip.tagged_text)) for clip in self.clips(TRAIN))
        return math.ceil(TOKEN_MARGIN * longest)

    def has(self, split: str) -> bool:
        """Whether the data has such a split."""
        return bool(self.source.splits.get(split))

    def clips(self, split: str) -> Sequence[Clip]:
        """Clips of a split; a `UserError` where the data has none."""
        if not self.has(split):
            found = ", ".join(self.source.splits)
            raise UserError(
                f"the data has no split {split!r}: name one it has ({found}) by the parameter "
                "split, or prompts"
            )
        return self.source.splits[split]

    @property
    def headline(self) -> str:
        """The split for the headline numbers: the natural test set, or the test set."""
        return "natural" if self.has("natural") else "test"

    @property
    def balanced(self) -> str:
        """The split in which rare tags can be judged; the headline split where there is none."""
        return "balanced" if self.has("balanced") else self.headline

    def heard(self, split: str, *, encoder_learns: bool = False) -> Listened:
        """What a split is to a model: cached features, or log-mels if its encoder has adapters."""
        clips, sounds = self.clips(split), self.source.clips
        if encoder_learns:
            seconds = [clip.seconds or 0.0 for clip in clips]
            return LogMels(lambda i: sounds.audio(clips[i]), seconds, self.prompter)
        return model.cache_features(self.base, clips, sounds, self.cfg.profile, split)


def open_setup(cfg: FineTuning) -> Setup:
    """Build or reuse the clips of the profile; a `UserError` where its data has no sound."""
    mix_cfg = params.profile(DataMix, cfg.profile)
    return Setup(cfg, mix_cfg, open_clips(mix_cfg))


# Transcripts


def listener(
    setup: Setup, split: str, adapter: Path | None
) -> tuple[VoxtralForConditionalGeneration, Listened]:
    """A system ready to decode a split: its model, adapter merged, and what it is fed."""
    learnt = adapter is not None and model.shape_of(adapter).encoder_lora
    system = setup.fresh()
    system = system if learnt else model.read_cached(system)
    system = model.merge(system, adapter) if adapter else system
    return system, setup.heard(split, encoder_learns=learnt)


def decoding_key(setup: Setup, clips: Sequence[Clip], adapter: Path | None) -> dict[str, object]:
    """What decides what a system writes of clips, besides how tokens are chosen and batched."""
    return {
        "base": setup.base.digest,
        "features": setup.base.encoder_digest,
        "language": setup.cfg.language,
        "adapter": model.adapter_digest(adapter) if adapter else "",
        "clips": model.clips_digest(clips),
        "max_new_tokens": setup.max_new_tokens,
    }


def transcripts(setup: Setup, split: str, adapter: Path | None = None) -> list[str]:
    """What a system writes greedily for each clip of a split, in the clips' order."""
    clips, batch = setup.clips(split), setup.cfg.decode_batch

    def make(folder: Path) -> None:
        system, heard = listener(setup, split, adapter)
        made = transcribe(system, setup.prompter, heard, setup.max_new_tokens, batch, split)
        if processes.is_main():
            rows = zip(clips, made, strict=True)
            written = ({"id": clip.id} | one.row(setup.prompter) for clip, one in rows)
            runs.write_jsonl(folder / _PREDICTIONS, written)

    key = decoding_key(setup, clips, adapter) | {"batch": batch}
    code = ("evoxtral.model", "evoxtral.decode")
    made = runs.stage("transcripts", setup.cfg.profile, key, make, code=code, together=True)
    return [row["text"] for row in runs.read_jsonl(made.path / _PREDICTIONS)]


class Prediction(BaseModel):
    """What a system wrote for one clip."""

    id: str
    text: str = Field(max_length=20_000)  # edit distance grows with its square


def read_predictions(path: Path | str, ids: Collection[str]) -> list[str]:
    """The texts of a file written elsewhere, exactly one for each id, in the order of `ids`.

    A `UserError` says what is wrong with a file, a row or an id.
    """
    if not Path(path).is_file():
        raise UserError(f"cannot read {path}: there is no such file")
    rows = list(runs.read_jsonl(path))
    try:
        made = TypeAdapter(list[Prediction]).validate_python(rows, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        row, field = first["loc"]
        raise UserError(f"{path}, row {row + 1}: {field}: {first['msg']}") from error
    found = Counter(one.id for one in made)
    for name in (*found, *ids):
        if found[name] != (name in ids):
            why = f"has {found[name]} lines" if name in ids else "is not in the split"
            raise UserError(
                f"{path}: clip {name!r:.60} {why}; give one line for each of the split's "
                f"{len(ids)} clips and no other (the text may be empty)"
            )
    texts = {one.id: one.text for one in made}
    return [texts[name] for name in ids]


def score(setup: Setup, split: str, texts: Sequence[str]) -> Evaluation:
    """Scores of texts written for the clips of a split, in their order."""
    clips = setup.clips(split)
    ids, references = [c.id for c in clips], [c.tagged_text for c in clips]
    return metrics.evaluate(
        references, texts, ids=ids, normalise=metrics.normaliser(setup.cfg.language)
    )


def evaluate(setup: Setup, split: str, systems: Systems) -> dict[str, Evaluation]:
    """Scores of systems on a split, over all trainings of each."""
    scored = {
        name: [score(setup, split, transcripts(setup, split, adapter)) for adapter in trained]
        for name, trained in systems.items()
    }
    return {name: replace(own[0], repeats=tuple(own[1:])) for name, own in scored.items()}


def sounds(setup: Setup, split: str, ids: Collection[str]) -> list[str]:
    """Clips of a split as data URIs that a page can play, in the order of `ids`."""
    clips = {clip.id: clip for clip in setup.clips(split)}
    heard = (to_mp3(setup.source.clips.audio(clips[name])) for name in ids)
    return [f"data:audio/mpeg;base64,{base64.b64encode(sound).decode()}" for sound in heard]


def before_after(setup: Setup, split: str, systems: Systems, count: int) -> pd.DataFrame:
    """Clips spread over a split: `id | reference | audio` (a data URI), and a column a system.

    Each system's transcripts are those of its first training.
    """
    clips = setup.clips(split)
    chosen = range(0, len(clips), max(1, len(clips) // count))[:count]
    rows = [(clips[i].id, clips[i].tagged_text) for i in chosen]
    shown = pd.DataFrame(rows, columns=["id", "reference"])
    shown["audio"] = sounds(setup, split, shown["id"])
    for name, [adapter, *_] in systems.items():
        texts = transcripts(setup, split, adapter)
        shown[name] = [texts[i] for i in chosen]
    return shown


# Fine-tuning


def each_seed(cfg: _Tuning) -> list[_Tuning]:
    """The parameters of every training that `seeds` asks for: `seed` counts up."""
    return [cfg.model_copy(update={"seed": cfg.seed + more}) for more in range(cfg.seeds)]


def references(clips: Sequence[Clip]) -> pd.DataFrame:
    """What there is to learn of clips: `clip | text | draws | weight`, each once."""
    rows = [(clip.id, clip.tagged_text, 1, 1.0) for clip in clips]
    return pd.DataFrame(rows, columns=["clip", "text", "draws", "weight"])


def examples(setup: Setup, split: str, targets: pd.DataFrame, *, encoder_learns: bool) -> Examples:
    """What is learnt of a split: rows as `references` makes them; other clips are left out."""
    clips = setup.clips(split)
    rows = targets.set_index("clip").reindex([clip.id for clip in clips])
    rows = rows.fillna({"text": "", "draws": 0, "weight": 0.0})
    return Examples(
        heard=setup.heard(split, encoder_learns=encoder_learns),
        texts=rows["text"].tolist(),
        draws=np.arange(len(rows)).repeat(rows["draws"].astype(int)).tolist(),
        prompter=setup.prompter,
        weights=rows["weight"].tolist(),
    )


def tune(
    cfg: FineTuning,
    setup: Setup,
    start: LoraShape | Path,
    split: str,
    targets: pd.DataFrame,
    name: str,
) -> Tuned:
    """Build or reuse an adapter: that of SFT, or of the last step of RAFT.

    It starts with a shape of fresh adapters (SFT), or the folder of those to go on from (RAFT);
    `targets`, as `references` makes them, are learnt of a split; `name` is shown meanwhile. Raises
    what `train.finetune` does, and a `UserError` where the data has no validation split.
    """
    fresh = isinstance(start, LoraShape)
    kind, shape = ("sft", start) if fresh else ("raft", model.shape_of(start))
    learns = shape.encoder_lora

    def make(folder: Path) -> None:
        if processes.is_main():
            runs.write_jsonl(folder / TARGETS, targets.to_dict("records"))
        watched = {
            key: examples(setup, name, references(setup.clips(name)), encoder_learns=learns)
            for key, name in (("eval", VALIDATION), (f"eval_{PLAIN}", PLAIN))
            if key == "eval" or setup.has(name)
        }
        training = examples(setup, split, targets, encoder_learns=learns)
        with tracker(cfg, folder, name) as run:
            report_to = "none" if run is None else "wandb"
            finetune(folder, cfg, start, training, watched, what=name, report_to=report_to)
            if run is not None:
                with processes.alone():  # the others go on
                    heard = transcripts(setup, VALIDATION, folder / ADAPTER)[:_TRACKED]
                rows = [
                    [clip.id, setup.source.clips.audio(clip), clip.tagged_text, text]
                    for clip, text in zip(setup.clips(VALIDATION), heard, strict=False)
                ]
                log_adapter(run, folder / ADAPTER, rows)

    key = {
        **cfg.model_dump(include=set(FineTuning.model_fields) - _FREE),
        **(asdict(shape) if fresh else {}),
        "precision": precision(cfg),
        "targets": runs.digest(targets.to_dict("records")),
    }
    inputs = {"base": setup.base.digest, "features": setup.base.encoder_digest}
    inputs |= {"source": setup.source.digest}
    inputs |= {} if fresh else {"adapter": model.adapter_digest(start)}
    made = runs.stage(kind, cfg.profile, key, make, inputs=inputs, code=_CODE, together=True)
    return read_log(made.path)


def precision(cfg: FineTuning) -> Literal["float32", "bfloat16"]:
    """Of the arithmetic in training: what `auto` stands for on the device."""
    return model.arithmetic(cfg.precision, model.device(cfg.device))


# Weights & Biases: everything it writes stays in the folder; `disabled` does not import it


@contextmanager
def tracker(cfg: FineTuning | Benchmark, folder: Path, name: str) -> Iterator[Run | None]:
    """Open a run around some work, its files below the folder; None if this process has none.

    Raises:
        UserError: it is to be online and there is no key.
    """
    if cfg.tracker == "disabled" or not processes.is_main():
        yield None
        return
    import wandb

    if cfg.tracker == "online" and not wandb.login(prompt=False, verify=False):
        raise UserError(
            "tracker is 'online' and no key was found: run `wandb login`, or set it to offline"
        )
    # Where sounds and artefacts wait, wandb asks nothing else.
    for place in ("WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR", "WANDB_CACHE_DIR"):
        os.environ[place] = str(folder / "wandb")
    quiet = wandb.Settings(
        console="off", disable_git=True, silent=True, x_disable_stats=True, x_disable_meta=True
    )
    config = cfg.model_dump(mode="json")
    with wandb.init(
        project="evoxtral", name=name, dir=folder, mode=cfg.tracker, config=config, settings=quiet
    ) as run:
        yield run


def log_adapter(run: Run, adapter: Path, heard: Sequence[Sequence[Any]]) -> None:
    """Add an adapter's files, and transcripts with audio, to a run.

    `heard` holds id, samples at 16 kHz, reference and prediction of each clip. All of it is copied
    into the run's own folder, where wandb names files by relative paths: artefacts and tables
    keep absolute ones, which are dead once a stage is renamed or a run is copied to be synced.
    """
    import wandb

    captions = [f"{key}\nreference: {text}\nwritten: {made}" for key, _, text, made in heard]
    sounds = [
        wandb.Audio(audio, sample_rate=16_000, caption=caption)
        for (_, audio, *_), caption in zip(heard, captions, strict=True)
    ]
    run.log({"transcripts": sounds})
    copy = shutil.copytree(adapter, Path(run.dir) / ADAPTER)
    run.save(f"{copy}/*", base_path=run.dir, policy="end")
    run.config.update({"output_dir": None}, allow_val_change=True)  # checkpoints, gone by now


# What 02 shows


def lora_shape(cfg: Sft) -> LoraShape:
    """The adapters that the parameters name."""
    return LoraShape(cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout, cfg.encoder_lora)


def training_mix(setup: Setup) -> pd.DataFrame:
    """The training split, each clip as often as 01 draws it, with the weight it gives it."""
    mix = balance.read_mix(balance.training_mix(setup.mix_cfg, setup.source).path)
    mix = mix.rename(columns={"id": "clip"})
    rows = references(setup.clips(TRAIN))[["clip", "text"]].merge(mix, how="left")
    return rows.fillna({"draws": 0, "weight": 0.0}).astype({"draws": int})


def sft_adapters(cfg: Sft, setup: Setup) -> list[Tuned]:
    """Build or reuse the SFT adapter of each seed; raises as `tune` does."""
    mix, shape = training_mix(setup), lora_shape(cfg)
    return [tune(own, setup, shape, TRAIN, mix, "SFT") for own in each_seed(cfg)]


def settings(cfg: Sft, setup: Setup, tuned: Tuned | None) -> dict[str, object]:
    """The settings of SFT, named as in the report's Table 1 and the composition note.

    Without a log, `tuned`, whether it was stopped is not known.
    """
    draws, steps = training_mix(setup)["draws"], cfg.batch // cfg.micro_batch
    counts = model.count_parameters(setup.base.model.config, lora_shape(cfg)).set_index("part")
    total, trainable = counts.loc["all", ["total", "trainable"]]
    stops = f"when WER on plain clips is more than {100 * cfg.plain_limit:g} points above its start"
    stops += f" for {cfg.plain_patience + 1} epochs in a row"
    if tuned:
        stops += f": it {'was' if tuned.stopped else 'never was'}"
    if tuned and "plain_wer" in tuned.epochs:
        plain = tuned.epochs.set_index("epoch")["plain_wer"].dropna()
        rises = 100 * (plain - plain.iloc[0])
        stops += f"; most was {rises.max():+.1f} points, after epoch {rises.idxmax():.0f}"
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
        "Training time": "in provenance.json, stage sft",
        "Trainable parameters": f"{trainable:,} of {total:,} ({trainable / total:.1%})",
        "Label masking": "loss on output tokens only",
        "Evaluation": "WER and Tag F1 on validation, WER on plain clips, after every epoch",
        "Early stopping": stops,
        "Training clips": int((draws > 0).sum()),
        "Examples per epoch": int(draws.sum()),
    }


def example(setup: Setup) -> list[tuple[str, bool]]:
    """The first training clip with a tag, token by token, and whether each is a label."""
    mix, prompter = training_mix(setup).query("draws > 0"), setup.prompter
    clip = setup.clips(TRAIN)[mix["text"].map(tags.find_tags).astype(bool).idxmax()]
    prompt = prompter.prompt(prompter.windows(len(setup.source.clips.audio(clip))))
    pieces = prompter.pieces([*prompt, *prompter.target(clip.tagged_text)])
    return [(piece, place >= len(prompt)) for place, piece in enumerate(pieces)]


def probe(setup: Setup, split: str) -> pd.DataFrame:
    """AUC of a linear probe of the frozen encoder for each tag, learnt on the training split."""
    return model.probe(*[(setup.heard(name), setup.clips(name)) for name in (TRAIN, split)])
