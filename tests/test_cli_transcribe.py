"""`evoxtral transcribe`: what is printed or written, and what it ends with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from evoxtral.cli import main


@pytest.fixture(scope="module")
def clip(spoken, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, spoken.audio(spoken.clips[0]), 16_000)
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["transcribe", "--device", "cpu", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_text_is_printed(clip, capsys):
    code, out, err = run(capsys, clip)
    assert (code, err) == (0, "")
    assert out.strip()
    assert out.endswith("\n")


def test_json_of_one_and_of_several(clip, capsys):
    _, out, _ = run(capsys, clip, "--format", "json")
    _, both, _ = run(capsys, clip, clip, "--format", "json")
    assert json.loads(out)["file"] == "clip.wav"
    assert json.loads(both) == [json.loads(out)] * 2


def test_subtitles_are_written(clip, tmp_path, capsys):
    code, out, _ = run(capsys, clip, "--format", "srt", "--out", tmp_path / "new")
    assert code == 0
    assert "1 transcripts are in" in out
    assert (tmp_path / "new" / "clip.srt").read_text().startswith("1\n00:00:0")


def test_a_bad_file_ends_with_one_and_the_others_are_done(clip, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    soundfile.write(bad, np.zeros(16_000, np.float32), 16_000)
    code, out, err = run(capsys, bad, clip, "--out", tmp_path, "--format", "json")
    assert code == 1
    assert "1 transcripts are in" in out
    assert err.count("\n") == 1
    assert f"1 of 2 files could not be transcribed: {bad}: silent" in err
    assert (tmp_path / "clip.json").is_file()
    assert not (tmp_path / "bad.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.wav", "b.wav", "--format", "srt"], "give a folder by --out"),
        (["x/a.wav", "y/a.mp3", "--out", "z"], "several files would be written to a.txt"),
        (["a.wav", "--batch", "0"], "--batch is 0"),
        (["a.wav", "--base", "no/such"], "cannot be loaded"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, sentence, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1
