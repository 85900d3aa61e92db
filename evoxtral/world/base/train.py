"""How the base learns: two cycles as stages, frame targets and read-outs, the training loop."""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss
from torch.nn.utils.rnn import pad_sequence
from transformers import MistralCommonBackend, VoxtralForConditionalGeneration
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from evoxtral import UserError, metrics, runs
from evoxtral.model import arithmetic, device
from evoxtral.params import TinyBase
from evoxtral.processes import progress
from evoxtral.runs import StageResult
from evoxtral.world.base import TEXTS, checkpoint_dir, corpus, fingerprints
from evoxtral.world.base.corpus import SOUNDS, Clip
from evoxtral.world.base.model import (
    AUDIO,
    BOS,
    EOS,
    PAD,
    SAMPLE_RATE,
    SHAPE,
    build_model,
    build_processor,
    encode,
    load_model,
    prompt_ids,
    train_tokenizer,
)
from evoxtral.world.base.score import transcribe

LOG = "log.csv"
CHECKPOINT_SECONDS = 180.0  # between checkpoints
_CHECKPOINT = "checkpoint.pt"
_LOSSES = (cross_entropy, cross_entropy, partial(smooth_l1_loss, beta=0.1))
_MULTIPLE = 4 * 2 * 5  # mel frames: 4 encoder frames per audio token, stride 2, 5 tokens
_EVALUATE_EVERY = 1000
_EXPRESSIVE_EVERY = 2  # steps between expressive batches, which the encoder alone hears
_TEXT_EVERY, _TEXT_BATCH = 4, 32  # between batches of text, which the language model alone reads
_LOOSE_WINDOW = 0.3  # share of steps whose window ends anywhere after the longest clip
_FULL_WINDOW = 0.88  # share of training after which all windows are full


@dataclass(frozen=True)
class Recipe:
    """How the base is trained in one cycle."""

    kind: str  # of the clips that are transcribed
    seed: int
    steps: int
    batch: int  # utterances per step
    learning_rate: float  # peak of the one-cycle schedule
    alone: float = 0.12  # share of steps in which the encoder learns without transcription
    shortest: float = 0.25  # share of the clips, shortest first, that is drawn from at the start
    perturb: float = 0.0  # largest relative change of a clip's vocal tract and tempo


def build(cfg: TinyBase, source: StageResult) -> StageResult:
    """The stage that trains tokenizer and model on a corpus stage.

    Two cycles, each a stage: the model learns to listen, easiest speech first; then, with fresh
    read-outs and optimiser, voices and tempo are perturbed, for speakers it has never heard.
    """
    learn = Recipe("neutral", cfg.seed, cfg.steps, cfg.batch, cfg.learning_rate)
    sizes = cfg.refine_steps, cfg.batch, cfg.refine_learning_rate
    refine = Recipe("refine", cfg.seed + 1, *sizes, 0.0, 1.0, cfg.perturb)
    first = _cycle("base-listening", cfg, learn, {"corpus": source})
    return _cycle("base-model", cfg, refine, {"corpus": source, "start": first})


