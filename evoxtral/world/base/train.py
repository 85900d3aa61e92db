"""How the base learns: batches with frame targets, read-outs, and the training loop."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import MistralCommonBackend, VoxtralForConditionalGeneration
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

from evoxtral import UserError, runs
from evoxtral.model import arithmetic
from evoxtral.processes import progress
from evoxtral.world.base.corpus import SOUNDS, Clip
from evoxtral.world.base.model import AUDIO, BOS, EOS, PAD, SAMPLE_RATE, encode, prompt_ids

_MULTIPLE = 4 * 2 * 5  # mel frames: 4 encoder frames per audio token, stride 2, 5 tokens
_EVALUATE_EVERY = 1000

Labels = tuple[Tensor, Tensor, Tensor]
"""Targets of each frame of a batch: phoneme and sound classes, and (pitch, voicing, loudness)."""
Batch = tuple[list[Clip], Tensor, Labels]
"""Clips, their features of shape (batch, bands, mel frames), and the targets."""


@cache
def _bands_hz(bands: int) -> NDArray[np.float64]:
    """Centre of each mel band in Hz, as Whisper's feature extractor places them."""
    highest = hertz_to_mel(SAMPLE_RATE / 2, mel_scale="slaney")
    return mel_to_hertz(np.linspace(0.0, highest, bands + 2)[1:-1], mel_scale="slaney")


def perturbed(clip: Clip, tract: float, tempo: float, longest: int) -> Clip:
    """The same words from a smaller or larger person, quicker or slower.

    `tract` is a factor on all frequencies, which the pitch target follows, `tempo` one on the
    length, `longest` the most mel frames that may come out.
    """
    hz = _bands_hz(clip.mel.shape[1])
    band = np.interp(hz / tract, hz, np.arange(len(hz)))
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


