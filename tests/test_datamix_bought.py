"""01 from scripts by a model to clips by ElevenLabs, on local servers: told, bought, kept."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evoxtral import UserError, datamix, params, runs, tags
from evoxtral.datamix import bought
from evoxtral.params import DataMix
from evoxtral.world import scripts
from local_server import CANARY, LocalServer, everything_in, served
from test_providers_speech import Server as Speaker
from test_providers_writing import Server as Writer

WORDS = ["harbour", "lantern", "morning", "paper", "window", "garden", "engine", "letter", "sea"]
TEXTS = [f"[sighs] The {word} was {k} miles from here." for k in (2, 3) for word in WORDS] + [
    "[calm] Nobody said a word.",
    "Then it was over.",
]


@pytest.fixture(autouse=True)
def _bought(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOXTRAL_BOUGHT", str(tmp_path / "bought"))
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


@pytest.fixture
def speaker() -> Iterator[LocalServer]:
    with served(Speaker()) as server:
        yield server


@pytest.fixture
def writer() -> Iterator[LocalServer]:
    with served(Writer()) as server:
        yield server


def scripts_of(path: Path, texts: list[str]) -> Path:
    rows = [{"tagged_text": text, "domain": "podcast", "slice_type": "light"} for text in texts]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def order(tmp_path: Path, speaker: LocalServer):
    """Parameters that have a few scripts spoken by the local server."""

    def parameters(texts: list[str] = TEXTS, **changes: object) -> DataMix:
        path = scripts_of(tmp_path / "scripts.json", texts)
        own = {"source": "elevenlabs", "scripts": str(path), "speech_url": speaker.url}
        return params.profile("01_data_mix", "paper", own | changes)

    return parameters


def test_without_an_allowance_the_costs_are_told_in_one_sentence(
    order, speaker, monkeypatch, tmp_path
) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    monkeypatch.setitem(sys.modules, "elevenlabs", None)
    characters = sum(map(len, TEXTS))
    for allowed in (0, characters - 1):
        with pytest.raises(UserError) as error:
            datamix.open_clips(order(allow_characters=allowed, speech_price=1e6))
        said = str(error.value)
        assert f"({characters} characters, {characters:.2f} in money)" in said
        assert f"set allow_characters to {characters} to spend them" in said
        assert "nothing was spent" in said
        assert "\n" not in said
    with pytest.raises(UserError, match=f"\\({characters} characters\\): set"):
        datamix.open_clips(order(speech_price=0))
    assert speaker.asked.total() == 0
    assert not (tmp_path / "bought").exists() or not list((tmp_path / "bought").rglob("*.flac"))


def test_what_was_bought_is_a_source_like_any_other(order, speaker) -> None:
    cfg = order(allow_characters=10_000, voices="voiceA:female, voiceB", stability=0.0)
    data = datamix.open_source(cfg)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 16, "validation": 2, "test": 2,
    }  # fmt: skip
    report = scripts.split_released(scripts.read_released(Path(cfg.scripts)))
    assert [clip.tagged_text for clip in data.splits["test"]] == [
        script.tagged_text for script in report["test"]
    ]
    assert (data.name, data.window_seconds, data.judged) == ("elevenlabs", None, 20)
    assert data.findings.empty
    assert {clip.source for clip in data.clips.clips} == {"synthetic"}
    assert {(clip.voice, clip.gender) for clip in data.clips.clips} == {
        ("voiceA", "female"), ("voiceB", None),
    }  # fmt: skip
    assert {request["voice_settings"]["stability"] for request in speaker.requests} == {0.0}
    assert {request["model_id"] for request in speaker.requests} == {"eleven_v3"}
    assert data.items[0].seconds > 1
    assert {specimen.tag for specimen in datamix.specimens(cfg, data)} == {"sighs", "calm"}
    assert datamix.audible(cfg, data).empty


def test_later_notebooks_and_a_clean_checkout_buy_nothing(order, speaker, monkeypatch) -> None:
    first = datamix.open_clips(order(allow_characters=10_000))
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    monkeypatch.setitem(sys.modules, "elevenlabs", None)
    again = datamix.open_clips(order())
    assert again.digest == first.digest
    assert not again.stage.executed
    shutil.rmtree(runs.runs_dir())
    anew = datamix.open_clips(order(concurrency=1, allow_requests=3))
    assert (anew.digest, anew.stage.executed) == (first.digest, True)
    assert speaker.asked == dict.fromkeys(TEXTS, 1)


def test_the_key_comes_out_nowhere(order, speaker, tmp_path, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG):
        datamix.open_source(order(allow_characters=10_000))
    assert {request["key"] for request in speaker.requests} == {CANARY}
    assert "api_key" not in DataMix.model_fields
    assert CANARY not in caplog.text + "".join(capfd.readouterr()) + everything_in(tmp_path)


def test_a_clip_that_fails_is_left_out_for_good(order, speaker) -> None:
    speaker.behave = lambda text, count: "short" if text == TEXTS[0] else "speak"
    data = datamix.open_clips(order(allow_characters=10_000))
    assert sum(map(len, data.splits.values())) == 19
    assert len(datamix.open_clips(order()).clips.clips) == 19, "the rest needs no allowance"
    assert speaker.asked[TEXTS[0]] == 1


def test_too_many_failures_stop_and_the_next_run_buys_the_rest(order, speaker) -> None:
    speaker.behave = lambda text, count: "short" if text in TEXTS[:2] else "speak"
    with pytest.raises(UserError, match="2 of 20 clips failed"):
        datamix.open_clips(order(allow_characters=10_000))
    speaker.behave = lambda text, count: "speak"
    left = sum(map(len, TEXTS[:2]))
    assert len(datamix.open_clips(order(allow_characters=left)).clips.clips) == 20
    assert speaker.asked.total() == 22


def test_a_script_that_is_refused_is_not_bought(order, speaker) -> None:
    texts = [*TEXTS, "[slams door] And that was that."]
    cfg = order(texts, allow_characters=10_000, unknown_tags="reject")
    data = datamix.open_source(cfg)
    assert data.findings["reason"].tolist() == ["unknown tags: slams door"]
    assert data.judged == 21
    assert texts[-1] not in speaker.asked


def test_the_generated_scripts_keep_their_splits(order, speaker) -> None:
    sizes = {"train": 3, "natural": 2, "raft_prompts": 1, "plain_val": 1}
    others = dict.fromkeys(("validation", "test", "balanced", "base_test"), 0)
    cfg = order(scripts="generated", allow_characters=10_000, **sizes, **others)
    data = datamix.open_clips(cfg)
    assert {name: len(rows) for name, rows in data.splits.items()} == sizes
    assert not tags.find_tags(data.splits["plain_val"][0].tagged_text)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"voices": "a:child"}, "voices holds 'a:child': after an id write :female, :male or"),
        ({"voices": "../me"}, "no id"),
        ({"voices": ","}, "give at least one voice"),
        ({"scripts": "nowhere.json"}, "scripts 'nowhere.json' does not exist: give released, gen"),
        ({"speech_url": "http://example.org"}, "use https"),
    ],
)
def test_a_wrong_order_is_refused_before_anything_is_sent(
    order, speaker, changes, sentence
) -> None:
    with pytest.raises(UserError, match=sentence):
        datamix.open_clips(order(allow_characters=10_000, **changes))
    assert speaker.asked.total() == 0


def test_premade_voices_are_balanced() -> None:
    genders = [voice.gender for voice in bought.voices("premade")]
    assert genders.count("female") == genders.count("male") == 4
    assert len({voice.id for voice in bought.PREMADE}) == 8


@pytest.fixture
def written(tmp_path: Path, writer: LocalServer, order, monkeypatch: pytest.MonkeyPatch):
    """Parameters that have a few scripts written by the local server."""
    texts = [script.tagged_text for script in scripts.generate(20, 3)]
    released = scripts_of(tmp_path / "released.json", texts)
    monkeypatch.setattr(scripts, "fetch_released", lambda _: released)

    def parameters(**changes: object) -> DataMix:
        sizes = {"train": 8, "validation": 1, "test": 1}
        own = {"scripts": "llm", "script_model": "m", "script_url": writer.url}
        return order(**{**sizes, **own, **changes})

    return parameters


def test_a_model_writes_and_elevenlabs_speaks(written, writer, speaker, tmp_path, capfd) -> None:
    with pytest.raises(UserError, match="script_model is empty"):
        datamix.open_source(written(script_model=""))
    with pytest.raises(UserError, match=r"0 of 10 scripts are written .* set allow_requests to"):
        datamix.open_clips(written(allow_characters=10_000))
    assert writer.requests == []
    texts = datamix.open_source(written(source="llm", allow_requests=1000, votes=2))
    assert {name: len(rows) for name, rows in texts.splits.items()} == {
        "train": 8, "validation": 1, "test": 1,
    }  # fmt: skip
    assert texts.clips is None
    asked = len(writer.requests)
    shutil.rmtree(runs.runs_dir())
    with pytest.raises(UserError, match="set allow_characters to"):
        datamix.open_clips(written(votes=2))
    spoken = datamix.open_clips(written(votes=2, allow_characters=10_000))
    assert len(writer.requests) == asked, "what was written is kept beside the runs"
    assert set(speaker.asked) == {clip.tagged_text for clip in spoken.clips.clips}
    assert CANARY not in "".join(capfd.readouterr()) + everything_in(tmp_path)
