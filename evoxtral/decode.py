"""Decode completions: prefill once per clip, fork it k-fold, drop what has ended.

Every row draws its random numbers from its own seed, so a completion depends on (seed, clip,
index) and on nothing else that is in the batch, up to the rounding of batched arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

_DROP_AT = 0.25  # share of ended rows: to compact the cache copies what stays
_PREFILLED_AT_ONCE = 16  # clips, on a processor: what they take stays in its cache


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    At most `max_new_tokens`, 1 or more, the end included. Temperature 0 takes the likeliest token,
    any other divides the logits; drawn is from the smallest set of probability `top_p`, in (0, 1].
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
    prompter: Prompter,
    heard: Listened,
    clips: Sequence[int],
    settings: Decoding,
    seeds: Sequence[Sequence[Sequence[int] | int]] = (),
) -> list[list[Decoded]]:
    """Completions of each clip of a batch: of some places in `heard`, all of as many windows.

    The model, adapters merged or attached, reads what `heard` holds. `seeds` are those of each
    completion's random numbers, shape (clips, k); without any each clip has one completion.
    """
    limit, k = settings.max_new_tokens, len(seeds[0]) if seeds else 1
    if settings.temperature:
        own = [np.random.default_rng(seed).random(limit) for row in seeds for seed in row]
        draws = torch.from_numpy(np.stack(own))
    prompt = prompter.prompt(heard.windows[clips[0]])
    cache, logits = _prefilled(model, prompt, [heard[clip] for clip in clips])
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
            if token == prompter.eos:
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
    model: nn.Module, prompt: Sequence[int], clips: Sequence[Tensor]
) -> tuple[DynamicCache, Tensor]:
    """The cache after the prompt, and the logits of what follows, shape (clips, vocabulary)."""
    device = next(model.parameters()).device
    at_once = _PREFILLED_AT_ONCE if device.type == "cpu" else len(clips)
    parts, logits = [], []
    for start in range(0, len(clips), at_once):
        some = clips[start : start + at_once]
        parts.append(DynamicCache(config=model.config.text_config))
        out = model(
            input_ids=torch.tensor([prompt], device=device).expand(len(some), -1),
            input_features=torch.cat(some).to(device, model.dtype),
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
    """Draw one token id per row of logits by inverting the cumulative distribution.

    `logits`, float32, have the shape (rows, vocabulary); `uniform` is a number in [0, 1) per row;
    the temperature is above 0.
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


def plan_batches(heard: Listened, clips: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Group clips, by their places in `heard`, that take equally many windows, `size` at most.

    The longest come first, so that a lack of memory shows at once, and long with long, so that few
    rows wait.
    """
    order = sorted(clips, key=lambda i: (-heard.windows[i], -heard.seconds[i], i))
    alike = [tuple(rows) for _, rows in groupby(order, key=lambda i: heard.windows[i])]
    return [rows[i : i + size] for rows in alike for i in range(0, len(rows), size)]


def in_batches(
    model: nn.Module,
    prompter: Prompter,
    heard: Listened,
    plan: Sequence[tuple[int, ...]],
    settings: Decoding,
    seeds: Callable[[int], Sequence[Sequence[int] | int]] | None = None,
) -> Iterator[list[list[Decoded]]]:
    """What `decode` makes of each batch of a plan, in order; on a processor each thread has one.

    `seeds` gives those of a clip by its place in `heard`.
    """

    def work(rows: Sequence[int]) -> list[list[Decoded]]:
        own = [seeds(i) for i in rows] if seeds else ()
        return decode(model, prompter, heard, rows, settings, own)

    with side_by_side(next(model.parameters()).device) as pool:
        yield from pool.map(work, plan)


def transcribe(
    model: nn.Module,
    prompter: Prompter,
    heard: Listened,
    max_new_tokens: int,
    batch: int,
    what: str | None = None,
) -> list[Decoded]:
    """Greedy transcripts, one per clip, in the clips' order.

    Of several processes each decodes whole batches of one plan, and all get all transcripts.
    `what` is named in the progress bar; None shows none.
    """
    made: dict[int, Decoded] = {}
    clips = range(len(heard.seconds))
    mine = processes.share(plan_batches(heard, clips, batch))
    work = in_batches(model, prompter, heard, mine, Decoding(max_new_tokens))
    total, name = sum(map(len, mine)), f"transcripts of {what}"
    with progress(total, name, unit="clip", shown=what is not None) as bar:
        for rows, texts in zip(mine, work, strict=True):
            made |= {row: text for row, [text] in zip(rows, texts, strict=True)}
            bar.update(len(rows))
    everything = {i: one for share in processes.gather(made) for i, one in share.items()}
    return [everything[i] for i in clips]
