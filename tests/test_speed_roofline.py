"""Floors: operations and bytes over ceilings, whichever takes longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evoxtral.speed.ceilings import measure_ceilings
from evoxtral.speed.roofline import Ceilings, Need, bound, floor

MACHINE = Ceilings({"float32": 100.0, "bfloat16": 400.0}, {8: 50.0, 64: 10.0})
positive = st.floats(1e-3, 1e12)


def test_arithmetic_and_bytes_bound_in_turn() -> None:
    assert floor([Need(1000, 10, 64)], MACHINE) == 10
    assert bound([Need(1000, 10, 64)], MACHINE) == "arithmetic"
    assert floor([Need(1000, 1000, 64)], MACHINE) == 100
    assert bound([Need(1000, 1000, 64)], MACHINE) == "bytes"


def test_parts_come_one_after_the_other() -> None:
    parts = [Need(1000, 0, 64), Need(0, 1000, 64)]
    assert floor(parts, MACHINE) == 110
    assert bound(parts, MACHINE) == "bytes"
    assert floor([], MACHINE) == 0


def test_lower_precision_may_be_faster_but_never_promises_more_time() -> None:
    need = Need(1000, 0, 64, "bfloat16")
    assert floor([need], MACHINE) == 2.5
    slow = replace(MACHINE, flops={"float32": 100.0, "bfloat16": 1.0})
    assert floor([need], slow) == 10
    assert floor([replace(need, precision="float32")], MACHINE) == 10


@pytest.mark.parametrize(("resident", "rate"), [(1, 50), (8, 50), (63, 50), (64, 10), (1e9, 10)])
def test_bandwidth_is_that_of_a_copy_no_larger_than_the_work(resident: float, rate: float) -> None:
    assert MACHINE.rate(resident) == rate


@given(positive, positive, positive)
def test_more_work_never_takes_less(flops: float, moved: float, more: float) -> None:
    before = floor([Need(flops, moved, 64)], MACHINE)
    assert floor([Need(flops + more, moved, 64)], MACHINE) >= before
    assert floor([Need(flops, moved + more, 64)], MACHINE) >= before


def test_ceilings_are_measured() -> None:
    found = measure_ceilings(torch.device("cpu"), trials=1, side=128)
    assert set(found.flops) == {"float32", "bfloat16"}
    assert all(rate > 1e6 for rate in found.flops.values())
    assert len(found.bandwidth) > 2
    assert all(rate > 1e6 for rate in found.bandwidth.values())
