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

import pandas as pd
from transformers import VoxtralConfig

from evoxtral.model import LoraShape, count_parameters

EFFICIENCY, BANDWIDTH_SHARE = 0.4, 0.6
DECODE_LAUNCH, TRAIN_LAUNCH = 0.76e-3, 5e-3  # seconds per layer
RESERVED = 1e9
"""Bytes for the driver, workspaces and fragmentation."""
ADAPTERS = LoraShape()

_BF16, _FP32 = 2, 4  # bytes of a number
_LOGITS = 3  # float32 logits, their softmax and their gradient
_ADAPTED = 7  # matrices of a layer of the language model


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
    """How much there is to do: the report's recipe on its data."""

    clips: int = 808  # for training, each of one window
    epochs: int = 3  # of SFT
    k: int = 4  # completions per clip
    curated: int = 727  # completions that RAFT learns from
    test: int = 50  # clips of an evaluation
    batch: int = 16  # examples per optimiser step
    request: int = 9  # prompt positions that are not audio
    transcript: int = 49  # mean tokens, the end included
    long: int = 81  # tokens of a long transcript (95th percentile): so long a batch decodes
    limit: int = 147  # most tokens written


class Recipe:
    """Arithmetic, bytes and times of the method's steps on one Voxtral.

    Attributes:
        language, head, projector: weights of the language model's layers and last norm, of the
            output layer (the embeddings have as many) and of the projector.
        weights, held: all of them, without adapters, and the bytes of a GPU that holds them.
        adapters: weights of the adapters on the language model and on the projector.
        audio_tokens: audio positions of a window.
        prompt: positions of a request.
        cache_bytes: of keys and values per position, in bfloat16.
    """

    def __init__(self, config: VoxtralConfig, work: Workload) -> None:
        self.work, self.text, self.audio = work, config.text_config, config.audio_config
        counted = count_parameters(config, ADAPTERS).set_index("part")
        frozen = (counted["total"] - counted["trainable"]).to_dict()
        self.weights, self.head, self.projector = (
            frozen[part] for part in ("all", "output layer", "projector")
        )
        self.held = RESERVED + _BF16 * self.weights
        self.language = frozen["language model"] - self.head
        learnt = counted["trainable"].to_dict()
        self.adapters = learnt["language model"], learnt["projector"]
        self.audio_tokens = self.audio.max_source_positions // 4
        self.prompt = self.audio_tokens + work.request
        self.positions = self.prompt + work.transcript
        self.query = self.text.num_attention_heads * self.text.head_dim
        self.key = self.text.num_key_value_heads * self.text.head_dim
        self.cache_bytes = 2 * _BF16 * self.text.num_hidden_layers * self.key

    def encode_flops(self) -> float:
        """Operations of the encoder for a window; it is always full."""
        width, frames = self.audio.hidden_size, self.audio.max_source_positions
        matrices = 4 * width**2 + 2 * width * self.audio.intermediate_size
        attention = 2 * frames**2 * width
        # Kernels are three wide; two log-mel frames make one of the encoder's.
        convolutions = (2 * 3 * self.audio.num_mel_bins * width + 3 * width**2) * frames
        return 2.0 * (self.audio.num_hidden_layers * (matrices * frames + attention) + convolutions)

    def project_flops(self) -> float:
        """Operations of the projector for a window."""
        return 2.0 * self.projector * self.audio_tokens

    def language_flops(self, positions: int) -> float:
        """Operations of the language model's layers for so many positions, from the first on."""
        # Causal: half of all pairs.
        attention = self.text.num_hidden_layers * positions**2 * self.query
        return 2.0 * (self.language * positions + attention)

    def prefill_flops(self) -> float:
        """Operations of the projector and of the language model's layers for a request."""
        return self.language_flops(self.prompt) + self.project_flops()

    def train_flops(self) -> float:
        """Operations of one training example on cached features, nothing computed twice.

        Frozen weights need two passes (forward, and the gradient of their inputs), adapters three.
        The output layer runs on the transcript.
        """
        language, projector = self.adapters
        frozen = self.language_flops(self.positions) + self.project_flops()
        head = 2.0 * self.head * self.work.transcript
        adapters = 2.0 * (language * self.positions + projector * self.audio_tokens)
        return 2 * frozen + 2 * head + 3 * adapters

    def train_bytes(self, at_once: int) -> float:
        """Bytes that fine-tuning on cached features takes with so many examples at a time.

        Weights in bfloat16 with the encoder that listened, adapters with gradient and Adam's two
        moments in float32, what the backward pass needs, and the logits. Kept per position and
        layer: of the frozen part inputs of both norms (and their float32 copies), queries, keys and
        values before and after rotation, the attention's output, four stages of the feed-forward;
        of each adapter its input as float32, again with its dropout mask, and its inner state.
        """
        width, wide, query = self.text.hidden_size, self.text.intermediate_size, self.query
        kept = _BF16 * (2 * width + 2 * (query + 2 * self.key) + query + 4 * wide)
        kept += _FP32 * 2 * width + (2 * _FP32 + 1) * (5 * width + query + wide)
        kept += _FP32 * ADAPTERS.rank * _ADAPTED
        kept *= self.positions * self.text.num_hidden_layers
        logits = _LOGITS * _FP32 * self.work.transcript * self.text.vocab_size
        return self.held + 4 * _FP32 * sum(self.adapters) + at_once * (kept + logits)

    def steps(self, gpu: Gpu) -> list[tuple[str, str, float, float, float]]:
        """Each step with its quickest setting: that, bytes, floor and expected seconds."""
        work = self.work
        floor = work.clips * self.encode_flops() / gpu.flops
        return [
            ("features", f"{work.clips} windows, once", self.held, floor, floor / EFFICIENCY),
            ("SFT", *self._tuning(gpu, work.epochs * work.clips)),
            ("sampling", *self._decoding(gpu, work.clips, work.k)),
            ("RAFT fine-tuning", *self._tuning(gpu, work.curated)),
            ("evaluation", *self._decoding(gpu, work.test, 1)),
        ]

    def _tuning(self, gpu: Gpu, examples: int) -> tuple[str, float, float, float]:
        """With as many examples at a time as fit."""
        sizes = (n for n in range(self.work.batch, 0, -1) if self.work.batch % n == 0)
        at_once = next(n for n in sizes if self.train_bytes(n) <= gpu.memory)
        floor = examples * self.train_flops() / gpu.flops
        launched = examples / at_once * self.text.num_hidden_layers * TRAIN_LAUNCH
        held = self.train_bytes(at_once)
        return f"{at_once} at a time", held, floor, max(floor / EFFICIENCY, launched)

    def _decoding(self, gpu: Gpu, clips: int, k: int) -> tuple[str, float, float, float]:
        """With as many clips at a time as fit, in batches of one size."""
        work = self.work
        per_clip = k * (self.prompt + work.limit) * self.cache_bytes
        batches = math.ceil(clips / min(clips, int((gpu.memory - self.held) // per_clip)))
        at_once = math.ceil(clips / batches)
        prefill = clips * self.prefill_flops() / gpu.flops
        read = _BF16 * (self.language + self.head)  # two bytes, two operations each
        kept = at_once * k * self.positions * self.cache_bytes
        step = max((read + kept) / gpu.bandwidth, at_once * k * read / gpu.flops)
        decoding = clips / at_once * work.transcript * step
        launched = batches * work.long * self.text.num_hidden_layers * DECODE_LAUNCH
        slowest = decoding / BANDWIDTH_SHARE * work.long / work.transcript
        setting = f"{at_once} clips" + (f" of {k}" if k > 1 else "") + " at a time"
        expected = prefill / EFFICIENCY + max(launched, slowest)
        return setting, self.held + at_once * per_clip, prefill + decoding, expected


def forecasts() -> pd.DataFrame:
    """The report's recipe on Voxtral-Mini-3B, on each of `GPUS`.

    Returns:
        `gpu | step | setting | gigabytes | floor | expected`, the last two in seconds.
    """
    recipe = Recipe(VoxtralConfig(), Workload())
    rows = [(gpu.name, *step) for gpu in GPUS for step in recipe.steps(gpu)]
    columns = ["gpu", "step", "setting", "gigabytes", "floor", "expected"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(gigabytes=frame["gigabytes"] / 1e9)
