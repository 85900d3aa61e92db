"""Foreign recordings: read as ours, judged with file and line, converted."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.clips import audio_digest, load, read_clips, write_audio
from evoxtral.clips.ingest import Reading, fetch, ingest, pairs, validate

OURS = Reading({}, {})


def text(reading, said):
    return reading({"file_name": "a.wav", "tagged_text": said, "split": "train"}).tagged_text


def test_columns_and_tags_are_renamed():
    assert text(OURS, "[sniffs] well  then") == "[sniffs] well  then"
    reading = Reading(
        {"path": "file_name", "text": "tagged_text", "speaker": "voice", "absent": "domain"},
        {"<laughter>": "[laughs]", "(sigh)": "[sighs]", "[noise]": ""},
    )
    said = "<Laughter> so [noise]  it IS (sigh)"
    clip = reading({"path": "a.wav", "text": said, "speaker": "me", "split": "test"})
    assert clip.tagged_text == "[laughs] so it IS [sighs]"
    assert (clip.file_name, clip.voice, clip.source) == ("a.wav", "me", "real")
    swap = Reading({}, {"[a]": "[b]", "[b]": "[c]", "[a] [a]": "[d]"})
    assert text(swap, "[a] x [b] [a] [a]") == "[b] x [c] [d]", "what is written is not read again"
    with pytest.raises(UserError, match="columns names 'speaker', which no clip has"):
        Reading({"who": "speaker"}, {})


@given(st.text(max_size=12), st.text(min_size=1, max_size=4))
def test_any_notation_can_be_taken_out(said, theirs):
    left = text(Reading({}, {theirs: ""}), f"a {theirs} b {said}.")
    assert len(left) < len(f"a {theirs} b {said}.")


def test_rows_move_to_one_split_and_keep_apart():
    reading, row = Reading({}, {}, "real"), {"file_name": "0.wav", "tagged_text": "hi"}
    clips = [reading(row | {"split": split}) for split in ("train", "test")]
    assert [clip.id for clip in clips] == ["real-train-0", "real-test-0"]
    assert {clip.split for clip in clips} == {"real"}


@pytest.mark.parametrize("text", ["a", ":b", "a:b, a:c", "a:b c, d"])
def test_what_are_no_pairs_is_refused(text):
    with pytest.raises(UserError, match=r"tag_names holds .* write theirs:ours"):
        pairs(text, "tag_names")


SIZES = {"train": 14, "validation": 3, "test": 3}


def noise(seed, n=2000):
    return (np.random.default_rng(seed).integers(-9000, 9000, n) / 32768).astype(np.float32)


class Folder:
    """A sound dataset whose rows can be spoilt one by one."""

    def __init__(self, root):
        self.root = root
        self.rows = {
            split: [
                {
                    "file_name": f"{i}.flac",
                    "id": f"{split}-{i}",
                    "tagged_text": f"[sighs] {split} sentence {i} [pause] is FINE",
                }
                for i in range(size)
            ]
            for split, size in SIZES.items()
        }
        for k, (split, rows) in enumerate(self.rows.items()):
            for i, one in enumerate(rows):
                samples = noise(100 * k + i)
                write_audio(root / split / f"{i}.flac", samples)
                one |= {"seconds": len(samples) / 16_000, "sha256": audio_digest(samples)}

    def judge(self, *args):
        for split, rows in self.rows.items():
            lines = "".join(json.dumps(one) + "\n" for one in rows)
            (self.root / split / "metadata.jsonl").write_text(lines, "utf-8")
        return validate(self.root, *args)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data")


def change(**fields):
    """A fault in fields of one row."""
    return lambda folder, i: folder.rows["train"][i] | fields


def audio(data):
    def spoil(folder, i):
        (folder.root / "train" / f"{i}.flac").write_bytes(data)
        return folder.rows["train"][i]

    return spoil


def same_sound_as(split, j):
    def spoil(folder, i):
        other = folder.rows[split][j]
        data = (folder.root / split / other["file_name"]).read_bytes()
        return audio(data)(folder, i) | {"sha256": other["sha256"]}

    return spoil


def no_file(folder, i):
    (folder.root / "train" / f"{i}.flac").unlink()
    return folder.rows["train"][i]


REJECTED = {
    "no text": (lambda f, i: {"file_name": f"{i}.flac"}, "'tagged_text' is missing"),
    "open bracket": (change(tagged_text="[sighs unique words"), "broken brackets"),
    "duplicate id": (change(id="train-1"), "the id 'train-1' comes twice"),
    "traversal": (change(file_name="../../x"), "leads out"),
    "missing file": (no_file, "does not exist"),
    "wrong seconds": (change(seconds=3.0), "the row says 3.0 s"),
    "wrong digest": (change(sha256="0" * 64), "does not match the row's sha256"),
    "empty audio": (audio(b""), "the file is empty"),
    "words of a test clip": (
        change(tagged_text="[laughs] TEST sentence 0 is fine!"),
        "the text is that of test/metadata.jsonl:1 (test)",
    ),
    "sound of a test clip": (
        same_sound_as("test", 2),
        "the audio is that of test/metadata.jsonl:3 (test)",
    ),
}
WARNED = {"unknown tag": (change(tagged_text="[sniffs] unique words"), "unknown tags: sniffs")}


def test_a_sound_dataset_has_no_findings(folder):
    dataset, findings = folder.judge("reject")
    assert findings.empty
    assert {s: len(c) for s, c in dataset.splits.items()} == SIZES
    assert [clip.id for clip in dataset.splits["train"]] == [f"train-{i}" for i in range(14)]


@pytest.mark.parametrize("fault", [*REJECTED, *WARNED])
def test_seeded_fault_is_found_at_its_line_and_nowhere_else(fault, folder):
    spoil, reason = (REJECTED | WARNED)[fault]
    folder.rows["train"][4] = spoil(folder, 4)
    dataset, findings = folder.judge()
    (found,) = findings.itertuples(index=False)
    kind = "reject" if fault in REJECTED else "warning"
    assert (found.kind, found.file, found.line) == (kind, "train/metadata.jsonl", 5)
    assert reason in found.reason
    assert len(dataset.clips) == 20 - (kind == "reject")
    if fault == "unknown tag":
        assert folder.judge("keep")[1].empty
        assert folder.judge("reject")[1]["kind"].tolist() == ["reject"]


def test_training_gives_way_to_validation_and_both_to_test(folder, tmp_path):
    for split in SIZES:
        folder.rows[split][0]["tagged_text"] = "the very same words"
    reason = r"2 of 20 clips .* are unusable, .* 5%: mend them, first train/metadata\.jsonl:1: the"
    with pytest.raises(UserError, match=reason):
        folder.judge("warn", OURS, tmp_path / "x.csv")
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
    rows = [
        {"file_name": "in/a.wav", "tagged_text": "[sighs] no", "split": "train"},
        {"file_name": "in/b.wav", "tagged_text": "[sniffs] yes", "split": "test"},
        {"file_name": "in/c.wav", "tagged_text": "well", "split": "test"},
    ]
    for i in range(17):
        soundfile.write(tmp_path / "in" / f"{i}.wav", rng.uniform(-0.3, 0.3, 8_000), 16_000)
        rows.append({"file_name": f"in/{i}.wav", "tagged_text": f"number {i}", "split": "test"})
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(one) + "\n" for one in rows))
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
