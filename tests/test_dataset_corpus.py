"""The corpus on disk: same bytes from any number of workers and after any number of kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, runs
from evoxtral.clips import CorpusSizes, build_corpus, load, read_manifest, validate
from evoxtral.clips import corpus as corpus_module
from evoxtral.runs import digest_file
from evoxtral.world.speech import TRAINING_VOICES, Rendered, RenderSettings, find_voice, render
from helpers import until

TINY = CorpusSizes(4, 0, 0, 3, 0, 2, 0, 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Eleven clips in four splits."""
    folder = tmp_path_factory.mktemp("corpus")
    build_corpus(folder, TINY, seed=5, workers=2)
    return folder


@pytest.fixture
def copy(corpus, tmp_path):
    """A copy of the corpus that a test may spoil."""
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(corpus), str(folder)], check=True)
    return folder


def files_of(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def test_what_was_planned_is_there(corpus):
    dataset = load(corpus)
    assert {split: len(clips) for split, clips in dataset.splits.items()} == {
        "base_test": 2,
        "natural": 3,
        "raft_prompts": 2,
        "train": 4,
    }
    training = {voice.id for voice in TRAINING_VOICES}
    assert {clip.voice for clip in dataset["train"]} <= training
    assert all(0 < clip.seconds <= 7.8 for clip in dataset.clips)
    assert {clip.source for clip in dataset.clips} == {"synthetic"}


def test_validation_finds_nothing_to_complain_about(corpus):
    judged = validate(corpus)
    assert (judged.rejects, judged.warnings, judged.repairs) == ((), (), ())
    assert judged.dataset.clips == load(corpus).clips


def test_manifest_holds_every_file(corpus):
    manifest = read_manifest(corpus)
    files = files_of(corpus)
    assert set(manifest.files) == set(files) - {"manifest.json"}
    assert all(digest_file(files[name]) == digest for name, digest in manifest.files.items())


def test_audio_is_what_the_renderer_made(corpus):
    dataset = load(corpus)
    (part,) = (p for p in corpus_module.plan(TINY, 5) if p.split == "train")
    planned = part.wanted[0]
    clip = next(clip for clip in dataset["train"] if clip.id == planned.script.id)
    again = render(clip.tagged_text, find_voice(clip.voice), planned.seed)
    assert (dataset.audio(clip) == again.audio).all()


def test_workers_do_not_change_a_byte(corpus, tmp_path):
    assert build_corpus(tmp_path / "one", TINY, 5, workers=1) == read_manifest(corpus)


def test_lost_and_damaged_clips_are_rendered_again(copy, corpus):
    whole = read_manifest(corpus)
    audio = sorted(path for path in files_of(copy).values() if path.suffix == ".flac")
    audio[0].unlink()
    audio[1].write_bytes(audio[1].read_bytes()[:2000])
    audio[2].write_bytes(b"")
    (copy / "manifest.json").unlink()
    leftover = copy / "train" / ".train-00000.flac.1.ab.tmp"
    leftover.write_bytes(b"half")
    assert build_corpus(copy, TINY, 5, workers=1) == whole
    assert read_manifest(copy) == whole
    assert not leftover.exists()
    assert files_of(copy).keys() == files_of(corpus).keys()


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 6},
        {"sizes": CorpusSizes(5, 0, 0, 3, 0, 2, 0, 2)},
        {"settings": RenderSettings(room=0.0)},
    ],
)
def test_another_corpus_is_not_mixed_in(changed, copy):
    before = {name: digest_file(path) for name, path in files_of(copy).items()}
    with pytest.raises(UserError, match="holds another corpus"):
        build_corpus(copy, **{"sizes": TINY, "seed": 5, "workers": 1} | changed)
    assert {name: digest_file(path) for name, path in files_of(copy).items()} == before


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="is not empty and holds no corpus"):
        build_corpus(tmp_path, TINY, 5)


