"""Foreign recordings: read as ours, judged with file and line, converted."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, runs
from evoxtral.clips import load, read_clips, write_audio
from evoxtral.clips.ingest import Reading, fetch, ingest, pairs, validate

OURS = Reading({}, {})


def text(names, said):
    row = {"file_name": "a.wav", "tagged_text": said, "split": "train"}
    return Reading({}, names)(row).tagged_text


def test_columns_and_tags_are_renamed():
    assert text({}, "[sniffs] well  then") == "[sniffs] well  then"
    reading = Reading(
        {"path": "file_name", "text": "tagged_text", "speaker": "voice", "absent": "domain"},
        {"<laughter>": "[laughs]", "(sigh)": "[sighs]", "[noise]": ""},
    )
    said = "<Laughter> so [noise]  it IS (sigh)"
    clip = reading({"path": "a.wav", "text": said, "speaker": "me", "split": "test"})
    assert clip.tagged_text == "[laughs] so it IS [sighs]"
    assert (clip.file_name, clip.voice, clip.source) == ("a.wav", "me", "real")
    swap = {"[a]": "[b]", "[b]": "[c]", "[a] [a]": "[d]"}
    assert text(swap, "[a] x [b] [a] [a]") == "[b] x [c] [d]", "what is written is not read again"
    with pytest.raises(UserError, match="columns names 'speaker', which no clip has"):
        Reading({"who": "speaker"}, {})


@given(st.text(max_size=12), st.text(min_size=1, max_size=4))
def test_any_notation_can_be_taken_out(said, theirs):
    left = text({theirs: ""}, f"a {theirs} b {said}.")
    assert len(left) < len(f"a {theirs} b {said}.")


@pytest.mark.parametrize("text", ["a", ":b", "a:b, a:c", "a:b c, d"])
def test_what_are_no_pairs_is_refused(text):
    with pytest.raises(UserError, match=r"tag_names holds .* write theirs:ours"):
        pairs(text, "tag_names")


SIZES = {"train": 14, "validation": 3, "test": 3}


@pytest.fixture
def rows(tmp_path):
    """A sound dataset's rows by split, with their audio in place."""
    found = {split: [] for split in SIZES}
    for split, size in SIZES.items():
        for i in range(size):
            noise = np.random.default_rng([len(split), i]).integers(-9000, 9000, 2000) / 32768
            write_audio(tmp_path / split / f"{i}.flac", noise.astype(np.float32))
            row = {"file_name": f"{i}.flac", "id": f"{split}-{i}", "seconds": 0.125,
                   "tagged_text": f"[sighs] {split} sentence {i} [pause] is FINE"}  # fmt: skip
            found[split].append(row)
    return found


def judge(folder, rows, *args):
    for split, own in rows.items():
        runs.write_jsonl(folder / split / "metadata.jsonl", own)
    return validate(folder, *args)


