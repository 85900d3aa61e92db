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


def narrow(model: VoxtralForConditionalGeneration) -> None:
    """On a CPU, let the last layer of the language model compute what `last_logits` asks for.

    Without it, or after a cache that holds something, the layer does what it always did; so it
    does on a GPU, some of whose kernels know no part of the queries.
    """
    if model.device.type == "cpu":
        layer = model.model.language_model.layers[-1]
        layer.forward = partial(_last, layer, layer.forward)


def last_logits(count: int, device: torch.device) -> dict[str, int]:
    """Arguments of a Voxtral's `forward` that ask for the logits of the last positions alone.

    Args:
        count: positions, 1 or more.
        device: of the model.
    """
    return {"logits_to_keep": count} | ({"wanted": count} if device.type == "cpu" else {})


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
    attention = layer.self_attn
    begun = past_key_values is not None and past_key_values.get_seq_length(attention.layer_idx)
    if begun or not wanted:
        return whole(
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            past_key_values=past_key_values,
            **rest,
        )
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
