"""Rows become consistent clips or a reason; AudioFolders are written and read."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, tags
from evoxtral.clips import Clip, load
from evoxtral.clips.audio import write_audio
from evoxtral.clips.clip import RowError, complete, folder_of, read_clip, read_rows, write_splits
from helpers import fresh_python

ROW = {"file_name": "a/b 1.wav", "tagged_text": "[sighs] I did NOT go. [pause] Sorry"}
TONE = (np.sin(np.arange(4000) / 9) / 4).astype(np.float32)
SPLITS = ("train", "validation", "test", "natural", "plain_val", "base_test")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_two_fields_are_enough_and_the_text_decides():
    clip = complete(ROW, "train")
    assert clip.id == "train-a-b-1"
    assert clip.plain_text == "I did not go. Sorry"
    assert [(mark.name, mark.word_index) for mark in clip.tags] == [("sighs", 0), ("pause", 4)]
    assert (clip.split, clip.source, clip.slice, clip.voice) == ("train", "real", "light", None)
    assert complete(ROW | {"plain_text": "else", "tags": ["x"], "other": 9}, "train") == clip


def test_slice_of_a_row_without_one_is_its_tag_density():
    texts = ["word " + "[pause] " * count for count in range(6)]
    clips = [complete({"file_name": "a.wav", "tagged_text": text}, "test") for text in texts]
    assert [clip.slice for clip in clips] == ["plain", *["light"] * 2, *["moderate"] * 2, "dense"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tagged_text": None}, "tagged_text must be text, not NoneType"),
        ({"tagged_text": " \n"}, "tagged_text is empty"),
        ({"tagged_text": "a" * 10_001}, "at most 10000"),
        ({"tagged_text": "a\ud800b"}, "tagged_text is"),
        ({"file_name": ["a.wav"]}, "file_name must be text, not list"),
        ({"id": "../x"}, r"id is '\.\./x'"),
        ({"seconds": "3.5"}, r"seconds is '3\.5'"),
        ({"held_out": "no"}, "held_out is 'no'"),
        ({"split": "../train"}, "split is"),
        ({"gender": "F"}, "gender is 'F'"),
    ],
)
def test_bad_row_is_refused_with_the_field(change, reason):
    with pytest.raises(RowError, match=reason):
        complete(ROW | change, "train")


@given(
    st.dictionaries(st.sampled_from([*Clip.model_fields, "other"]), json_values),
    st.text(max_size=30),
)
def test_any_row_gives_a_clip_that_survives_json_or_a_reason(row, text):
    row = {"file_name": "a.wav", "tagged_text": text} | row
    try:
        clip = complete(row, "train")
    except RowError:
        return
    assert clip.plain_text == tags.plain_text(clip.tagged_text)
    assert complete(json.loads(clip.model_dump_json()), "x") == clip


@pytest.fixture
def corpus(tmp_path):
    """One clip in each of six splits."""
    rows = {}
    for split in SPLITS:
        row = {"file_name": f"{split}-0.flac", "tagged_text": f"[sighs] {split}", "id": split}
        write_audio(tmp_path / folder_of(split) / f"{split}-0.flac", TONE)
        rows[split] = [complete(row, split)]
    write_splits(tmp_path, rows)
    return tmp_path


def test_what_is_written_is_read(corpus, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    dataset = load(corpus.name)
    monkeypatch.chdir("/")
    assert set(dataset.splits) == set(SPLITS)
    (clip,) = dataset["base_test"]
    assert (clip.id, clip.tagged_text) == ("base_test", "[sighs] base_test")
    assert dataset.paths[clip.id] == corpus / "basetest" / "base_test-0.flac"
    assert np.abs(dataset.audio(clip) - TONE).max() < 1e-4
    assert len(dataset.clips) == len(SPLITS)
    with pytest.raises(UserError, match="no split 'dev': choose one of base_test, natural"):
        dataset["dev"]
    dataset.paths["train"].write_bytes(b"")
    with pytest.raises(UserError, match=r"train-0\.flac: the file is empty; replace the file"):
        dataset.audio(dataset["train"][0])


@pytest.mark.parametrize(
    ("folder", "split"),
    [("dev", "validation"), ("VAL", "validation"), ("eval", "test"), ("my data", "my_data")],
)
def test_foreign_folders_name_splits(folder, split, tmp_path):
    write_audio(tmp_path / folder / "a.flac", TONE)
    line = json.dumps({"file_name": "a.flac", "tagged_text": "hi"})
    (tmp_path / folder / "metadata.jsonl").write_text(line)
    assert set(load(tmp_path).splits) == {split}


@pytest.mark.parametrize("name", ["metadata.jsonl", "my-manifest.jsonl"])
def test_manifest_may_name_splits_itself(name, tmp_path):
    write_audio(tmp_path / "audio" / "a.flac", TONE)
    rows = [{"file_name": "audio/a.flac", "tagged_text": "hi", "split": s} for s in ("train", "x")]
    (tmp_path / name).write_text("\n\n".join(json.dumps(row) for row in rows))
    found = list(read_rows(tmp_path / name))
    assert [(row.line, read_clip(row)[0].split) for row in found] == [(1, "train"), (3, "x")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b"\xe9", "not valid JSON"),
        (b'{"file_name": "a.flac"}', "the field 'tagged_text' is missing"),
        (b'{"file_name": "train-0.flac", "tagged_text": "a", "id": "train"}', "comes twice"),
        (b'{"file_name": "none.flac", "tagged_text": "a"}', "'none.flac' does not exist"),
        ('{"file_name": "%s", "tagged_text": "a"}' % ("é" * 200), "does not exist"),
        (b'{"file_name": "a\\u0000", "tagged_text": "a"}', "does not exist"),
        (b'{"file_name": "../basetest/base_test-0.flac", "tagged_text": "a"}', "leads out"),
        (b'{"file_name": "/etc/passwd", "tagged_text": "a"}', "leads out"),
    ],
)
def test_bad_row_stops_with_file_and_line(line, reason, corpus):
    with (corpus / "train" / "metadata.jsonl").open("ab") as stream:
        stream.write(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(UserError, match=rf"train/metadata\.jsonl:2: .*{reason}.*; mend the line"):
        load(corpus)


def test_no_clips_is_one_sentence(tmp_path):
    for source in (tmp_path, tmp_path / "none", tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="no clips at"):
            load(source)


def test_needs_neither_torch_nor_datasets():
    code = (
        "import sys; import evoxtral.clips.corpus, evoxtral.clips.ingest\n"
        "print({'torch', 'datasets', 'transformers'} & set(sys.modules))"
    )
    assert fresh_python(code) == "set()\n"


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
def test_hugging_face_datasets_reads_layout_and_card(hub, corpus):
    loaded = hub.load_dataset("audiofolder", data_dir=str(corpus))
    # No split may swallow another: `base_test` is not part of `test`.
    assert {name: part["split"][:] for name, part in loaded.items()} == {
        name: [name] for name in ("train", "validation", "test")
    }
    part = loaded["test"].cast_column("audio", hub.Audio(decode=False))
    assert set(part.column_names) == {"audio", *Clip.model_fields} - {"file_name"}
    row = part[0]
    assert Path(row["audio"]["path"]).samefile(corpus / "test" / "test-0.flac")
    assert row["tags"] == [{"name": "sighs", "word_index": 0}]
    loaded = hub.load_dataset(str(corpus))
    assert {name: part["split"][:] for name, part in loaded.items()} == {s: [s] for s in SPLITS}
