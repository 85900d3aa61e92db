"""Kills: a resumed run ends in the same adapter, and nothing half-written or planted is read."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evoxtral import runs
from evoxtral.runs import digest_file
from evoxtral.train import newest_whole, read_log
from evoxtral.train.checkpoints import MARKER
from helpers import until
from small_models import small_base

TRAIN = """
import os, sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from evoxtral.model import LoraShape, Prompter, open_base
from evoxtral.train import Examples, Recipe, Watched, finetune

class Heard(list):
    windows = property(lambda self: [1] * len(self))

def run(base, folder):
    features = load_file(base / "features.safetensors")["features"]
    opened = open_base(str(base), "cpu")
    heard, prompter = Heard(features.split(1)), Prompter(opened)
    texts = ["[sighs] Fine.", "No.", "What do you think?", "[pause] Go on!"] * 2
    examples = Examples(heard, texts, range(8), prompter, [1.0] * 8)
    few = Examples(heard, texts, range(2), prompter, [1.0] * 8)
    watched = [Watched("validation", Heard(heard[:2]), [4.0] * 2, texts[:2])]
    recipe = Recipe(
        LoraShape(rank=4, alpha=8), 5e-3, epochs=4, batch=4, micro_batch=2, neftune_alpha=5.0,
        precision="float32",
    )
    finetune(folder, opened, recipe, examples, few, watched)

# Imports take seconds and a run less: each run is a fork, and the parent never computes.
print("ready", flush=True)
for line in sys.stdin:
    base, folder = map(Path, line.split())
    child = os.fork()
    if not child:
        torch.set_num_threads(1)
        sys.stdout = open(os.devnull, "w")
        run(base, folder)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory, spoken_features):
    """A base smaller than the embedded one, with something to hear."""
    folder = tmp_path_factory.mktemp("base") / "small"
    small_base(folder)
    features = torch.randn(8, 400, 32)
    save_file({"features": features}, folder / "features.safetensors")
    return folder


class Runner:
    """Runs that can be killed; each is a process of its own."""

    def __init__(self, process, base):
        self.process, self.base = process, base

    def start(self, folder):
        self.process.stdin.write(f"{self.base} {folder}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        """How the run ended: 0, or the signal that killed it."""
        return int(self.process.stdout.readline())

    def finish(self, folder):
        self.start(folder)
        assert self.wait() == 0
        return digest_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def runner(base):
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", TRAIN],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield Runner(process, base)
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(runner, tmp_path_factory):
    """An uninterrupted run: its adapter's digest, what it logged, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    start = time.monotonic()
    digest = runner.finish(folder)
    return digest, logged(folder), time.monotonic() - start


def logged(folder):
    """Every step's loss and every epoch's scores; without the times, which differ."""
    tuned = read_log(folder)
    return tuned.steps.to_csv(), tuned.epochs.to_csv(), tuned.best_epoch


def kill_somewhere(runner, folder, rng, seconds):
    """Kill a run at any time of its life, or while it writes a checkpoint."""
    child = runner.start(folder)
    saved = folder / "checkpoints" / f"checkpoint-{2 * rng.randrange(1, 5)}"
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, seconds))
    else:
        until(lambda: saved.exists() or (folder / "summary.json").exists())
        time.sleep(rng.uniform(0, 0.03))
    with suppress(ProcessLookupError):  # it had ended and was reaped
        os.kill(child, signal.SIGKILL)
    return runner.wait()


def kill_and_resume(runner, whole, folder, kills, seed):
    rng, died = random.Random(seed), 0
    digest, log, seconds = whole
    for kill in range(kills):
        own = folder / str(kill)
        died += kill_somewhere(runner, own, rng, seconds) == signal.SIGKILL
        assert runner.finish(own) == digest, f"kill {kill}"
        assert logged(own) == log, f"kill {kill}"
        assert not (own / "checkpoints").exists()
    assert died > kills / 2


@pytest.mark.slow
def test_killed_at_three_points_and_resumed_it_is_the_same_adapter(runner, whole, tmp_path):
    kill_and_resume(runner, whole, tmp_path, 3, seed=1)


@pytest.mark.check
def test_killed_at_twenty_points_and_resumed_it_is_the_same_adapter(runner, whole, tmp_path):
    kill_and_resume(runner, whole, tmp_path, 20, seed=2)


@pytest.mark.check
def test_killed_again_and_again_it_is_the_same_adapter(runner, whole, tmp_path):
    rng = random.Random(3)
    for _ in range(8):
        kill_somewhere(runner, tmp_path, rng, whole[2])
    assert runner.finish(tmp_path) == whole[0]
    assert logged(tmp_path) == whole[1]


@pytest.fixture(scope="module")
def interrupted(runner, tmp_path_factory):
    """A run killed with at least two whole checkpoints."""
    folder = tmp_path_factory.mktemp("interrupted")
    child = runner.start(folder)
    until((folder / "checkpoints" / "checkpoint-6" / MARKER).exists)
    os.kill(child, signal.SIGKILL)
    assert runner.wait() == signal.SIGKILL
    shutil.rmtree(folder / "checkpoints" / "checkpoint-8", ignore_errors=True)
    return folder


