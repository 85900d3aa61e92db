"""Names of devices, and the precision that one computes in."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from evoxtral import UserError, devices, params, sft
from evoxtral.devices import arithmetic, device

CPU = torch.device("cpu")


def test_device_names(monkeypatch):
    assert device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match="torch finds no GPU: set device to auto"):
            device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "tpu", "meta"])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(UserError, match="give auto, cpu or cuda"):
        device(name)


_FAULTS = """
import resource, torch
from evoxtral.devices import keep_freed_memory

def faults():  # pages that the system hands out anew, once the heap has grown
    for i in range(40):
        if i == 20:
            start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

before = faults()
keep_freed_memory()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept():
    made = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True
    )
    before, after = map(int, made.stdout.split())
    assert after < before / 4


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize(("highest", "threshold"), [(2**31, 2**30), (2**25, 2**25)])
def test_an_old_library_is_given_the_highest_threshold_it_takes(monkeypatch, highest, threshold):
    taken = {}

    def mallopt(option, value):
        if option == -3 and value > highest:
            return 0
        taken[option] = value
        return 1

    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    devices.keep_freed_memory.__wrapped__()
    assert taken[-3] == threshold


@pytest.mark.parametrize(
    ("known", "precision"),
    [
        ({"avx2": True}, "float32"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, "bfloat16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, "float32"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bfloat16"),
        ({"architecture": "aarch64", "neon": True}, "float32"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
    ],
)
def test_a_processor_that_is_slower_in_bfloat16_trains_in_float32(monkeypatch, known, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert arithmetic("auto", CPU) == precision
    cfg = params.profile("02_sft", "tiny", {"device": "cpu"})
    assert sft.precision(cfg) == precision
    assert sft.recipe(cfg, sft.lora_shape(cfg)).precision == precision


def test_a_gpu_that_emulates_trains_in_float32(monkeypatch):
    native = {False: "float32", True: "bfloat16"}
    for known, precision in native.items():
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, known=known: known
        )
        assert arithmetic("auto", torch.device("cuda")) == precision


def test_a_precision_that_is_named_is_taken():
    assert arithmetic("float32", CPU) == "float32"
    assert arithmetic("bfloat16", CPU) == "bfloat16"
