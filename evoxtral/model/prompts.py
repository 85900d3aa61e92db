"""What Voxtral is asked: log-mel windows of a clip, and the transcription request around them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import VoxtralProcessor

from evoxtral import UserError
from evoxtral.model.loading import Voxtral


class Prompter:
    """Turns clips into Voxtral's inputs, and token ids back into text.

    The same inputs as `VoxtralProcessor.apply_transcription_request`, which a test compares,
    without its detour over a file: features and token ids are made apart, so that features can
    come from a cache.

    Attributes:
        eos: id that ends a transcript.
        pad: id that fills a batch.
        audio: id of an audio position.
    """

    def __init__(self, base: Voxtral, language: str = "en") -> None:
        self.processor: VoxtralProcessor = base.processor
        self.extractor = base.processor.feature_extractor
        self.window = int(self.extractor.chunk_length * self.extractor.sampling_rate)
        self.frames = 2 * base.model.config.audio_config.max_source_positions
        self.tokens_per_window = self.frames // 8
        self._check(base)
        self.eos = int(base.model.generation_config.eos_token_id)
        self.pad = int(base.model.generation_config.pad_token_id)
        self.audio = int(base.model.config.audio_token_id)
        self._before, self._after = self._request(base.name, language)
        self._prompt = lru_cache(maxsize=None)(self._build)
        self._target = lru_cache(maxsize=None)(self._spell)

    def windows(self, samples: int) -> int:
        """Windows that so many samples take; a clip takes at least one."""
        return max(1, -(-samples // self.window))

    def mels(self, audio: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel features of 16 kHz samples, shape (windows, bands, frames), padded to windows."""
        if not len(audio):
            raise UserError("a clip without samples cannot be transcribed: leave it out")
        made = self.extractor(
            audio,
            sampling_rate=self.extractor.sampling_rate,
            padding=True,
            truncation=False,
            pad_to_multiple_of=self.window,
            return_tensors="pt",
        ).input_features
        bands = self.extractor.feature_size
        return made.reshape(bands, -1, self.frames).transpose(0, 1).contiguous()

    def prompt(self, windows: int) -> list[int]:
        """Token ids of the request for a clip of so many windows."""
        return self._prompt(windows)

    def _build(self, windows: int) -> list[int]:
        return [*self._before, *[self.audio] * (windows * self.tokens_per_window), *self._after]

    def target(self, text: str) -> list[int]:
        """Token ids of a transcript, ended."""
        return self._target(text)

    def _spell(self, text: str) -> list[int]:
        ids = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.eos]

    def text(self, ids: list[int]) -> str:
        """The transcript that token ids spell, without special tokens."""
        return self.processor.tokenizer.decode(ids, skip_special_tokens=True)

    def pieces(self, ids: list[int]) -> list[str]:
        """Each token by itself, special ones by name; for display."""
        decode = self.processor.tokenizer.decode
        return [decode([i], skip_special_tokens=False) for i in ids]

    def _check(self, base: Voxtral) -> None:
        made = self.extractor.feature_size, self.window // self.extractor.hop_length
        wanted = base.model.config.audio_config.num_mel_bins, self.frames
        if made != wanted:
            raise UserError(
                f"the processor makes windows of {made[0]} bands and {made[1]} frames and the "
                f"model expects {wanted[0]} and {wanted[1]}: give the processor that belongs to "
                "the model"
            )

    def _request(self, name: str, language: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the audio, as the processor writes them."""
        inputs = self.processor.apply_transcription_request(
            language=language,
            audio=[np.zeros(self.window, np.float32)],
            format=["WAV"],
            sampling_rate=self.extractor.sampling_rate,
            model_id=name,
            audio_kwargs={"pad_to_multiple_of": self.window, "max_source_positions": self.frames},
        )
        ids = inputs["input_ids"][0]
        places = torch.nonzero(ids == self.audio).flatten().tolist()
        if len(places) != self.tokens_per_window or places[-1] - places[0] + 1 != len(places):
            raise UserError(
                f"the processor writes {len(places)} audio tokens for one window and the model "
                f"expects {self.tokens_per_window}: give the processor that belongs to the model"
            )
        return ids[: places[0]].tolist(), ids[places[-1] + 1 :].tolist()
