"""Decode completions: prefill once per clip, fork it k-fold, drop what has ended.

Every row draws its random numbers from its own seed, so a completion depends on (seed, clip,
index) and on nothing else that is in the batch, up to the rounding of batched arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from evoxtral import UserError
from evoxtral.decode.constraint import BracketGuard
from evoxtral.model import last_logits

_DROP_AT = 0.25
"""Share of ended rows at which the cache is compacted: each compaction copies what stays."""

_PREFILLED_AT_ONCE = 16  # clips, on a processor: what they take stays in its cache


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: most tokens of a completion, the end included.
        temperature: 0 takes the likeliest token; otherwise logits are divided by it.
        top_p: sample from the smallest set of tokens with at least this probability.

    Raises:
        UserError: a value is out of range.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}: it must be 1 or more")
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}: it must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}: it must be in (0, 1]")


@dataclass(frozen=True)
class Decoded:
    """One completion: its tokens without the end, and whether it came to its end."""

    ids: list[int]
    finished: bool


@torch.inference_mode()
def decode(
    model: nn.Module,
    prompt: Sequence[int],
    features: Tensor,
    settings: Decoding,
    eos: int,
    seeds: Sequence[Sequence[Collection[int] | int]] | None = None,
    k: int = 1,
    guard: BracketGuard | None = None,
) -> list[list[Decoded]]:
    """Completions of a batch of clips that share one prompt.

    Args:
        model: a Voxtral, with merged or attached adapters.
        prompt: token ids of the request, the same for all clips of the batch.
        features: what the model's encoder takes, all windows of all clips, clip by clip.
        settings: greedy or sampled.
        eos: id that ends a completion.
        seeds: what seeds each completion's random numbers, shape (clips, k); greedy needs none.
        k: completions per clip.
        guard: keeps brackets to known tags: a token that would break one is chosen again among
            those that do not, so that a completion that needs no help is the same without it.

    Returns:
        For each clip, its k completions.
    """
    device = next(model.parameters()).device
    draws = _draws(settings, seeds, again=guard is not None)
    cache, logits = _prefilled(model, prompt, features)
    clips = len(logits)
    if k > 1:
        cache.batch_repeat_interleave(k)
        logits = logits.repeat_interleave(k, dim=0)
    rows = _Rows(clips * k, settings, eos, draws, device, guard)
    while rows.step(logits):
        keep = rows.compact()
        if keep is not None:
            cache.batch_select_indices(keep)
        out = model(input_ids=rows.last[:, None], past_key_values=cache, use_cache=True)
        logits = out.logits[:, -1].float()
    made = rows.decoded()
    return [made[i : i + k] for i in range(0, len(made), k)]


def _draws(
    settings: Decoding, seeds: Sequence[Sequence[Collection[int] | int]] | None, *, again: bool
) -> Tensor | None:
    """Random numbers in [0, 1), shape (completions, 1 or 2, steps): the second for a second draw.

    The first are the same with and without the second.
    """
    if settings.temperature == 0:
        return None
    if seeds is None:
        raise ValueError("sampling needs seeds")
    generators = [np.random.default_rng(seed) for own in seeds for seed in own]
    shape = (1 + again, settings.max_new_tokens)
    return torch.from_numpy(np.stack([generator.random(shape) for generator in generators]))


def _prefilled(
    model: nn.Module, prompt: Sequence[int], features: Tensor
) -> tuple[DynamicCache, Tensor]:
    """The cache after the prompt, and the logits of what follows, shape (clips, vocabulary)."""
    device = next(model.parameters()).device
    windows = _windows(model, prompt)
    at_once = _PREFILLED_AT_ONCE * windows if device.type == "cpu" else len(features)
    parts, logits = [], []
    for some in features.split(at_once):
        parts.append(DynamicCache(config=model.config.text_config))
        out = model(
            input_ids=torch.tensor([prompt], device=device).expand(len(some) // windows, -1),
            input_features=some.to(device, model.dtype),
            past_key_values=parts[-1],
            use_cache=True,
            **last_logits(1, device),
        )
        logits.append(out.logits[:, -1].float())
    return _joined(parts), torch.cat(logits)


def _joined(parts: Sequence[DynamicCache]) -> DynamicCache:
    """One cache with the rows of all, in their order: the first part, made longer."""
    if len(parts) == 1:
        return parts[0]
    for layer, *others in zip(*(part.layers for part in parts), strict=True):
        layer.keys = torch.cat([layer.keys, *(other.keys for other in others)])
        layer.values = torch.cat([layer.values, *(other.values for other in others)])
    return parts[0]


def _windows(model: nn.Module, prompt: Sequence[int]) -> int:
    """Windows of audio that the prompt has room for."""
    config = model.config
    per_window = config.audio_config.max_source_positions // 4
    return sum(token == config.audio_token_id for token in prompt) // per_window


class _Rows:
    """The completions under way: who is alive, what has been written."""

    def __init__(
        self,
        count: int,
        settings: Decoding,
        eos: int,
        draws: Tensor | None,
        device: torch.device,
        guard: BracketGuard | None,
    ) -> None:
        self.settings, self.eos, self.draws, self.device = settings, eos, draws, device
        self.written: list[list[int]] = [[] for _ in range(count)]
        self.finished = [False] * count
        self.places = list(range(count))  # row of the model's batch -> completion
        self.last = torch.empty(0, dtype=torch.long)
        self.steps = 0
        self.guard = guard
        self.states = [0] * count  # of the guard
        self.costs = guard.costs.to(device) if guard else None

    def step(self, logits: Tensor) -> bool:
        """Choose one token per row; False when all have ended or the limit is reached."""
        chosen = self._choose(logits, 0)
        if self.costs is not None:
            chosen = self._guarded(logits, chosen, self.costs)
        self.steps += 1
        for place, token in zip(self.places, chosen.tolist(), strict=True):
            if not self.finished[place]:
                self.finished[place] = token == self.eos
                if token != self.eos:
                    self.written[place].append(token)
                if self.guard:
                    self.states[place] = self.guard.after(self.states[place], token)
        self.last = chosen
        return self.steps < self.settings.max_new_tokens and not all(
            self.finished[place] for place in self.places
        )

    def _choose(self, logits: Tensor, draw: int) -> Tensor:
        if self.draws is None:
            return logits.argmax(dim=-1)
        return sample(logits, self.draws[self.places, draw, self.steps], self.settings)

    def _guarded(self, logits: Tensor, chosen: Tensor, costs: Tensor) -> Tensor:
        """Choose again where the token breaks a bracket or leaves no room to close it."""
        left = min(self.settings.max_new_tokens - self.steps - 1, BracketGuard.NEVER - 1)
        states = torch.tensor([self.states[place] for place in self.places], device=self.device)
        wrong = costs[states, chosen] > left
        if not wrong.any():
            return chosen
        again = self._choose(logits.masked_fill(costs[states] > left, -torch.inf), 1)
        return torch.where(wrong, again, chosen)

    def compact(self) -> Tensor | None:
        """Forget ended rows once they are many; returns the rows that stay, or None for all."""
        alive = [row for row, place in enumerate(self.places) if not self.finished[place]]
        if len(alive) > (1 - _DROP_AT) * len(self.places):
            return None
        self.places = [self.places[row] for row in alive]
        keep = torch.tensor(alive, device=self.device)
        self.last = self.last[keep]
        return keep

    def decoded(self) -> list[Decoded]:
        return [Decoded(ids, done) for ids, done in zip(self.written, self.finished, strict=True)]


def sample(logits: Tensor, uniform: Tensor, settings: Decoding) -> Tensor:
    """Draw one token per row by inverting the cumulative distribution.

    Args:
        logits: shape (rows, vocabulary), float32.
        uniform: a random number in [0, 1) per row.
        settings: temperature above 0, and top_p.

    Returns:
        Token ids, shape (rows,).
    """
    probabilities = (logits / settings.temperature).softmax(dim=-1).double()
    ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    mass = ordered.cumsum(dim=-1)
    if settings.top_p < 1:
        kept = mass - ordered < settings.top_p
        mass = (ordered * kept).cumsum(dim=-1)
    wanted = uniform.to(mass.device)[:, None] * mass[:, -1:]
    place = (mass <= wanted).sum(dim=-1, keepdim=True).clamp(max=mass.shape[-1] - 1)
    return ids.gather(1, place)[:, 0]
