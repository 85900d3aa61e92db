"""What the report's recipe takes on a GPU: memory and time, predicted from the model's shapes.

A multiplication with its addition counts as two operations; norms, activations and softmax are left
out, together below one percent. A floor is arithmetic over the GPU's peak, or bytes over its
bandwidth, whichever takes longer. What to expect stands on four assumptions, none of them measured
with this project: `EFFICIENCY` of the peak is reached in training (the original implementation's
two training times both give 0.40), `BANDWIDTH_SHARE` of the bandwidth in decoding, no layer takes
less than `DECODE_LAUNCH` per decoding step or `TRAIN_LAUNCH` per micro-batch, the time a processor
needs to start its kernels (published rates of models of 1.8 to 7 billion weights under transformers
on an A100).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from transformers import VoxtralConfig

EFFICIENCY, BANDWIDTH_SHARE = 0.4, 0.6
DECODE_LAUNCH, TRAIN_LAUNCH = 0.76e-3, 5e-3  # seconds per layer
RESERVED = 1e9
"""Bytes for the driver, workspaces and fragmentation."""

_BF16, _FP32 = 2, 4  # bytes of a number
_LOGITS = 3  # float32 logits, their softmax and their gradient
_STACKED, _KERNEL = 4, 3  # encoder frames per audio position; width of a convolution


@dataclass(frozen=True)
class Gpu:
    """A graphics card: bytes of memory, dense bfloat16 operations and bytes per second."""

    name: str
    memory: float
    flops: float
    bandwidth: float


GPUS = (
    Gpu("A10G, 24 GB", 24e9, 70e12, 0.6e12),
    Gpu("A100, 80 GB", 80e9, 312e12, 2.0e12),
    Gpu("H200, 141 GB", 141e9, 790e12, 4.3e12),
)


@dataclass(frozen=True)
class Workload:
    """How much there is to do: the report's recipe on its data.

    Attributes:
        clips: training clips, each of one window.
        epochs: of SFT.
        k: completions per clip.
        curated: completions that RAFT learns from.
        test: clips of an evaluation.
        batch: examples per optimiser step.
        request: prompt positions that are not audio.
        transcript: mean tokens of a transcript, its end included.
        long: tokens of a long one (the 95th percentile): so long a batch decodes.
        limit: most tokens written.
    """

    clips: int = 808
    epochs: int = 3
    k: int = 4
    curated: int = 727
    test: int = 50
    batch: int = 16
    request: int = 9
    transcript: int = 49
    long: int = 81
    limit: int = 147


class Recipe:
    """Arithmetic, bytes and times of the method's steps on one Voxtral.

    Args:
        config: of the model; `VoxtralConfig()` is Voxtral-Mini-3B.
        work: how much there is to do.
        rank: of the adapters.
    """

    def __init__(self, config: VoxtralConfig, work: Workload | None = None, rank: int = 64) -> None:
        self.work, self.rank = work or Workload(), rank
        self.text, self.audio = config.text_config, config.audio_config
        self.frames = self.audio.max_source_positions
        self.audio_tokens = self.frames // _STACKED
        self.prompt = self.audio_tokens + self.work.request
        self.positions = self.prompt + self.work.transcript
        width = self.text.hidden_size
        query = self.text.num_attention_heads * self.text.head_dim
        key = self.text.num_key_value_heads * self.text.head_dim
        wide = self.text.intermediate_size
        self.linear = [(width, query), (width, key), (width, key), (query, width)]
        self.linear += [(width, wide), (width, wide), (wide, width)]  # of a layer
        self.projector = [(self.audio.intermediate_size, width), (width, width)]
        self.kept_frozen = _BF16 * (2 * width + 2 * (query + 2 * key) + query + 4 * wide)

    @cached_property
    def language_weights(self) -> int:
        """Weights of the language model's layers, norms included."""
        layer = sum(a * b for a, b in self.linear) + 2 * self.text.hidden_size
        return self.text.num_hidden_layers * layer + self.text.hidden_size

    @cached_property
    def head_weights(self) -> int:
        """Weights of the output layer; the embeddings have as many."""
        return self.text.vocab_size * self.text.hidden_size

    @cached_property
    def encoder_weights(self) -> int:
        """Weights of the audio encoder, biases, norms and positions included."""
        width, wide = self.audio.hidden_size, self.audio.intermediate_size
        layer = 4 * width**2 + 2 * width * wide + 8 * width + wide  # the keys have no bias
        outer = sum(self._convolutions) + 4 * width + self.frames * width
        return self.audio.num_hidden_layers * layer + outer

    @cached_property
    def weights(self) -> int:
        """All weights, without adapters."""
        projector = sum(a * b for a, b in self.projector)
        return self.encoder_weights + projector + self.language_weights + 2 * self.head_weights

    @cached_property
    def adapters(self) -> tuple[int, int]:
        """Weights of the adapters on the language model and on the projector."""
        layers = self.text.num_hidden_layers
        of = [sum(self.rank * (a + b) for a, b in sides) for sides in (self.linear, self.projector)]
        return layers * of[0], of[1]

    @property
    def _convolutions(self) -> tuple[int, int]:
        width = self.audio.hidden_size
        return _KERNEL * self.audio.num_mel_bins * width, _KERNEL * width * width

    def encode_flops(self) -> float:
        """Operations of the encoder for a window; it is always full."""
        width, layers = self.audio.hidden_size, self.audio.num_hidden_layers
        first, second = self._convolutions
        layer = 4 * width**2 + 2 * width * self.audio.intermediate_size
        attention = 2 * self.frames**2 * width
        outer = (2 * first + second) * self.frames  # two log-mel frames make one of the encoder's
        return 2.0 * (layers * (layer * self.frames + attention) + outer)

    def project_flops(self) -> float:
        """Operations of the projector for a window."""
        return 2.0 * sum(a * b for a, b in self.projector) * self.audio_tokens

    def language_flops(self, positions: int) -> float:
        """Operations of the language model's layers for so many positions, from the first on."""
        query = self.text.num_attention_heads * self.text.head_dim
        attention = self.text.num_hidden_layers * positions**2 * query  # causal: half of all pairs
        return 2.0 * (self.language_weights * positions + attention)

    def train_flops(self, *, checkpointing: bool) -> float:
        """Operations of one training example on cached features.

        Frozen weights need two passes (forward, and the gradient of their inputs), adapters three;
        checkpointing repeats the forward pass of both. The output layer runs on the transcript.
        """
        language, projector = self.adapters
        again = int(checkpointing)
        frozen = self.language_flops(self.positions) + self.project_flops()
        head = 2.0 * self.head_weights * self.work.transcript
        adapters = 2.0 * (language * self.positions + projector * self.audio_tokens)
        return (2 + again) * frozen + 2 * head + (3 + again) * adapters

    def train_bytes(self, at_once: int, *, checkpointing: bool) -> float:
        """Bytes that fine-tuning on cached features takes with so many examples at a time.

        Weights in bfloat16 with the encoder that listened, adapters with gradient and Adam's two
        moments in float32, what the backward pass needs, and the logits. Kept per position and
        layer: of the frozen part inputs of both norms (and their float32 copies), queries, keys and
        values before and after rotation, the attention's output, four stages of the feed-forward;
        of each adapter its input as float32, again with its dropout mask, and its inner state.
        """
        width, layers = self.text.hidden_size, self.text.num_hidden_layers
        inputs = sum(a for a, _ in self.linear)
        kept = self.kept_frozen + _FP32 * 2 * width + (2 * _FP32 + 1) * inputs
        kept = (kept + _FP32 * self.rank * len(self.linear)) * self.positions
        kept = kept + layers * self.positions * width * _BF16 if checkpointing else kept * layers
        logits = _LOGITS * _FP32 * self.work.transcript * self.text.vocab_size
        moments = 4 * _FP32 * sum(self.adapters)
        return RESERVED + _BF16 * self.weights + moments + at_once * (kept + logits)

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values per position, in bfloat16."""
        heads = self.text.num_key_value_heads * self.text.head_dim
        return 2 * _BF16 * self.text.num_hidden_layers * heads

    def forecast(self, gpu: Gpu) -> pd.DataFrame:
        """What the steps take on a GPU, each with the setting that is quickest there.

        Returns:
            One row per step: `gpu | step | setting | gigabytes | floor | expected`, the last two in
            seconds.
        """
        work = self.work
        floor = work.clips * self.encode_flops() / gpu.flops
        held = (RESERVED + _BF16 * self.weights) / 1e9
        rows = [
            ("features", f"{work.clips} windows, once", held, floor, floor / EFFICIENCY),
            self._tuning(gpu, "SFT", work.epochs * work.clips),
            self._decoding(gpu, "sampling", work.clips, work.k),
            self._tuning(gpu, "RAFT fine-tuning", work.curated),
            self._decoding(gpu, "evaluation", work.test, 1),
        ]
        frame = pd.DataFrame(rows, columns=["step", "setting", "gigabytes", "floor", "expected"])
        frame.insert(0, "gpu", gpu.name)
        return frame

    def _tuning(self, gpu: Gpu, name: str, examples: int) -> tuple[str, str, float, float, float]:
        made = []
        sizes = [n for n in range(self.work.batch, 0, -1) if self.work.batch % n == 0]
        for again in (False, True):
            fits = [n for n in sizes if self.train_bytes(n, checkpointing=again) <= gpu.memory]
            if fits:
                floor = examples * self.train_flops(checkpointing=again) / gpu.flops
                launched = examples / fits[0] * self.text.num_hidden_layers * TRAIN_LAUNCH
                setting = f"{fits[0]} at a time" + (", checkpointing" if again else "")
                held = self.train_bytes(fits[0], checkpointing=again) / 1e9
                made.append((name, setting, held, floor, max(floor / EFFICIENCY, launched)))
        absent = (name, "does not fit", math.nan, math.nan, math.nan)
        return min(made, key=lambda row: row[4], default=absent)

    def _decoding(
        self, gpu: Gpu, name: str, clips: int, k: int
    ) -> tuple[str, str, float, float, float]:
        work, layers = self.work, self.text.num_hidden_layers
        fixed = RESERVED + _BF16 * self.weights
        per_row = (self.prompt + work.limit) * self.cache_bytes
        at_once = min(clips, int((gpu.memory - fixed) // (k * per_row)))
        if at_once < 1:
            return name, "does not fit", math.nan, math.nan, math.nan
        batches = math.ceil(clips / at_once)
        at_once = math.ceil(clips / batches)
        prefill = clips * (self.language_flops(self.prompt) + self.project_flops()) / gpu.flops
        read = _BF16 * (self.language_weights + self.head_weights)  # two bytes, two operations each
        kept = at_once * k * self.positions * self.cache_bytes
        step = max((read + kept) / gpu.bandwidth, at_once * k * read / gpu.flops)
        decoding = clips / at_once * work.transcript * step
        launched = batches * work.long * layers * DECODE_LAUNCH
        slowest = decoding / BANDWIDTH_SHARE * work.long / work.transcript
        setting = f"{at_once} clips" + (f" of {k}" if k > 1 else "") + " at a time"
        held = (fixed + at_once * k * per_row) / 1e9
        expected = prefill / EFFICIENCY + max(launched, slowest)
        return name, setting, held, prefill + decoding, expected


def forecasts() -> pd.DataFrame:
    """The report's recipe on Voxtral-Mini-3B, on each of `GPUS`."""
    recipe = Recipe(VoxtralConfig())
    return pd.concat([recipe.forecast(gpu) for gpu in GPUS], ignore_index=True)
