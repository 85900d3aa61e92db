"""Foreign recordings become a clean corpus."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

from evoxtral import UserError
from evoxtral.clips.ingest import ingest
from evoxtral.clips.validate import Policy, validate


@pytest.fixture
def foreign(tmp_path):
    """A manifest over a stereo 48 kHz WAV, an MP3 under a wrong name, and an empty file."""
    rng = np.random.default_rng(0)
    audio = tmp_path / "recordings"
    audio.mkdir()
    soundfile.write(audio / "a.wav", rng.uniform(-0.3, 0.3, (48_000, 2)), 48_000)
    soundfile.write(audio / "b.wav", rng.uniform(-0.3, 0.3, 16_000), 16_000, format="MP3")
    (audio / "c.wav").touch()
    rows = [
        {"file_name": "recordings/a.wav", "tagged_text": "[sighs] no", "split": "train"},
        {"file_name": "recordings/b.wav", "tagged_text": "[sniffs] yes", "split": "test"},
        {"file_name": "recordings/c.wav", "tagged_text": "well", "split": "test"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def reasons(path):
    return [(row["line"], row["reason"]) for row in csv.DictReader(path.read_text().splitlines())]


def test_usable_clips_are_converted_and_the_rest_is_accounted_for(foreign, tmp_path):
    target = tmp_path / "clean"
    dataset, judged = ingest(foreign, target, Policy(max_reject_share=0.5))
    assert {split: [c.file_name for c in clips] for split, clips in dataset.splits.items()} == {
        "train": ["train-recordings-a.flac"],
        "test": ["test-recordings-b.flac"],
    }
    assert reasons(target / "rejects.csv") == [("3", "the file is empty")]
    assert reasons(target / "warnings.csv") == [("2", "unknown tags: sniffs")]
    assert reasons(target / "repairs.csv") == [
        ("1", "2 channels mixed to one"),
        ("1", "48000 Hz resampled to 16000"),
        ("2", "MP3 under the name .wav"),
    ]
    again = validate(target)
    assert again.repairs == again.rejects == ()
    assert [clip.sha256 for clip in again.dataset["test"]] == [
        clip.sha256 for clip in judged.dataset["test"]
    ]


def test_too_many_rejects_leave_only_their_list(foreign, tmp_path):
    with pytest.raises(UserError, match="1 of 3 clips"):
        ingest(foreign, tmp_path / "clean")
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["rejects.csv"]
    ingest(foreign, tmp_path / "clean", Policy(max_reject_share=0.5))


def test_full_target_is_refused(foreign, tmp_path):
    with pytest.raises(UserError, match="is not empty"):
        ingest(foreign, tmp_path)
