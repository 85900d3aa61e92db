"""Seeded faults in metadata and audio: every one is found, with file and line, and no other."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.clips.audio import audio_digest, write_audio
from evoxtral.clips.validate import Finding, Policy, validate, write_findings

SIZES = {"train": 8, "validation": 3, "test": 3}
LENIENT = Policy(max_reject_share=1.0)


def noise(seed, n=2000):
    return (np.random.default_rng(seed).integers(-9000, 9000, n) / 32768).astype(np.float32)


class Folder:
    """A sound dataset whose metadata lines can be spoilt one by one."""

    def __init__(self, root):
        self.root = root
        self.rows = {}
        seeds = iter(range(100))
        for split, size in SIZES.items():
            self.rows[split] = []
            for i in range(size):
                samples = noise(next(seeds))
                write_audio(root / split / f"{i}.flac", samples)
                text = f"[sighs] {split} sentence {i} [pause] is FINE"
                row = {
                    "file_name": f"{i}.flac",
                    "id": f"{split}-{i}",
                    "tagged_text": text,
                    "plain_text": f"{split} sentence {i} is fine",
                    "tags": ["sighs", "pause"],
                    "split": split,
                    "seconds": len(samples) / 16_000,
                    "sha256": audio_digest(samples),
                    "voice": "ada",
                }
                self.rows[split].append(json.dumps(row))

    def row(self, split, i):
        return json.loads(self.rows[split][i])

    def write(self):
        for split, lines in self.rows.items():
            (self.root / split / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")

    def judge(self, policy=LENIENT, **kwargs):
        self.write()
        return validate(self.root, policy, **kwargs)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data")


def change(**fields):
    """A fault that changes fields of one row."""
    return lambda folder, split, i: json.dumps(folder.row(split, i) | fields)


def without(name):
    def spoil(folder, split, i):
        return json.dumps({k: v for k, v in folder.row(split, i).items() if k != name})

    return spoil


def text(new):
    """A fault in the transcript alone, with everything derived from it removed."""

    def spoil(folder, split, i):
        row = folder.row(split, i) | {"tagged_text": new}
        return json.dumps({k: v for k, v in row.items() if k not in ("plain_text", "tags")})

    return spoil


def same_id(folder, split, i):
    return json.dumps(folder.row(split, i) | {"id": "test-1"})


def same_file(folder, split, i):
    row = folder.row(split, i) | {"file_name": "0.flac"}
    return json.dumps({k: v for k, v in row.items() if k != "sha256"})


def same_words_as_test(folder, split, i):
    row = folder.row(split, i) | {"tagged_text": "[laughs] TEST sentence 0 is fine!"}
    return json.dumps({k: v for k, v in row.items() if k not in ("plain_text", "tags")})


def same_sound_as(other, j):
    def spoil(folder, split, i):
        samples = (folder.root / other / f"{j}.flac").read_bytes()
        (folder.root / split / f"{i}.flac").write_bytes(samples)
        return json.dumps(folder.row(split, i) | {"sha256": folder.row(other, j)["sha256"]})

    return spoil


def audio(data):
    def spoil(folder, split, i):
        (folder.root / split / f"{i}.flac").write_bytes(data)
        return folder.rows[split][i]

    return spoil


def swapped_audio(folder, split, i):
    write_audio(folder.root / split / f"{i}.flac", noise(77))
    return folder.rows[split][i]


def no_file(folder, split, i):
    (folder.root / split / f"{i}.flac").unlink()
    return folder.rows[split][i]


def link_out(folder, split, i):
    path = folder.root / split / f"{i}.flac"
    path.rename(folder.root.parent / "outside.flac")
    path.symlink_to(folder.root.parent / "outside.flac")
    return folder.rows[split][i]


FAULTS = {
    "torn line": (lambda f, s, i: f.rows[s][i][:30], "not valid JSON"),
    "not an object": (lambda f, s, i: '["a"]', "expected a JSON object"),
    "field twice": (lambda f, s, i: '{"id": "a", "id": "b"}', "stands there twice"),
    "nan": (lambda f, s, i: '{"seconds": NaN}', "NaN"),
    "no file name": (without("file_name"), "'file_name' is missing"),
    "no text": (without("tagged_text"), "'tagged_text' is missing"),
    "text of wrong type": (change(tagged_text=["a"]), "must be text, not list"),
    "empty text": (text("   "), "tagged_text is empty"),
    "control characters": (text("a\x07b"), "control characters"),
    "endless text": (text("a" * 20_000), "at most 10000"),
    "unknown tag": (text("[sniffs] unique words"), "unknown tags: sniffs"),
    "mistyped tag": (text("[laugh] unique words"), "unknown tags: laugh"),
    "open bracket": (text("[sighs unique words"), "broken brackets"),
    "closed bracket": (text("sighs] unique words"), "broken brackets"),
    "nested bracket": (text("[[sighs]] unique words"), "broken brackets"),
    "empty bracket": (text("[] unique words"), "broken brackets"),
    "wrong plain text": (change(plain_text="other words"), "plain_text is 'other words'"),
    "plain text with caps": (change(plain_text="A SENTENCE"), "plain_text is 'A SENTENCE'"),
    "tag left out": (change(tags=["sighs"]), "tags is ['sighs']"),
    "tag out of place": (change(tags=[{"name": "sighs", "word_index": 4}]), "tags is [{"),
    "duplicate id": (same_id, "the id 'test-1' is that of test/metadata.jsonl:2"),
    "bad id": (change(id="../../id"), "id is '../../id'"),
    "same file twice": (same_file, "the file '0.flac' is that of train/metadata.jsonl:1"),
    "traversal": (change(file_name="../../x"), "leads out"),
    "absolute path": (change(file_name="/etc/passwd"), "leads out"),
    "nul in name": (change(file_name="0.flac\0"), "control characters"),
    "long name": (change(file_name="a" * 300), "at most 255"),
    "link out": (link_out, "link that leads out"),
    "missing file": (no_file, "does not exist"),
    "wrong folder": (change(split="test"), "says split 'test' but lies in folder 'train'"),
    "bad split": (change(split="Train Set"), "split is 'Train Set'"),
    "seconds as text": (change(seconds="1.0"), "seconds is '1.0'"),
    "negative seconds": (change(seconds=-1.0), "seconds is -1.0"),
    "wrong seconds": (change(seconds=3.0), "the row says 3.0 s"),
    "wrong digest": (change(sha256="0" * 64), "does not match the row's sha256"),
    "no digest": (change(sha256="none"), "sha256 is 'none'"),
    "swapped audio": (swapped_audio, "does not match the row's sha256"),
    "empty audio": (audio(b""), "the file is empty"),
    "web page": (audio(b"<html></html>"), "a web page"),
    "unknown gender": (change(gender="f"), "gender is 'f'"),
    "words of a test clip": (same_words_as_test, "the words are those of test/metadata.jsonl:1"),
    "sound of a test clip": (same_sound_as("test", 2), "audio is that of test/metadata.jsonl:3"),
    "sound of a neighbour": (same_sound_as("train", 0), "audio is that of train/metadata.jsonl:1"),
}


def test_a_sound_dataset_has_no_findings(folder):
    judged = folder.judge()
    assert (judged.rejects, judged.warnings, judged.repairs, judged.rows) == ((), (), (), 14)
    assert {s: len(c) for s, c in judged.dataset.splits.items()} == SIZES


def test_there_are_enough_kinds_of_fault():
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("kind", FAULTS)
def test_seeded_fault_is_found_at_its_line_and_nowhere_else(kind, folder):
    spoil, reason = FAULTS[kind]
    # Some faults copy the file or the sound of the first row, which is the good one of the two.
    i = random.Random(kind).randrange(1, SIZES["train"])
    folder.rows["train"][i] = spoil(folder, "train", i)
    judged = folder.judge()
    found = [*judged.rejects, *judged.warnings]
    assert {(f.file, f.line) for f in found} == {("train/metadata.jsonl", i + 1)}
    assert reason in found[0].reason
    assert len(judged.dataset.clips) == 14 - len(judged.rejects)


def test_all_faults_at_once_are_all_found(folder):
    """Many damaged rows in one file: the run goes on and lists each."""
    spoils = [
        spoil
        for spoil, _ in FAULTS.values()
        if spoil.__qualname__.startswith(("change", "text", "without"))
    ]
    folder.rows["train"] = [spoil(folder, "train", 1) for spoil in spoils]
    judged = folder.judge()
    found = {finding.line for finding in (*judged.rejects, *judged.warnings)}
    assert found == {*range(1, len(spoils) + 1)}


@pytest.mark.parametrize("action", ["keep", "warn", "reject"])
@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("unknown_tags", "unknown tag"),
        ("text_mismatch", "wrong plain text"),
        ("broken_brackets", "open bracket"),
        ("shared_text", "words of a test clip"),
        ("repeated_audio", "sound of a neighbour"),
    ],
)
def test_policy_decides_about_oddities(option, fault, action, folder):
    spoil, _ = FAULTS[fault]
    folder.rows["train"][3] = spoil(folder, "train", 3)
    judged = folder.judge(replace(LENIENT, **{option: action}))
    assert len(judged.rejects) == (action == "reject")
    assert len(judged.warnings) == (action == "warn")


def test_kept_mismatch_is_mended_from_the_text(folder):
    folder.rows["train"][0] = change(plain_text="wrong", tags=[])(folder, "train", 0)
    clip = folder.judge().dataset["train"][0]
    assert clip.plain_text == "train sentence 0 is fine"
    assert [mark.name for mark in clip.tags] == ["sighs", "pause"]


def test_same_sound_in_two_splits_is_never_kept(folder):
    spoil, _ = FAULTS["sound of a test clip"]
    folder.rows["train"][3] = spoil(folder, "train", 3)
    policy = replace(LENIENT, repeated_audio="keep", shared_text="keep")
    assert len(folder.judge(policy).rejects) == 1


def test_training_gives_way_to_validation_and_both_to_test(folder):
    for split in ("train", "validation", "test"):
        folder.rows[split][0] = text("the very same words")(folder, split, 0)
    files = [finding.file for finding in folder.judge().rejects]
    assert files == ["train/metadata.jsonl", "validation/metadata.jsonl"]


def test_clips_beyond_the_window_are_rejected_on_request(folder):
    write_audio(folder.root / "train" / "0.flac", noise(50, 20_000))
    row = folder.row("train", 0)
    del row["seconds"], row["sha256"]
    folder.rows["train"][0] = json.dumps(row)
    assert folder.judge().rejects == ()
    (reject,) = folder.judge(replace(LENIENT, max_seconds=1.0)).rejects
    assert reject == Finding("train/metadata.jsonl", 1, "1.25 s are longer than 1.0 s")


def test_seconds_and_digest_are_measured(folder):
    folder.rows["test"][0] = without("sha256")(folder, "test", 0)
    clip = folder.judge().dataset["test"][0]
    assert (clip.seconds, clip.sha256) == (0.125, audio_digest(noise(11)))


def test_too_many_rejects_stop_the_run_and_are_on_disk(folder, tmp_path):
    folder.rows["train"][2] = "torn"
    with pytest.raises(UserError, match=r"1 of 14 clips .* train/metadata\.jsonl:3: not valid"):
        folder.judge(Policy(), rejects_csv=tmp_path / "rejects.csv")
    rows = list(csv.DictReader((tmp_path / "rejects.csv").read_text().splitlines()))
    assert [(row["file"], row["line"]) for row in rows] == [("train/metadata.jsonl", "3")]


def test_five_percent_of_rejects_are_allowed(folder):
    base = folder.rows["train"][0]
    folder.rows["train"] = []
    for i in range(14):
        write_audio(folder.root / "train" / f"{i}.flac", noise(200 + i))
        row = json.loads(base) | {"file_name": f"{i}.flac", "id": f"t{i}"}
        row = {k: v for k, v in row.items() if k not in ("sha256", "plain_text", "tags")}
        folder.rows["train"].append(json.dumps(row | {"tagged_text": f"number {i}"}))
    folder.rows["train"][5] = "torn"
    assert len(folder.judge(Policy()).rejects) == 1  # of 20
    folder.rows["train"].pop()
    with pytest.raises(UserError, match="1 of 19 clips"):
        folder.judge(Policy())


def test_no_rows_is_refused(tmp_path):
    (tmp_path / "metadata.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has no rows"):
        validate(tmp_path)


def test_csv_cells_are_no_formulas(tmp_path):
    write_findings(
        tmp_path / "x.csv", [Finding("a", 1, '=HYPERLINK("x")'), Finding("@b", 2, "c,d")]
    )
    rows = list(csv.reader((tmp_path / "x.csv").read_text().splitlines()))
    assert rows[1:] == [["a", "1", '\'=HYPERLINK("x")'], ["'@b", "2", "c,d"]]
