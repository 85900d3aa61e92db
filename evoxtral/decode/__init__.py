"""Sampling: completions of clips, greedy or drawn, from cached features."""

from evoxtral.decode.constraint import BracketGuard
from evoxtral.decode.decode import Decoded, Decoding, decode
from evoxtral.decode.transcribe import Batch, plan_batches, transcribe
