"""Decode completions: prefill once per clip, fork it k-fold, drop what has ended.

Every row draws its random numbers from its own seed, so a completion depends on (seed, clip,
index) and on nothing else that is in the batch, up to the rounding of batched arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from evoxtral import processes
from evoxtral.model import Listened, Prompter, last_logits
from evoxtral.model.cpu import side_by_side
from evoxtral.processes import progress

_DROP_AT = 0.25
"""Share of ended rows at which the cache is compacted: each compaction copies what stays."""

_PREFILLED_AT_ONCE = 16  # clips, on a processor: what they take stays in its cache


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: most tokens of a completion, the end included; 1 or more.
        temperature: 0 takes the likeliest token; otherwise logits are divided by it.
        top_p: sample from the smallest set of tokens with at least this probability, in (0, 1].
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass
class Decoded:
    """One completion: its tokens without the end, and whether it came to its end."""

    ids: list[int]
    finished: bool

    def row(self, prompter: Prompter) -> dict[str, object]:
        """As files hold it."""
        text = prompter.text(self.ids)
        return {"text": text, "tokens": len(self.ids), "finished": self.finished}


@torch.inference_mode()
def decode(
    model: nn.Module,
    prompt: Sequence[int],
    features: Tensor,
    settings: Decoding,
    eos: int,
    seeds: Sequence[Sequence[Collection[int] | int]] = (),
) -> list[list[Decoded]]:
    """Completions of each clip of a batch that shares one prompt.

    Args:
        model: a Voxtral, with merged or attached adapters.
        prompt: token ids of the request.
        features: what the model's encoder takes, all windows of all clips, clip by clip.
        settings: greedy or sampled.
        eos: id that ends a completion.
        seeds: what seeds each completion's random numbers, shape (clips, k); without any each
            clip has one.
    """
    limit, k = settings.max_new_tokens, len(seeds[0]) if seeds else 1
    if settings.temperature:
        own = [np.random.default_rng(seed).random(limit) for row in seeds for seed in row]
        draws = torch.from_numpy(np.stack(own))
    cache, logits = _prefilled(model, prompt, features)
    if k > 1:
        cache.batch_repeat_interleave(k)
        logits = logits.repeat_interleave(k, dim=0)
    places = list(range(len(logits)))  # row of the model's batch -> completion
    made = [Decoded([], finished=False) for _ in places]
    for step in range(limit):
        if settings.temperature:
            chosen = sample(logits, draws[places, step], settings)
        else:
            chosen = logits.argmax(dim=-1)
        for place, token in zip(places, chosen.tolist(), strict=True):
            if token == eos:
                made[place].finished = True
            elif not made[place].finished:
                made[place].ids.append(token)
        alive = [row for row, place in enumerate(places) if not made[place].finished]
        if not alive or step + 1 == limit:
            break
        if len(alive) <= (1 - _DROP_AT) * len(places):
            places = [places[row] for row in alive]
            keep = torch.tensor(alive, device=logits.device)
            chosen = chosen[keep]
            cache.batch_select_indices(keep)
        out = model(input_ids=chosen[:, None], past_key_values=cache, use_cache=True)
        logits = out.logits[:, -1].float()
    return [made[i : i + k] for i in range(0, len(made), k)]


def _prefilled(
    model: nn.Module, prompt: Sequence[int], features: Tensor
) -> tuple[DynamicCache, Tensor]:
    """The cache after the prompt, and the logits of what follows, shape (clips, vocabulary)."""
    device, config = next(model.parameters()).device, model.config
    windows = prompt.count(config.audio_token_id) * 4 // config.audio_config.max_source_positions
    at_once = _PREFILLED_AT_ONCE * windows if device.type == "cpu" else len(features)
    parts, logits = [], []
    for some in features.split(at_once):
        parts.append(DynamicCache(config=config.text_config))
        out = model(
            input_ids=torch.tensor([prompt], device=device).expand(len(some) // windows, -1),
            input_features=some.to(device, model.dtype),
            past_key_values=parts[-1],
            use_cache=True,
            **last_logits(1, device),
        )
        logits.append(out.logits[:, -1].float())
    if len(parts) > 1:  # one cache with the rows of all, in their order
        for layer, *others in zip(*(part.layers for part in parts), strict=True):
            layer.keys = torch.cat([layer.keys, *(other.keys for other in others)])
            layer.values = torch.cat([layer.values, *(other.values for other in others)])
    return parts[0], torch.cat(logits)


def sample(logits: Tensor, uniform: Tensor, settings: Decoding) -> Tensor:
    """Draw one token id per row by inverting the cumulative distribution.

    Args:
        logits: shape (rows, vocabulary), float32.
        uniform: a random number in [0, 1) per row.
        settings: temperature above 0, and top_p.
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


def plan_batches(
    windows: Sequence[int], seconds: Sequence[float], size: int
) -> list[tuple[int, ...]]:
    """Group clips that take equally many windows, long with long, so that few rows wait.

    Args:
        windows: of each clip; clips of a batch share their prompt.
        seconds: duration of each clip, from which the length of its transcript is expected.
        size: most clips of a batch.

    Returns:
        Row numbers, the longest clips first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(windows)), key=lambda i: (-windows[i], -seconds[i], i))
    alike = [tuple(rows) for _, rows in groupby(order, key=lambda i: windows[i])]
    return [rows[i : i + size] for rows in alike for i in range(0, len(rows), size)]


def transcribe(
    model: nn.Module,
    prompter: Prompter,
    features: Listened,
    seconds: Sequence[float],
    max_new_tokens: int,
    batch: int,
    what: str | None = None,
) -> list[Decoded]:
    """Greedy transcripts, one per clip, in the clips' order.

    Of several processes each decodes whole batches of one plan, and all get all transcripts.

    Args:
        model: reads what `features` are (`model.read_cached`).
        prompter: of the same base.
        features: of the clips.
        seconds: their durations.
        max_new_tokens: most tokens of a transcript.
        batch: clips decoded together. A processor has a batch on each of its threads.
        what: named in the progress bar; None shows none.
    """
    made: dict[int, Decoded] = {}
    settings = Decoding(max_new_tokens)
    mine = processes.share(plan_batches(features.windows, seconds, batch))

    def hear(rows: tuple[int, ...]) -> list[list[Decoded]]:
        heard = torch.cat([features[i] for i in rows])
        prompt = prompter.prompt(features.windows[rows[0]])
        return decode(model, prompt, heard, settings, prompter.eos)

    clips = sum(map(len, mine))
    with (
        progress(clips, f"transcripts of {what}", unit="clip", shown=what is not None) as bar,
        side_by_side(next(model.parameters()).device) as pool,
    ):
        for rows, texts in zip(mine, pool.map(hear, mine), strict=True):
            made |= {row: text for row, [text] in zip(rows, texts, strict=True)}
            bar.update(len(rows))
    everything = {i: one for share in processes.gather(made) for i, one in share.items()}
    return [everything[i] for i in range(len(seconds))]
