"""AudioFolder layout: reading lines from anyone, confining file names, writing."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError
from evoxtral.clips.audio import write_audio
from evoxtral.clips.clip import RowError, complete
from evoxtral.clips.folder import (
    folder_of,
    read_clip,
    read_rows,
    safe_path,
    write_card,
    write_split,
)

TONE = (np.sin(np.arange(4000) / 9) / 4).astype(np.float32)
SPLITS = ("train", "validation", "test", "natural", "plain_val", "base_test", "train_extra")


@pytest.fixture
def corpus(tmp_path):
    """One clip in each of seven splits."""
    for split in SPLITS:
        row = {"file_name": f"{split}-0.flac", "tagged_text": f"[sighs] {split}", "id": split}
        write_audio(tmp_path / folder_of(split) / f"{split}-0.flac", TONE)
        write_split(tmp_path, split, [complete(row, split)])
    write_card(tmp_path, SPLITS)
    return tmp_path


def test_what_is_written_is_read(corpus):
    clips = {clip.split: (clip, path) for clip, path in map(read_clip, read_rows(corpus))}
    assert set(clips) == set(SPLITS)
    clip, path = clips["base_test"]
    assert (clip.id, clip.tagged_text) == ("base_test", "[sighs] base_test")
    assert path == corpus / "basetest" / "base_test-0.flac"


@pytest.mark.parametrize(
    ("folder", "split"),
    [("dev", "validation"), ("VAL", "validation"), ("eval", "test"), ("my data", "my_data")],
)
def test_foreign_folders_name_splits(folder, split, tmp_path):
    write_audio(tmp_path / folder / "a.flac", TONE)
    line = json.dumps({"file_name": "a.flac", "tagged_text": "hi"})
    (tmp_path / folder / "metadata.jsonl").write_text(line)
    (row,) = read_rows(tmp_path)
    assert read_clip(row)[0].split == split


@pytest.mark.parametrize("name", ["metadata.jsonl", "my-manifest.jsonl"])
def test_manifest_may_name_splits_itself(name, tmp_path):
    write_audio(tmp_path / "audio" / "a.flac", TONE)
    rows = [{"file_name": "audio/a.flac", "tagged_text": "hi", "split": s} for s in ("train", "x")]
    (tmp_path / name).write_text("\n\n".join(json.dumps(row) for row in rows))
    found = list(read_rows(tmp_path / name))
    assert [(row.line, read_clip(row)[0].split) for row in found] == [(1, "train"), (3, "x")]


def test_row_in_the_folder_of_another_split_is_refused(corpus):
    (corpus / "train" / "metadata.jsonl").write_text(
        json.dumps({"file_name": "train-0.flac", "tagged_text": "hi", "split": "test"})
    )
    row = next(row for row in read_rows(corpus) if row.file.parent.name == "train")
    with pytest.raises(RowError, match="says split 'test' but lies in folder 'train'"):
        read_clip(row)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "a field stands there twice"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b'{"a": "' + b"x" * 1_000_001 + b'"}', "too long for a row"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_line_is_a_fault_not_a_crash(line, fault, tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n' + line + b"\n")
    good, bad = read_rows(tmp_path)
    assert (good.fault, good.value) == (None, {"a": 1})
    assert bad.line == 2
    assert fault in bad.fault
    with pytest.raises(RowError, match=fault):
        read_clip(bad)


def test_no_clips_is_one_sentence(tmp_path):
    for source in (tmp_path, tmp_path / "none", tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="no clips at"):
            list(read_rows(source))


@pytest.fixture
def jail(tmp_path):
    """A folder `in` with an audio file, a secret beside it, and links out."""
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.flac").write_bytes(b"a")
    (inside / "sub").mkdir()
    (inside / "sub" / "b.flac").write_bytes(b"b")
    (tmp_path / "secret").write_bytes(b"s")
    (inside / "out").symlink_to(tmp_path / "secret")
    (inside / "up").symlink_to(tmp_path)
    (inside / "loop").symlink_to(inside / "loop")
    (inside / "alias").symlink_to(inside / "a.flac")
    os.mkfifo(inside / "pipe")
    return inside


@pytest.mark.parametrize("name", ["a.flac", "sub/b.flac", "./a.flac", "alias"])
def test_files_inside_are_found(name, jail):
    assert safe_path(jail, name).read_bytes() in (b"a", b"b")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret", "leads out"),
        ("../../x", "leads out"),
        ("sub/../../secret", "leads out"),
        ("/etc/passwd", "leads out"),
        ("C:/x.wav", "leads out"),
        ("..\\secret", "backslashes"),
        ("a.flac\0.wav", "control characters"),
        ("a\n.flac", "control characters"),
        ("", "1 to 255 bytes"),
        ("a" * 300, "1 to 255 bytes"),
        ("é" * 200, "1 to 255 bytes"),
        ("out", "link that leads out"),
        ("up/secret", "link that leads out"),
        ("loop", "cannot be followed"),
        ("pipe", "not a regular file"),
        ("sub", "not a regular file"),
        (".", "not a regular file"),
        ("none.flac", "does not exist"),
        ("a.flac/b", "cannot be followed"),
    ],
)
def test_file_names_do_not_lead_out(name, reason, jail):
    with pytest.raises(RowError, match=reason):
        safe_path(jail, name)


@given(st.lists(st.sampled_from(["..", ".", "/", "a.flac", "up", "out", "sub", "secret", ""])))
@settings(max_examples=300)
def test_no_combination_leads_out(tmp_path_factory, parts):
    inside = tmp_path_factory.getbasetemp() / "jail"
    if not inside.exists():
        (inside / "sub").mkdir(parents=True)
        (inside / "a.flac").write_bytes(b"a")
        (inside.parent / "secret").write_bytes(b"s")
        (inside / "out").symlink_to(inside.parent / "secret")
        (inside / "up").symlink_to(inside.parent)
    try:
        path = safe_path(inside, "/".join(parts))
    except RowError:
        return
    assert path.read_bytes() == b"a"


@pytest.fixture
def hub(monkeypatch, tmp_path_factory):
    """The `datasets` package, offline, with its own cache.

    It refuses to list audio files without torchcodec even if nothing is decoded; an empty
    stand-in is enough for that.
    """
    home = tmp_path_factory.mktemp("hub")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(home))
    pytest.importorskip("torch")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(home / "datasets"))
    datasets.disable_progress_bars()
    if not datasets.config.TORCHCODEC_AVAILABLE:
        encoders = types.ModuleType("torchcodec.encoders")
        encoders.AudioEncoder = None
        monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
        monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)
    return datasets


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_hugging_face_datasets_reads_the_layout(hub, corpus):
    loaded = hub.load_dataset("audiofolder", data_dir=str(corpus))
    # No split may swallow another: `base_test` is not part of `test`.
    assert {name: part["split"][:] for name, part in loaded.items()} == {
        name: [name] for name in ("train", "validation", "test")
    }
    part = loaded["test"].cast_column("audio", hub.Audio(decode=False))
    columns = [
        "audio",
        *(c for c in complete({"file_name": "a", "tagged_text": "b"}, "x").__dict__),
    ]
    columns.remove("file_name")
    assert sorted(part.column_names) == sorted(columns)
    row = part[0]
    assert Path(row["audio"]["path"]).samefile(corpus / "test" / "test-0.flac")
    assert row["tags"] == [{"name": "sighs", "word_index": 0}]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_dataset_card_names_all_splits(hub, corpus):
    loaded = hub.load_dataset(str(corpus))
    assert {name: part["split"][:] for name, part in loaded.items()} == {s: [s] for s in SPLITS}
