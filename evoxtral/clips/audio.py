"""Sound on disk: whatever libsndfile or ffmpeg reads comes as 16 kHz mono, and damage is named."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from evoxtral import UserError, runs

SAMPLE_RATE = 16_000
MIN_SECONDS = 0.1
SCALE = 8.0  # samples above this are refused, not clipped; lossy codecs overshoot 1

_BLOCK = 1024  # samples read at once; of a damaged block nothing is read
_ENDLESS = 2**31 - 2**16  # sizes from here on stand in headers that were written before the sound
_UNKNOWN = 2**62  # from here on a number of samples is no number but unknown
_LEAST_LOST = 0.01  # seconds; some writers count the header too
# Bytes promised and there, in libsndfile's log; the first three words are of WAV, AIFF and AU.
_PROMISED = re.compile(
    r"^ *(?:data|SSND|Data Size +|riff|Riff size) : (\d+) \(should be (\d+)\)", re.MULTILINE
)
_NO_END = "lacks an end-of-stream"  # of OGG

Samples = npt.NDArray[np.float32]
"""Shape (n,), 16 kHz mono, in [-1, 1]."""


class ClipError(UserError):
    """A row or a recording that cannot be used; the message is the reason without the place."""


class Sound(NamedTuple):
    """A recording as it was read.

    `repairs` are what was changed to make it `Samples`, a phrase each; `damage` says what is
    missing, empty if nothing is; `lost` is how many seconds, NaN if the file does not tell.
    """

    samples: Samples
    repairs: tuple[str, ...]
    damage: str
    lost: float


def decode(path: Path | str) -> Sound:
    """Read a recording of any length to its end, or to where it breaks off.

    What libsndfile does not know is read by ffmpeg, if that is installed. A `ClipError` if the
    file is missing, no audio, shorter than 0.1 s, or holds samples that are no sound.
    """
    path = Path(path)
    if not path.is_file():
        raise ClipError("the file does not exist")
    if path.stat().st_size == 0:
        raise ClipError("the file is empty")
    repairs, damage = [], ""
    try:
        samples, rate, lost = _read(path)
        unread = "" if len(samples) else "it holds no samples"
    except (soundfile.LibsndfileError, TypeError) as error:  # the second: raw samples
        unread = getattr(error, "error_string", "it has no header").strip(" .").lower()
    if unread:
        data, damage = _converted(path, unread)
        samples, rate, lost = _read(io.BytesIO(data))
        lost = math.nan if damage else lost
        repairs.append("read by ffmpeg")
    if samples.shape[1] > 1:
        repairs.append(f"{samples.shape[1]} channels mixed to one")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        repairs.append(f"{rate} Hz resampled to {SAMPLE_RATE}")
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    seconds = len(mono) / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        raise ClipError(f"{seconds:.3f} s is too short to hold speech")
    peak = float(np.abs(mono).max())
    if not peak <= SCALE:  # NaN included
        raise ClipError(f"samples reach {peak:,.0f}: float audio must lie in [-1, 1]")
    if peak > 1:
        repairs.append(f"samples of up to {peak:.2f} clipped to 1")
        mono = mono.clip(-1, 1)
    if lost and not damage:
        damage = f"it breaks off: the last {lost:.2f} of {seconds + lost:.2f} s are missing"
        damage = "it breaks off; how much is missing is not known" if math.isnan(lost) else damage
    return Sound(mono, tuple(repairs), damage, lost)


def read_whole(path: Path | str) -> Samples:
    """A recording that must be whole: a `ClipError` for damage too."""
    sound = decode(path)
    if sound.damage:
        raise ClipError(sound.damage)
    return sound.samples


class _Stream(soundfile.SoundFile):
    """Read once, to the end: soundfile seeks after every block, which fails without a length."""

    def seekable(self) -> bool:
        return False


def _read(file: Path | io.BytesIO | int) -> tuple[npt.NDArray[np.float32], int, float]:
    """Samples, (n, channels), their rate, and how many seconds are lost, NaN if nobody knows."""
    # soundfile itself fails at names that are not in the locale's encoding
    named = os.fsencode(file) if isinstance(file, Path) and os.name == "posix" else file
    with _Stream(named) as stream:
        if stream.format == "MP3" and isinstance(file, Path):
            data = file.read_bytes()
            if not _tells_length(data):
                # It does not tell its length: libsndfile guesses one and stops there, but guesses
                # none of a pipe.
                return _read(_piped(data))
        blocks, left, broken = [np.empty((0, stream.channels), np.float32)], stream.frames, False
        try:
            while len(block := stream.read(min(left, _BLOCK), "float32", always_2d=True)):
                blocks.append(block)
                left -= len(block)
        except soundfile.LibsndfileError:
            broken = True
        samples, rate, log = np.concatenate(blocks), stream.samplerate, stream.extra_info
        lost = left / rate if stream.frames < _UNKNOWN else 0.0
    for promised, there in (map(int, sizes) for sizes in _PROMISED.findall(log)):
        if 0 < there < promised < _ENDLESS:
            lost = len(samples) / rate * (promised / there - 1)
    lost = lost if lost >= _LEAST_LOST else 0.0
    return samples, rate, lost or (math.nan if broken or _NO_END in log else 0.0)


def _tells_length(mp3: bytes) -> bool:
    """Whether the first frame, behind a tag that may say anything, is one of facts."""
    skip = 0
    if mp3.startswith(b"ID3"):
        for byte in mp3[6:10]:
            skip = skip << 7 | byte
        skip += 10
    return any(mark in mp3[skip : skip + 256] for mark in (b"Xing", b"Info", b"VBRI"))


def _piped(data: bytes) -> int:
    """The reading end of a pipe that the data goes through."""
    reader, writer = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as stream:
            stream.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return reader


def _converted(path: Path, unread: str) -> tuple[bytes, str]:
    """The recording as a WAV file, by ffmpeg, and what ffmpeg says is wrong with it."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ClipError(
            f"cannot be decoded ({unread}): give a WAV, FLAC, MP3 or OGG file, or install ffmpeg, "
            "which reads M4A, WebM and most others"
        )
    command = [program, "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    done = subprocess.run([*command, "-f", "wav", "-"], capture_output=True, check=False)
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    said = re.sub(r"^\[.*?\] ", "", said)  # a part of ffmpeg and where it lay in memory
    if done.returncode:
        raise ClipError(f"cannot be decoded ({unread}; by ffmpeg: {said}): give a file with sound")
    return done.stdout, said


def audio_digest(samples: Samples) -> str:
    """Hex SHA-256 of samples as 16-bit little-endian PCM."""
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()


def write_audio(path: Path | str, samples: Samples) -> None:
    """Write a 16-bit FLAC file, whole or absent after a kill; same samples, same bytes.

    Louder samples are clipped; those on the 16-bit grid (k / 32768) come back exactly.
    """
    runs.write_bytes(path, _encoded(_pcm(samples), format="FLAC", subtype="PCM_16"))


def to_mp3(samples: Samples) -> bytes:
    """MP3, which every browser plays; same samples and library, same bytes."""
    return _encoded(samples, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE",
                    compression_level=0.7)  # fmt: skip


def _pcm(samples: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")


def _encoded(samples: npt.NDArray[Any], **kind: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, **kind)
    return buffer.getvalue()
