"""The device to compute on, and the precision it computes in."""

from __future__ import annotations

import ctypes
import platform
import re
from functools import cache
from typing import Literal

import torch

from evoxtral import UserError

Precision = Literal["auto", "float32", "bfloat16"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's mallopt, in bytes


def device(name: str) -> torch.device:
    """The device a parameter names; `auto` takes a GPU if there is one.

    Raises:
        UserError: a GPU is asked for and there is none, or the name means nothing.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(?::\d+)?", name):
        raise UserError(f"device {name!r} is not known: give auto, cpu or cuda")
    if name != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device {name!r} was asked for and torch finds no GPU: set device to auto")
    return torch.device(name)


@cache
def keep_freed_memory() -> None:
    """Let the C library keep freed blocks, up to 2 GiB, if it is glibc; others have no such option.

    On a CPU every step frees the blocks that the next one asks for. By default large ones go back
    to the system, which clears them again page by page: `02_sft` of the tiny profile spent 39
    seconds of processor time in the system so, and 10 in the next run, which kept them.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        # Old versions refuse more than their manual allows, and with the others set they would map
        # every block above 128 KiB anew.
        if not mallopt(_MMAP_THRESHOLD, 2**30):
            mallopt(_MMAP_THRESHOLD, 2**25)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**26)


def arithmetic(precision: Precision, where: torch.device) -> Literal["float32", "bfloat16"]:
    """The precision to train in: `auto` is bfloat16 where the device multiplies faster in it.

    Of processors these are AMD's with AVX-512, Intel's with AMX and ARM's with the instructions: on
    an EPYC a training step of the embedded model takes a fifth less. Intel's AVX-512 multiplies in
    it at half the pace of float32; a step takes a third longer. Processors without instructions
    emulate them: 1.7 times as long with AVX-512, and 13 times by torch's own kernels for AVX2.
    """
    if precision != "auto":
        return precision
    if where.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities()
        intel = str(known.get("cpu_name")).startswith("Intel")
        native = known.get("amx_bf16" if intel else "avx512_bf16") or known.get("bf16")
    return "bfloat16" if native else "float32"