def draw(clips: Sequence[Clip], rng: np.random.Generator, size: int, share: float) -> list[Clip]:
    """Clips of like length from the shortest `share` of clips that are sorted by length."""
    reach = max(size, int(len(clips) * share))
    span = min(reach, max(4 * size, len(clips) // 20))
    start = int(rng.integers(0, reach - span + 1))
    return [clips[start + i] for i in rng.choice(span, size, replace=False)]


def tensors(
    clips: Sequence[Clip], rng: np.random.Generator, room: float, full: int
) -> tuple[Tensor, Labels]:
    """Features with SpecAugment, shape (batch, bands, mel frames), and frame targets.

    `room` sets the length of the window, between that of the longest clip (0) and `full` (1), the
    mel frames in the window of inference.
    """
    longest = max(len(clip.mel) for clip in clips)
    wanted = longest + room * (full - longest)
    length = min(full, math.ceil(wanted / _MULTIPLE) * _MULTIPLE)
    bands = clips[0].mel.shape[1]
    mels = np.empty((len(clips), length, bands), np.float32)
    phonemes = np.zeros((len(clips), length // 2), np.int64)
    sounds = np.zeros_like(phonemes)
    prosody = np.zeros((len(clips), length // 2, 3), np.float32)
    for row, clip in enumerate(clips):
        n, floor = len(clip.mel), clip.floor
        mels[row, :n], mels[row, n:] = clip.mel, floor
        low, start = rng.integers(0, bands - 10), rng.integers(0, max(1, n - 30))
        mels[row, :, low : low + rng.integers(0, 10)] = floor
        mels[row, start : start + rng.integers(0, 25)] = floor
        phonemes[row, : n // 2] = clip.phonemes
        sounds[row, : n // 2] = clip.sounds
        prosody[row, : n // 2] = clip.prosody
    features, *labels = map(torch.from_numpy, (mels, phonemes, sounds, prosody))
    return features.transpose(1, 2), tuple(labels)


class Heads(nn.Module):
    """Framewise read-outs of the encoder, thrown away after training."""

    def __init__(self, width: int, phonemes: int) -> None:
        super().__init__()
        self.phoneme = nn.Linear(width, phonemes)
        self.sound = nn.Linear(width, len(SOUNDS))
        self.prosody = nn.Linear(width, 3)

    def loss(self, features: Tensor, labels: Labels) -> Tensor:
        """Sum of the three framewise losses of features, shape (batch, frames, width), float32."""
        cross_entropy = nn.functional.cross_entropy
        phonemes, sounds, prosody = labels
        return (
            cross_entropy(self.phoneme(features).flatten(0, 1), phonemes.flatten())
            + cross_entropy(self.sound(features).flatten(0, 1), sounds.flatten())
            + 2.0 * nn.functional.smooth_l1_loss(self.prosody(features), prosody, beta=0.1)
        )


@dataclass(frozen=True)
class Recipe:
    """How the base is trained."""

    steps: int
    batch: int  # utterances per step
    learning_rate: float  # peak of the one-cycle schedule
    expressive_every: int = 2  # steps between expressive batches, which the encoder alone hears
    text_every: int = 4  # steps between batches of text, which the language model alone reads
    text_batch: int = 32
    alone: float = 0.12  # share of steps in which the encoder learns without transcription
    loose_window: float = 0.3  # share of steps whose window ends anywhere after the longest clip
    full_window: float = 0.88  # share of training after which all windows are full
    shortest: float = 0.25  # share of the clips, shortest first, that is drawn from at the start
    perturb: float = 0.0  # largest relative change of a clip's vocal tract and tempo
    seed: int = 0
    checkpoint_seconds: float = 180.0  # between checkpoints

    @property
    def log_every(self) -> int:
        """Steps between rows of the log."""
        return max(1, min(50, self.steps // 10))


class Trainer:
    """State of one training run; `run` trains the model in place, on its device.

    `neutral` clips are transcribed, `expressive` ones only heard by the encoder, `lines` read
    without audio; there are `phonemes` classes of phoneme.
    """

    def __init__(
        self,
        model: VoxtralForConditionalGeneration,
        tokenizer: MistralCommonBackend,
        recipe: Recipe,
        neutral: Sequence[Clip],
        expressive: Sequence[Clip],
        lines: Sequence[str],
        phonemes: int,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.model, self.recipe, self.tokenizer, self.lines = model, recipe, tokenizer, lines
        self.neutral, self.expressive = (
            sorted(clips, key=lambda clip: len(clip.mel)) for clips in (neutral, expressive)
        )
        self.device, encoder = model.device, model.config.audio_config
        self.bfloat16 = arithmetic("auto", self.device) == "bfloat16"
        self.frames = encoder.max_source_positions
        self.heads = Heads(encoder.hidden_size, phonemes).to(self.device)
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.parameters = [*parameters, *self.heads.parameters()]
        rate = recipe.learning_rate
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, rate, total_steps=recipe.steps, pct_start=0.1
        )
        self.step = 0
        self.log: list[dict[str, float]] = []

    def run(self, folder: Path, evaluate: Callable[[], dict[str, float]]) -> list[dict[str, float]]:
        """Train, resuming from `folder/checkpoint.pt` if a killed run left one.

        Returns the log: a row per `log_every` steps with mean losses and, every thousand steps and
        at the end, what `evaluate` says.

        Raises:
            UserError: the loss is not finite.
        """
        checkpoint, recipe = folder / "checkpoint.pt", self.recipe
        if checkpoint.exists():
            self._restore(checkpoint)
        saved, recent = time.monotonic(), []
        attention = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # twice as quick here as the fused CPU kernel
        self.model.train()
        with progress(recipe.steps, "base model", unit="step", done=self.step) as bar:
            while self.step < recipe.steps:
                recent.append(self._advance())
                bar.update()
                last = self.step == recipe.steps
                if self.step % recipe.log_every and not last:
                    continue
                names = sorted({name for row in recent for name in row})
                row = {n: float(np.mean([r[n] for r in recent if n in r])) for n in names}
                recent = []
                if self.step % _EVALUATE_EVERY == 0 or last:
                    self.model.eval()
                    row |= evaluate()
                    self.model.train()
                self.log.append({"step": self.step, **row})
                bar.set_postfix({n: f"{row[n]:.2f}" for n in row}, refresh=False)
                if time.monotonic() - saved > recipe.checkpoint_seconds:
                    self._save(checkpoint)
                    saved = time.monotonic()
        self.model.eval()
        self.model.set_attn_implementation(attention)
        return self.log

    _PARTS = ("model", "heads", "optimiser", "schedule")

    def _save(self, path: Path) -> None:
        state = {part: getattr(self, part).state_dict() for part in self._PARTS}
        buffer = io.BytesIO()
        torch.save({**state, "step": self.step, "log": self.log}, buffer)
        runs.write_bytes(path, buffer.getvalue())

    def _restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for part in self._PARTS:
            getattr(self, part).load_state_dict(state[part])
        self.step, self.log = state["step"], state["log"]

    def _ids(self, text: str) -> list[int]:
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], EOS]

    def _advance(self) -> dict[str, float]:
        """One optimiser step; returns its losses."""
        recipe, done = self.recipe, self.step / self.recipe.steps
        rng = np.random.default_rng([recipe.seed, self.step])
        loose, extent = rng.random() < recipe.loose_window, rng.random()
        room = 1.0 if done >= recipe.full_window else extent * loose
        share = min(1.0, recipe.shortest + 1.5 * done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            alone = done < recipe.alone
            heard = self._batch(self.neutral, rng, share, room)
            losses = {"frames": self._framewise(heard)} if alone else self._transcribe(heard)
            if alone or self.step % recipe.expressive_every == 0:
                heard = self._batch(self.expressive, rng, share, room)
                losses["expressive"] = self._framewise(heard)
            if self.step % recipe.text_every == 0:
                chosen = rng.choice(len(self.lines), recipe.text_batch, replace=False)
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

    def _batch(
        self, clips: Sequence[Clip], rng: np.random.Generator, share: float, room: float
    ) -> Batch:
        drawn, full = draw(clips, rng, self.recipe.batch, share), 2 * self.frames
        if change := self.recipe.perturb:
            drawn = [
                perturbed(clip, *rng.uniform(1 - change, 1 + change, size=2), full)
                for clip in drawn
            ]
        mels, labels = tensors(drawn, rng, room, full)
        return drawn, mels.to(self.device), tuple(label.to(self.device) for label in labels)

    def _framewise(self, batch: Batch) -> Tensor:
        _, mels, labels = batch
        return self.heads.loss(encode(self.model, mels).float(), labels)

    def _transcribe(self, batch: Batch) -> dict[str, Tensor]:
        clips, mels, labels = batch
        features = encode(self.model, mels)
        frames = self.heads.loss(features.float(), labels)
        stacked = features.reshape(len(clips), -1, 4 * features.shape[-1])
        audio = self.model.model.multi_modal_projector(stacked)
        prompt = prompt_ids(self.tokenizer, audio.shape[1])
        ids = [[*prompt, *self._ids(clip.text)] for clip in clips]
        loss = self._language_loss(ids, skip=len(prompt), audio=audio)
        return {"transcription": loss, "frames": frames}

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
            positions[rows[0].index(AUDIO) + heard :] += self.frames // 4 - heard
            where = (ids == AUDIO)[..., None].expand_as(embedded)
            embedded = embedded.masked_scatter(where, audio.to(embedded.dtype))
        hidden = self.model.model.language_model(
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
