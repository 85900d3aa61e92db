"""What a Voxtral hears and is asked: its request, log-mels, and its encoder's features on disk.

A frozen encoder, 19 % of a training step, gives the same features each time. The cache holds what
comes *before* the projector, because adapters sit on the projector; its blocks are written
atomically, so a killed run goes on with the block it was at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn
from transformers import VoxtralForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from evoxtral import runs, tags
from evoxtral.clips import Clip, Dataset
from evoxtral.model.cpu import side_by_side
from evoxtral.processes import progress
from evoxtral.world.speech.audibility import linear_probe

if TYPE_CHECKING:
    from evoxtral.model import Voxtral

BLOCK = 64  # clips per file
_AT_ONCE = 4  # windows in the encoder at a time; on a processor a tenth faster than 8
_CODE = ("evoxtral.model.features", "evoxtral.model.cpu")
_FRAME_RATE = 50  # of the encoder's features, per second
_FEWEST = 5  # clips with and without a tag, below which no line is drawn


class Prompter:
    """Turns clips into Voxtral's inputs, and token ids back into text.

    The same inputs as `VoxtralProcessor.apply_transcription_request`, features and token ids made
    apart. A `window` is in samples; `eos`, `pad` and `audio` are token ids. A `UserError` where
    `language` is no code of two letters.
    """

    def __init__(self, base: Voxtral, language: str = "en") -> None:
        config, special = base.model.config, base.model.generation_config
        self._extractor = base.processor.feature_extractor
        self._tokenizer = base.processor.tokenizer
        self._frames = 2 * config.audio_config.max_source_positions
        self.window = int(self._extractor.chunk_length * self._extractor.sampling_rate)
        self.eos, self.pad = special.eos_token_id, special.pad_token_id
        self.audio = config.audio_token_id
        self._targets: dict[str, list[int]] = {}
        ids = base.request([np.zeros(self.window, np.float32)], language)["input_ids"][0].tolist()
        start = ids.index(self.audio)
        self._before, self._after = ids[:start], ids[start + ids.count(self.audio) :]

    def windows(self, samples: int) -> int:
        """Windows that so many samples take; a clip takes at least one."""
        return max(1, -(-samples // self.window))

    def mels(self, audio: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel features of 16 kHz samples, shape (windows, bands, frames), padded to windows."""
        made = self._extractor(
            audio,
            sampling_rate=self._extractor.sampling_rate,
            padding=True,
            truncation=False,
            pad_to_multiple_of=self.window,
            return_tensors="pt",
        ).input_features
        bands = self._extractor.feature_size
        return made.reshape(bands, -1, self._frames).transpose(0, 1).contiguous()

    def prompt(self, windows: int) -> list[int]:
        """Token ids of the request for a clip of so many windows."""
        return [*self._before, *[self.audio] * (windows * self._frames // 8), *self._after]

    def target(self, text: str) -> list[int]:
        """Token ids of a transcript, ended."""
        if text not in self._targets:  # asked for in every epoch
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            self._targets[text] = [*ids, self.eos]
        return self._targets[text]

    def text(self, ids: list[int]) -> str:
        """The transcript that token ids spell, without special tokens."""
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def pieces(self, ids: list[int]) -> list[str]:
        """Each token by itself, special ones by name; for display."""
        return [self._tokenizer.decode([i], skip_special_tokens=False) for i in ids]


class CachedEncoder(nn.Module):
    """Stands where the audio encoder stood and takes its features instead of log-mels."""

    def forward(self, input_features: Tensor, **_: object) -> BaseModelOutputWithPooling:
        """Pass features through, shape (windows, frames, width)."""
        return BaseModelOutputWithPooling(last_hidden_state=input_features)


def read_cached(model: VoxtralForConditionalGeneration) -> VoxtralForConditionalGeneration:
    """Replace a model's encoder by the cache; changes the model itself."""
    model.model.audio_tower = CachedEncoder()
    return model


@torch.inference_mode()
def encode(model: VoxtralForConditionalGeneration, mels: Tensor) -> Tensor:
    """Encoder features, shape (windows, frames, width), of log-mels (windows, bands, 2 frames)."""
    tower = model.model.audio_tower
    weight = next(tower.parameters())
    return tower(mels.to(weight.device, weight.dtype)).last_hidden_state


class Features:
    """Cached features of clips, read as they are asked for; `windows` and `seconds` of each."""

    def __init__(self, folder: Path, clips: Sequence[Clip]) -> None:
        self.folder, self.seconds = folder, [clip.seconds or 0.0 for clip in clips]
        files = [_block(folder, first) for first in range(0, len(clips), BLOCK)]
        # they stay open: to map a file anew for each clip takes three times as long
        opened = [safetensors.safe_open(file, "pt") for file in files]
        self._slices = [file.get_slice("features") for file in opened]
        self.windows = tuple(n for file in opened for n in json.loads(file.metadata()["windows"]))

    def __getitem__(self, clip: int) -> Tensor:
        """Features of a clip, shape (windows, frames, width)."""
        block, place = divmod(clip, BLOCK)
        start = sum(self.windows[clip - place : clip])
        return self._slices[block][start : start + self.windows[clip]]


def _block(folder: Path, first: int) -> Path:
    return folder / f"clips-{first:06d}.safetensors"


class LogMels:
    """What an encoder that learns too is fed: log-mels, made anew each time they are asked for.

    `read` gives the 16 kHz samples of a clip by its place; `windows` and `seconds` are of each.
    """

    def __init__(
        self,
        read: Callable[[int], npt.NDArray[np.float32]],
        seconds: Sequence[float],
        prompter: Prompter,
    ) -> None:
        self._read, self._prompter, self.seconds = read, prompter, seconds
        self.windows = tuple(prompter.windows(len(read(clip))) for clip in range(len(seconds)))

    def __getitem__(self, clip: int) -> Tensor:
        """Log-mels of a clip, shape (windows, bands, 2 frames)."""
        return self._prompter.mels(self._read(clip))


Listened = Features | LogMels
"""What a model hears of clips."""


def clips_digest(clips: Sequence[Clip]) -> str:
    """Digest of clips' ids and audio, in their order."""
    return runs.digest([[clip.id, clip.sha256] for clip in clips])


def cache_features(
    base: Voxtral, clips: Sequence[Clip], sounds: Dataset, profile: str, what: str
) -> Features:
    """The stage of a profile that holds the base's features of clips, in their order.

    It is one of the encoder's weights and the clips' sounds; `what` is named in the progress bar.
    """
    weight = next(base.model.parameters())

    def make(folder: Path) -> None:
        prompter = Prompter(base)
        blocks = {_block(folder, i): clips[i : i + BLOCK] for i in range(0, len(clips), BLOCK)}
        todo = {file: own for file, own in blocks.items() if not file.exists()}

        def write(file: Path) -> None:
            mels = [prompter.mels(sounds.audio(clip)) for clip in todo[file]]
            made = [encode(base.model, some).cpu() for some in torch.cat(mels).split(_AT_ONCE)]
            windows = {"windows": json.dumps([*map(len, mels)])}
            runs.write_bytes(file, save({"features": torch.cat(made)}, windows))

        done = len(clips) - sum(map(len, todo.values()))
        with (
            progress(len(clips), f"features of {what}", unit="clip", done=done) as bar,
            side_by_side(weight.device) as pool,
        ):
            for own, _ in zip(todo.values(), pool.map(write, todo), strict=True):
                bar.update(len(own))

    params = {
        "encoder": base.encoder_digest,
        "clips": clips_digest(clips),
        "precision": str(weight.dtype),
    }
    return Features(runs.stage("features", profile, params, make, code=_CODE).path, clips)


def probe(
    train: tuple[Features, Sequence[Clip]], test: tuple[Features, Sequence[Clip]]
) -> pd.DataFrame:
    """What a straight line finds of each tag in the frozen encoder's features.

    A line through pooled features tells clips with a tag from clips without: `tag | auc | clips`,
    the area under the ROC curve (chance 0.5; NaN of too few clips) and test clips with the tag.
    """
    pooled, rows = [_pooled(features) for features, _ in (train, test)], []
    for tag in tags.TAGS:
        has = [
            np.array([tag in tags.find_tags(clip.tagged_text) for clip in clips])
            for _, clips in (train, test)
        ]
        sides = [(own[yes], own[~yes]) for own, yes in zip(pooled, has, strict=True)]
        known = min(len(part) for side in sides for part in side) >= _FEWEST
        auc = linear_probe(*sides, 0.01) if known else float("nan")
        rows.append({"tag": tag, "auc": auc, "clips": int(has[1].sum())})
    return pd.DataFrame(rows)


def _pooled(features: Features) -> npt.NDArray[np.float32]:
    """Mean, deviation and maximum over the frames that hold sound, shape (clips, 3 * width)."""
    rows = []
    for i, seconds in enumerate(features.seconds):
        frames = features[i].float().flatten(0, 1)[: max(2, round(seconds * _FRAME_RATE))]
        rows.append(torch.cat([frames.mean(0), frames.std(0), frames.amax(0)]).numpy())
    return np.stack(rows)
