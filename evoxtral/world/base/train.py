"""How the base learns: batches with frame targets, read-outs, and the training loop."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    MistralCommonBackend,
    VoxtralForConditionalGeneration,
)
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from evoxtral import UserError, runs
from evoxtral.model import arithmetic
from evoxtral.processes import progress
from evoxtral.world.base import corpus
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.model import (
    AUDIO,
    EOS,
    FRAME_RATE,
    PAD,
    SAMPLE_RATE,
    Architecture,
    encode,
    prompt_ids,
)

_MULTIPLE = 4 * 2 * 5  # mel frames: 4 encoder frames per audio token, stride 2, 5 tokens


@dataclass(frozen=True)
class Labels:
    """Frame targets of a batch.

    Attributes:
        phonemes: classes, shape (batch, frames).
        sounds: classes, shape (batch, frames).
        prosody: pitch, voicing and loudness, shape (batch, frames, 3).
    """

    phonemes: Tensor
    sounds: Tensor
    prosody: Tensor


@dataclass(frozen=True)
class Take:
    """One utterance as a batch shows it; fields as in `Utterances`."""

    mel: NDArray[np.floating]
    phonemes: NDArray[np.uint8]
    sounds: NDArray[np.uint8]
    prosody: NDArray[np.floating]


@cache
def _bands_hz(bands: int) -> NDArray[np.float64]:
    """Centre of each mel band in Hz, as Whisper's feature extractor places them."""
    highest = hertz_to_mel(SAMPLE_RATE / 2, mel_scale="slaney")
    return mel_to_hertz(np.linspace(0.0, highest, bands + 2)[1:-1], mel_scale="slaney")


