"""The command line: quick to say its help, errors in one sentence; what transcribe prints."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evoxtral import __version__
from evoxtral.__main__ import main
from helpers import fresh_python

NAMES = ("report", "status", "card", "example", "run", "transcribe", "speed")


def test_no_command_loads_anything_heavy_to_say_its_help() -> None:
    script = (
        "import contextlib, io, sys; from evoxtral.__main__ import main\n"
        f"for name in {[[name, '--help'] for name in NAMES]}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(name)\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print({'papermill', 'nbformat', 'scipy', 'torch', 'pandas'} & set(sys.modules))\n"
    )
    assert fresh_python(script).splitlines() == [__version__, "set()"]


def test_a_reader_that_has_seen_enough_stops_nothing() -> None:
    script = "from evoxtral.__main__ import _say; [_say('x' * 9999) for _ in range(99)]"
    shell = f'set -o pipefail; {sys.executable} -c "{script}; _say(str(1))" | head -c 1'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x", "")


@pytest.mark.parametrize("arguments", [[], ["nope"], ["report", "--profile", "huge"]])
def test_wrong_use_exits_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: evoxtral" in capsys.readouterr().err


@pytest.fixture(scope="module")
def clip(spoken, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, spoken.audio(spoken.clips[0]), 16_000)
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["transcribe", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_transcripts_are_printed(clip, capsys):
    code, text, err = run(capsys, clip)
    assert (code, err) == (0, "")
    assert text.strip()
    _, one, _ = run(capsys, clip, "--format", "json")
    assert json.loads(one)["file"] == "clip.wav"
    _, both, _ = run(capsys, clip, clip)
    assert both == f"clip.wav\n{text}" * 2


def test_files_may_stand_behind_options_and_silence_is_an_empty_transcript(clip, tmp_path, capsys):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(32_000, np.float32), 16_000)
    options = ("--format", "vtt", "--tags", "drop", "--out", tmp_path / "new")
    code, _, err = run(capsys, clip, *options, silence)
    assert code == 0
    assert err == (
        f"evoxtral: {silence}: no words were heard: all of it is below -60 dB of full scale\n"
    )
    assert (tmp_path / "new" / "silence.vtt").read_text() == "WEBVTT\n"
    written = (tmp_path / "new" / "clip.vtt").read_text()
    assert written.startswith("WEBVTT\n\n00:00:0")
    assert "[" not in written
    with pytest.raises(SystemExit):
        run(capsys, clip, "--out", tmp_path, silence, "--frmat", "vtt")
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_name_that_cannot_be_printed_or_stored_loses_nothing(
    clip, tmp_path, monkeypatch, terminal
):
    """A terminal of ASCII gets escapes, a file or a pipe UTF-8."""
    files = [tmp_path / "名前.wav", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))]
    for file in files:
        shutil.copy(clip, file)
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stdout.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdout", stdout)
    assert main(["transcribe", *map(str, files)]) == 0
    stdout.flush()
    first, _, second, _ = stdout.buffer.getvalue().decode("utf-8").splitlines()
    shown = "名前.wav", "\ufffd.wav"
    assert [first, second] == [
        name.encode("ascii", "backslashreplace").decode() if terminal else name for name in shown
    ]


def test_a_bad_file_ends_with_one_and_the_others_are_written(clip, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    soundfile.write(bad, np.zeros(1_000, np.float32), 16_000)
    clip.write_bytes(clip.read_bytes()[:-16_000])
    code, out, err = run(capsys, bad, clip, "--out", tmp_path / "new", "--format", "srt")
    assert code == 1
    assert str(tmp_path / "new" / "clip.srt") in out
    damage, failed = err.splitlines()
    assert damage.startswith(f"evoxtral: {clip}: it breaks off: the last 0.50 of ")
    assert f"1 of 2 files could not be transcribed: {bad}: 0.062 s is too short" in failed
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["clip.srt"]
    assert (tmp_path / "new" / "clip.srt").read_text().startswith("1\n00:00:0")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.wav", "b.wav", "--format", "srt"], "give a folder by --out"),
        (["x/a.wav", "y/a.mp3", "--out", "z"], "several files would be written to a.txt"),
        (["a.wav", "--base", "no/such"], "cannot be loaded"),
        (["a.wav", "--adapter", "no/such"], "no/such is no folder, and the hub gives no adapter"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, sentence, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1
