"""Recordings are read or refused; rows become clips or a reason; AudioFolders go both ways."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from evoxtral import UserError, runs, tags
from evoxtral.clips import Clip, complete, folder_of, load, read_clips, write_splits
from evoxtral.clips.audio import (
    SAMPLE_RATE,
    ClipError,
    audio_digest,
    decode,
    read_whole,
    write_audio,
)
from evoxtral.world import speech

ROW = {"file_name": "a/b 1.wav", "tagged_text": "[sighs] I did NOT go. [pause] Sorry",
       "split": "train"}  # fmt: skip
TONE = (np.sin(np.arange(4000) / 9) / 4).astype(np.float32)
SPLITS = ("train", "validation", "test", "natural", "plain_val", "base_test")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def voice():
    """Real rendered speech, (n,) at 16 kHz."""
    return speech.render("[sighs] Well, this is NOT what I wanted.", speech.VOICES[0], 1).audio


def encoded(samples, kind, subtype=None, rate=SAMPLE_RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def without_length(flac):
    """As `ffmpeg -f flac -` writes it: the number of samples is 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


UNUSABLE = {
    "empty": (lambda a: b"", "the file is empty"),
    "header only": (lambda a: encoded(a[:0], "WAV"), r"cannot be decoded \(it holds no samples\)"),
    "half of a header": (lambda a: encoded(a, "WAV")[:30], "cannot be decoded"),
    "web page": (lambda a: b"<!DOCTYPE html><title>404</title>",
                 "give a WAV, FLAC, MP3 or OGG file, or install ffmpeg"),
    "nan": (lambda a: encoded(a * np.nan, "WAV", "FLOAT"), "must lie in"),
    "not scaled": (lambda a: encoded(a * 30_000, "WAV", "FLOAT"), "must lie in"),
    "short": (lambda a: encoded(a[:1000], "WAV"), r"0\.062 s is too short"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_no_sound_is_refused_with_its_reason(kind, voice, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # where ffmpeg would be
    make, reason = UNUSABLE[kind]
    (tmp_path / "x.wav").write_bytes(make(voice))
    with pytest.raises(ClipError, match=reason):
        decode(tmp_path / "x.wav")
    (tmp_path / "x.wav").rename(tmp_path / "x.raw")
    with pytest.raises(ClipError):
        decode(tmp_path / "x.raw")
    with pytest.raises(ClipError, match="does not exist"):
        decode(tmp_path)


ID3 = b"ID3\x04\0\0" + bytes([0, 0, 1, 44]) + bytes(172)
WHOLE = {
    "WAV of a pipe": lambda a: sized(encoded(a, "WAV"), 2**32 - 1),
    "another's pipe": lambda a: sized(encoded(a, "WAV"), 2**31 - 37),
    "FLAC of a pipe": lambda a: without_length(encoded(a, "FLAC")),
    "MP3 of a pipe": lambda a: encoded(a, "MP3").replace(b"Xing", b"\0\0\0\0"),
    "bytes after it": lambda a: encoded(a, "WAV") + b"LIST" * 30 + b"x",
    "bytes after a FLAC": lambda a: encoded(a, "FLAC") + b"x" * 99,
    "tag before WAV": lambda a: ID3 + encoded(a, "WAV"),
    "tag before FLAC": lambda a: ID3 + encoded(a, "FLAC"),
    "tag before MP3": lambda a: ID3 + encoded(a, "MP3"),
    "title before MP3 of a pipe": lambda a: (
        ID3.replace(bytes(9), b"Info Xing") + encoded(a, "MP3").replace(b"Xing", b"\0\0\0\0")
    ),
    "8 bits": lambda a: encoded(a, "WAV", "PCM_U8"),
    "A-law": lambda a: encoded(a, "WAV", "ALAW"),
    "24 bits": lambda a: encoded(a, "AIFF", "PCM_24"),
    "32 bits": lambda a: encoded(a, "WAV", "PCM_32"),
    "double": lambda a: encoded(a, "WAV", "DOUBLE"),
    "RF64": lambda a: encoded(a, "RF64"),
    "Opus": lambda a: encoded(a, "OGG", "OPUS"),
    "stereo": lambda a: encoded(np.stack([a, a], 1), "WAV"),
    "8 kHz": lambda a: encoded(soxr.resample(a, 16_000, 8_000), "WAV", rate=8_000),
    "96 kHz": lambda a: encoded(soxr.resample(a, 16_000, 96_000), "FLAC", rate=96_000),
}


def sized(wav, size):
    """As a writer into a pipe leaves it, which knows no size when it writes the header."""
    return wav[:40] + size.to_bytes(4, "little") + wav[44:]


@pytest.mark.parametrize("kind", WHOLE)
def test_sound_is_read_to_its_end_whatever_its_header_says(kind, voice, tmp_path):
    (tmp_path / "x").write_bytes(WHOLE[kind](voice))
    sound = decode(tmp_path / "x")
    assert (sound.damage, sound.lost) == ("", 0)
    assert len(voice) <= len(sound.samples) <= len(voice) + 2400, "MP3 adds a frame or two"
    assert np.square(sound.samples).sum() == pytest.approx(np.square(voice).sum(), rel=0.2)


def test_what_overshoots_is_clipped(tmp_path):
    (tmp_path / "x.wav").write_bytes(encoded(TONE * 8, "WAV", "FLOAT"))
    sound = decode(tmp_path / "x.wav")
    assert (np.abs(sound.samples).max(), sound.samples.dtype) == (1, np.float32)
    assert sound.repairs == ("samples of up to 2.00 clipped to 1",)


def test_what_is_missing_is_told_in_seconds(voice, tmp_path):
    """Of the second half, of a byte's flip in the middle, of an MP3's last frame."""
    seconds, flac = len(voice) / SAMPLE_RATE, encoded(voice, "FLAC")
    half, mp3 = len(flac) // 2, encoded(voice, "MP3")
    flipped = flac[:half] + bytes([flac[half] ^ 255]) + flac[half + 1 :]
    for data, least, most in (
        (encoded(voice, "WAV")[: 44 + len(voice)], seconds / 2 - 0.01, seconds / 2 + 0.01),
        (encoded(voice, "AIFF")[: 54 + len(voice)], seconds / 2 - 0.01, seconds / 2 + 0.01),
        (encoded(voice, "AU")[: 24 + len(voice)], seconds / 2 - 0.01, seconds / 2 + 0.01),
        (encoded(voice, "RF64")[: 104 + len(voice)], seconds / 2 - 0.01, seconds / 2 + 0.01),
        (flac[:half], 0.2 * seconds, 0.8 * seconds),
        (flipped, 0.2 * seconds, 0.8 * seconds),
        (mp3[:-200], 0.01, 0.25),
    ):
        (tmp_path / "x").write_bytes(data)
        sound = decode(tmp_path / "x")
        assert least < sound.lost < most
        assert len(sound.samples) / SAMPLE_RATE + sound.lost == pytest.approx(seconds, abs=0.01)
        assert sound.damage.startswith(f"it breaks off: the last {sound.lost:.2f} of ")
        with pytest.raises(ClipError, match="breaks off"):
            read_whole(tmp_path / "x")
    for data in (without_length(flac)[:half], encoded(voice, "OGG")[:-2000]):
        (tmp_path / "x").write_bytes(data)
        assert decode(tmp_path / "x").damage == "it breaks off; how much is missing is not known"


def test_other_containers_are_read_by_ffmpeg(voice, tmp_path, monkeypatch):
    """A stand-in, which gives a WAV for two files and complains of two."""
    (tmp_path / "whole.wav").write_bytes(sized(encoded(voice, "WAV", rate=8_000), 2**32 - 1))
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\ncase $5 in *.webm) echo ended prematurely >&2; esac\n"
        "case $5 in *.m4a|*.webm) exec /bin/cat whole.wav; esac\n"
        "echo '[mov @ 0x7f] moov atom not found' >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("a.m4a", "a.mp4", "a.webm"):
        (tmp_path / name).write_bytes(b"ftypM4A")
    sound = decode(tmp_path / "a.m4a")
    assert sound.repairs == ("read by ffmpeg", "8000 Hz resampled to 16000")
    assert abs(len(sound.samples) - 2 * len(voice)) <= 2
    half = decode(tmp_path / "a.webm")
    assert (half.damage, np.isnan(half.lost)) == ("ended prematurely", True)
    with pytest.raises(ClipError, match="by ffmpeg: moov atom not found"):
        decode(tmp_path / "a.mp4")


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("kind", ["m4a", "webm", "wma"])
def test_ffmpeg_itself(kind, voice, tmp_path):
    (tmp_path / "x.wav").write_bytes(
        encoded(soxr.resample(voice, 16_000, 8_000), "WAV", rate=8_000)
    )
    made = ["ffmpeg", "-v", "error", "-i", tmp_path / "x.wav", tmp_path / f"x.{kind}"]
    subprocess.run(made, check=True)
    sound = decode(tmp_path / f"x.{kind}")
    assert len(sound.samples) == pytest.approx(len(voice), abs=2400)
    assert "read by ffmpeg" in sound.repairs


@given(npst.arrays("<i2", st.integers(1600, 2000), elements=st.integers(100, 2**15 - 1)))
def test_sixteen_bit_samples_come_back_exactly(tmp_path_factory, pcm):
    path = tmp_path_factory.getbasetemp() / "x.flac"
    samples = (pcm / 32768).astype(np.float32)
    write_audio(path, samples)
    again = read_whole(path)
    assert (again == samples).all()
    assert audio_digest(again) == hashlib.sha256(pcm.tobytes()).hexdigest()
    write_audio(path, samples + 1)
    assert (soundfile.read(path, dtype="int16")[0] == 32767).all(), "clipped, not wrapped"


def test_two_fields_are_enough_and_the_text_decides():
    clip = complete(ROW)
    assert clip.id == "train-a-b-1"
    assert clip.plain_text == "I did not go. Sorry"
    assert [(mark.name, mark.word_index) for mark in clip.tags] == [("sighs", 0), ("pause", 4)]
    assert (clip.split, clip.source, clip.slice, clip.voice) == ("train", "real", "light", None)
    assert complete(ROW | {"plain_text": "else", "tags": ["x"], "other": 9}) == clip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tagged_text": " \n"}, "it names no text: 'tagged_text' is missing or empty"),
        ({"file_name": ["a.wav"]}, r"no sound: 'file_name' .* \(it has file_name, tagged_text, "),
    ],
)
def test_row_without_sound_or_text_is_refused(change, reason):
    with pytest.raises(ClipError, match=reason):
        complete(ROW | change)


