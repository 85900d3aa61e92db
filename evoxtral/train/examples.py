"""Training examples: encoder features, the request before them, the transcript to learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from evoxtral import UserError
from evoxtral.model import Listened, Prompter

IGNORED = -100
"""Label of a position that is not learnt."""

FILLER = -1
"""Stands for an example in which nothing is learnt: it evens out the batches of processes."""

_COLUMNS = 8


@dataclass(frozen=True, eq=False)
class Examples(Dataset[dict[str, Any]]):
    """Examples of a split, each as often as it is drawn per epoch.

    Attributes:
        heard: features of the clips.
        texts: transcript to learn, per clip.
        draws: clip of each example.
        prompter: makes token ids.
        weights: factor of the loss, per clip.
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
        prompt = self.prompter.prompt(self.heard.windows[clip])
        target = [] if example == FILLER else self.prompter.target(self.texts[clip])
        return {
            "input_features": self.heard[clip],
            "prompt": prompt,
            "target": target,
            "weight": self.weights[clip],
        }

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, from which batches of like length are made."""
        own = [
            len(self.prompter.prompt(windows)) + len(self.prompter.target(text))
            for windows, text in zip(self.heard.windows, self.texts, strict=True)
        ]
        return [own[clip] for clip in self.draws]

    @property
    def longest_target(self) -> int:
        """Tokens of the longest transcript, its end included.

        Raises:
            UserError: there is no example.
        """
        if not self.texts:
            raise UserError("there is no transcript to learn from: the split is empty")
        return max(len(self.prompter.target(text)) for text in self.texts)


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """A batch whose transcripts all start in one column: requests padded left, transcripts right.

    The output layer is then needed for the last columns only (`logits_to_keep`): of 430 positions
    of a Voxtral-Mini example about fifty are learnt, and each costs a row of 131,072 logits.

    Transcripts get columns by the eight. On a CPU each new shape makes oneDNN build kernels of
    its own and keep them, where it multiplies in bfloat16: 240 steps of the embedded model with
    columns to fit took a sixth more time and half as much memory again. Columns by the sixteen
    are more padding: a fortieth more time, in float32 too.

    Returns:
        `input_ids` and `attention_mask`, shape (batch, positions); `labels`, shape (batch,
        kept), -100 where nothing is learnt; `logits_to_keep`, the number of columns kept, which
        is one more than those of transcripts: a label is predicted one column earlier;
        `input_features`, all windows of all clips; `weights`, shape (batch,).
    """
    before = max(len(row["prompt"]) for row in rows)
    after = _COLUMNS * math.ceil(max(len(row["target"]) for row in rows) / _COLUMNS)
    ids = torch.full((len(rows), before + after), pad)
    seen = torch.zeros_like(ids)
    labels = torch.full((len(rows), after + 1), IGNORED)
    for i, row in enumerate(rows):
        prompt, target = row["prompt"], row["target"]
        tokens = torch.tensor([*prompt, *target])
        start = before - len(prompt)
        ids[i, start : start + len(tokens)] = tokens
        seen[i, start : start + len(tokens)] = 1
        labels[i, 1 : 1 + len(target)] = torch.tensor(target)
    return {
        "input_ids": ids,
        "attention_mask": seen,
        "labels": labels,
        "logits_to_keep": after + 1,
        "input_features": torch.cat([row["input_features"] for row in rows]),
        "weights": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
    }


def masked(examples: Examples, example: int) -> list[tuple[str, bool]]:
    """An example as it is learnt: each token's text, and whether it is a label."""
    row = examples[example]
    batch = collate([row], examples.prompter.pad)
    labels = batch["labels"][0, 1:]
    seen = batch["attention_mask"][0].bool()
    learnt = torch.zeros_like(seen)
    learnt[-len(labels) :] = labels.ne(IGNORED)
    ids = batch["input_ids"][0][seen].tolist()
    return list(zip(examples.prompter.pieces(ids), learnt[seen].tolist(), strict=True))
