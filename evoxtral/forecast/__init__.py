"""What a model will cost, computed from its shapes: memory and time of every step of the method."""

from evoxtral.forecast.cost import (
    GPUS,
    Gpu,
    Workload,
    decode_floor,
    forecast,
    memory,
    train_flops,
)
from evoxtral.forecast.shapes import Shapes

__all__ = [
    "GPUS",
    "Gpu",
    "Shapes",
    "Workload",
    "decode_floor",
    "forecast",
    "memory",
    "train_flops",
]
