"""The thirteen kinds of damaged audio, and what is read and written besides."""

from __future__ import annotations

import contextlib
import errno
import io
import resource
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from evoxtral import UserError
from evoxtral.clips.audio import (
    SAMPLE_RATE,
    BadAudioError,
    audio_digest,
    decode,
    encode_flac,
    read_audio,
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


def patched(data, at, layout, value):
    new = struct.pack(layout, value)
    return data[:at] + new + data[at + len(new) :]


def with_nan(samples):
    samples = samples.copy()
    samples[100] = np.nan
    return samples


def half(data):
    return data[: len(data) // 2]


# Offsets in the 44-byte header that soundfile writes.
CHANNELS, RATE, DATA_SIZE = 22, 24, 40

DAMAGED = {
    "empty": ("x.wav", lambda a: b"", "the file is empty"),
    "header only": ("x.wav", lambda a: encoded(a[:0], "WAV"), "a header but no audio"),
    "half wav": ("x.wav", lambda a: half(encoded(a, "WAV")), "cut off or its header lies"),
    "half flac": ("x.flac", lambda a: half(encode_flac(a)), "FLAC cannot be decoded"),
    "half mp3": ("x.mp3", lambda a: half(encoded(a, "MP3")), "the last frame has"),
    "random bytes": ("x.wav", lambda a: np.random.default_rng(3).bytes(20_000), "not audio"),
    "html": ("x.wav", lambda a: b"<!DOCTYPE html><title>404</title>", "a web page, not audio"),
    "nan": ("x.wav", lambda a: encoded(with_nan(a), "WAV", "FLOAT"), "1 samples are not finite"),
    "rate 0": ("x.wav", lambda a: patched(encoded(a, "WAV"), RATE, "<I", 0), "0 samples per sec"),
    "65535 channels": (
        "x.wav",
        lambda a: patched(encoded(a, "WAV"), CHANNELS, "<H", 65535),
        "WAV cannot be decoded",
    ),
    "size lie": (
        "x.wav",
        lambda a: patched(encoded(a, "WAV"), DATA_SIZE, "<I", 10**9),
        "the header says 1,000,000,000 bytes",
    ),
}
REPAIRED = {
    "stereo 48 k": (
        "x.wav",
        lambda a: encoded(np.stack([a, a], 1).repeat(3, axis=0), "WAV", rate=48_000),
        ("2 channels mixed to one", "48000 Hz resampled to 16000"),
    ),
    "mp3 as wav": ("x.wav", lambda a: encoded(a, "MP3"), ("MP3 under the name .wav",)),
}


def test_there_are_thirteen_kinds():
    assert len(DAMAGED) + len(REPAIRED) == 13


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_audio_is_rejected_with_its_reason(kind, voice, tmp_path):
    name, make, reason = DAMAGED[kind]
    (tmp_path / name).write_bytes(make(voice))
    with pytest.raises(BadAudioError, match=reason):
        decode(tmp_path / name)


@pytest.mark.parametrize("kind", REPAIRED)
def test_foreign_audio_is_repaired_and_noted(kind, voice, tmp_path):
    name, make, repairs = REPAIRED[kind]
    (tmp_path / name).write_bytes(make(voice))
    decoded = decode(tmp_path / name)
    assert decoded.repairs == repairs
    assert decoded.samples.dtype == np.float32
    assert abs(len(decoded.samples) - len(voice)) <= 1
    assert np.corrcoef(decoded.samples[: len(voice)], voice[: len(decoded.samples)])[0, 1] > 0.95


def mp3_without_length(samples):
    data = encoded(samples, "MP3")
    return data[data.index(data[:2], 4) :]


def flac_total(data, total):
    return patched(data, 22, ">I", total)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("x.wav", lambda a: patched(encoded(a, "WAV"), DATA_SIZE, "<I", 1000), "header lies"),
        ("x.wav", lambda a: patched(encoded(a, "WAV"), DATA_SIZE, "<I", 2**32 - 1), "unknown numb"),
        ("x.wav", lambda a: patched(encoded(a, "WAV"), CHANNELS, "<H", 0), "0 channels"),
        ("x.wav", lambda a: encoded(a, "WAV")[:12], "was cut off|no format"),
        ("x.wav", lambda a: encoded(a, "WAV")[:36], "cut off"),
        ("x.wav", lambda a: encoded(a, "WAV") + b"\0" * 5, "cut off or its header lies"),
        ("x.wav", lambda a: encoded(a * 30_000, "WAV", "FLOAT"), "must lie in"),
        ("x.wav", lambda a: encoded(a * 0, "WAV"), "silent"),
        ("x.wav", lambda a: encoded(a[:1000], "WAV"), "too short"),
        ("x.wav", lambda a: encoded(np.tile(a[:, None], 9), "WAV"), "9 channels"),
        ("x.wav", lambda a: encoded(a, "WAV", rate=2000), "2000 samples per second"),
        ("x.aiff", lambda a: encoded(a, "AIFF"), "only WAV, FLAC, MP3 and OGG"),
        ("x.mp3", lambda a: mp3_without_length(a)[:-10], "the last frame has"),
        ("x.mp3", lambda a: b"ID3", "MP3 cannot be decoded|no audio"),
        ("x.ogg", lambda a: half(encoded(a, "OGG", "VORBIS")), "the stream has no end"),
        ("x.flac", lambda a: flac_total(encode_flac(a), 9000), "own checksum"),
        ("x.flac", lambda a: flac_total(encode_flac(a), 0), "how long|cannot be decoded"),
        ("x.flac", lambda a: encode_flac(a)[:20], "FLAC cannot be decoded"),
    ],
)
def test_further_damage_is_rejected(name, make, reason, voice, tmp_path):
    (tmp_path / name).write_bytes(make(voice))
    with pytest.raises(BadAudioError, match=reason):
        decode(tmp_path / name)


