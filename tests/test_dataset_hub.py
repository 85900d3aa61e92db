"""A dataset as the Hub stores it becomes an AudioFolder."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evoxtral import UserError
from evoxtral.clips.folder import read_rows
from evoxtral.clips.hub import fetch

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def wav(number: int) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).uniform(-0.3, 0.3, 8000)
    soundfile.write(buffer, noise, 16_000, format="WAV")
    return buffer.getvalue()


def parquet(folder: Path, **columns: list) -> Path:
    """A dataset as the Hub stores it, sound inside the tables."""
    rows = datasets.Dataset.from_dict(columns)
    if "audio" in columns:
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
    (folder / "data").mkdir(parents=True)
    rows.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


def test_sound_inside_tables_is_written_out(tmp_path: Path) -> None:
    audio = [{"bytes": wav(k), "path": f"../{k}.wav"} for k in range(2)]
    given = parquet(tmp_path / "given", audio=audio, text=["[sighs] a", "b"], mark=[b"1", b"2"])
    fetch(str(given), tmp_path / "out")
    rows = list(read_rows(tmp_path / "out"))
    assert [dict(row.value) for row in rows] == [
        {"text": "[sighs] a", "file_name": "000000.wav"},
        {"text": "b", "file_name": "000001.wav"},
    ]
    assert [row.split for row in rows] == ["train", "train"]
    assert [(tmp_path / "out" / "train" / row.value["file_name"]).read_bytes() for row in rows] == [
        wav(0), wav(1),
    ]  # fmt: skip


def test_a_path_in_a_table_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(0))
    audio = [{"bytes": None, "path": str(tmp_path / "secret.wav")}]
    given = parquet(tmp_path / "given", audio=audio, text=["a"])
    with pytest.raises(UserError, match="row 0 has no sound inside its table: download the files"):
        fetch(str(given), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_what_is_no_dataset_of_sound_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="cannot be loaded: ") as error:
        fetch(str(tmp_path / "nowhere"), tmp_path / "out")
    assert "\n" not in str(error.value)
    silent = parquet(tmp_path / "silent", text=["a"])
    with pytest.raises(UserError, match="split 'train': 0 columns of audio, not one"):
        fetch(str(silent), tmp_path / "out")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install evoxtral\[datasets\]"):
        fetch(str(silent), tmp_path / "out")
