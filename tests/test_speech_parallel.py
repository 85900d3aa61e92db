"""Many clips over processes: order, errors, no process left behind."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.world.speech import find_voice, render
from evoxtral.world.speech.parallel import RenderJob, render_many


def jobs(count: int) -> list[RenderJob]:
    return [
        RenderJob(f"k{n}", f"[sighs] Number {n}.", "ada" if n % 2 else "noah", n)
        for n in range(count)
    ]


def descendants() -> list[str]:
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    )
    return [
        line
        for line in listing.stdout.splitlines()
        if "evoxtral.world.speech.worker" in line and f" {os.getpid()} " in line
    ]


def test_results_come_in_order_and_equal_a_single_process() -> None:
    todo = jobs(7)
    done = list(render_many(iter(todo), workers=2))
    assert [key for key, _ in done] == [job.key for job in todo]
    for job, (_, rendered) in zip(todo[:3], done, strict=False):
        alone = render(job.tagged_text, find_voice(job.voice_id), job.seed)
        assert np.array_equal(rendered.audio, alone.audio)
        assert rendered.phonemes == alone.phonemes


def test_an_error_names_the_clip() -> None:
    todo = [*jobs(2), RenderJob("bad/one", "Hi.", "nobody", 1)]
    with pytest.raises(UserError, match="clip 'bad/one': no voice 'nobody'"):
        list(render_many(todo, workers=1))
    assert not descendants()


def test_a_failure_of_the_code_names_the_clip_too() -> None:
    with pytest.raises(RuntimeError, match="clip 'neg' failed"):
        list(render_many([RenderJob("neg", "Hi.", "ada", -1)], workers=1))


def test_abandoning_the_iteration_ends_the_workers() -> None:
    clips = render_many(jobs(20), workers=2)
    next(clips)
    assert descendants()
    clips.close()
    assert not descendants()


def test_workers_must_be_positive() -> None:
    with pytest.raises(UserError, match="workers must be at least 1"):
        list(render_many([], workers=0))
