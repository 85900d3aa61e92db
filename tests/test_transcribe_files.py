"""Recordings of any length and kind, with the embedded base and an adapter; bad ones beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from evoxtral import UserError, metrics
from evoxtral.decode import transcribe
from evoxtral.model import LoraShape, Prompter, attach, open_base, read_cached
from evoxtral.transcribe import Failure, Transcript, transcribe_files
from evoxtral.transcribe.files import TOKENS_PER_SECOND

RATE = 16_000


@pytest.fixture(scope="module")
def recordings(spoken, tmp_path_factory) -> Path:
    """One talk of eight clips with pauses between, in several formats."""
    folder = tmp_path_factory.mktemp("recordings")
    silence = np.zeros(RATE * 6 // 10, np.float32)
    clips = [spoken.audio(clip) for clip in spoken.clips[:8]]
    talk = np.concatenate([part for clip in clips for part in (clip, silence)])
    soundfile.write(folder / "talk.wav", talk, RATE)
    soundfile.write(folder / "talk.mp3", talk, RATE, format="MP3")
    fine = soxr.resample(talk, RATE, 48_000)
    soundfile.write(folder / "stereo.flac", np.stack([fine, 0.8 * fine], axis=1), 48_000)
    soundfile.write(folder / "silence.wav", np.zeros(3 * RATE, np.float32), RATE)
    soundfile.write(folder / "hiss.wav", np.full(3 * RATE, 0.0004, np.float32), RATE)
    soundfile.write(folder / "short.wav", clips[0], RATE)
    (folder / "empty.wav").touch()
    (folder / "page.mp3").write_text("<html>not found</html>")
    return folder


def test_a_long_recording_is_cut_into_windows(recordings):
    [talk] = transcribe_files([recordings / "talk.wav"], device="cpu")
    assert isinstance(talk, Transcript)
    assert talk.seconds > 3 * 8
    assert len(talk.chunks) > 3
    assert all(0 < chunk.end - chunk.start <= 8 for chunk in talk.chunks)
    assert all(a.end <= b.start for a, b in zip(talk.chunks, talk.chunks[1:], strict=False))
    assert talk.chunks[-1].end <= talk.seconds
    assert all(chunk.finished for chunk in talk.chunks)


def test_what_is_heard_is_what_was_said(recordings, spoken, spoken_features):
    """As many errors as the same model makes on the clips one by one, or hardly more."""
    [talk] = transcribe_files([recordings / "talk.wav"], device="cpu")
    base = open_base("tiny", "cpu")
    prompter = Prompter(base)
    clips = spoken.clips[:8]

    model, limit = read_cached(base.model), 8 * TOKENS_PER_SECOND
    single = transcribe(model, prompter, spoken_features, [1.0] * 16, limit, 16)
    said = " ".join(clip.plain_text for clip in clips)
    apart = " ".join(prompter.text(one.ids) for one in single[:8])
    errors = {
        name: metrics.evaluate([said], [text]).strict()["wer"].value
        for name, text in {"apart": apart, "talk": talk.text}.items()
    }
    assert errors["talk"] <= errors["apart"] + 0.15, (errors, talk.text, said)


def test_formats_and_rates_are_read_alike(recordings):
    names = ("talk.wav", "talk.mp3", "stereo.flac")
    made = transcribe_files([recordings / name for name in names], device="cpu")
    starts = [[chunk.start for chunk in one.chunks] for one in made]
    assert all(np.allclose(own, starts[0], atol=0.1) for own in starts)
    assert made[0].repairs == ()
    assert made[2].repairs == ("2 channels mixed to one", "48000 Hz resampled to 16000")


def test_a_bad_file_stops_no_other(recordings):
    names = ("empty.wav", "short.wav", "page.mp3", "gone.wav", "silence.wav", "hiss.wav")
    made = transcribe_files([recordings / name for name in names], device="cpu")
    assert [one.path.name for one in made] == list(names)
    reasons = {p.path.name: p.reason.split(" (")[0] for p in made if isinstance(p, Failure)}
    assert reasons == {
        "empty.wav": "the file is empty",
        "page.mp3": "cannot be decoded",
        "gone.wav": "the file does not exist",
        "silence.wav": "silent: no sample above -80 dB of full scale",
    }
    assert made[1].text
    assert made[5].chunks == ()


def test_files_share_batches_and_no_text(recordings):
    one_by_one = transcribe_files([recordings / "talk.wav"], device="cpu", batch=1)
    beside = transcribe_files(
        [recordings / "short.wav", recordings / "talk.wav"], device="cpu", batch=4
    )
    assert [chunk.text for chunk in beside[1].chunks] == [c.text for c in one_by_one[0].chunks]


def test_an_adapter_is_merged(recordings, tmp_path):
    model = attach(open_base("tiny", "cpu").model, LoraShape(rank=2), seed=0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.05)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    path = [recordings / "short.wav"]
    [bare], [adapted] = transcribe_files(path), transcribe_files(path, tmp_path, device="cpu")
    assert bare.text != adapted.text


def test_what_is_no_adapter_is_refused(recordings, tmp_path):
    with pytest.raises(UserError, match="give the folder of a LoRA adapter"):
        transcribe_files([recordings / "short.wav"], tmp_path, device="cpu")


def test_more_than_half_an_hour_is_read(tmp_path, monkeypatch):
    """The reader's limit for clips is none for recordings; most of this one is silence."""
    audio = np.zeros(31 * 60 * RATE, np.int16)
    audio[::40] = np.where(np.arange(len(audio[::40])) % 2, 1, -1)  # not silent, and no speech
    soundfile.write(tmp_path / "long.wav", audio * 8, RATE)
    [made] = transcribe_files([tmp_path / "long.wav"], device="cpu")
    assert made.seconds == 31 * 60
    assert made.chunks == ()
