"""Two real processes: what they share, whom they wait for, and how one failure stops both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from evoxtral import UserError, processes

WORK = """
import os, sys
from pathlib import Path
from evoxtral import UserError, processes, runs

rank = int(os.environ["RANK"])

def alone(folder):
    runs.stage("inner", "smoke", {"of": "alone"}, lambda f: runs.write_text(f / "x", "x"))
    runs.write_text(folder / f"by-{rank}-of-{processes.count()}", "")

def shared(folder):
    runs.stage("inner", "smoke", {"of": "shared"}, lambda f: runs.write_text(f / "x", "x"))
    runs.write_text(folder / f"by-{rank}-of-{processes.count()}", "")

def broken(folder):
    runs.write_text(folder / f"begun-{rank}", "")
    processes.barrier()
    if rank == 1:
        raise UserError("the second process gives up")
    processes.barrier()

with processes.together(cpu=True):
    said = [list(processes.share(range(5))), processes.gather(rank * 10)]
    said.append(processes.told(lambda: f"told by {rank}"))
    made = [
        runs.stage("alone", "smoke", {}, alone),
        runs.stage("shared", "smoke", {}, shared, together=True),
        runs.stage("shared", "smoke", {}, shared, together=True),
    ]
    said.append([one.executed for one in made])
    runs.write_json(Path(sys.argv[1]) / f"said-{rank}.json", said)
    if len(sys.argv) > 2:
        runs.stage("broken", "smoke", {}, broken, together=True)
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def launch(folder: Path, *arguments: str) -> list[tuple[int, str, str]]:
    """Two processes as a launcher starts them: exit code, output and errors of each."""
    port = str(free_port())
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, str(folder), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            | {"EVOXTRAL_RUNS": str(folder / "runs")},
        )
        for rank in (0, 1)
    ]
    said = [one.communicate(timeout=120) for one in running]
    return [(one.returncode, *own) for one, own in zip(running, said, strict=True)]


def test_one_process_shares_with_nobody() -> None:
    assert (processes.count(), processes.is_main()) == (1, True)
    assert processes.share([1, 2, 3]) == [1, 2, 3]
    assert processes.gather("a") == ["a"]
    assert processes.told(lambda: None) is None
    processes.barrier()
    with processes.together(cpu=True):
        assert processes.count() == 1


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_launch_that_splits_the_model_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(UserError, match=f"for {kind}"), processes.together(cpu=True):
        pass


def test_a_launch_of_several_that_started_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UserError, match="replace --cpu by"), processes.together(cpu=True):
        pass


@pytest.mark.slow
def test_two_processes_do_each_stage_once(tmp_path: Path) -> None:
    first, second = launch(tmp_path)
    assert [first[0], second[0]] == [0, 0], first[2] + second[2]
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    assert [one[0] for one in said] == [[0, 2, 4], [1, 3]]
    assert [one[1] for one in said] == [[0, 10]] * 2
    assert [one[2] for one in said] == ["told by 0"] * 2
    assert [one[3] for one in said] == [[True, True, False]] * 2
    runs = tmp_path / "runs" / "smoke"
    assert [path.name for path in runs.glob("alone-*/by-*")] == ["by-0-of-1"]
    made = sorted(path.name for path in runs.glob("shared-*/by-*"))
    assert made == ["by-0-of-2", "by-1-of-2"]
    assert len(list(runs.glob("inner-*/stage.json"))) == 2
    assert first[1].count("building ") == 4
    assert second[1] == "", "only the main process speaks"


@pytest.mark.slow
def test_a_failure_of_one_stops_the_other(tmp_path: Path) -> None:
    first, second = launch(tmp_path, "fail")
    assert first[0] != 0
    assert second[0] != 0
    assert "the second process gives up" in second[2]
    assert "another process of this run has ended: its message says why" in first[2]
    runs = tmp_path / "runs" / "smoke"
    assert not list(runs.glob("broken-*/stage.json"))
    [partial] = runs.glob("broken-*.partial")
    assert sorted(path.name for path in partial.iterdir()) == ["begun-0", "begun-1"]


def test_many_quick_steps_make_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with processes.progress(10_000, "corpus", unit="clip", done=1) as bar:
        for _ in range(9_999):
            bar.update()
    printed = capsys.readouterr()
    assert printed.out.count("\r") <= 4
    assert "corpus: 100%" in printed.out
    assert printed.err == ""