@pytest.mark.parametrize(
    ("column", "theirs", "ours"),
    [
        *(("id", 7, "7"), ("id", "../x", "test-a-b-1"), ("id", ["a"], "test-a-b-1")),
        *(("gender", "Male", "male"), ("gender", "F", "female"), ("gender", 1, None)),
        *(("gender", "female_feminine", "female"), ("gender", "other", None)),
        *(("source", "librispeech", "real"), ("voice", 19, "19"), ("voice", {"id": 3}, None)),
        *(("split", "Train", "train"), ("split", "dev-clean", "validation"), ("split", 0, "test")),
        *(("seconds", "long", None), ("seconds", "2.5", 2.5), ("domain", 3, "3")),
        *(("held_out", "perhaps", False), ("slice", [1], "light"), ("template", None, "unknown")),
    ],
)
def test_columns_of_our_names_are_taken_where_they_fit(column, theirs, ours):
    row = {name: value for name, value in ROW.items() if name != "split"}
    assert getattr(complete(row | {column: theirs}, "test"), column) == ours


@given(
    st.dictionaries(st.sampled_from([*Clip.model_fields, "other"]), json_values),
    st.text(max_size=30),
)
def test_any_row_gives_a_clip_that_survives_json_or_a_reason(row, text):
    try:
        clip = complete({"file_name": "a.wav", "tagged_text": text, "split": "x"} | row)
    except ClipError:
        return
    assert clip.plain_text == tags.plain_text(clip.tagged_text)
    assert complete(json.loads(clip.model_dump_json())) == clip