@pytest.mark.parametrize("seed", range(40))
def test_no_cut_and_no_flipped_byte_crashes(seed, voice, tmp_path):
    rng = np.random.default_rng(seed)
    kind = ("WAV", "FLAC", "OGG")[seed % 3]
    data = bytearray(encoded(voice, kind))
    if seed % 2:
        data = data[: rng.integers(len(data))]
    else:
        for at in rng.integers(min(len(data), 200), size=3):
            data[at] ^= int(rng.integers(1, 256))
    path = tmp_path / "x"
    path.write_bytes(data)
    with contextlib.suppress(BadAudioError):
        samples = decode(path).samples
        assert np.isfinite(samples).all()
        assert 0.1 * SAMPLE_RATE <= len(samples) <= 1.1 * len(voice)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
)
def test_whole_files_pass_without_repair(kind, subtype, voice, tmp_path):
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(voice, kind, subtype))
    decoded = decode(path)
    assert decoded.repairs == ()
    assert decoded.seconds == len(voice) / SAMPLE_RATE


def test_same_sound_has_the_same_digest_in_any_lossless_container(voice, tmp_path):
    write_audio(tmp_path / "a.flac", voice)
    soundfile.write(tmp_path / "a.wav", np.rint(voice * 32768).astype(np.int16), SAMPLE_RATE)
    digests = {audio_digest(read_audio(tmp_path / name)) for name in ("a.flac", "a.wav")}
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


def test_louder_than_full_scale_is_clipped():
    data = encode_flac(np.array([2.0, -2.0] * 800, np.float32))
    again, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    assert {*again} == {32767, -32768}


def test_missing_file_and_folder_are_reasons(tmp_path):
    with pytest.raises(BadAudioError, match="does not exist"):
        decode(tmp_path / "none.wav")
    with pytest.raises(BadAudioError, match="regular file"):
        decode(tmp_path)


def test_read_audio_names_the_file(tmp_path):
    (tmp_path / "x.wav").touch()
    with pytest.raises(UserError, match=r"x\.wav: the file is empty"):
        read_audio(tmp_path / "x.wav")


def test_full_disk_is_named_and_leaves_the_old_file(voice, tmp_path):
    path = tmp_path / "x.flac"
    old = write_audio(path, voice[:8000])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*x\.flac \([\d,]+ bytes\)") as caught:
            write_audio(path, voice)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["x.flac"]
