"""Foreign recordings: read as ours, judged with file and line, converted."""

from __future__ import annotations

import shutil
import sys

import huggingface_hub.constants
import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, runs
from evoxtral.clips import load, read_clips
from evoxtral.clips.audio import write_audio
from evoxtral.clips.ingest import Reading, copy, fetch, pairs, pinned, validate

OURS = Reading()
STRICT = Reading(unknown_tags="reject")


def text(names, said):
    return Reading({}, names)({"file_name": "a.wav", "tagged_text": said}, "train").tagged_text


def test_columns_and_tags_are_renamed():
    assert text({}, "[sniffs] well  then") == "[sniffs] well  then"
    reading = Reading(
        {
            "path": "file_name",
            "text": "tagged_text",
            "speaker": "voice",
            "absent": "domain",
            "id": "",
            "split": "",
        },
        {"<laughter>": "[laughs]", "(sigh)": "[sighs]", "[noise]": ""},
    )
    said = "<Laughter> so [noise]  it IS (sigh)"
    row = {"path": "a.wav", "text": said, "speaker": "me", "id": "x", "split": "train"}
    clip = reading(row, "test")
    assert clip.tagged_text == "[laughs] so it IS [sighs]"
    assert (clip.file_name, clip.voice, clip.source) == ("a.wav", "me", "real")
    assert (clip.id, clip.split) == ("test-a", "test"), "their id and split were left out"
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


def judge(folder, rows, reading=OURS, written=None):
    for split, own in rows.items():
        runs.write_jsonl(folder / split / "metadata.jsonl", own)
    return validate(folder, reading, written)


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
    dataset, findings = judge(tmp_path, rows, STRICT)
    assert findings.empty
    assert {split: len(own) for split, own in dataset.splits.items()} == SIZES
    shutil.copy(tmp_path / "test" / "2.flac", tmp_path / "train" / "copy")
    rows["train"][4] |= FAULTS[fault][0]
    dataset, findings = judge(tmp_path, rows)
    (found,) = findings.itertuples(index=False)
    kind = "warning" if fault in ("unknown tag", "wrong seconds", "wrong digest") else "reject"
    assert (found.kind, found.file, found.line) == (kind, "train/metadata.jsonl", 5)
    assert FAULTS[fault][1] in found.reason
    assert len(dataset.clips) == 20 - (kind == "reject")
    if fault == "unknown tag":
        assert judge(tmp_path, rows, Reading(unknown_tags="keep"))[1].empty
        assert judge(tmp_path, rows, STRICT)[1]["kind"].tolist() == ["reject"]


def test_training_gives_way_to_validation_and_both_to_test(rows, tmp_path):
    for split in SIZES:
        rows[split][0]["tagged_text"] = "the very same words"
    reason = r"2 of 20 clips .* are unusable, .* 5%: mend them, first train/metadata\.jsonl:1: the"
    with pytest.raises(UserError, match=reason):
        judge(tmp_path, rows, OURS, tmp_path / "x.csv")
    (tmp_path / "metadata.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has no rows"):
        validate(tmp_path / "metadata.jsonl", OURS)
    files = pd.read_csv(tmp_path / "x.csv")["file"].tolist()
    assert files == ["train/metadata.jsonl", "validation/metadata.jsonl"]


def test_speakers_may_read_the_same_texts(rows, tmp_path):
    for own in rows.values():
        for i, row in enumerate(own):
            row["tagged_text"] = f"[sighs] sentence {i % 3}"
    with pytest.raises(UserError, match=r"17 of 20 .*; set shared_texts to warn if speakers read"):
        judge(tmp_path, rows)
    dataset, findings = judge(tmp_path, rows, Reading(shared_texts="warn"))
    assert len(dataset.clips) == 20
    assert findings["kind"].tolist() == ["warning"] * 17
    assert findings["reason"].str.match(r"the text is that of \S+ \(\w+\)$").all()


def test_columns_of_our_names_reject_no_row(rows, tmp_path):
    for row in rows["train"]:
        row |= {"id": 7, "seconds": 12, "sha256": 64, "split": 3}
    dataset, findings = judge(tmp_path, rows)
    assert {split: len(own) for split, own in dataset.splits.items()} == SIZES
    assert findings[["kind", "reason"]].value_counts().to_dict() == {
        ("repair", "the id '7' comes twice: numbered"): 13,
        ("warning", "the row says 12.0 s, the file has 0.12 s"): 14,
        ("warning", "the audio does not match the row's sha256"): 14,
    }