def _cycle(
    name: str, cfg: TinyBase, recipe: Recipe, inputs: Mapping[str, StageResult]
) -> StageResult:
    """The stage of one cycle on a corpus, from a random model or from where `start` ended."""

    def make(folder: Path) -> None:
        kinds, phonemes = corpus.load(inputs["corpus"].path)
        lines = corpus.read_lines(cfg.lines, cfg.seed, kinds)
        earlier = pd.DataFrame()
        if "start" in inputs:
            start = inputs["start"].path
            (model, processor), earlier = load_model(start), pd.read_csv(start / LOG)
        else:
            texts = [*(clip.text for clip in kinds["neutral"]), *lines]
            tekken = train_tokenizer(texts, cfg.merges, SHAPE)
            file = runs.write_text(folder / "tekken.json", json.dumps(tekken))
            torch.manual_seed(cfg.seed)
            model = build_model(SHAPE, tekken["config"]["default_vocab_size"])
            processor = build_processor(file, SHAPE)
        model.to(device(cfg.device))
        trainer = Trainer(model, processor.tokenizer, recipe, kinds, lines, len(phonemes))
        log = pd.DataFrame(trainer.run(folder))
        if len(earlier):
            log = pd.concat([earlier, log.assign(step=log["step"] + earlier["step"].max())])
        runs.write_text(folder / LOG, log.to_csv(index=False))
        model.to("cpu").save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / _CHECKPOINT).unlink(missing_ok=True)

    params = cfg.model_dump(include={"lines", "merges"}) | {"drawn": cfg.seed} | asdict(recipe)
    digests = {kind: stage.digest for kind, stage in inputs.items()}
    code = [f"evoxtral.world.base.{module}" for module in ("corpus", "model", "score", "train")]
    return runs.stage(name, cfg.profile, params, make, inputs=digests, code=code)


def ship(source: StageResult, card: str, kinds: corpus.Kinds, lines: Sequence[str]) -> None:
    """Make a model stage the checkpoint that ships, with its card and what it heard and read."""
    target = shutil.copytree(source.path, checkpoint_dir(), dirs_exist_ok=True)
    heard = [clip.text for kind in ("neutral", "refine", "expressive") for clip in kinds[kind]]
    np.save(target / TEXTS, fingerprints([*heard, *lines]))
    runs.write_text(target / "README.md", card)


