"""Recordings that are read, those that are refused, and what is written."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from evoxtral.clips.audio import (
    SAMPLE_RATE,
    BadAudioError,
    audio_digest,
    decode,
    encode_flac,
    write_audio,
)
from evoxtral.world import speech


@pytest.fixture(scope="module")
def voice():
    """Real rendered speech, (n,) at 16 kHz."""
    return speech.render("[sighs] Well, this is NOT what I wanted.", speech.VOICES[0], 1).audio


def encoded(samples, kind, subtype=None, rate=SAMPLE_RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def without_length(flac):
    """As `ffmpeg -f flac -` writes it: the number of samples is 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def with_nan(samples):
    return np.where(np.arange(len(samples)) == 100, np.nan, samples)


DAMAGED = {
    "empty": (lambda a: b"", "the file is empty"),
    "header only": (lambda a: encoded(a[:0], "WAV"), "too short to hold speech"),
    "half of a FLAC": (lambda a: encode_flac(a)[:5000], "cannot be decoded"),
    "endless FLAC": (lambda a: without_length(encode_flac(a)), "does not say how long"),
    "web page": (lambda a: b"<!DOCTYPE html><title>404</title>", "give a whole WAV, FLAC, MP3"),
    "nan": (lambda a: encoded(with_nan(a), "WAV", "FLOAT"), "not finite"),
    "not scaled": (lambda a: encoded(a * 30_000, "WAV", "FLOAT"), "must lie in"),
    "silent": (lambda a: encoded(a * 0, "WAV"), "silent"),
    "short": (lambda a: encoded(a[:1000], "WAV"), r"0\.062 s is too short"),
    "rate of 1": (lambda a: encoded(a, "WAV")[:24] + struct.pack("<I", 1) + encoded(a, "WAV")[28:],
                  "1 samples per second"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_audio_is_rejected_with_its_reason(kind, voice, tmp_path):
    make, reason = DAMAGED[kind]
    (tmp_path / "x.wav").write_bytes(make(voice))
    with pytest.raises(BadAudioError, match=reason):
        decode(tmp_path / "x.wav")


def test_missing_file_is_a_reason(tmp_path):
    for path in (tmp_path, tmp_path / "none.wav"):
        with pytest.raises(BadAudioError, match="does not exist"):
            decode(path)


def stereo(samples):
    return np.stack([samples, samples], 1).repeat(3, axis=0)


@pytest.mark.parametrize(
    ("make", "repairs"),
    [
        (lambda a: encoded(a, "WAV"), ()),
        (lambda a: encoded(a, "FLAC", "PCM_24"), ()),
        (lambda a: encoded(a, "MP3"), ()),
        (
            lambda a: encoded(stereo(a), "WAV", rate=48_000),
            ("2 channels mixed to one", "48000 Hz resampled to 16000"),
        ),
    ],
)
def test_foreign_audio_is_read_whatever_its_name_and_changes_are_noted(
    make, repairs, voice, tmp_path
):
    (tmp_path / "x.wav").write_bytes(make(voice))
    samples, noted = decode(tmp_path / "x.wav")
    assert noted == repairs
    assert samples.dtype == np.float32
    assert abs(len(samples) - len(voice)) <= 1
    assert np.corrcoef(samples[: len(voice)], voice[: len(samples)])[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(12))
def test_no_cut_and_no_flipped_byte_crashes(seed, voice, tmp_path):
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(voice, ("WAV", "FLAC", "OGG")[seed % 3]))
    if seed % 2:
        data = data[: rng.integers(len(data))]
    else:
        for at in rng.integers(min(len(data), 200), size=3):
            data[at] ^= int(rng.integers(1, 256))
    (tmp_path / "x").write_bytes(data)
    with contextlib.suppress(BadAudioError):
        assert np.isfinite(decode(tmp_path / "x")[0]).all()


def test_same_sound_has_the_same_digest_in_any_lossless_container(voice, tmp_path):
    write_audio(tmp_path / "a.flac", voice)
    soundfile.write(tmp_path / "a.wav", np.rint(voice * 32768).astype(np.int16), SAMPLE_RATE)
    digests = {audio_digest(decode(tmp_path / name)[0]) for name in ("a.flac", "a.wav")}
    assert digests == {audio_digest(voice)}
    assert audio_digest(voice[1:]) != audio_digest(voice)


@given(npst.arrays(np.int16, st.integers(1600, 2000), elements=st.integers(-(2**15), 2**15 - 1)))
def test_sixteen_bit_samples_come_back_exactly(pcm):
    samples = (pcm / 32768).astype(np.float32)
    data = encode_flac(samples)
    assert data == encode_flac(samples)
    again, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == SAMPLE_RATE
    assert (again == pcm).all()
    loud, _ = soundfile.read(io.BytesIO(encode_flac(samples + 1)), dtype="int16")
    assert (loud[pcm >= 0] == 32767).all(), "clipped, not wrapped"
