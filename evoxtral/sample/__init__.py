"""Sampling: completions of clips, greedy or drawn, from cached features."""

from evoxtral.sample.decode import Decoded, Decoding, decode
from evoxtral.sample.transcribe import Batch, plan_batches, transcribe

__all__ = ["Batch", "Decoded", "Decoding", "decode", "plan_batches", "transcribe"]
