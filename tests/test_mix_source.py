"""Where examples come from, and what notebook 01 shows of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from evoxtral import UserError, params, tags
from evoxtral.clips import Dataset, complete
from evoxtral.clips.audio import write_audio
from evoxtral.clips.corpus import SPLITS
from evoxtral.mix import balance, chapter, composition, source
from evoxtral.mix.composition import RARE
from evoxtral.mix.source import Source
from evoxtral.params import DataMix
from evoxtral.world import scripts
from helpers import examples

pytestmark = pytest.mark.usefixtures("own_runs")


def config(**changes: object) -> DataMix:
    small = {**dict.fromkeys(SPLITS, 0), "train": 3, "natural": 2, "workers": 1, **changes}
    return params.profile(params.DataMix, "smoke", small)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Recordings with a notation and columns of their own, in two folders of equal file names."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        folder = tmp_path / "own" / split
        rows = []
        for k in range(20):
            write_audio(folder / f"{k}.flac", rng.normal(0, 0.1, 8000).astype(np.float32))
            text = f"<laughter> we {split} number {k}"
            rows.append({"path": f"{k}.flac", "transcript": text, "speaker": f"s{k}"})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "own"


READ = {
    "columns": "path:file_name, transcript:tagged_text, speaker:voice",
    "tag_names": "<laughter>:[laughs]",
}


def test_the_corpus_is_built_once_and_found_clean() -> None:
    first = source.open_source(config())
    second = source.open_source(config())
    assert (first.stage.executed, second.stage.executed) == (True, False)
    assert first.digest == second.digest == first.stage.digest
    assert len(first.items) == 3
    assert first.findings.empty
    assert source.open_clips(config()).clips == first.clips
    summary = chapter.split_summary(first).set_index("split")
    assert summary["clips"].to_dict() == {"train": 3, "natural": 2}
    assert summary.index.tolist() == ["train", "natural"]
    assert summary["seconds"].between(0.5, 8).all()
    others = {"real": "x", "voices": "a", "scripts": "llm", "allow_characters": 1, "concurrency": 9}
    mixing = {"train_pairs": 9, "mix": "1:1", "threshold": 0.5}
    assert source.corpus(config(**others, **mixing)).digest == first.digest


def test_ones_own_clips_are_copied_and_bad_ones_named(recordings: Path) -> None:
    with pytest.raises(UserError, match="it names no sound: 'file_name' is missing"):
        source.open_source(config(source=str(recordings)))
    (recordings / "train" / "7.flac").write_bytes(b"no audio")
    cfg = config(source=str(recordings), **READ)
    data = source.open_source(cfg)
    assert [clip.tagged_text for clip in data.splits["train"][:8:7]] == [
        "[laughs] we train number 0", "[laughs] we train number 8",
    ]  # fmt: skip
    assert {clip.source for clip in data.clips.clips} == {"real"}
    assert {clip.voice for clip in data.splits["test"]} == {f"s{k}" for k in range(20)}
    assert (len(data.items), data.window_seconds) == (19, None)
    assert data.findings[["kind", "line"]].to_numpy().tolist() == [["reject", 8]]
    assert chapter.findings_summary(data).set_index("kind").loc["reject", "share"] == 1 / 40
    assert not source.open_source(cfg).stage.executed
    other = source.open_source(config(source=str(recordings), **READ | {"tag_names": ""}))
    assert other.digest != data.digest
    assert other.splits["train"][0].tags[0].name == "laughs", "the mark is known without it"
    write_audio(recordings / "train" / "7.flac", np.full(8000, 0.25, np.float32))
    assert source.open_source(cfg).digest != data.digest


def test_real_recordings_are_a_split_that_training_does_not_see(recordings: Path) -> None:
    alone = source.open_clips(config())
    cfg = config(real=str(recordings), **READ)
    for data in (source.open_source(cfg), source.open_clips(cfg)):
        assert {name: len(rows) for name, rows in data.splits.items()} == {
            "train": 3, "natural": 2, "real": 40,
        }  # fmt: skip
        assert {clip.source for clip in data.splits["real"]} == {"real"}
        assert data.digest == alone.digest, "what is fine-tuned does not depend on them"
        assert data.items.equals(alone.items)
        assert all(data.clips.audio(clip).size for clip in data.clips.clips)
    assert data.window_seconds == alone.window_seconds
    shown = {specimen.tag: specimen for specimen in chapter.specimens(cfg, data)}
    [(text, audio, marks)] = shown["laughs"].heard
    assert (text, len(audio), marks) == ("[laughs] we test number 0", 8000, ())
    assert shown["laughs"].voice == "s0"


def test_a_dataset_of_the_hub_is_mapped_too(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    sound = [{"bytes": (recordings / "train" / "0.flac").read_bytes(), "path": None}]
    table = datasets.Dataset.from_dict({"sound": sound, "transcript": ["We laugh <laughter>"]})
    table = table.cast_column("sound", datasets.Audio(decode=False))
    (tmp_path / "hub").mkdir()
    table.to_parquet(tmp_path / "hub" / "train.parquet")
    read = {"columns": "transcript:tagged_text", "tag_names": READ["tag_names"]}
    data = source.open_source(config(source=f"hub:{tmp_path}/hub", **read))
    assert [clip.tagged_text for clip in data.splits["train"]] == ["We laugh [laughs]"]
    again = source.open_source(config(source=f"hub:{tmp_path}/hub", **read))
    assert (again.digest, again.stage.executed) == (data.digest, False)
    other = table.map(lambda row: row | {"transcript": "We changed"})
    other.to_parquet(tmp_path / "hub" / "train.parquet")
    found, asked, load = [], [], datasets.load_dataset

    def loaded(*args: object, revision: str | None) -> object:
        asked.append(revision)
        return load(*args)

    monkeypatch.setattr(datasets, "load_dataset", loaded)
    for sha in ("a", "b", "b"):
        now = SimpleNamespace(resolved=sha)
        monkeypatch.setattr("huggingface_hub.resolve_revision", lambda *_, now=now, **__: now)
        found.append(source.open_source(config(source=f"hub:{tmp_path}/hub", **read)))
    assert asked == ["a", "b"], "what names the stage is what is fetched"
    assert found[1].splits["train"][0].tagged_text == "We changed"
    assert (found[2].digest, found[2].stage.executed) == (found[1].digest, False)


def test_clips_are_told_by_what_training_knows_of_them() -> None:
    said = [
        *(("a", "grammar", False), ("b", "grammar", False)),
        *(("a", "other", False), ("b", "other", True)),
        *(("a", "unknown", False), (None, "other", False), (None, "released", False)),
    ]
    clips = [
        complete({"file_name": f"{k}.flac", "id": f"{k}", "split": "test", "tagged_text": "So.",
                  "voice": voice, "template": template, "held_out": held_out})
        for k, (voice, template, held_out) in enumerate(said)
    ]  # fmt: skip
    data = Source("s", {"train": clips[:1], "test": clips})
    assert source.familiarity(data, "test").to_dict() == {
        "0": "known voice, known sentences", "1": "new voice, known sentences",
        "2": "known voice, new sentences", "3": "new voice, new sentences",
        "4": "known voice", "5": "new sentences", "6": "not known",
    }  # fmt: skip
    found = chapter.novelty(data).set_index("label")
    assert found.loc["known voice, known sentences"].tolist() == ["test", 1, 1 / 7]
    assert found["clips"].sum() == 7
    [script] = scripts.generate(1, 0)
    plain = Source("s", {"train": [script]})
    assert source.familiarity(plain, "train").to_dict() == {script.id: "known sentences"}
    assert chapter.split_summary(plain)[["hours", "seconds", "voices"]].isna().all(axis=None)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    rows = [{"tagged_text": f"Text {k}.", "domain": "d", "slice_type": "plain"} for k in range(9)]
    rows[4]["tagged_text"] = "[slams door] Out!"
    (tmp_path / "scripts.json").write_text(json.dumps(rows))
    return str(tmp_path / "scripts.json")


@pytest.mark.parametrize(
    ("policy", "kinds", "kept"),
    [("keep", [], 9), ("warn", ["warning"], 9), ("reject", ["reject"], 8)],
)
def test_unknown_tags_of_scripts_follow_the_policy(
    policy: str, kinds: list[str], kept: int, texts: str
) -> None:
    data = source.open_source(config(source=texts, unknown_tags=policy))
    assert data.findings["kind"].tolist() == kinds
    assert set(data.findings["reason"]) <= {"unknown tags: slams door"}
    assert sum(map(len, data.splits.values())) == kept


def test_what_cannot_be_used_is_one_sentence(recordings: Path, texts: str) -> None:
    with pytest.raises(UserError, match=r"does not exist: give generated, released, llm, "):
        source.open_source(config(source="../nowhere.json"))
    with pytest.raises(UserError, match="real 'nowhere' does not exist: give hub:owner/name, or"):
        source.open_source(config(real="nowhere"))
    with pytest.raises(UserError, match="has no sound: leave out"):
        source.open_source(config(source=texts, real=str(recordings), **READ))
    with pytest.raises(UserError, match="has scripts but no sound, and fine-tuning needs both"):
        source.open_clips(config(source=texts))
    (recordings / "train").rename(recordings / "real")
    data = source.open_source(config(source=str(recordings), **READ))
    with pytest.raises(UserError, match=r"no split 'train' \(it has real, test\)"):
        _ = data.items
    with pytest.raises(UserError, match="has a split 'real' itself: leave out"):
        source.open_source(config(source=str(recordings), real=str(recordings), **READ))


def test_each_tag_is_heard_with_and_without() -> None:
    said = {
        "[sighs] [sad] Both of them.": 3.0, "[sighs] It was LOUD.": 3.0,
        "[sighs] Too long a text to show.": 6.0, "[sighs] Just right.": 2.5,
        "[laughs] A whole lecture.": 20.0,
    }  # fmt: skip
    clips = [
        complete({"file_name": f"{k}.flac", "split": "train", "tagged_text": text,
                  "seconds": seconds, "voice": "ada"})
        for k, (text, seconds) in enumerate(said.items())
    ]  # fmt: skip
    data = Dataset({clip: Path(clip.file_name) for clip in clips})
    heard = chapter.specimens(config(), Source("generated", data.splits, data))
    assert [specimen.tag for specimen in heard] == ["sighs", "sad"], "the report's order; not long"
    with_tag, without = heard[0].heard
    assert (with_tag.text, without.text) == ("[sighs] Just right.", "Just right.")
    assert len(with_tag.audio) > len(without.audio)
    [(start, end)] = with_tag.marks
    assert 0 < start < end < len(with_tag.audio) / 16_000
    assert without.marks == ()


def test_the_probes_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(tags: tuple[str, ...], texts: list[str], **settings: object) -> pd.DataFrame:
        asked.append((texts, settings))
        return pd.DataFrame({"tag": tags, "auc": 0.88, "n": 8})

    monkeypatch.setattr(chapter, "audibility", measured)
    cfg = config(workers=0)
    frame = chapter.audible(cfg, Source("generated", {}))
    assert frame.equals(chapter.audible(cfg, Source("generated", {})))
    [(texts, settings)] = asked
    assert len(texts) == cfg.train_pairs + cfg.test_pairs
    assert all(3 <= len(text.split()) <= 14 for text in texts)
    assert settings["workers"] is None
    passed = frame.set_index("tag")["pass"]
    assert passed[["laughs", "sad", "calm"]].tolist() == ["no", "yes", "no"]


def test_of_two_texts_alike_the_earlier_stays() -> None:
    texts = ["a b c d e f g h i j", "x y z", "a b c d e f g h i k", "[sad] x y z"]
    kept, pairs = chapter.filter_alike(examples(*texts), 0.7)
    assert kept["id"].tolist() == ["0", "1"]
    assert pairs["score"].tolist() == pytest.approx([0.9, 6 / 7])
    assert pairs.loc[0, ["first", "second"]].tolist() == [texts[0], texts[2]]
    assert not pairs["kept"].any()
    assert len(chapter.filter_alike(examples(*texts), 0.95)[0]) == 4


def test_leakage_counts_texts_not_pairs() -> None:
    train, test = (
        list(examples(*texts).itertuples())
        for texts in (("a b c d e", "a b c d f"), ("a b c d g", "nothing like it"))
    )
    found = chapter.leakage(Source("s", {"train": train, "test": test}), 0.7)
    expected = {"split": "test", "texts": 2, "words": 8, "known": 4, "alike": 1, "heard": 0}
    assert found.to_dict("records") == [expected]


def test_where_all_have_tags_no_mix_with_plain_ones_can_be_drawn(recordings: Path) -> None:
    ratios = chapter.own_ratios(examples("[sad] a", "[calm] b"), 0)
    assert ratios[["tagged", "plain", "total", "used"]].eq(0).all(axis=None)
    cfg = config(source=str(recordings), mix="3:1", **READ)
    with pytest.raises(UserError, match="mix '3:1' wants clips with and without tags: set written"):
        balance.training_mix(cfg, source.open_source(cfg))


def test_a_folder_may_be_called_generated_and_lie_in_the_cache_of_the_hub(
    recordings: Path, tmp_path: Path
) -> None:
    """The cache has links into `blobs/`."""
    cache = tmp_path / "generated"
    for file in recordings.rglob("*.*"):
        blob = cache / "blobs" / str(abs(hash(file)))
        blob.parent.mkdir(parents=True, exist_ok=True)
        link = cache / "snapshots" / "0a1b" / file.relative_to(recordings)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.rename(blob))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0a1b")
    cfg = config(source=str(cache), **READ)
    data = source.open_source(cfg)
    assert {name: len(own) for name, own in data.splits.items()} == {"test": 20, "train": 20}
    assert len(chapter.audible(cfg, data)) == 0, "is not taken for the synthetic corpus"


def test_skewing_takes_plain_and_rare_texts_away() -> None:
    rows = composition.examples(scripts.generate(120, 5))
    names = rows["tagged_text"].map(lambda text: {f"[{tag}]" for tag in tags.find_tags(text)})
    scarce = set(rows["id"][names.map(lambda own: not own or bool(own & RARE))])
    left = set(chapter.skewed(rows, 0)["id"])
    assert set(rows["id"]) - scarce <= left
    assert len(left & scarce) < 0.4 * len(scarce)