FAULTS = {
    "open bracket": ({"tagged_text": "[sighs unique words"}, "broken brackets"),
    "wrong seconds": ({"seconds": 3.0}, "the row says 3.0 s, the file has 0.12 s"),
    "wrong digest": ({"sha256": "0" * 64}, "does not match the row's sha256"),
    "words of a test clip": ({"tagged_text": "[laughs] TEST sentence 0 is fine!"},
                             "the text is that of test/metadata.jsonl:1 (test)"),
    "sound of a test clip": ({"file_name": "copy"},
                             "the audio is that of test/metadata.jsonl:3 (test)"),
    "unknown tag": ({"tagged_text": "[sniffs] unique words"}, "unknown tags: sniffs"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_seeded_fault_is_found_at_its_line_and_nowhere_else(fault, rows, tmp_path):
    dataset, findings = judge(tmp_path, rows, "reject")
    assert findings.empty
    assert {split: len(own) for split, own in dataset.splits.items()} == SIZES
    shutil.copy(tmp_path / "test" / "2.flac", tmp_path / "train" / "copy")
    rows["train"][4] |= FAULTS[fault][0]
    dataset, findings = judge(tmp_path, rows)
    (found,) = findings.itertuples(index=False)
    kind = "warning" if fault == "unknown tag" else "reject"
    assert (found.kind, found.file, found.line) == (kind, "train/metadata.jsonl", 5)
    assert FAULTS[fault][1] in found.reason
    assert len(dataset.clips) == 20 - (kind == "reject")
    if fault == "unknown tag":
        assert judge(tmp_path, rows, "keep")[1].empty
        assert judge(tmp_path, rows, "reject")[1]["kind"].tolist() == ["reject"]


def test_training_gives_way_to_validation_and_both_to_test(rows, tmp_path):
    for split in SIZES:
        rows[split][0]["tagged_text"] = "the very same words"
    reason = r"2 of 20 clips .* are unusable, .* 5%: mend them, first train/metadata\.jsonl:1: the"
    with pytest.raises(UserError, match=reason):
        judge(tmp_path, rows, "warn", OURS, tmp_path / "x.csv")
    (tmp_path / "metadata.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has no rows"):
        validate(tmp_path / "metadata.jsonl")
    files = pd.read_csv(tmp_path / "x.csv")["file"].tolist()
    assert files == ["train/metadata.jsonl", "validation/metadata.jsonl"]


def test_usable_clips_are_converted_and_the_rest_is_accounted_for(tmp_path):
    """A manifest over a stereo 48 kHz WAV, an MP3 under a wrong name, and an empty file."""
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", rng.uniform(-0.3, 0.3, (48_000, 2)), 48_000)
    soundfile.write(tmp_path / "in" / "b.wav", rng.uniform(-0.3, 0.3, 16_000), 16_000, format="MP3")
    (tmp_path / "in" / "c.wav").touch()
    said = {"a": "[sighs] no", "b": "[sniffs] yes", "c": "well"}
    for i in range(17):
        soundfile.write(tmp_path / "in" / f"{i}.wav", rng.uniform(-0.3, 0.3, 8_000), 16_000)
        said[str(i)] = f"number {i}"
    rows = [
        {"file_name": f"in/{name}.wav", "tagged_text": text, "split": "test"}
        for name, text in said.items()
    ]
    rows[0]["split"] = "train"
    manifest = runs.write_jsonl(tmp_path / "manifest.jsonl", rows)
    ingest(manifest, tmp_path / "out", "warn", OURS)
    clean = load(tmp_path / "out")
    assert {split: len(clips) for split, clips in clean.splits.items()} == {"train": 1, "test": 18}
    assert clean.splits["test"][0].file_name == "test-in-b.flac"
    found = pd.read_csv(tmp_path / "out" / "findings.csv")
    assert found[["kind", "line", "reason"]].to_numpy().tolist() == [
        ["repair", 1, "2 channels mixed to one"],
        ["repair", 1, "48000 Hz resampled to 16000"],
        ["warning", 2, "unknown tags: sniffs"],
        ["reject", 3, "the file is empty"],
    ]
    again, findings = validate(tmp_path / "out", "keep")
    assert findings.empty
    assert again == clean


def parquet(datasets, folder, **columns):
    """A dataset as the Hub stores it, sound inside the tables."""
    rows = datasets.Dataset.from_dict(columns)
    if "audio" in columns:
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
    folder.mkdir()
    rows.to_parquet(folder / "train-00000-of-00001.parquet")
    return str(folder)


def test_datasets_of_the_hub(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    audio = [{"bytes": b"sound", "path": f"../{k}.wav"} for k in range(2)]
    columns = {"audio": audio, "text": ["[sighs] a", None], "mark": [b"1", b"2"]}
    fetch(parquet(datasets, tmp_path / "given", **columns), tmp_path / "out")
    rows = list(read_clips(tmp_path / "out", Reading({"text": "tagged_text"}, {})))
    assert rows[0].clip.tagged_text == "[sighs] a"
    assert (rows[0].clip.split, rows[0].path.name) == ("train", "000000.wav")
    assert "'tagged_text' is missing" in rows[1].fault
    assert (tmp_path / "out" / "train" / "000001.wav").read_bytes() == b"sound"
    with pytest.raises(UserError, match="cannot be loaded: ") as error:
        fetch(str(tmp_path / "nowhere"), tmp_path / "out")
    assert "\n" not in str(error.value)
    silent = parquet(datasets, tmp_path / "silent", text=["a"])
    with pytest.raises(UserError, match="split 'train': 0 columns of audio, not one"):
        fetch(silent, tmp_path / "out")
    linked = parquet(datasets, tmp_path / "linked", audio=[{"bytes": None, "path": __file__}])
    with pytest.raises(UserError, match="row 0 has no sound inside its table: download the files"):
        fetch(linked, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install evoxtral\[datasets\]"):
        fetch(silent, tmp_path / "out")
