"""What a base model hears: transcripts, and features pooled for linear probes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import MistralCommonBackend, VoxtralForConditionalGeneration

from evoxtral.world.base.architecture import Architecture
from evoxtral.world.base.corpus import Utterances
from evoxtral.world.base.inputs import prompt_ids

BATCH = 64


def _windows(
    rows: Utterances, bands: int, full: int, device: torch.device
) -> Iterator[tuple[Tensor, list[int]]]:
    """Batches of full windows, shape (batch, bands, mel frames), and the clips' mel frames."""
    for start in range(0, len(rows), BATCH):
        chosen = range(start, min(start + BATCH, len(rows)))
        mels = np.empty((len(chosen), full, bands), np.float32)
        for row, i in enumerate(chosen):
            n = len(rows.mels[i])
            mels[row, :n], mels[row, n:] = rows.mels[i], rows.floors[i]
        lengths = [len(rows.mels[i]) for i in chosen]
        yield torch.from_numpy(mels).transpose(1, 2).to(device), lengths


@torch.inference_mode()
def transcribe(
    model: VoxtralForConditionalGeneration,
    tokenizer: MistralCommonBackend,
    rows: Utterances,
    shape: Architecture,
    *,
    max_new_tokens: int = 48,
) -> list[str]:
    """Greedy transcripts of all utterances, through Voxtral's own `generate`."""
    prompt = torch.tensor(prompt_ids(tokenizer, shape.audio_tokens), device=model.device)
    texts = []
    for mels, _ in _windows(rows, shape.mel_bins, 2 * shape.frames, model.device):
        ids = prompt.expand(len(mels), -1)
        out = model.generate(
            input_ids=ids,
            input_features=mels,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )
        texts += [tokenizer.decode(row, skip_special_tokens=True) for row in out[:, len(prompt) :]]
    return texts


@torch.inference_mode()
def pooled_features(
    model: VoxtralForConditionalGeneration, rows: Utterances, shape: Architecture
) -> NDArray[np.float32]:
    """Frozen-encoder features of each clip: mean, deviation and maximum over its frames.

    Returns:
        Shape (n, 3 * encoder width).
    """
    pooled = []
    for mels, lengths in _windows(rows, shape.mel_bins, 2 * shape.frames, model.device):
        features = model.model.audio_tower(mels).last_hidden_state.float()
        for clip, length in zip(features, lengths, strict=True):
            heard = clip[: max(2, length // 2)]
            parts = [heard.mean(0), heard.std(0), heard.amax(0)]
            pooled.append(torch.cat(parts).cpu().numpy())
    return np.stack(pooled)
