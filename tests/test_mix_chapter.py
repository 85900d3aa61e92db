"""What notebook 01 shows of a source: splits, sounds, audibility, likeness, weights and draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evoxtral import params, runs, tags
from evoxtral.clips import Clip, Dataset, complete, write_audio
from evoxtral.mix import chapter
from evoxtral.mix.goals import RARE, Item
from evoxtral.mix.source import Source
from evoxtral.world import scripts

CFG = params.profile(params.DataMix, "smoke")
NO_FINDINGS = pd.DataFrame(columns=["kind", "file", "line", "reason"])


def items(texts: list[str]) -> list[Item]:
    return [Item(str(k), t, tags.plain_text(t), "d") for k, t in enumerate(texts)]


def clip(name: str, text: str, seconds: float = 3.0, voice: str | None = "ada") -> Clip:
    row = {"file_name": f"{name}.flac", "id": name, "tagged_text": text, "voice": voice}
    return complete({**row, "seconds": seconds, "split": "train"})


def source(clips: list[Clip], name: str = "generated", folder: Path = Path()) -> Source:
    data = Dataset({c: folder / c.file_name for c in clips})
    return Source(name, data.splits, data, None, 8.0, NO_FINDINGS)


def silent(name: str, **splits: list[object]) -> Source:
    return Source(name, splits, None, None, None, NO_FINDINGS)


CLIPS = [
    clip("a", "[sighs] [sad] Both of them."),
    clip("b", "[sighs] It was LOUD."),
    clip("c", "[sighs] Too long a text to show.", seconds=6.0),
    clip("d", "[sighs] Just right.", seconds=2.5),
    clip("e", "[laughs] A whole lecture.", seconds=20.0),
]


def test_each_tag_is_heard_with_and_without() -> None:
    heard = chapter.specimens(CFG, source(CLIPS))
    assert [specimen.tag for specimen in heard] == ["sighs", "sad"], "the report's order; not long"
    with_tag, without = heard[0].heard
    assert (with_tag.text, without.text) == ("[sighs] Just right.", "Just right.")
    assert len(with_tag.audio) > len(without.audio)
    [(start, end)] = with_tag.marks
    assert 0 < start < end < len(with_tag.audio) / 16_000
    assert without.marks == ()


def test_ones_own_clip_is_taken_as_it_is(tmp_path: Path) -> None:
    samples = (np.random.default_rng(0).integers(-3000, 3000, 16_000) / 32768).astype(np.float32)
    write_audio(tmp_path / "d.flac", samples)
    own = clip("d", "[sighs] Mine", voice=None)
    [specimen] = chapter.specimens(CFG, source([own], "mine", tmp_path))
    assert [heard.text for heard in specimen.heard] == [own.tagged_text]
    assert np.array_equal(specimen.heard[0].audio, samples)
    assert specimen.voice == "unknown voice"


@pytest.mark.usefixtures("own_runs")
def test_the_probes_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(tags: tuple[str, ...], texts: list[str], **settings: object) -> pd.DataFrame:
        asked.append((texts, settings))
        return pd.DataFrame({"tag": tags, "auc": 0.88, "n": 8})

    monkeypatch.setattr(chapter, "audibility", measured)
    frame = chapter.audible(CFG, silent("generated"))
    assert frame.equals(chapter.audible(CFG, silent("generated")))
    [(texts, settings)] = asked
    assert len(texts) == CFG.train_pairs + CFG.test_pairs
    assert all(3 <= len(text.split()) <= 14 for text in texts)
    assert settings["workers"] is None
    passed = frame.set_index("tag")["pass"]
    assert passed[["laughs", "sad", "calm"]].tolist() == ["no", "yes", "no"]


def test_of_two_texts_alike_the_earlier_stays() -> None:
    texts = ["a b c d e f g h i j", "x y z", "a b c d e f g h i k", "[sad] x y z"]
    kept, pairs = chapter.filter_alike(items(texts), 0.7)
    assert [item.id for item in kept] == ["0", "1"]
    assert pairs["score"].tolist() == pytest.approx([0.9, 6 / 7])
    assert pairs.loc[0, ["first", "second"]].tolist() == [texts[0], texts[2]]
    assert not pairs["kept"].any()
    assert len(chapter.filter_alike(items(texts), 0.95)[0]) == 4


def test_leakage_counts_texts_not_pairs() -> None:
    train, test = items(["a b c d e", "a b c d f"]), items(["a b c d g", "nothing like it"])
    found = chapter.leakage(silent("s", train=train, test=test), 0.7)
    expected = {"split": "test", "texts": 2, "pairs": 2, "alike": 1, "heard": 0}
    assert found.to_dict("records") == [expected]


def test_skewing_takes_plain_and_rare_texts_away() -> None:
    rows = [Item.of(row) for row in scripts.generate(120, 5)]
    bad = chapter.skewed(rows, 0)
    scarce = {i.id for i in rows if not (t := set(tags.find_tags(i.tagged_text))) or t & set(RARE)}
    left = {item.id for item in bad}
    assert {item.id for item in rows} - scarce <= left
    assert len(left & scarce) < 0.4 * len(scarce)
    assert chapter.skewed(rows, 0) == bad


def test_weights_of_the_notes_betas_and_ours() -> None:
    frame = chapter.class_weights(items(["[sad] a", "[sad] b", "[calm] c", "plain"]), 0.5)
    assert list(frame.columns) == ["class", "clips", "effective", "0.5", "0.9", "0.99", "0.999"]
    assert frame["class"].tolist() == ["calm", "plain", "sad"]
    assert frame["effective"].tolist() == pytest.approx([1, 1, 1.5])
    assert frame["0.5"].sum() == pytest.approx(3)


def test_ratios_are_whole_and_repeat_nothing() -> None:
    texts = [f"[sad] t{k}" for k in range(30)] + [f"p{k}" for k in range(10)]
    frame = chapter.own_ratios(items(texts), 0).set_index("ratio")
    assert frame.loc["1:1", ["tagged", "plain"]].tolist() == [10, 10]
    assert frame.loc["3:1", ["tagged", "plain"]].tolist() == [30, 10]
    assert frame.loc["15:1", ["tagged", "plain"]].tolist() == [30, 2]
    assert frame.loc["3:1", "share"] == 0.25


def test_a_mix_is_summed_up_by_draws(tmp_path: Path) -> None:
    rows = [(1, 0.5), (1, 1.0), (2, 1.0)]
    lines = ({"id": str(k), "draws": n, "weight": w} for k, (n, w) in enumerate(rows))
    runs.write_jsonl(tmp_path / "mix.jsonl", lines)
    summary = chapter.mix_summary(tmp_path)
    assert list(summary.columns) == ["draws", "clips", "share", "weight"]
    assert summary.to_numpy().tolist() == [[1, 2, 0.5, 0.75], [2, 1, 0.5, 1.0]]
