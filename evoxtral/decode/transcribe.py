"""Greedy transcripts of many clips: clips of like length share a batch, the order is kept.

Of several processes each decodes whole batches of one plan, and all get all transcripts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from evoxtral import processes
from evoxtral.decode.decode import Decoded, Decoding, decode
from evoxtral.model import Listened, Prompter
from evoxtral.model.threads import side_by_side
from evoxtral.progress import progress

Batch = tuple[int, ...]
"""Row numbers of the clips decoded together."""


def plan_batches(windows: Sequence[int], seconds: Sequence[float], size: int) -> list[Batch]:
    """Group clips that take equally many windows, long with long, so that few rows wait.

    Args:
        windows: of each clip; clips of a batch share their prompt.
        seconds: duration of each clip, from which the length of its transcript is expected.
        size: most clips of a batch.

    Returns:
        Row numbers, each once; the longest clips first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(windows)), key=lambda i: (-windows[i], -seconds[i], i))
    batches: list[list[int]] = []
    for i in order:
        full = not batches or len(batches[-1]) == size
        if full or windows[batches[-1][0]] != windows[i]:
            batches.append([])
        batches[-1].append(i)
    return [tuple(batch) for batch in batches]


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

    Args:
        model: reads cached features (`model.read_cached`).
        prompter: of the same base.
        features: of the clips.
        seconds: their durations.
        max_new_tokens: most tokens of a transcript.
        batch: clips decoded together. A processor has a batch on each of its threads.
        what: named in the progress bar; None shows none, inside other work that has its own.
    """
    made: dict[int, Decoded] = {}
    settings = Decoding(max_new_tokens)
    mine = processes.share(plan_batches(features.windows, seconds, batch))
    clips = sum(map(len, mine))

    def hear(rows: Batch) -> list[Decoded]:
        heard = torch.cat([features[i] for i in rows])
        prompt = prompter.prompt(features.windows[rows[0]])
        return [own for [own] in decode(model, prompt, heard, settings, prompter.eos)]

    with (
        progress(clips, f"transcripts of {what}", unit="clip", shown=what is not None) as bar,
        side_by_side(next(model.parameters()).device) as pool,
    ):
        for rows, texts in zip(mine, pool.map(hear, mine), strict=True):
            made |= dict(zip(rows, texts, strict=True))
            bar.update(len(rows))
    everything = {i: one for share in processes.gather(made) for i, one in share.items()}
    return [everything[i] for i in range(len(features))]
