"""Train the embedded base model: framewise listening and transcription, jointly.

Training on the transcription loss alone, or with CTC, stays on its plateau for a model this
small; asking the encoder for a phoneme in every 20 ms frame makes it listen within a few hundred
steps. The encoder starts alone, so that the language model never learns to do without it.

Easiest (shortest) utterances come first. Windows are mostly as short as the batch allows,
sometimes longer by chance, and full, as at inference, in the last part of training. The text
always stands at the positions it has after a full window: what is where in the audio can then be
learnt by distance, and short windows teach what full ones need.

Every random choice is drawn from (seed, step), so a run that was killed and resumed sees the same
batches as one that was not.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import MistralCommonBackend, VoxtralForConditionalGeneration

from evoxtral import UserError, runs
from evoxtral.devices import arithmetic
from evoxtral.progress import progress
from evoxtral.world.base.architecture import Architecture
from evoxtral.world.base.batches import Heads, Labels, Pool
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.inputs import AUDIO, EOS, PAD, encode, prompt_ids


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