def perturbed(clip: Clip, tract: float, tempo: float, longest: int) -> Clip:
    """The same words from a smaller or larger person, quicker or slower.

    `tract` scales all frequencies, `tempo` the length; at most `longest` mel frames come out.
    """
    bands = clip.mel.shape[1]
    highest = hertz_to_mel(SAMPLE_RATE / 2, mel_scale="slaney")  # as Whisper places its bands
    hz = mel_to_hertz(np.linspace(0.0, highest, bands + 2)[1:-1], mel_scale="slaney")
    band = np.interp(hz / tract, hz, np.arange(bands))
    frames = min(longest, 2 * round(len(clip.mel) * tempo / 2))
    when = np.linspace(0, len(clip.mel) - 1, frames)
    mel = _between(_between(clip.mel.astype(np.float32), when).T, band).T
    nearest = np.linspace(0, len(clip.phonemes) - 1, frames // 2).round().astype(int)
    prosody = clip.prosody[nearest].astype(np.float32)
    prosody[:, 0] += np.log2(tract) * (prosody[:, 0] != 0)
    phonemes, sounds = clip.phonemes[nearest], clip.sounds[nearest]
    return replace(clip, mel=mel, phonemes=phonemes, sounds=sounds, prosody=prosody)


def _between(rows: NDArray[np.float32], where: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at fractional positions, linearly interpolated."""
    low = np.minimum(where.astype(int), len(rows) - 2)
    part = (where - low).astype(np.float32)[:, None]
    return rows[low] * (1 - part) + rows[low + 1] * part


def tensors(
    clips: Sequence[Clip], rng: np.random.Generator, room: float, full: int
) -> list[Tensor]:
    """Features with SpecAugment, shape (batch, bands, mel frames); phonemes, sounds, prosody.

    `room` sets the window's length, between that of the longest clip (0) and `full` mel frames (1).
    """
    longest, bands = max(len(clip.mel) for clip in clips), clips[0].mel.shape[1]
    wanted = longest + room * (full - longest)
    length = min(full, math.ceil(wanted / _MULTIPLE) * _MULTIPLE)
    mels = np.empty((len(clips), length, bands), np.float32)
    phonemes, sounds = np.zeros((2, len(clips), length // 2), np.int64)
    prosody = np.zeros((len(clips), length // 2, 3), np.float32)
    for row, clip in enumerate(clips):
        n = len(clip.mel)
        mels[row, :n], mels[row, n:] = clip.mel, clip.floor
        low, start = rng.integers(0, bands - 10), rng.integers(0, max(1, n - 30))
        mels[row, :, low : low + rng.integers(0, 10)] = clip.floor
        mels[row, start : start + rng.integers(0, 25)] = clip.floor
        phonemes[row, : n // 2], sounds[row, : n // 2] = clip.phonemes, clip.sounds
        prosody[row, : n // 2] = clip.prosody
    return [*map(torch.from_numpy, (mels.transpose(0, 2, 1), phonemes, sounds, prosody))]


class Trainer:
    """State of one training run; `run` trains the model in place, on its device.

    The recipe's kind is transcribed, `expressive` only heard, `dev` watched; `lines` are read
    without audio; there are `phonemes` classes of phoneme.
    """

    def __init__(
        self,
        model: VoxtralForConditionalGeneration,
        tokenizer: MistralCommonBackend,
        recipe: Recipe,
        kinds: Mapping[str, Sequence[Clip]],
        lines: Sequence[str],
        phonemes: int,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.model, self.recipe, self.tokenizer, self.lines = model, recipe, tokenizer, lines
        self.written, self.heard = (
            sorted(kinds[kind], key=lambda clip: len(clip.mel))
            for kind in (recipe.kind, "expressive")
        )
        self.dev, self.device, encoder = kinds["dev"], model.device, model.config.audio_config
        self.bfloat16 = arithmetic("auto", self.device) == "bfloat16"
        self.frames = encoder.max_source_positions
        # Framewise read-outs of the encoder, thrown away after training.
        sizes = (phonemes, len(SOUNDS), 3)
        heads = nn.ModuleList(nn.Linear(encoder.hidden_size, size) for size in sizes)
        self.heads = heads.to(self.device)
        self.parameters = [*model.parameters(), *self.heads.parameters()]
        rate = recipe.learning_rate
        self.optimiser = torch.optim.AdamW(
            self.parameters, rate, (0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, rate, recipe.steps, pct_start=0.1
        )
        self.saved = (model, self.heads, self.optimiser, self.schedule)
        self.step, self.log = 0, []

    def run(self, folder: Path) -> list[dict[str, float]]:
        """Train, resuming from the checkpoint in `folder` if a killed run left one.

        Returns the log: some fifty steps a row with mean losses and, every thousand steps and at
        the end, the word error rate of `dev`. Raises UserError if the loss is not finite.
        """
        checkpoint, steps = folder / _CHECKPOINT, self.recipe.steps
        if checkpoint.exists():
            kept = torch.load(checkpoint, map_location=self.device, weights_only=True)
            self.step, self.log, states = kept
            for part, state in zip(self.saved, states, strict=True):
                part.load_state_dict(state)
        log_every = max(1, min(50, steps // 10))
        saved, recent = time.monotonic(), []
        self.model.set_attn_implementation("eager")  # twice as quick here as the fused CPU kernel
        self.model.train()
        with progress(steps, "base model", unit="step", done=self.step) as bar:
            while self.step < steps:
                recent.append(self._advance())
                bar.update()
                last = self.step == steps
                if self.step % log_every and not last:
                    continue
                names = sorted({name for row in recent for name in row})
                row = {n: float(np.mean([r[n] for r in recent if n in r])) for n in names}
                recent = []
                if self.step % _EVALUATE_EVERY == 0 or last:
                    self.model.eval()
                    heard = transcribe(self.model, self.tokenizer, self.dev)
                    self.model.train()
                    scores = metrics.evaluate([clip.text for clip in self.dev], heard)
                    row["dev_wer"] = scores.table("strict")["wer"].value
                self.log.append({"step": self.step, **row})
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    buffer = io.BytesIO()
                    states = [part.state_dict() for part in self.saved]
                    torch.save((self.step, self.log, states), buffer)
                    runs.write_bytes(checkpoint, buffer.getvalue())
                    saved = time.monotonic()
        return self.log

    def _advance(self) -> dict[str, float]:
        """One optimiser step; returns its losses."""
        recipe, done = self.recipe, self.step / self.recipe.steps
        rng = np.random.default_rng([recipe.seed, self.step])
        loose, extent = rng.random() < _LOOSE_WINDOW, rng.random()
        room = 1.0 if done >= _FULL_WINDOW else extent * loose
        share = min(1.0, recipe.shortest + 1.5 * done)
        alone = done < recipe.alone
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self._hear(self.written, rng, share, room, write=not alone)
            if alone or self.step % _EXPRESSIVE_EVERY == 0:
                heard = self._hear(self.heard, rng, share, room, write=False)
                losses["expressive"] = heard["frames"]
            if self.step % _TEXT_EVERY == 0:
                chosen = rng.choice(len(self.lines), _TEXT_BATCH, replace=False)
                read = [[BOS, *self._ids(self.lines[i])] for i in chosen]
                losses["text"] = self._language_loss(read, skip=1)
        total = sum(losses.values())
        if not torch.isfinite(total):
            raise UserError(
                f"the loss is not finite at step {self.step}: lower learning_rate; the last "
                "checkpoint is kept"
            )
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.schedule.step()
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _hear(
        self,
        among: Sequence[Clip],
        rng: np.random.Generator,
        share: float,
        room: float,
        write: bool,
    ) -> dict[str, Tensor]:
        """Losses of read-outs, and transcript if written, on some of the shortest clips."""
        size, change, full = self.recipe.batch, self.recipe.perturb, 2 * self.frames
        reach = max(size, int(len(among) * share))
        span = min(reach, max(4 * size, len(among) // 20))
        start = rng.integers(0, reach - span + 1)
        clips = [among[start + i] for i in rng.choice(span, size, replace=False)]
        if change:
            factors = rng.uniform(1 - change, 1 + change, (size, 2))
            clips = [perturbed(clip, *own, full) for clip, own in zip(clips, factors, strict=True)]
        mels, *labels = (each.to(self.device) for each in tensors(clips, rng, room, full))
        features = encode(self.model, mels)
        frames = features.float()
        phonemes, sounds, prosody = (
            loss(head(frames).flatten(0, 1), label.flatten(0, 1))
            for loss, head, label in zip(_LOSSES, self.heads, labels, strict=True)
        )
        losses = {"frames": phonemes + sounds + 2.0 * prosody}
        if write:
            stacked = features.reshape(size, -1, 4 * features.shape[-1])
            audio = self.model.model.multi_modal_projector(stacked)
            prompt = prompt_ids(self.tokenizer, audio.shape[1])
            ids = [[*prompt, *self._ids(clip.text)] for clip in clips]
            losses["transcription"] = self._language_loss(ids, len(prompt), audio)
        return losses

    def _ids(self, text: str) -> list[int]:
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], EOS]

    def _language_loss(
        self, rows: Sequence[list[int]], skip: int, audio: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of everything after the first `skip` tokens of each row."""
        ids = pad_sequence([*map(torch.tensor, rows)], batch_first=True, padding_value=PAD)
        ids = ids.to(self.device)
        embedded = self.model.get_input_embeddings()(ids)
        positions = torch.arange(ids.shape[1], device=self.device)
        if audio is not None:
            heard = audio.shape[1]
            positions[rows[0].index(AUDIO) + heard :] += self.frames // 4 - heard
            where = (ids == AUDIO)[..., None].expand_as(embedded)
            embedded = embedded.masked_scatter(where, audio.to(embedded.dtype))
        hidden = self.model.model.language_model(
            inputs_embeds=embedded,
            # Without a mask, transformers takes the step in positions for a second sequence.
            attention_mask=torch.ones_like(ids),
            position_ids=positions[None].expand_as(ids),
        )[0]
        logits = self.model.lm_head(hidden[:, skip - 1 : -1]).float().flatten(0, 1)
        return cross_entropy(logits, ids[:, skip:].flatten(), ignore_index=PAD)