def test_second_run_is_refused(tmp_path):
    with (
        runs.exclusive(tmp_path / "c"),
        pytest.raises(UserError, match=f"is being written by process {os.getpid()}"),
    ):
        build_corpus(tmp_path / "c", TINY, 5)


def test_unfinished_corpus_has_no_manifest(tmp_path):
    with pytest.raises(UserError, match="holds no finished corpus"):
        read_manifest(tmp_path)


def fake_render_many(seconds):
    """A renderer of noise whose clips last as long as a function of their id says."""

    def render_many(jobs, settings, workers):
        for job in jobs:
            noise = np.random.default_rng(job.seed).integers(-9999, 9999, seconds(job.key))
            audio = (noise / 32768).astype(np.float32)
            yield job.key, Rendered(audio, (), (), (), ())

    return render_many


def test_clips_too_long_for_the_window_give_way_to_spares(tmp_path, monkeypatch):
    rendered = []

    def samples(key):
        rendered.append(key)
        return 125_000 if key in ("train-00001", "train-00003", "train-00004") else 2000

    monkeypatch.setattr(corpus_module, "render_many", fake_render_many(samples))
    build_corpus(tmp_path / "c", CorpusSizes(4, *[0] * 7), 5)
    names = [clip.id for clip in load(tmp_path / "c")["train"]]
    assert names == ["train-00000", "train-00002", "train-00005", "train-00006"]
    assert len(rendered) == len(set(rendered)) == 7
    assert len(list((tmp_path / "c" / "train").glob("*.flac"))) == 4


def test_too_many_long_clips_stop_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "render_many", fake_render_many(lambda key: 125_000))
    with pytest.raises(UserError, match=r"too many scripts of 'train' last longer than 7\.8 s"):
        build_corpus(tmp_path / "c", CorpusSizes(4, *[0] * 7), 5)


BUILD = """
import sys
from evoxtral.clips import CorpusSizes, build_corpus
print(build_corpus(sys.argv[1], CorpusSizes(20, 4, 4, 16, 6, 4, 2, 4), 11, workers=2).digest)
"""


def start(folder, mark):
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(folder)],
        env={**os.environ, "EVOXTRAL_TEST_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish(folder):
    with start(folder, "whole") as process:
        digest = process.communicate()[0].splitlines()[-1]  # after the progress
    assert process.returncode == 0
    return digest


def alive(mark):
    """Processes with the mark in their environment: children keep it, zombies have none."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"EVOXTRAL_TEST_MARK={mark}".encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:  # gone, or another user's
            continue
    return found


def kill_and_resume(tmp_path, kills, seed):
    """Kill a build at random numbers of finished clips; count each run's workers afterwards."""
    rng = random.Random(seed)
    folder = tmp_path / "killed"
    done = lambda: sum(1 for _ in folder.rglob("[!.]*.flac"))  # noqa: E731
    for stop in sorted(rng.randrange(1, 58) for _ in range(kills)):
        mark = f"{os.getpid()}-{seed}-{stop}"
        process = start(folder, mark)
        until(lambda p=process, s=stop: done() >= s or p.poll() is not None, 300)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        until(lambda m=mark: not alive(m), 30)
    return finish(folder), read_manifest(folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find orphans")
def test_killed_three_times_and_resumed_it_is_the_same_corpus(tmp_path):
    digest, manifest = kill_and_resume(tmp_path, 3, seed=1)
    assert digest == manifest.digest == finish(tmp_path / "whole")
    assert set(files_of(tmp_path / "killed")) == set(files_of(tmp_path / "whole"))


@pytest.mark.check
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find orphans")
def test_killed_twenty_times_and_resumed_it_is_the_same_corpus(tmp_path):
    digest, manifest = kill_and_resume(tmp_path, 20, seed=2)
    assert digest == manifest.digest == finish(tmp_path / "whole")
    assert set(files_of(tmp_path / "killed")) == set(files_of(tmp_path / "whole"))
