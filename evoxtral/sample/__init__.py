"""Sampling: completions of clips, greedy or drawn, from cached features."""

from evoxtral.sample.constraint import BracketGuard
from evoxtral.sample.decode import Decoded, Decoding, decode
from evoxtral.sample.transcribe import Batch, plan_batches, transcribe

__all__ = ["Batch", "BracketGuard", "Decoded", "Decoding", "decode", "plan_batches", "transcribe"]
