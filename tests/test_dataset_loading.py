"""Datasets in memory."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.clips.audio import write_audio
from evoxtral.clips.loading import load
from helpers import fresh_python

TONE = (np.sin(np.arange(4000) / 9) / 4).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Two splits with two clips each."""
    for split in ("train", "test"):
        rows = [{"file_name": f"{i}.flac", "tagged_text": f"{split} {i}"} for i in range(2)]
        for row in rows:
            write_audio(tmp_path / split / row["file_name"], TONE)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / split / "metadata.jsonl").write_text(text)
    return tmp_path


def test_clips_by_split_with_their_audio(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    dataset = load(folder.name)
    monkeypatch.chdir("/")
    assert {split: len(clips) for split, clips in dataset.splits.items()} == {"train": 2, "test": 2}
    assert [clip.plain_text for clip in dataset["train"]] == ["train 0", "train 1"]
    assert len(dataset.clips) == 4
    clip = dataset["test"][1]
    assert dataset.audio_path(clip) == folder / "test" / "1.flac"
    assert np.abs(dataset.audio(clip) - TONE).max() < 1e-4


def test_unknown_split_names_the_known(folder):
    with pytest.raises(UserError, match="no split 'dev': choose one of test, train"):
        load(folder)["dev"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"file_name": "0.flac", "tagged_text": "x"}, "the id 'train-0' comes twice"),
        ({"file_name": "9.flac", "tagged_text": "x"}, "'9.flac' does not exist"),
        ({"file_name": "../x", "tagged_text": "x"}, "leads out"),
        ({"file_name": "1.flac"}, "'tagged_text' is missing"),
    ],
)
def test_bad_row_stops_with_file_and_line(folder, line, reason):
    with (folder / "train" / "metadata.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=rf"train/metadata\.jsonl:3: .*{reason}"):
        load(folder)


def test_needs_neither_torch_nor_datasets():
    code = (
        "import sys; import evoxtral.clips\n"
        "print({'torch', 'datasets', 'transformers'} & set(sys.modules))"
    )
    assert fresh_python(code) == "set()\n"
