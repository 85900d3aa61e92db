"""Files are whole or absent."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, runs


def test_written_text_is_read_back(tmp_path: Path) -> None:
    path = runs.write_text(tmp_path / "deep" / "a.txt", "so…\n")
    assert path.read_text(encoding="utf-8") == "so…\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"], "no temporary file stays"


def test_json_text_is_stable_and_refuses_nan() -> None:
    assert runs.json_text({"b": 1, "a": [1.5]}) == '{\n  "a": [\n    1.5\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        runs.json_text({"x": float("nan")})


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs.write_text(tmp_path / "a.txt", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.txt \(3 bytes\): No space left"):
        runs.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_and_earlier_results_stay(tmp_path: Path) -> None:
    """A real file-size limit in a real process, as a full disk behaves (ECOSYSTEM R5)."""
    script = (
        "import signal, sys; from evoxtral import runs\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "runs.write_bytes(sys.argv[1], b'x' * 100_000)\n"
    )
    target = runs.write_text(tmp_path / "results.json", "{}")
    limit = (16_384, 16_384)
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode != 0
    assert f"cannot write {target} (100,000 bytes)" in done.stderr
    assert target.read_text() == "{}"


def test_a_poller_never_sees_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    runs.write_json(path, [0] * 5000)
    stop = threading.Event()

    def write() -> None:
        for value in range(1, 60):
            runs.write_json(path, [value] * 5000)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        rows = json.loads(path.read_text())
        assert len(rows) == 5000
        assert len(set(rows)) == 1
        seen.add(rows[0])
    writer.join()
    assert seen


def test_jsonl_drops_a_torn_last_line_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    runs.append_jsonl(path, [{"i": 0}, {"i": 1}])
    with path.open("ab") as stream:
        stream.write(b'{"i": 2')
    assert list(runs.read_jsonl(path, torn_last=True)) == [{"i": 0}, {"i": 1}]
    with pytest.raises(UserError, match=r"rows\.jsonl, line 3: not valid JSON"):
        list(runs.read_jsonl(path))


def test_jsonl_names_the_line_that_is_no_object(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n[1]\n')
    with pytest.raises(UserError, match="line 2: expected a JSON object"):
        list(runs.read_jsonl(path))


def test_read_json_names_a_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        runs.read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        runs.read_json(tmp_path / "bad.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_digest_ignores_key_order(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert runs.digest(value) == runs.digest(backwards)


@given(st.lists(st.integers(), min_size=1), st.integers())
def test_digest_sees_every_value(values: list[int], other: int) -> None:
    changed = [*values[:-1], other]
    assert (runs.digest(values) == runs.digest(changed)) == (values == changed)
