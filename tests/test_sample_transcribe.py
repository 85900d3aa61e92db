"""Batches of like length, and transcripts in the clips' order."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evoxtral.decode import Decoding, decode, plan_batches, transcribe
from evoxtral.model import Prompter, open_base, read_cached

clip = st.tuples(st.integers(1, 4), st.floats(0.1, 30))


@given(clips=st.lists(clip, max_size=60), size=st.integers(1, 9))
def test_a_plan_holds_every_clip_once_in_batches_of_one_prompt(clips, size):
    windows, seconds = [w for w, _ in clips], [s for _, s in clips]
    planned = plan_batches(windows, seconds, size)
    assert sorted(row for batch in planned for row in batch) == list(range(len(clips)))
    assert all(1 <= len(batch) <= size for batch in planned)
    assert all(len({windows[row] for row in batch}) == 1 for batch in planned)
    order = [(windows[row], seconds[row]) for batch in planned for row in batch]
    assert order == sorted(order, reverse=True)
    full = sum(-(-count // size) for count in Counter(windows).values())
    assert len(planned) == full, "no batch is smaller than it must be"


@given(clips=st.lists(clip, max_size=30), size=st.integers(1, 9))
def test_a_plan_is_one_of_its_arguments(clips, size):
    """Ties go by row, so that a resumed run and another process plan the same batches."""
    windows, seconds = [w for w, _ in clips], [round(s) for _, s in clips]
    assert plan_batches(windows, seconds, size) == plan_batches(tuple(windows), seconds, size)
    flat = [row for batch in plan_batches([1] * 9, [2.0] * 9, size) for row in batch]
    assert flat == list(range(9))


@pytest.fixture(scope="module")
def cached():
    base = open_base("tiny", "cpu")
    return read_cached(base.model), Prompter(base)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_transcripts_come_in_the_clips_order(cached, spoken, spoken_features, batch):
    model, prompter = cached
    seconds = [clip.seconds for clip in spoken.clips]
    made = transcribe(model, prompter, spoken_features, seconds, 30, batch, "spoken")
    for i, heard in enumerate(spoken_features):
        alone = decode(model, prompter.prompt(1), heard, Decoding(30), prompter.eos)
        assert made[i] == alone[0][0]
    assert any("garden" in prompter.text(one.ids) for one in made), "the base hears words"


def test_transcripts_do_not_depend_on_the_number_of_threads(cached, spoken, spoken_features):
    """Several batches at once, on one model."""
    model, prompter = cached
    seconds = [clip.seconds for clip in spoken.clips]
    before = torch.get_num_threads()
    made = {}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made[threads] = transcribe(model, prompter, spoken_features, seconds, 30, 3)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert made[1] == made[3]


def test_the_bar_names_what_is_transcribed(cached, spoken, spoken_features, capsys):
    model, prompter = cached
    seconds = [clip.seconds for clip in spoken.clips]
    transcribe(model, prompter, spoken_features, seconds, 3, 8, "natural")
    assert "transcripts of natural" in capsys.readouterr().out
    transcribe(model, prompter, spoken_features, seconds, 3, 8)
    assert not capsys.readouterr().out