@pytest.fixture
def corpus(tmp_path):
    """One clip in each of six splits."""
    rows = []
    for split in SPLITS:
        row = {"file_name": f"{split}-0.flac", "tagged_text": f"[sighs] {split}", "id": split}
        write_audio(tmp_path / folder_of(split) / f"{split}-0.flac", TONE)
        rows.append(complete(row | {"split": split}))
    write_splits(tmp_path, rows)
    return tmp_path


def test_what_is_written_is_read(corpus, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    dataset = load(corpus.name)
    monkeypatch.chdir("/")
    assert set(dataset.splits) == set(SPLITS)
    (clip,) = dataset.splits["base_test"]
    assert (clip.id, clip.tagged_text) == ("base_test", "[sighs] base_test")
    assert dataset.files[clip] == corpus / "basetest" / "base_test-0.flac"
    assert np.abs(dataset.audio(clip) - TONE).max() < 1e-4
    assert len(dataset.clips) == len(SPLITS)
    dataset.files[clip].write_bytes(b"")
    with pytest.raises(UserError, match=r"base_test-0\.flac: the file is empty; replace the file"):
        dataset.audio(clip)


def test_foreign_folders_name_splits(tmp_path):
    names = {"VAL": "validation", "eval": "test", "my data": "my_data"}
    for folder in names:
        write_audio(tmp_path / folder / "a.flac", TONE)
        row = {"file_name": "a.flac", "tagged_text": "hi"}
        runs.write_jsonl(tmp_path / folder / "metadata.jsonl", [row])
    assert set(load(tmp_path).splits) == set(names.values())


def test_each_folder_may_have_a_list_of_another_kind(tmp_path):
    write_audio(tmp_path / "a.flac", TONE)
    for name in ("train/metadata.csv", "train/metadata.jsonl", "test/metadata.csv"):
        jsonl = name.endswith("jsonl")
        row = {"file_name": str(tmp_path / "a.flac"), "tagged_text": "hi"}
        text = json.dumps(row) if jsonl else f"file_name,tagged_text\n{row['file_name']},hi\n"
        runs.write_text(tmp_path / name, text)
    found = [row.place for row in read_clips(tmp_path)]
    assert found == ["train/metadata.jsonl:1", "test/metadata.csv:2"], "each once"


def test_manifest_may_name_splits_itself(tmp_path):
    """Its audio may lie elsewhere."""
    write_audio(tmp_path / "audio" / "a.flac", TONE)
    names = {"../audio/a.flac": None, str(tmp_path / "audio" / "a.flac"): "x"}
    rows = [{"file_name": name, "tagged_text": "hi", "split": s} for name, s in names.items()]
    manifest = runs.write_jsonl(tmp_path / "lists" / "mine.jsonl", rows)
    found = [(row.place, row.clip.split) for row in read_clips(manifest)]
    assert found == [("mine.jsonl:1", "train"), ("mine.jsonl:2", "x")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "train/metadata.jsonl, line 2: not valid JSON"),
        ('{"file_name": "a.flac"}', "metadata.jsonl:2: it names no text: 'tagged_text' is missing"),
        ('{"file_name": "train-0.flac", "tagged_text": "a", "id": "train"}', ":2: .* comes twice"),
        ('{"file_name": "none.flac", "tagged_text": "a"}', "'none.flac' does not exist; mend"),
    ],
)
def test_bad_row_stops_with_file_and_line(line, reason, corpus):
    with (corpus / "train" / "metadata.jsonl").open("a") as stream:
        stream.write(line)
    with pytest.raises(UserError, match=reason):
        load(corpus)


def test_no_clips_is_one_sentence(tmp_path):
    for source in (tmp_path, tmp_path / "none", tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match="no clips at"):
            load(source)


@pytest.fixture
def hub(monkeypatch, tmp_path_factory):
    """The `datasets` package, offline, with its own cache.

    It refuses to list audio files without torchcodec even if nothing is decoded; an empty
    stand-in is enough for that.
    """
    home = tmp_path_factory.mktemp("hub")
    for name, value in {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": home}.items():
        monkeypatch.setenv(name, str(value))
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
    """No split swallows another: `base_test` is not part of `test`."""
    loaded = hub.load_dataset(str(corpus))
    assert {name: part["split"][:] for name, part in loaded.items()} == {s: [s] for s in SPLITS}
    part = loaded["test"].cast_column("audio", hub.Audio(decode=False))
    assert set(part.column_names) == {"audio", *Clip.model_fields} - {"file_name"}
    assert Path(part[0]["audio"]["path"]).samefile(corpus / "test" / "test-0.flac")
    assert part[0]["tags"] == [{"name": "sighs", "word_index": 0}]
