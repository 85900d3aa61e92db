"""Where examples come from: generated, released, or one's own clips; judged, reused, identified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evoxtral import UserError, datamix, params
from evoxtral.clips.audio import write_audio
from evoxtral.datamix import overview, own
from evoxtral.params import DataMix
from evoxtral.world import scripts

SMALL = {
    "train": 3, "validation": 0, "test": 0, "natural": 2, "balanced": 0, "raft_prompts": 0,
    "plain_val": 0, "base_test": 0, "workers": 1,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("own_runs")


def config(**changes: object) -> DataMix:
    smoke = params.profile("01_data_mix", "smoke").model_dump()
    return DataMix(**{**smoke, **SMALL, **changes})


def own_clips(folder: Path, texts: list[str]) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for k, text in enumerate(texts):
        write_audio(folder / "train" / f"{k}.flac", rng.normal(0, 0.1, 8000).astype(np.float32))
        rows.append({"file_name": f"{k}.flac", "tagged_text": text, "voice": "me"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train" / "metadata.jsonl").write_text(lines)
    return folder


def test_the_corpus_is_built_once_and_found_clean() -> None:
    first = datamix.open_source(config())
    second = datamix.open_source(config())
    assert (first.stage.executed, second.stage.executed) == (True, False)
    assert first.digest == second.digest == first.stage.digest
    assert [item.split for item in first.items] == ["train"] * 3
    assert first.findings.empty
    assert first.judged == 5
    summary = datamix.split_summary(first).set_index("split")
    assert summary["clips"].to_dict() == {"train": 3, "natural": 2}
    assert summary.index.tolist() == ["train", "natural"]
    assert set(overview.durations(first)) == {"train", "natural"}


def test_probes_and_mix_do_not_decide_the_corpus() -> None:
    first = datamix.corpus(config())
    assert datamix.corpus(config(train_pairs=9, mix="1:1", threshold=0.5)).digest == first.digest
    others = {"real": "x", "voices": "a", "scripts": "llm", "allow_characters": 1, "concurrency": 9}
    assert datamix.corpus(config(**others)).digest == first.digest


def test_ones_own_clips_are_copied_and_bad_ones_named(tmp_path: Path) -> None:
    folder = own_clips(tmp_path / "own", [f"[sighs] Clip {k} of mine." for k in range(40)])
    (folder / "train" / "7.flac").write_bytes(b"no audio")
    with (folder / "train" / "metadata.jsonl").open("a") as stream:
        stream.write('{"file_name": "0.flac", "tagged_text": "again", "id": "twice"}\n')
    data = datamix.open_source(config(source=str(folder)))
    assert len(data.items) == 39
    assert data.window_seconds is None
    assert data.judged == 41
    assert list(data.findings["kind"]) == ["reject", "reject"]
    summary = datamix.findings_summary(data).set_index("kind")
    assert summary.loc["reject", "share"] == pytest.approx(2 / 41)
    assert not datamix.open_source(config(source=str(folder))).stage.executed


def test_changed_audio_is_another_source(tmp_path: Path) -> None:
    folder = own_clips(tmp_path / "own", ["One.", "[sad] Two."])
    before = datamix.open_source(config(source=str(folder))).digest
    write_audio(folder / "train" / "1.flac", np.full(8000, 0.25, np.float32))
    assert datamix.open_source(config(source=str(folder))).digest != before


def test_unknown_tags_of_scripts_follow_the_policy(tmp_path: Path) -> None:
    rows = [{"tagged_text": f"Text {k}.", "domain": "d", "slice_type": "plain"} for k in range(20)]
    rows[4]["tagged_text"] = "[slams door] Out!"
    path = tmp_path / "scripts.json"
    path.write_text(json.dumps(rows))
    found = {
        policy: datamix.open_source(config(source=str(path), unknown_tags=policy))
        for policy in ("keep", "warn", "reject")
    }
    assert [len(data.findings) for data in found.values()] == [0, 1, 1]
    assert found["warn"].findings.loc[0, "reason"] == "unknown tags: slams door"
    totals = [sum(map(len, data.splits.values())) for data in found.values()]
    assert totals == [20, 20, 19]


def test_the_released_scripts_are_split_as_published(
    released_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "fetch_released", lambda _: released_path)
    data = datamix.open_source(config(source="released"))
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 808, "validation": 101, "test": 101,
    }  # fmt: skip
    summary = datamix.split_summary(data)
    assert summary["hours"].isna().all()
    assert summary["voices"].isna().all()
    assert overview.durations(data) == {}
    assert "no sound" in str(datamix.duration_figure(data).get_label())


@pytest.mark.parametrize("name", ["nowhere", "../nowhere.json"])
def test_a_missing_source_is_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=r"does not exist: give generated, released, llm, "):
        datamix.open_source(config(source=name))


def test_a_source_needs_a_training_split(tmp_path: Path) -> None:
    folder = own_clips(tmp_path / "own", ["One.", "Two."])
    (folder / "train").rename(folder / "test")
    data = datamix.open_source(config(source=str(folder)))
    with pytest.raises(UserError, match="no split 'train' \\(it has test\\)"):
        _ = data.items


def test_a_relative_path_starts_at_the_checkout(repo: Path) -> None:
    assert own.existing("source", "params") == repo / "params"