def test_marks_of_other_corpora_are_read_and_told_once(rows, tmp_path):
    for i, row in enumerate(rows["train"]):
        row["tagged_text"] = f"[S1] So (laughs) number {i}" if i else "[00:12]"
    dataset, findings = judge(tmp_path, rows)
    assert dataset.splits["train"][0].tagged_text == "So [laughs] number 1"
    assert dataset.splits["train"][0].slice == "light"
    assert findings[["kind", "line", "reason"]].to_numpy().tolist() == [
        ["warning", 1, "1 × [##:##] dropped"],
        ["warning", 1, "13 × [S#] dropped"],
        ["warning", 1, "13 × (laughs) read as [laughs]"],
        ["reject", 1, "nothing is left of '[00:12]'"],
    ]


def test_damage_is_a_warning_unless_words_are_missing(rows, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "train"
    for row in rows["train"]:
        del row["seconds"]
    for i, samples, missing in (
        (2, 16_000, 1_600),
        (4, 16_000, 8_000),
        (6, 8_000, 0),
        (8, 8_000, 0),
    ):
        sound = rng.integers(-9000, 9000, samples) * (0 if i >= 6 else 1)
        soundfile.write(folder / f"{i}.wav", sound.astype(np.int16), 16_000)
        rows["train"][i]["file_name"] = f"{i}.wav"
        data = (folder / f"{i}.wav").read_bytes()
        (folder / f"{i}.wav").write_bytes(data[: len(data) - 2 * missing])
    rows["train"][8]["tagged_text"] = "[pause]"
    soundfile.write(folder / "half.ogg", rng.uniform(-0.2, 0.2, 48_000), 16_000)
    data = (folder / "half.ogg").read_bytes()
    (folder / "half.ogg").write_bytes(data[: len(data) // 2])
    rows["train"][10]["file_name"] = "half.ogg"
    rows["train"] += [row | {"id": f"{row['id']}-b"} for row in rows["train"][11:]] * 14
    _, findings = judge(tmp_path, rows)
    found = findings[findings["kind"] != "repair"]
    assert found[["kind", "line", "reason"]].to_numpy().tolist() == [
        ["warning", 3, "it breaks off: the last 0.10 of 1.00 s are missing"],
        ["reject", 5, "it breaks off: the last 0.50 of 1.00 s are missing"],
        ["reject", 7, "silent: no sample above -80 dB of full scale, for a text of words"],
        ["reject", 11, "it breaks off; how much is missing is not known"],
    ]


def sounds(folder, names):
    """A different recording for each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng([*name.encode()]).uniform(-0.2, 0.2, 4_000)
        soundfile.write(folder / name, noise, 16_000)


def test_layout_of_common_voice(tmp_path):
    """Lists with tabs beside a folder of clips, quotation marks left as they are."""
    sounds(tmp_path, [f"clips/en_{k}.mp3" for k in range(6)])
    head = "client_id\tpath\tsentence\tup_votes\tage\tgender\tsegment\n"
    lists = {"train": (0, 1, 2), "dev": (3,), "test": (4, 5), "validated": (0, 1)}
    for name, own in lists.items():
        text = (f'c{k}\ten_{k}.mp3\t"So," he said number {k}\t2\t\tmale_masculine\t\n' for k in own)
        (tmp_path / f"{name}.tsv").write_text(head + "".join(text))
    columns = pairs("path:file_name, sentence:tagged_text, client_id:voice", "columns")
    dataset, findings = validate(tmp_path, Reading(columns))
    assert findings.empty
    splits = dataset.splits
    assert {name: len(own) for name, own in splits.items()} == {
        "train": 3, "validation": 1, "test": 2,
    }  # fmt: skip
    clip = splits["test"][0]
    assert (clip.tagged_text, clip.voice) == ('"So," he said number 4', "c4")
    assert (clip.gender, clip.id) == ("male", "test-en_4")


def test_layout_of_librispeech(tmp_path):
    """Transcripts beside the sound, all in capitals, which would all be emphasis."""
    for split, speaker in (("train-clean-100", 19), ("dev-other", 84), ("test-clean", 61)):
        folder = tmp_path / split / f"{speaker}" / "7"
        names = [f"{speaker}-7-{k:04d}" for k in range(3)]
        sounds(folder, [f"{name}.flac" for name in names])
        lines = [f"{name} MISTER NUMBER {speaker} SAYS {name[-1]}\n" for name in names]
        (folder / f"{speaker}-7.trans.txt").write_text("".join(lines))
    dataset, findings = validate(tmp_path, OURS)
    assert {(s, c.voice) for s, own in dataset.splits.items() for c in own} == {
        ("train", "19"), ("validation", "84"), ("test", "61"),
    }  # fmt: skip
    assert dataset.splits["test"][1].tagged_text == "mister number 61 says 1"
    [reason] = findings["reason"]
    assert reason == "all texts are in capitals, which mean emphasis: written small"
    (tmp_path / "test-clean" / "61" / "7" / "61-7-0001.flac").unlink()
    [row] = [row for row in read_clips(tmp_path) if row.fault]
    assert row.place == "test-clean/61/7/61-7.trans.txt:2"
    assert row.fault == "the file '61-7-0001' does not exist"


def test_lists_as_csv(tmp_path):
    sounds(tmp_path, ["a.wav", "b.wav"])
    mine = tmp_path / "mine.csv"
    mine.write_text(
        'file_name,tagged_text,gender\na.wav,"[sighs] One,\ntwo",\nb.wav,,F\n', "utf-8-sig"
    )
    first, second = read_clips(mine, OURS)
    assert (first.clip.tagged_text, first.clip.split) == ("[sighs] One,\ntwo", "train")
    assert (second.place, second.fault[:17]) == ("mine.csv:4", "it names no text:")
    mine.write_text("file_name\nü.wav\n", "utf-16")
    with pytest.raises(UserError, match=r"mine\.csv is no UTF-8 text: save it as UTF-8"):
        list(read_clips(mine))
    mine.write_text('file_name,tagged_text\na.wav,"so' + "\n" * 200_000)
    with pytest.raises(UserError, match=r"mine\.csv, line \d+: field larger .* close the"):
        list(read_clips(mine))


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
    copy(manifest, tmp_path / "out", OURS)
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
    again, findings = validate(tmp_path / "out", Reading(unknown_tags="keep"))
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


def test_without_a_network_a_dataset_has_the_commit_last_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", tmp_path)
    refs = tmp_path / "datasets--owner--name" / "refs"
    assert pinned("owner/name") == "owner/name"
    runs.write_text(refs / "main", "a" * 40)
    runs.write_text(refs / "v1", "b" * 40)
    assert pinned("owner/name:config") == "owner/name:config@" + "a" * 40
    for revision, sha in (("v1", "b" * 40), ("c" * 40, "c" * 40)):
        assert pinned(f"owner/name@{revision}") == f"owner/name@{sha}"
    assert pinned(str(tmp_path)) == str(tmp_path), "a folder has none"


def test_datasets_of_the_hub(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    audio = [{"bytes": b"sound", "path": f"../{k}.wav"} for k in range(2)]
    audio += [None, {"bytes": None, "path": __file__}]
    texts = ["[sighs] a", None, "b", "c"]
    columns = {"audio": audio, "text": texts, "mark": [b"1"] * 4}
    fetch(parquet(datasets, tmp_path / "given", **columns), tmp_path / "out")
    rows = list(read_clips(tmp_path / "out", Reading({"text": "tagged_text"}, {})))
    assert rows[0].clip.tagged_text == "[sighs] a"
    assert (rows[0].clip.split, rows[0].path.name) == ("train", "000000.wav")
    assert "'tagged_text' is missing" in rows[1].fault
    assert rows[3].path.suffix == ".py", "a file beside the table"
    assert (rows[2].place, rows[2].fault[:18]) == ("train/metadata.jsonl:3", "it names no sound:")
    whole = datasets.Dataset.from_dict({"audio": audio, "text": texts})
    whole = whole.cast_column("audio", datasets.Audio(decode=False))
    datasets.DatasetDict({"dev": whole}).save_to_disk(tmp_path / "saved")
    whole.save_to_disk(tmp_path / "one")
    for name, split in (("saved", "validation"), ("one", "train")):
        fetch(str(tmp_path / name), tmp_path / "from" / name)
        first = next(read_clips(tmp_path / "from" / name, Reading({"text": "tagged_text"})))
        assert (first.clip.tagged_text, first.clip.split) == ("[sighs] a", split)
    assert (tmp_path / "out" / "train" / "000001.wav").read_bytes() == b"sound"
    with pytest.raises(UserError, match="cannot be loaded: ") as error:
        fetch(str(tmp_path / "nowhere"), tmp_path / "out")
    assert "\n" not in str(error.value)
    silent = parquet(datasets, tmp_path / "silent", text=["a"])
    with pytest.raises(UserError, match="split 'train': 0 columns of audio, not one"):
        fetch(silent, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install evoxtral\[datasets\]"):
        fetch(silent, tmp_path / "out")
