"""Places, files that are whole or absent, stages that are whole, reused and made by one process."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from evoxtral import UserError, runs

# ---- places ----


def test_the_root_does_not_depend_on_the_working_directory(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOXTRAL_ROOT", raising=False)
    for folder in (repo, repo / "notebooks", tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        assert runs.root() == repo
    assert runs.named("runs/own") == repo / "runs" / "own"
    assert runs.named(str(tmp_path)) == tmp_path
    assert runs.named("~/own") == Path.home() / "own"
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "site-packages/evoxtral/runs.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="work inside a clone, or set EVOXTRAL_ROOT"):
        runs.root()


def test_the_environment_moves_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOXTRAL_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"no Evoxtral checkout, with"):
        runs.root()
    (tmp_path / "params").mkdir()
    (tmp_path / "pyproject.toml").touch()
    assert runs.runs_dir() == tmp_path / "runs"
    for name, place in {"RUNS": runs.runs_dir, "REPORTS": runs.reports_dir}.items():
        monkeypatch.setenv(f"EVOXTRAL_{name}", str(tmp_path / "moved"))
        assert place() == tmp_path / "moved"


def test_what_was_bought_is_not_among_what_cleaning_removes(repo: Path) -> None:
    clean = (repo / "Makefile").read_text().partition("\nclean:\n")[2]
    assert "runs" in clean
    assert runs.bought_dir().name not in clean
    assert not runs.bought_dir().is_relative_to(runs.runs_dir())


# ---- files ----


def test_json_text_is_stable_and_refuses_nan() -> None:
    assert runs.json_text({"b": 1, "a": [1.5]}) == '{\n  "a": [\n    1.5\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        runs.json_text({"x": float("nan")})


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs.write_text(tmp_path / "deep" / "a.txt", "so…")
    assert list(path.parent.iterdir()) == [path], "no temporary file stays"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.txt \(3 bytes\): No space left"):
        runs.write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "so…"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"i": 0}\n{"i": 1}\n{"i": 2')
    with pytest.raises(UserError, match=r"rows\.jsonl, line 3: not valid JSON"):
        list(runs.read_jsonl(path))
    path.write_text('{"a": 1}\n\n[1]\n')
    with pytest.raises(UserError, match="line 3: expected a JSON object"):
        list(runs.read_jsonl(path))
    with pytest.raises(UserError, match="does not exist"):
        runs.read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="not valid JSON"):
        runs.read_json(path)


# ---- stages ----

own_runs = pytest.mark.usefixtures("own_runs")


def fill(folder: Path) -> None:
    runs.write_text(folder / "data" / "a.txt", "a")


@own_runs
def test_a_stage_is_built_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = runs.stage("corpus", "smoke", {"n": 1}, fill)
    second = runs.stage("corpus", "smoke", {"n": 1}, fill)
    assert (first.executed, second.executed) == (True, False)
    assert first.path == second.path
    assert (first.path / "data" / "a.txt").read_text() == "a"
    assert capsys.readouterr().out.count("building corpus-") == 1
    assert [s.executed for s in runs.used_stages()] == [True], "one stage, made here"
    text = (first.path / runs.STAMP).read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {"name", "params", "inputs", "digest", "outputs", "seconds"}


@own_runs
@pytest.mark.parametrize(
    ("change", "value"),
    [("params", {"n": 2}), ("inputs", {"up": "x"}), ("code", ["evoxtral.processes"])],
)
def test_whatever_decides_the_result_decides_the_folder(change: str, value: object) -> None:
    usual = {"params": {"n": 1}, "make": fill}
    one = runs.stage("s", "smoke", **usual)
    other = runs.stage("s", "smoke", **(usual | {change: value}))
    assert one.path != other.path


@own_runs
def test_a_damaged_stage_is_rebuilt_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    made = runs.stage("s", "smoke", {}, fill)
    assert runs.why_build(made.path) == ""
    (made.path / "data" / "a.txt").unlink()
    assert runs.stage("s", "smoke", {}, fill).executed
    assert "(data/a.txt is missing)" in capsys.readouterr().out
    (made.path / "data" / "a.txt").write_text("longer")
    assert runs.stage("s", "smoke", {}, fill).executed
    assert "(data/a.txt has changed size)" in capsys.readouterr().out


@own_runs
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


@own_runs
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
    stamp = runs.read_json(runs.stage("s", "smoke", {}, resume).path / runs.STAMP)
    assert seen == ["first.txt"]
    assert sorted(stamp["outputs"]) == ["data/a.txt", "first.txt"]


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "stage"
    script = (
        "import sys; from pathlib import Path; from evoxtral import runs\n"
        "with runs.exclusive(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(target)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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


def test_code_digest_follows_the_source_from_process_to_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "samplecode"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = runs.code_digest(["samplecode"])
    own = runs.code_digest(["samplecode.__init__"])
    (package / "inner.py").write_text("y = 2\n")
    assert runs.code_digest(["samplecode"]) == before, "this process may have loaded what was"
    runs._module_digest.cache_clear()  # as in the next process
    assert runs.code_digest(["samplecode"]) != before
    assert runs.code_digest(["samplecode.__init__"]) == own
    both = ["samplecode", "evoxtral.stats"]
    assert runs.code_digest(both) == runs.code_digest(both[::-1]) != runs.code_digest(both[:1])


def test_prose_is_no_code() -> None:
    source = '"""Module."""\n\n# why\ndef f(x):\n    """One.\n\n    More.\n    """\n    # how\n'
    source += "    return x + 1  # here\n"
    assert runs.code_text(source) == "def f(x):\n    return x + 1"
    said = 'x = """a\n\nb"""'
    assert runs.code_text(f"{said}\n\n") == said
