"""The straightforward ways: what one writes with transformers and peft and nothing of ours.

One clip at a time through processor and `generate`; the plain Trainer on samples. The encoder
hears every clip anew whenever it is used, adapters stay beside the weights, and the output layer
runs on every position. Where the original implementation paid for more (adapters inside the
encoder, activations recomputed, up to 512 new tokens, top-k left at its default), these do not:
they do the same work as ours, so that the results can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import BatchFeature

from evoxtral import clips as dataset
from evoxtral.clips import Clip
from evoxtral.model import Prompter

__all__ = ["Collator", "Samples", "request", "write"]

Audio = npt.NDArray[np.float32]


def request(prompter: Prompter, name: str, audio: Sequence[Audio]) -> BatchFeature:
    """A transcription request as the model's page shows it: ids, mask and log-mels of clips.

    Args:
        prompter: holds the processor, and the window of the embedded base, which is not 30 s.
        name: of the base model.
        audio: samples of each clip.
    """
    window = {"pad_to_multiple_of": prompter.window, "max_source_positions": prompter.frames}
    return prompter.processor.apply_transcription_request(
        language=["en"] * len(audio),
        audio=list(audio),
        format=["WAV"] * len(audio),
        sampling_rate=prompter.extractor.sampling_rate,
        model_id=name,
        audio_kwargs=window,
    )


def write(
    model: nn.Module, prompter: Prompter, name: str, audio: Audio, **options: Any
) -> list[str]:
    """Transcripts of one clip by `generate`; as many as `num_return_sequences` asks for.

    Args:
        model: with its encoder, adapters attached.
        prompter: of the same base.
        name: of the base model.
        audio: samples.
        options: of `generate`.
    """
    weight = next(model.parameters())
    inputs = request(prompter, name, [audio]).to(weight.device, dtype=weight.dtype)
    with torch.no_grad():
        ids = model.generate(**inputs, **options)
    new = ids[:, inputs["input_ids"].shape[1] :]
    return prompter.processor.batch_decode(new, skip_special_tokens=True)


@dataclass(frozen=True, eq=False)
class Samples(Dataset[dict[str, Any]]):
    """Samples and transcript of clips; the file is read each time."""

    sounds: dataset.Dataset
    clips: Sequence[Clip]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, example: int) -> dict[str, Any]:
        clip = self.clips[example]
        return {"audio": self.sounds.audio(clip), "text": clip.tagged_text}


@dataclass(frozen=True)
class Collator:
    """Batches of `Samples`: log-mels made on the spot, prompts masked, padded on the right.

    Attributes:
        prompter: holds the processor.
        name: of the base model.
    """

    prompter: Prompter
    name: str

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask`, `labels` and `input_features` of a batch."""
        asked = request(self.prompter, self.name, [row["audio"] for row in rows])
        tokenizer = self.prompter.processor.tokenizer
        prompts = [
            ids[mask.bool()].tolist()
            for ids, mask in zip(asked["input_ids"], asked["attention_mask"], strict=True)
        ]
        targets = [
            [*tokenizer(row["text"], add_special_tokens=False)["input_ids"], self.prompter.eos]
            for row in rows
        ]
        pairs = list(zip(prompts, targets, strict=True))
        longest = max(len(prompt) + len(target) for prompt, target in pairs)
        batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
        for prompt, target in pairs:
            rest = longest - len(prompt) - len(target)
            batch["input_ids"].append([*prompt, *target, *[self.prompter.pad] * rest])
            batch["attention_mask"].append([1] * (longest - rest) + [0] * rest)
            batch["labels"].append([-100] * len(prompt) + target + [-100] * rest)
        made = {name: torch.tensor(rows) for name, rows in batch.items()}
        return made | {"input_features": asked["input_features"]}
