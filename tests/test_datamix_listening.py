"""The listening page: which clip stands for a tag, what is marked, bytes, and other sources."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from evoxtral import datamix
from evoxtral.clips import Clip, Dataset
from evoxtral.clips.audio import write_audio
from evoxtral.clips.clip import complete
from evoxtral.datamix import listening
from evoxtral.datamix.source import Source

CFG = SimpleNamespace(seed=0)


def clip(name: str, text: str, seconds: float = 3.0, voice: str = "ada") -> Clip:
    row = {"file_name": f"{name}.flac", "id": name, "tagged_text": text, "voice": voice}
    return complete({**row, "seconds": seconds}, "train")


def source(clips: list[Clip], name: str = "generated", folder: Path = Path()) -> Source:
    data = Dataset.of(folder, [(c, folder / c.file_name) for c in clips])
    found = pd.DataFrame(columns=["kind", "file", "line", "reason"])
    return Source(name, data.splits, data, None, 8.0, found)


CLIPS = [
    clip("a", "[sighs] [sad] Both of them."),
    clip("b", "[sighs] It was LOUD."),
    clip("c", "[sighs] Too long a text to show.", seconds=6.0),
    clip("d", "[sighs] Just right.", seconds=2.5),
    clip("e", "[laughs] A whole lecture.", seconds=20.0),
]


def test_a_clip_with_nothing_but_the_tag_is_chosen() -> None:
    assert listening._choose("sighs", CLIPS) == CLIPS[3]
    assert listening._choose("sad", CLIPS) == CLIPS[0]
    assert listening._choose("laughs", CLIPS) is None, "longer than a page should play"
    assert listening._choose("gasps", CLIPS) is None


@pytest.fixture(scope="module")
def heard() -> list[listening.Specimen]:
    return datamix.specimens(CFG, source(CLIPS))


def test_each_tag_is_heard_with_and_without(heard: list[listening.Specimen]) -> None:
    assert [specimen.tag for specimen in heard] == ["sighs", "sad"], "the report's order"
    with_tag, without = heard[0].heard
    assert (with_tag.text, without.text) == ("[sighs] Just right.", "Just right.")
    assert len(with_tag.audio) > len(without.audio)
    [(start, end)] = with_tag.marks
    assert 0 < start < end < len(with_tag.audio) / 16_000
    assert without.marks == ()


def test_pages_are_the_same_bytes_again(heard: list[listening.Specimen]) -> None:
    first = datamix.page(heard)
    assert datamix.page(datamix.specimens(CFG, source(CLIPS))).data == first.data
    assert first.data.count("<audio ") == 4
    assert first.data.count("<img ") == 2
    assert "http" not in first.data


def test_sounds_and_pictures_are_small_and_whole(heard: list[listening.Specimen]) -> None:
    audio = heard[0].heard[0].audio
    mp3 = listening.to_mp3(audio)
    decoded, rate = soundfile.read(io.BytesIO(mp3))
    assert rate == 16_000
    assert len(decoded) == pytest.approx(len(audio), abs=2400)
    assert len(mp3) < 6000 * len(audio) / 16_000
    with Image.open(io.BytesIO(listening.picture(heard[0]))) as image:
        assert image.width > 1000


def test_ones_own_clip_is_taken_as_it_is(tmp_path: Path) -> None:
    samples = (np.random.default_rng(0).integers(-3000, 3000, 16_000) / 32768).astype(np.float32)
    write_audio(tmp_path / "d.flac", samples)
    own = clip("d", "[sighs] <b>Mine</b>", voice=None)
    [specimen] = datamix.specimens(CFG, source([own], "mine", tmp_path))
    assert [heard.text for heard in specimen.heard] == [own.tagged_text]
    assert np.array_equal(specimen.heard[0].audio, samples)
    page = datamix.page([specimen]).data
    assert "&lt;b&gt;Mine" in page
    assert "unknown voice" in page


def test_scripts_have_nothing_to_hear() -> None:
    found = pd.DataFrame(columns=["kind", "file", "line", "reason"])
    silent = Source("released", {}, None, None, None, found)
    assert datamix.specimens(CFG, silent) == []
    assert "no sound" in datamix.page([]).data