def perturbed(take: Take, tract: float, tempo: float, longest: int) -> Take:
    """The same words from a smaller or larger person, quicker or slower.

    Args:
        take: the utterance.
        tract: factor on all frequencies; the pitch target follows.
        tempo: factor on the length.
        longest: most mel frames that may come out.
    """
    hz = _bands_hz(take.mel.shape[1])
    band = np.interp(hz / tract, hz, np.arange(len(hz)))
    frames = min(longest, 2 * round(len(take.mel) * tempo / 2))
    when = np.linspace(0, len(take.mel) - 1, frames)
    mel = _between(_between(take.mel.astype(np.float32), when).T, band).T
    nearest = np.linspace(0, len(take.phonemes) - 1, frames // 2).round().astype(int)
    prosody = take.prosody[nearest].astype(np.float32)
    prosody[:, 0] += np.log2(tract) * (prosody[:, 0] != 0)
    return Take(mel, take.phonemes[nearest], take.sounds[nearest], prosody)


def _between(rows: NDArray[np.float32], where: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows at fractional positions, linearly interpolated."""
    low = np.minimum(where.astype(int), len(rows) - 2)
    part = (where - low).astype(np.float32)[:, None]
    return rows[low] * (1 - part) + rows[low + 1] * part


class Pool:
    """Utterances sorted by length, from which batches of like length are drawn."""

    def __init__(self, rows: Utterances, shape: Architecture) -> None:
        self.rows = rows
        self.full = shape.window_seconds * FRAME_RATE * 2
        self.order = np.argsort([len(mel) for mel in rows.mels], kind="stable")

    def draw(self, rng: np.random.Generator, size: int, share: float) -> list[int]:
        """Row numbers of a batch from the shortest `share` of the pool."""
        reach = max(size, int(len(self.order) * share))
        span = min(reach, max(4 * size, len(self.order) // 20))
        start = int(rng.integers(0, reach - span + 1))
        return self.order[start + rng.choice(span, size, replace=False)].tolist()

    def tensors(
        self,
        index: Sequence[int],
        rng: np.random.Generator,
        room: float,
        device: torch.device,
        perturb: float = 0.0,
    ) -> tuple[Tensor, Labels]:
        """Features with SpecAugment, shape (batch, bands, mel frames), and frame targets.

        Args:
            index: row numbers.
            rng: source of the masks.
            room: length of the window between that of the longest utterance (0) and the window
                of inference (1).
            device: where the tensors go.
            perturb: largest relative change of vocal tract and of tempo, drawn per utterance.
        """
        takes = [self._take(i, rng, perturb) for i in index]
        floors, longest = self.rows.floors, max(len(take.mel) for take in takes)
        wanted = longest + room * (self.full - longest)
        length = min(self.full, math.ceil(wanted / _MULTIPLE) * _MULTIPLE)
        bands = takes[0].mel.shape[1]
        mels = np.empty((len(index), length, bands), np.float32)
        phonemes = np.zeros((len(index), length // 2), np.int64)
        sounds = np.zeros_like(phonemes)
        prosody = np.zeros((len(index), length // 2, 3), np.float32)
        for row, (i, take) in enumerate(zip(index, takes, strict=True)):
            n, floor = len(take.mel), floors[i]
            mels[row, :n], mels[row, n:] = take.mel, floor
            low, start = rng.integers(0, bands - 10), rng.integers(0, max(1, n - 30))
            mels[row, :, low : low + rng.integers(0, 10)] = floor
            mels[row, start : start + rng.integers(0, 25)] = floor
            phonemes[row, : n // 2] = take.phonemes
            sounds[row, : n // 2] = take.sounds
            prosody[row, : n // 2] = take.prosody
        move = [torch.from_numpy(a).to(device) for a in (mels, phonemes, sounds, prosody)]
        return move[0].transpose(1, 2), Labels(*move[1:])

    def _take(self, i: int, rng: np.random.Generator, perturb: float) -> Take:
        rows = self.rows
        take = Take(rows.mels[i], rows.phonemes[i], rows.sounds[i], rows.prosody[i])
        if not perturb:
            return take
        tract, tempo = rng.uniform(1 - perturb, 1 + perturb, size=2)
        return perturbed(take, tract, tempo, self.full)


class Heads(nn.Module):
    """Framewise read-outs of the encoder, thrown away after training."""

    def __init__(self, width: int, phonemes: int) -> None:
        super().__init__()
        self.phoneme = nn.Linear(width, phonemes)
        self.sound = nn.Linear(width, len(corpus.SOUNDS))
        self.prosody = nn.Linear(width, 3)

    def loss(self, features: Tensor, labels: Labels) -> Tensor:
        """Sum of the three framewise losses.

        Args:
            features: encoder features, shape (batch, frames, width), float32.
            labels: targets of the same frames.
        """
        cross_entropy = nn.functional.cross_entropy
        phoneme = cross_entropy(self.phoneme(features).flatten(0, 1), labels.phonemes.flatten())
        sound = cross_entropy(self.sound(features).flatten(0, 1), labels.sounds.flatten())
        prosody = nn.functional.smooth_l1_loss(self.prosody(features), labels.prosody, beta=0.1)
        return phoneme + sound + 2.0 * prosody


@dataclass(frozen=True)
class Recipe:
    """How the base is trained.

    Attributes:
        steps: optimiser steps.
        batch: utterances per step.
        learning_rate: peak of the one-cycle schedule.
        expressive_every: every n-th step the encoder also hears an expressive batch.
        text_every: every n-th step the language model also reads a batch of text.
        text_batch: lines per batch of text.
        alone: share of steps in which the encoder is trained without transcription.
        loose_window: share of steps whose window ends at a random point between the longest
            utterance and the full window; the others end with the longest utterance.
        full_window: share of training after which all windows are full.
        shortest: share of the utterances, shortest first, that is drawn from at the start.
        perturb: largest relative change of an utterance's vocal tract and tempo.
        seed: all randomness derives from it.
        checkpoint_seconds: time between checkpoints.
        log_every: steps between rows of the log.
    """

    steps: int
    batch: int
    learning_rate: float
    expressive_every: int = 2
    text_every: int = 4
    text_batch: int = 32
    alone: float = 0.12
    loose_window: float = 0.3
    full_window: float = 0.88
    shortest: float = 0.25
    perturb: float = 0.0
    seed: int = 0
    checkpoint_seconds: float = 180.0
    log_every: int = 50


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from.

    Attributes:
        neutral: utterances to transcribe.
        expressive: utterances that only the encoder hears.
        lines: text read without audio.
        phonemes: phoneme classes.
    """

    neutral: Utterances
    expressive: Utterances
    lines: Sequence[str]
    phonemes: int


class _Trainer:
    """State of one training run."""

    def __init__(
        self,
        model: VoxtralForConditionalGeneration,
        tokenizer: MistralCommonBackend,
        material: Material,
        recipe: Recipe,
        shape: Architecture,
    ) -> None:
        self.model, self.recipe, self.tokenizer, self.shape = model, recipe, tokenizer, shape
        self.device = model.device
        self.bfloat16 = arithmetic("auto", self.device) == "bfloat16"
        self.heads = Heads(shape.encoder_width, material.phonemes).to(self.device)
        self.neutral = Pool(material.neutral, shape)
        self.expressive = Pool(material.expressive, shape)
        self.targets = [self._ids(text) for text in material.neutral.texts]
        self.lines = [self._ids(line) for line in material.lines]
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.parameters = [*parameters, *self.heads.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
        )
        self.step = 0
        self.log: list[dict[str, float]] = []

    def _ids(self, text: str) -> list[int]:
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], EOS]

    def state(self) -> dict[str, object]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "log": self.log,
        }

    def restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.log = state["step"], state["log"]

    def advance(self) -> dict[str, float]:
        """One optimiser step; returns its losses."""
        recipe, done = self.recipe, self.step / self.recipe.steps
        rng = np.random.default_rng([recipe.seed, self.step])
        loose, extent = rng.random() < recipe.loose_window, rng.random()
        room = 1.0 if done >= recipe.full_window else extent * loose
        share = min(1.0, recipe.shortest + 1.5 * done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            alone = done < recipe.alone
            losses = self._hear(rng, share, room) if alone else self._transcribe(rng, share, room)
            if alone or self.step % recipe.expressive_every == 0:
                losses["expressive"] = self._framewise(self.expressive, rng, share, room)
            if self.step % recipe.text_every == 0:
                losses["text"] = self._read(rng)
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

    def _transcribe(self, rng: np.random.Generator, share: float, room: float) -> dict[str, Tensor]:
        index = self.neutral.draw(rng, self.recipe.batch, share)
        mels, labels = self._batch(self.neutral, index, rng, room)
        features = encode(self.model, mels)
        frames = self.heads.loss(features.float(), labels)
        stacked = features.reshape(len(index), -1, 4 * features.shape[-1])
        audio = self.model.model.multi_modal_projector(stacked)
        prompt = prompt_ids(self.tokenizer, audio.shape[1])
        ids = [[*prompt, *self.targets[i]] for i in index]
        loss = self._language_loss(ids, skip=len(prompt), audio=audio)
        return {"transcription": loss, "frames": frames}

    def _hear(self, rng: np.random.Generator, share: float, room: float) -> dict[str, Tensor]:
        return {"frames": self._framewise(self.neutral, rng, share, room)}

    def _framewise(self, pool: Pool, rng: np.random.Generator, share: float, room: float) -> Tensor:
        index = pool.draw(rng, self.recipe.batch, share)
        mels, labels = self._batch(pool, index, rng, room)
        return self.heads.loss(encode(self.model, mels).float(), labels)

    def _batch(
        self, pool: Pool, index: Sequence[int], rng: np.random.Generator, room: float
    ) -> tuple[Tensor, Labels]:
        return pool.tensors(index, rng, room, self.device, self.recipe.perturb)

    def _read(self, rng: np.random.Generator) -> Tensor:
        chosen = rng.choice(len(self.lines), self.recipe.text_batch, replace=False)
        return self._language_loss([[1, *self.lines[i]] for i in chosen], skip=1)

    def _language_loss(
        self, rows: Sequence[list[int]], skip: int, audio: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of everything after the first `skip` tokens of each row."""
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), PAD, device=self.device)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, device=self.device)
        embedded = self.model.get_input_embeddings()(ids)
        positions = torch.arange(longest, device=self.device)
        if audio is not None:
            heard = audio.shape[1]
            positions[rows[0].index(AUDIO) + heard :] += self.shape.audio_tokens - heard
            where = (ids == AUDIO)[..., None].expand_as(embedded)
            embedded = embedded.masked_scatter(where, audio.to(embedded.dtype))
        language_model = self.model.model.language_model
        hidden = language_model(
            inputs_embeds=embedded,
            # Without a mask, transformers takes the step in positions for a second sequence.
            attention_mask=torch.ones_like(ids),
            position_ids=positions[None].expand_as(ids),
        )[0]
        wanted = ids[:, skip:]
        logits = self.model.lm_head(hidden[:, skip - 1 : -1])
        return nn.functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), ignore_index=PAD
        )


def train(
    folder: Path,
    model: VoxtralForConditionalGeneration,
    tokenizer: MistralCommonBackend,
    material: Material,
    recipe: Recipe,
    shape: Architecture,
    evaluate: Callable[[int], dict[str, float]] | None = None,
    evaluate_every: int = 1000,
) -> list[dict[str, float]]:
    """Train in place, resuming from `folder/checkpoint.pt` if a killed run left one.

    Args:
        folder: where the checkpoint is kept.
        model: the model, on its device.
        tokenizer: its tokenizer.
        material: what is learnt from.
        recipe: the hyperparameters.
        shape: the architecture.
        evaluate: called with the step; its numbers enter the log.
        evaluate_every: steps between evaluations.

    Returns:
        The log: one row per `recipe.log_every` steps, losses averaged.

    Raises:
        UserError: the loss is not finite.
    """
    torch.manual_seed(recipe.seed)
    run = _Trainer(model, tokenizer, material, recipe, shape)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        run.restore(checkpoint)
    saved, recent = time.monotonic(), []
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")  # twice as quick here as the fused CPU kernel
    model.train()
    with progress(recipe.steps, "base model", unit="step", done=run.step) as bar:
        while run.step < recipe.steps:
            recent.append(run.advance())
            bar.update()
            if run.step % recipe.log_every == 0 or run.step == recipe.steps:
                names = sorted({name for row in recent for name in row})
                row = {n: float(np.mean([r[n] for r in recent if n in r])) for n in names}
                recent = []
                if evaluate and (run.step % evaluate_every == 0 or run.step == recipe.steps):
                    model.eval()
                    row |= evaluate(run.step)
                    model.train()
                run.log.append({"step": run.step, **row})
                bar.set_postfix({n: f"{row[n]:.2f}" for n in row if n != "step"}, refresh=False)
                if time.monotonic() - saved > recipe.checkpoint_seconds:
                    _save(checkpoint, run)
                    saved = time.monotonic()
    model.eval()
    model.set_attn_implementation(attention)
    return run.log


def _save(path: Path, run: _Trainer) -> None:
    buffer = io.BytesIO()
    torch.save(run.state(), buffer)
    runs.write_bytes(path, buffer.getvalue())
