"""Adapted layers that multiply once, by W + s B A, instead of three times.

`x W + s (x A) B` has fewer operations where the rank is far below the layer's width, and it
can drop inputs out. In small layers on a CPU the two products more, their sum and all their
backward passes cost more than they save: a step of the embedded model takes a fifth less folded,
whatever the rank. Both are the same function of x, A and B, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn


def fold(model: nn.Module) -> None:
    """Let each adapted layer multiply by its weight of the moment; gradients reach A and B.

    Layers with dropout, which acts on the input of A alone, stay as they are.
    """
    for layer in _layers(model):
        layer.forward = partial(_multiply, layer)


@torch.no_grad()
def settle(model: nn.Module) -> None:
    """The same with the weights as they are now, until they are folded again: for evaluation."""
    for layer in _layers(model):
        layer.forward = partial(_settled, _weight(layer), layer.base_layer.bias)


def _layers(model: nn.Module) -> Iterator[Linear]:
    for module in model.modules():
        if isinstance(module, Linear):
            [name] = module.active_adapters
            if isinstance(module.lora_dropout[name], nn.Identity):
                yield module


def _weight(layer: Linear) -> Tensor:
    """W + s B A, shape (out, in), in the precision of W but added up in float32."""
    [name] = layer.active_adapters
    up, down = layer.lora_B[name].weight, layer.lora_A[name].weight
    base = layer.base_layer.weight
    with torch.autocast(base.device.type, enabled=False):
        return torch.addmm(base.float(), up, down, alpha=layer.scaling[name]).to(base.dtype)


def _multiply(layer: Linear, x: Tensor) -> Tensor:
    return nn.functional.linear(x, _weight(layer), layer.base_layer.bias)


def _settled(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return nn.functional.linear(x, weight, bias)
