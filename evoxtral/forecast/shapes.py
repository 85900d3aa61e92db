"""Weights, arithmetic and bytes of a Voxtral, counted from its configuration alone.

A multiplication with its addition counts as two operations. Norms, activations and the softmax
are left out: together below one percent.
"""

from __future__ import annotations

from dataclasses import dataclass

from transformers import VoxtralConfig

__all__ = ["BF16", "FP32", "STACKED", "Shapes"]

BF16, FP32 = 2, 4
"""Bytes of a number."""

STACKED = 4
"""Encoder frames that make one audio position."""

_WINDOW_FRAMES = 2  # log-mel frames per encoder frame
_KERNEL = 3


@dataclass(frozen=True)
class Shapes:
    """Sizes of a model.

    Attributes:
        config: of the model; `VoxtralConfig()` is Voxtral-Mini-3B.
        rank: of the adapters.
    """

    config: VoxtralConfig
    rank: int = 64

    @property
    def frames(self) -> int:
        """Encoder frames of a window."""
        return self.config.audio_config.max_source_positions

    @property
    def audio_tokens(self) -> int:
        """Positions that a window takes in the language model."""
        return self.frames // STACKED

    @property
    def _encoder_layer(self) -> int:
        """Multiplied weights of an encoder layer."""
        audio = self.config.audio_config
        return 4 * audio.hidden_size**2 + 2 * audio.hidden_size * audio.intermediate_size

    @property
    def _convolutions(self) -> tuple[int, int]:
        audio = self.config.audio_config
        width = audio.hidden_size
        return _KERNEL * audio.num_mel_bins * width, _KERNEL * width * width

    @property
    def encoder_weights(self) -> int:
        """Weights of the audio encoder, biases, norms and positions included."""
        audio = self.config.audio_config
        width, wide = audio.hidden_size, audio.intermediate_size
        biases_and_norms = 3 * width + wide + width + 4 * width  # the keys have no bias
        layers = audio.num_hidden_layers * (self._encoder_layer + biases_and_norms)
        outer = sum(self._convolutions) + 2 * width + self.frames * width + 2 * width
        return layers + outer

    @property
    def projector_weights(self) -> int:
        """Weights of the projector."""
        return sum(a * b for a, b in self._projector_sides)

    @property
    def _targets(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the linear layers of a language model layer."""
        text = self.config.text_config
        width, wide = text.hidden_size, text.intermediate_size
        query = text.num_attention_heads * text.head_dim
        key = text.num_key_value_heads * text.head_dim
        attention = [(width, query), (width, key), (width, key), (query, width)]
        return [*attention, (width, wide), (width, wide), (wide, width)]

    @property
    def language_weights(self) -> int:
        """Weights of the language model's layers, norms included."""
        text = self.config.text_config
        layer = sum(a * b for a, b in self._targets) + 2 * text.hidden_size
        return text.num_hidden_layers * layer + text.hidden_size

    @property
    def head_weights(self) -> int:
        """Weights of the output layer; the embeddings have as many."""
        return self.config.text_config.vocab_size * self.config.text_config.hidden_size

    @property
    def weights(self) -> int:
        """All weights, without adapters."""
        outer = 2 * self.head_weights
        return self.encoder_weights + self.projector_weights + self.language_weights + outer

    @property
    def _projector_sides(self) -> list[tuple[int, int]]:
        width = self.config.text_config.hidden_size
        return [(self.config.audio_config.intermediate_size, width), (width, width)]

    @property
    def language_adapters(self) -> int:
        """Weights of the adapters on the language model."""
        layer = self.rank * sum(a + b for a, b in self._targets)
        return self.config.text_config.num_hidden_layers * layer

    @property
    def projector_adapters(self) -> int:
        """Weights of the adapters on the projector."""
        return self.rank * sum(a + b for a, b in self._projector_sides)

    @property
    def encoder_adapters(self) -> int:
        """Weights of the adapters on the encoder's q, k and v, as the published run had them."""
        audio = self.config.audio_config
        return audio.num_hidden_layers * 3 * 2 * self.rank * audio.hidden_size

    def encode_flops(self) -> float:
        """Operations of the encoder for a window; it is always full."""
        audio = self.config.audio_config
        first, second = self._convolutions
        linear = audio.num_hidden_layers * self._encoder_layer * self.frames
        attention = audio.num_hidden_layers * 2 * self.frames**2 * audio.hidden_size
        outer = first * _WINDOW_FRAMES * self.frames + second * self.frames
        return 2.0 * (linear + attention + outer)

    def project_flops(self) -> float:
        """Operations of the projector for a window."""
        return 2.0 * self.projector_weights * self.audio_tokens

    def language_flops(self, positions: int) -> float:
        """Operations of the language model's layers for so many positions, from the first on."""
        text = self.config.text_config
        query = text.num_attention_heads * text.head_dim
        attention = text.num_hidden_layers * positions**2 * query  # causal: half of all pairs
        return 2.0 * (self.language_weights * positions + attention)

    def head_flops(self, positions: int) -> float:
        """Operations of the output layer at so many positions."""
        return 2.0 * self.head_weights * positions

    @property
    def step_bytes(self) -> int:
        """Bytes of weights that a decoding step reads, in bfloat16."""
        return BF16 * (self.language_weights + self.head_weights)

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values per position, in bfloat16."""
        text = self.config.text_config
        return 2 * BF16 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim

    def kept_bytes(self, *, dropout: bool) -> float:
        """Bytes per position and layer that training without checkpointing keeps for later.

        Of the frozen part in bfloat16: inputs of both norms (and their float32 copies), queries,
        keys and values before and after rotation, the attention's output, four stages of the
        feed-forward. Of each adapter: its input as float32, again with its mask where there is
        dropout, and its inner state.
        """
        text = self.config.text_config
        width, wide = text.hidden_size, text.intermediate_size
        query = text.num_attention_heads * text.head_dim
        key = text.num_key_value_heads * text.head_dim
        frozen = BF16 * (2 * width + 2 * (query + 2 * key) + query + 4 * wide) + FP32 * 2 * width
        inputs = sum(a for a, _ in self._targets)
        copies = FP32 * inputs + (FP32 + 1) * inputs * dropout
        return frozen + copies + FP32 * self.rank * len(self._targets)
