"""What fine-tuning reads: examples of a split, batches of like length, and their order.

The order is one of (seed, epoch) alone, so that a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from evoxtral.model import Listened, Prompter

IGNORED = -100  # label of a position that is not learnt
FILLER = -1  # stands for an example without labels: it evens out the batches of processes
_COLUMNS = 8


@dataclass(frozen=True, eq=False)
class Examples(Dataset[dict[str, Any]]):
    """Examples of a split: `draws` has the clip of each, as often as it is drawn per epoch.

    Each clip has a transcript to learn in `texts`, and in `weights` a factor of its loss.
    """

    heard: Listened
    texts: Sequence[str]
    draws: Sequence[int]
    prompter: Prompter
    weights: Sequence[float]

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, example: int) -> dict[str, Any]:
        clip = self.draws[0 if example == FILLER else example]
        return {
            "input_features": self.heard[clip],
            "prompt": self.prompter.prompt(self.heard.windows[clip]),
            "target": [] if example == FILLER else self.prompter.target(self.texts[clip]),
            "weight": self.weights[clip],
        }

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, from which batches of like length are made."""
        rows = ((self.heard.windows[clip], self.texts[clip]) for clip in self.draws)
        return [len(self.prompter.prompt(n)) + len(self.prompter.target(text)) for n, text in rows]


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """A batch whose transcripts all start in one column: requests padded left, transcripts right.

    The output layer is then needed for the last columns only (`logits_to_keep`). Transcripts get
    columns by the eight, since oneDNN builds and keeps kernels for each new shape.

    Returns:
        `input_ids` and `attention_mask`, shape (batch, positions); `labels`, shape (batch, kept),
        -100 where nothing is learnt; `logits_to_keep`, columns kept, one more than those of
        transcripts: a label is predicted one column earlier; `input_features`, all windows of all
        clips; `weights`, shape (batch,).
    """
    before = max(len(row["prompt"]) for row in rows)
    after = _COLUMNS * math.ceil(max(len(row["target"]) for row in rows) / _COLUMNS)
    ids = torch.full((len(rows), before + after), pad)
    seen = torch.zeros_like(ids)
    labels = torch.full((len(rows), after + 1), IGNORED)
    for i, row in enumerate(rows):
        prompt, target = row["prompt"], row["target"]
        own = slice(before - len(prompt), before + len(target))
        ids[i, own] = torch.tensor([*prompt, *target])
        seen[i, own] = 1
        labels[i, 1 : 1 + len(target)] = torch.tensor(target)
    return {
        "input_ids": ids,
        "attention_mask": seen,
        "labels": labels,
        "logits_to_keep": after + 1,
        "input_features": torch.cat([row["input_features"] for row in rows]),
        "weights": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
    }


def seed_of(*numbers: int) -> int:
    """One 63-bit seed of several numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1


class LengthSampler(Sampler[int]):
    """Batches of like length in random order; the order is one of (seed, epoch).

    The Trainer's own grouping goes from long to short, over and over: neighbouring steps would
    learn from like clips. A batch is of an optimiser step, over all processes. The end is filled up
    to a multiple of `even` with `FILLER`, so that processes take equally many micro-batches.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, even: int = 1) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, 0
        self.fillers = -len(self.lengths) % even

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths) + self.fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, self.epoch))
        order = get_length_grouped_indices(self.lengths, self.batch, generator=generator)
        whole = len(order) // self.batch
        # The first batch has the longest example, so that a lack of memory shows at once.
        for i in (0, *(1 + torch.randperm(max(0, whole - 1), generator=generator)).tolist()):
            yield from order[i * self.batch : (i + 1) * self.batch]
        yield from order[max(1, whole) * self.batch :]
        yield from [FILLER] * self.fillers
