"""The last layer, only where logits are asked for.

Of the positions of a training example about one in five is learnt. The others owe the last layer
their keys and values and nothing else: its queries, its attention and its feed-forward part are
computed for them in vain. Without that a step of the embedded model, which has four layers, takes
a sixth less; of Voxtral-Mini's thirty it would be a thirtieth. Of a prompt that is to be continued
the last position alone is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import VoxtralForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    eager_attention_forward,
    rotate_half,
)

__all__ = ["narrow"]


def narrow(model: VoxtralForConditionalGeneration) -> None:
    """Let the last layer of the language model follow `wanted`, an argument of `forward`.

    It is the number of last positions whose logits are asked for; the last layer returns these
    alone. A cache given with it must be empty. Without it the layer does what it always did.
    """
    layer = model.model.language_model.layers[-1]
    layer.forward = partial(_last, layer, layer.forward)


def _last(
    layer: LlamaDecoderLayer,
    whole: Callable[..., Tensor],
    hidden_states: Tensor,
    attention_mask: Tensor | None,
    position_embeddings: tuple[Tensor, Tensor],
    past_key_values: Any = None,
    wanted: int = 0,
    **rest: Any,
) -> Tensor:
    """A layer of Llama at its last positions: shape (batch, wanted, width)."""
    if not wanted:
        return whole(
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            past_key_values=past_key_values,
            **rest,
        )
    attention = layer.self_attn
    normed, last = layer.input_layernorm(hidden_states), slice(-wanted, None)
    cos, sin = (angles.unsqueeze(1) for angles in position_embeddings)
    query = _rotated(
        _heads(attention, attention.q_proj, normed[:, last]), cos[:, :, last], sin[:, :, last]
    )
    key = _rotated(_heads(attention, attention.k_proj, normed), cos, sin)
    value = _heads(attention, attention.v_proj, normed)
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, attention.layer_idx)
    if attention_mask is None:  # causal by position; of a part of the queries kernels do not know
        clips, span = hidden_states.shape[:2]
        seen = torch.ones(clips, 1, wanted, span, dtype=torch.bool, device=query.device)
        attention_mask = seen.tril(span - wanted)
    kernel = ALL_ATTENTION_FUNCTIONS.get_interface(
        attention.config._attn_implementation, eager_attention_forward
    )
    heard, _ = kernel(
        attention,
        query,
        key,
        value,
        attention_mask[..., last, :],
        dropout=attention.attention_dropout if attention.training else 0.0,
        scaling=attention.scaling,
    )
    chosen = hidden_states[:, last] + attention.o_proj(heard.flatten(2))
    return chosen + layer.mlp(layer.post_attention_layernorm(chosen))


def _heads(attention: nn.Module, projection: nn.Module, x: Tensor) -> Tensor:
    """Shape (batch, heads, positions, width of a head)."""
    return projection(x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return x * cos + rotate_half(x) * sin