@pytest.fixture
def copy(interrupted, tmp_path):
    return shutil.copytree(interrupted, tmp_path / "copy")


def test_the_newest_whole_checkpoint_is_found(copy):
    checkpoints = copy / "checkpoints"
    assert newest_whole(checkpoints) == checkpoints / "checkpoint-6"
    (checkpoints / "checkpoint-best").mkdir()
    (checkpoints / "checkpoint-999").write_text("a file")
    assert newest_whole(checkpoints) == checkpoints / "checkpoint-6"
    assert newest_whole(copy / "nowhere") is None


def test_checkpoints_are_ordered_by_number(tmp_path):
    for step in (2, 10, 9):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        runs.write_json(folder / MARKER, {})
    assert newest_whole(tmp_path) == tmp_path / "checkpoint-10"


FILES = (
    "adapter_model.safetensors",
    "adapter_config.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
)


@pytest.mark.parametrize("name", [*FILES, MARKER])
@pytest.mark.parametrize("how", ["half", "empty", "missing"])
def test_a_half_written_newest_checkpoint_is_passed_over(copy, name, how):
    file = copy / "checkpoints" / "checkpoint-6" / name
    data = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes(data[: len(data) // 2 if how == "half" else 0])
    assert newest_whole(copy / "checkpoints").name == "checkpoint-4"


def test_a_changed_byte_is_noticed(copy):
    file = copy / "checkpoints" / "checkpoint-6" / "optimizer.pt"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert newest_whole(copy / "checkpoints").name == "checkpoint-4"


def test_a_run_with_a_half_written_newest_checkpoint_ends_in_the_same_adapter(copy, runner, whole):
    newest = copy / "checkpoints" / "checkpoint-6"
    (newest / MARKER).unlink()
    (newest / "adapter_model.safetensors").write_bytes(b"half")
    (newest / "trainer_state.json").unlink()
    assert runner.finish(copy) == whole[0]
    assert logged(copy) == whole[1]


class Planted:
    """A pickle that leaves a trace where it is loaded."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return Path.touch, (Path(self.trace),)


def plant(folder, name, trace):
    with (folder / name).open("wb") as file:
        pickle.dump(Planted(trace), file)


def test_the_planted_pickle_is_live(tmp_path):
    plant(tmp_path, "x.pkl", tmp_path / "trace")
    pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert (tmp_path / "trace").exists()


@contextmanager
def opened_files():
    """Names of all files that this process opens, by an audit hook."""
    seen, listening = [], [True]

    def hook(event, args):
        if listening and event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            seen.append(os.fsdecode(args[0]))

    sys.addaudithook(hook)
    try:
        yield seen
    finally:
        listening.clear()


def test_a_planted_pickle_is_never_loaded(copy, base, runner, whole, tmp_path):
    """Beside the checkpoints, in a whole one, and in the place of one of its files."""
    trace, checkpoints = tmp_path / "trace", copy / "checkpoints"
    plant(copy, "adapter_model.bin", trace)
    plant(checkpoints, "training_args.bin", trace)
    plant(checkpoints / "checkpoint-6", "training_args.bin", trace)
    plant(checkpoints / "checkpoint-4", "optimizer.pt", trace)
    (checkpoints / "checkpoint-99").mkdir()
    plant(checkpoints / "checkpoint-99", "pytorch_model.bin", trace)
    plant(checkpoints / "checkpoint-99", "rng_state.pth", trace)
    assert newest_whole(checkpoints).name == "checkpoint-2"
    assert runner.finish(copy) == whole[0]
    assert not trace.exists()


def test_a_forged_checkpoint_does_not_run_code_either(copy, runner, tmp_path):
    """Whoever can write the marker too can break the run, and nothing more."""
    trace, newest = tmp_path / "trace", copy / "checkpoints" / "checkpoint-6"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        plant(newest, name, trace)
    files = [path for path in newest.iterdir() if path.name != MARKER]
    runs.write_json(newest / MARKER, {path.name: digest_file(path) for path in files})
    assert newest_whole(copy / "checkpoints") == newest
    runner.start(copy)
    assert runner.wait() != 0
    assert not trace.exists()


def test_looking_for_a_checkpoint_opens_no_pickle_without_a_marker(copy, tmp_path):
    fake = copy / "checkpoints" / "checkpoint-99"
    fake.mkdir()
    plant(fake, "optimizer.pt", tmp_path / "trace")
    with opened_files() as seen:
        newest_whole(copy / "checkpoints")
    assert any("checkpoint-6" in name for name in seen)
    assert not any("checkpoint-99" in name for name in seen)


def test_what_a_run_leaves_holds_no_pickle(interrupted):
    left = {path.name for path in (interrupted / "checkpoints" / "checkpoint-6").iterdir()}
    assert "training_args.bin" not in left
    assert set(FILES) | {MARKER} <= left


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_marker_that_is_none_is_no_marker(copy, content):
    (copy / "checkpoints" / "checkpoint-6" / MARKER).write_bytes(content)
    assert newest_whole(copy / "checkpoints").name == "checkpoint-4"
