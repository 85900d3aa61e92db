"""A finished stage is whole, reused, rebuilt when damaged, and made by one process at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from evoxtral import UserError, runs

pytestmark = pytest.mark.usefixtures("own_runs")


def fill(folder: Path) -> None:
    runs.write_text(folder / "data" / "a.txt", "a")


def test_a_stage_is_built_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = runs.stage("corpus", "smoke", {"n": 1}, fill)
    second = runs.stage("corpus", "smoke", {"n": 1}, fill)
    assert (first.executed, second.executed) == (True, False)
    assert first.path == second.path
    assert (first.path / "data" / "a.txt").read_text() == "a"
    assert capsys.readouterr().out.count("building corpus-") == 1
    assert [s.executed for s in runs.used_stages()] == [True], "one stage, made here"


@pytest.mark.parametrize(
    ("change", "value"),
    [("params", {"n": 2}), ("inputs", {"up": "x"}), ("code", ["evoxtral.processes"])],
)
def test_whatever_decides_the_result_decides_the_folder(change: str, value: object) -> None:
    usual = {"params": {"n": 1}, "make": fill}
    one = runs.stage("s", "smoke", **usual)
    other = runs.stage("s", "smoke", **(usual | {change: value}))
    assert one.path != other.path


def test_a_damaged_stage_is_rebuilt_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    made = runs.stage("s", "smoke", {}, fill)
    (made.path / "data" / "a.txt").unlink()
    assert runs.stage("s", "smoke", {}, fill).executed
    assert "(data/a.txt is missing)" in capsys.readouterr().out
    (made.path / "data" / "a.txt").write_text("longer")
    assert runs.stage("s", "smoke", {}, fill).executed
    assert "(data/a.txt has changed size)" in capsys.readouterr().out


def test_what_another_run_finished_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = runs.exclusive

    def late(target: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(runs, "exclusive", lock)
        runs.stage("s", "smoke", {}, fill)
        return lock(target)

    def never(folder: Path) -> None:
        raise AssertionError(f"{folder} is there already")

    monkeypatch.setattr(runs, "exclusive", late)
    made = runs.stage("s", "smoke", {}, never)
    assert (made.path / "data" / "a.txt").read_text() == "a"


def test_the_reason_to_build_is_empty_for_a_whole_stage(tmp_path: Path) -> None:
    assert runs.why_build(tmp_path / "none") == "not made yet"
    assert runs.why_build(runs.stage("s", "smoke", {}, fill).path) == ""


def test_a_failed_stage_leaves_no_result_and_resumes() -> None:
    seen = []

    def fail(folder: Path) -> None:
        runs.write_text(folder / "first.txt", "1")
        raise RuntimeError("killed")

    def resume(folder: Path) -> None:
        seen.extend(p.name for p in folder.iterdir())
        fill(folder)

    with pytest.raises(RuntimeError, match="killed"):
        runs.stage("s", "smoke", {}, fail)
    assert runs.used_stages() == []
    result = runs.stage("s", "smoke", {}, resume)
    assert seen == ["first.txt"]
    assert sorted(runs.read_json(result.path / runs.STAMP)["outputs"]) == [
        "data/a.txt",
        "first.txt",
    ]


def test_the_stamp_holds_no_time_and_no_path(tmp_path: Path) -> None:
    made = runs.stage("s", "smoke", {"n": 1}, fill)
    text = (made.path / runs.STAMP).read_text()
    assert str(tmp_path) not in text
    assert set(runs.read_json(made.path / runs.STAMP)) == {
        "name",
        "params",
        "inputs",
        "digest",
        "outputs",
    }


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "stage"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                f"""
                import sys
                from pathlib import Path
                from evoxtral import runs
                with runs.exclusive(Path({str(target)!r})):
                    print("held", flush=True)
                    sys.stdin.read()
                """
            ),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        message = rf"stage is being written by process {holder.pid} on .+: wait for it or stop it"
        with pytest.raises(UserError, match=message), runs.exclusive(target):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with runs.exclusive(target):
        pass


def test_the_order_of_modules_does_not_decide() -> None:
    modules = ["evoxtral.processes", "evoxtral.stats"]
    assert runs.code_digest(modules) == runs.code_digest(modules[::-1])
    assert runs.code_digest(modules) != runs.code_digest(modules[:1])


def test_code_digest_follows_the_source_from_process_to_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "samplecode"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = runs.code_digest(["samplecode"])
    (package / "inner.py").write_text("y = 2\n")
    assert runs.code_digest(["samplecode"]) == before, "this process may have loaded what was"
    runs._module_digest.cache_clear()  # as in the next process
    assert runs.code_digest(["samplecode"]) != before
    with pytest.raises(ValueError, match="no such module"):
        runs.code_digest(["evoxtral.nowhere"])
