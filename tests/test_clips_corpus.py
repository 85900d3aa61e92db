"""The corpus: who is heard where, and the same bytes after any number of kills."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, tags
from evoxtral.clips import load
from evoxtral.clips.corpus import HELD_OUT, SPLITS, build_corpus, plan
from evoxtral.clips.ingest import Reading, validate
from evoxtral.runs import digest_file
from evoxtral.tags import text_key
from evoxtral.world import speech
from helpers import until

SIZES = dict(zip(SPLITS, (1000, 400, 101, 500, 101, 200, 808, 808), strict=True))
TINY = {"train": 4, "natural": 3, "raft_prompts": 2, "base_test": 2, "test": 0}


@pytest.fixture(scope="module")
def plans():
    return plan(SIZES, seed=7)


def wanted(plans, split):
    return plans[split][: SIZES[split]]


def test_ids_are_numbered_seeds_differ_and_no_text_is_said_twice(plans):
    clips = [clip for part in plans.values() for clip in part]
    assert all(len(plans[split]) > 1.1 * size for split, size in SIZES.items())
    assert [c.script.id for c in plans["train"][:2]] == ["train-00000", "train-00001"]
    assert len({clip.script.id for clip in clips}) == len(clips)
    assert len({clip.seed for clip in clips}) > 0.999 * len(clips)
    assert len({text_key(clip.script.plain_text) for clip in clips}) == len(clips)


def test_held_out_families_and_voices_are_heard_in_tests_only(plans):
    unseen = {voice.id for voice in speech.HELD_OUT_VOICES}
    for split in SPLITS:
        part = wanted(plans, split)
        voices = {clip.clip.voice for clip in part}
        if split in HELD_OUT:
            assert sum(clip.script.held_out for clip in part) >= 0.2 * len(part)
            assert unseen < voices
        else:
            assert not unseen & voices
            assert not any(clip.script.held_out for clip in plans[split])
    places = [i for i, clip in enumerate(wanted(plans, "natural")) if clip.script.held_out]
    assert max(b - a for a, b in pairwise(places)) <= 5, "spread evenly"


def test_voices_cycle_without_replacement(plans):
    heard, n = [clip.clip.voice for clip in wanted(plans, "natural")], len(speech.VOICES)
    rounds = [heard[i : i + n] for i in range(0, len(heard), n)]
    assert all(sorted(r) == sorted(v.id for v in speech.VOICES) for r in rounds[:-1])
    assert len({tuple(r) for r in rounds}) > 2  # not the same order every time


def test_splits_have_the_tags_they_are_for(plans):
    support = Counter(
        tag for clip in wanted(plans, "balanced") for tag in tags.find_tags(clip.script.tagged_text)
    )
    assert min(support[tag] for tag in tags.TAGS) >= 50
    assert max(support.values()) < 4 * min(support.values())
    for split in ("plain_val", "base_test"):
        assert not any("[" in clip.script.tagged_text for clip in plans[split])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Eleven clips in four splits."""
    folder = tmp_path_factory.mktemp("corpus")
    build_corpus(folder, TINY, seed=5, workers=2)
    return folder


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def test_what_was_planned_is_there_and_sound(corpus):
    dataset = load(corpus)
    judged, findings = validate(corpus, Reading(unknown_tags="reject"))
    assert findings.empty
    assert judged == dataset
    assert {split: len(part) for split, part in dataset.splits.items()} == {
        split: size for split, size in TINY.items() if size
    }
    assert all(0 < clip.seconds <= 7.8 and clip.source == "synthetic" for clip in dataset.clips)
    clip, planned = dataset.splits["train"][0], plan(TINY, 5)["train"][0]
    assert (clip.id, clip.tagged_text) == (planned.script.id, planned.script.tagged_text)
    again = speech.render(clip.tagged_text, speech.find_voice(clip.voice), planned.seed)
    assert (dataset.audio(clip) == again.audio).all()


def test_lost_and_damaged_clips_are_rendered_again_whoever_does_it(corpus, tmp_path):
    copy = shutil.copytree(corpus, tmp_path / "copy")
    audio = sorted(copy.rglob("*.flac"))
    audio[0].unlink()
    audio[1].write_bytes(audio[1].read_bytes()[:2000])
    audio[2].write_bytes(b"")
    (copy / "README.md").unlink()
    (copy / "train" / ".train-00000.flac.1.ab.tmp").write_bytes(b"half")
    build_corpus(copy, TINY, 5, workers=1)
    assert digests(copy) == digests(corpus)


def test_clips_too_long_for_the_window_give_way_to_spares(tmp_path, monkeypatch):
    rendered, long = [], {"train-00001", "train-00003", "train-00004"}

    def render_many(jobs, workers):
        for job in jobs:
            rendered.append(texts[job.tagged_text])
            tone = np.full(125_000 if rendered[-1] in long else 2000, 0.1, np.float32)
            yield speech.Rendered(tone, (), (), ())

    monkeypatch.setattr(speech, "render_many", render_many)
    texts = {one.clip.tagged_text: one.clip.id for one in plan({"train": 4}, 5)["train"]}
    build_corpus(tmp_path / "c", {"train": 4}, 5)
    names = [clip.id for clip in load(tmp_path / "c").splits["train"]]
    assert names == ["train-00000", "train-00002", "train-00005", "train-00006"]
    assert len(rendered) == len(set(rendered)) == 7
    assert len(list((tmp_path / "c" / "train").glob("*.flac"))) == 4
    long |= {f"train-{k:05d}" for k in range(8)}
    with pytest.raises(UserError, match=r"too many scripts of 'train' last longer than 7\.8 s"):
        build_corpus(tmp_path / "d", {"train": 4}, 5)


def marked(mark):
    """Processes with a mark in their environment: children keep it, zombies have none."""
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone, or another user's
            if f"EVOXTRAL_TEST_MARK={mark}".encode() in entry.read_bytes():
                yield entry


def test_killed_and_resumed_it_is_the_same_corpus(corpus, tmp_path):
    """Its workers end with a killed build, where /proc tells."""
    code = f"""from evoxtral.clips.corpus import build_corpus
build_corpus({str(tmp_path)!r}, {TINY}, 5, workers=2)"""
    for done in (2, 6):
        mark = f"{os.getpid()}-{done}"
        environment = os.environ | {"EVOXTRAL_TEST_MARK": mark}
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as build:
            until(lambda n=done: sum(1 for _ in tmp_path.rglob("[!.]*.flac")) >= n)
            assert sys.platform != "linux" or len([*marked(mark)]) > 2
            build.kill()
        assert build.returncode == -signal.SIGKILL
        until(lambda m=mark: not [*marked(m)], 30)
    build_corpus(tmp_path, TINY, 5, workers=1)
    assert digests(tmp_path) == digests(corpus)
