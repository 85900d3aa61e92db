"""One's own recordings: in any columns, in any notation, as the source or to test on beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, datamix, params
from evoxtral.clips.audio import write_audio
from evoxtral.params import DataMix

pytestmark = pytest.mark.usefixtures("own_runs")

SIZES = dict.fromkeys(
    ("validation", "test", "balanced", "raft_prompts", "plain_val", "base_test"), 0
)


def config(**changes: object) -> DataMix:
    return params.profile("01_data_mix", "smoke", {**SIZES, "train": 2, "natural": 1, **changes})


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Recordings with a notation and columns of their own, in two folders of equal file names."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        folder = tmp_path / "own" / split
        rows = []
        for k in range(3):
            write_audio(folder / f"{k}.flac", rng.normal(0, 0.1, 16_000).astype(np.float32))
            text = f"<laughter> we {split} number {k}"
            rows.append({"path": f"{k}.flac", "transcript": text, "speaker": f"s{k}"})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "own"


READ = {
    "columns": "path:file_name, transcript:tagged_text, speaker:voice",
    "tag_names": "<laughter>:[laughs]",
}


def test_columns_and_tags_are_mapped_by_parameters(recordings: Path) -> None:
    with pytest.raises(UserError, match="the field 'file_name' is missing"):
        datamix.open_source(config(source=str(recordings)))
    data = datamix.open_source(config(source=str(recordings), **READ))
    assert [clip.tagged_text for clip in data.splits["train"]] == [
        f"[laughs] we train number {k}" for k in range(3)
    ]
    assert {clip.source for clip in data.clips.clips} == {"real"}
    assert {clip.voice for clip in data.clips.clips} == {"s0", "s1", "s2"}
    other = datamix.open_source(config(source=str(recordings), **READ | {"tag_names": ""}))
    assert other.digest != data.digest
    assert other.splits["train"][0].tags == ()


def test_changed_audio_in_a_mapped_column_is_another_source(recordings: Path) -> None:
    cfg = config(source=str(recordings), **READ)
    before = datamix.open_source(cfg).digest
    write_audio(recordings / "train" / "1.flac", np.full(8000, 0.25, np.float32))
    assert datamix.open_source(cfg).digest != before


def test_real_recordings_are_a_split_that_training_does_not_see(recordings: Path) -> None:
    alone = datamix.open_clips(config())
    cfg = config(real=str(recordings), **READ)
    for data in (datamix.open_source(cfg), datamix.open_clips(cfg)):
        assert {name: len(rows) for name, rows in data.splits.items()} == {
            "train": 2, "natural": 1, "real": 6,
        }  # fmt: skip
        assert {clip.source for clip in data.splits["real"]} == {"real"}
        assert data.digest == alone.digest, "what is fine-tuned does not depend on them"
        assert data.items == alone.items
        assert all(data.clips.audio(clip).size for clip in data.clips.clips)
    assert data.window_seconds == alone.window_seconds
    assert datamix.open_source(cfg).judged == 9
    shown = {specimen.tag: specimen for specimen in datamix.specimens(cfg, data)}
    assert shown["laughs"].heard


def test_a_dataset_of_the_hub_is_mapped_too(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    sounds = [(recordings / "train" / f"{k}.flac").read_bytes() for k in range(3)]
    columns = {
        "sound": [{"bytes": sound, "path": None} for sound in sounds],
        "transcript": [f"We laugh <laughter> {k}" for k in range(3)],
    }
    table = datasets.Dataset.from_dict(columns)
    table = table.cast_column("sound", datasets.Audio(decode=False))
    (tmp_path / "hub").mkdir()
    table.to_parquet(tmp_path / "hub" / "train.parquet")
    read = {"columns": "transcript:tagged_text", "tag_names": READ["tag_names"]}
    data = datamix.open_source(config(source=f"hub:{tmp_path}/hub", **read))
    assert [clip.tagged_text for clip in data.splits["train"]] == [
        f"We laugh [laughs] {k}" for k in range(3)
    ]
    again = datamix.open_source(config(source=f"hub:{tmp_path}/hub", **read))
    assert (again.digest, again.stage.executed) == (data.digest, False)


def test_what_does_not_go_together_is_refused(recordings: Path, tmp_path: Path) -> None:
    path = tmp_path / "scripts.json"
    row = {"tagged_text": "a", "domain": "d", "slice_type": "plain"}
    path.write_text(json.dumps([row] * 9))
    with pytest.raises(UserError, match="has no sound: leave out"):
        datamix.open_source(config(source=str(path), real=str(recordings), **READ))
    (recordings / "test").rename(recordings / "real")
    with pytest.raises(UserError, match="has a split 'real' itself: leave out"):
        datamix.open_source(config(source=str(recordings), real=str(recordings), **READ))
    with pytest.raises(UserError, match="real 'nowhere' does not exist: give hub:owner/name, or"):
        datamix.open_source(config(real="nowhere"))
