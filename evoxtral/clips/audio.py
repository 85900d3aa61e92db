"""Reading any recording as 16 kHz mono, with every check; writing 16-bit FLAC.

Two reasons not to call soundfile directly: it passes damaged files silently (`containers`), and
the bytes it decodes say nothing about what had to be changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from evoxtral import UserError
from evoxtral.clips.containers import (
    BadAudioError,
    check_flac,
    check_mp3,
    check_ogg,
    check_wav,
    sniff,
)

SAMPLE_RATE = 16_000
MIN_SECONDS = 0.1
MAX_SECONDS = 1800.0
MAX_BYTES = 2**30
RATES = (4_000, 384_000)
MAX_CHANNELS = 8

SILENCE = 1e-4
"""Largest absolute sample below which a recording is silent: -80 dB of full scale."""

SCALE = 8.0
"""Above this, float samples are not scaled to [-1, 1]; lossy codecs overshoot 1 a little."""

_SUFFIXES = {"WAV": (".wav", ".wave"), "FLAC": (".flac",), "MP3": (".mp3",)}
_SUFFIXES["OGG"] = (".ogg", ".oga", ".opus")
_UNKNOWN_LENGTH = 2**62  # libsndfile's answer for a FLAC stream that does not say
_MPEG_SLACK = 1152  # one frame, in samples: players count encoder delay differently
_CHECKS = {"WAV": check_wav, "MP3": check_mp3, "OGG": check_ogg}


@dataclass(frozen=True)
class Decoded:
    """A recording as the models hear it.

    Attributes:
        samples: float32, shape (n,), 16 kHz mono, at least 0.1 s, finite, not silent.
        repairs: What was changed to make it so, one phrase each; empty for most files.
    """

    samples: npt.NDArray[np.float32]
    repairs: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / SAMPLE_RATE


def decode(path: Path | str, max_seconds: float | None = MAX_SECONDS) -> Decoded:
    """Read and check a recording.

    Args:
        path: A WAV, FLAC, MP3 or OGG file, by content; the suffix does not matter.
        max_seconds: Longest that is read, None for any length.

    Raises:
        BadAudioError: Missing, damaged, empty, silent, too long or not audio; the
            message is the reason only.
    """
    path = Path(path)
    data = _load(path)
    kind = sniff(data)
    if kind in _CHECKS:
        _CHECKS[kind](data)
    samples, rate = _read(data, kind, max_seconds)
    if kind == "FLAC":
        check_flac(data, samples)
    _check_values(samples)
    repairs = []
    if path.suffix.lower() not in _SUFFIXES[kind]:
        repairs.append(f"{kind} under the name {path.suffix or 'without suffix'}")
    if samples.shape[1] > 1:
        repairs.append(f"{samples.shape[1]} channels mixed to one")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        repairs.append(f"{rate} Hz resampled to {SAMPLE_RATE}")
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if len(mono) < MIN_SECONDS * SAMPLE_RATE:
        raise BadAudioError(f"{len(mono) / SAMPLE_RATE:.3f} s is too short to hold speech")
    if np.abs(mono).max() < SILENCE:
        raise BadAudioError("silent: no sample above -80 dB of full scale")
    return Decoded(mono, tuple(repairs))


def read_audio(path: Path | str) -> npt.NDArray[np.float32]:
    """Samples of a recording, shape (n,), 16 kHz mono, in [-1, 1].

    Raises:
        UserError: See `decode`; names the file.
    """
    try:
        return decode(path).samples
    except BadAudioError as error:
        raise UserError(f"{path}: {error}; replace the file or remove its row") from error


def _load(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadAudioError("not a regular file")
        if size > MAX_BYTES:
            raise BadAudioError(f"{size:,} bytes are too many: cut it into clips")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadAudioError("the file does not exist") from error
    except OSError as error:
        raise BadAudioError(f"cannot be read: {error.strerror or error}") from error


def _read(data: bytes, kind: str, max_seconds: float | None) -> tuple[npt.NDArray[np.float32], int]:
    """All samples, shape (n, channels), and the rate, after the header has been judged."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as stream:
            _check_header(stream, max_seconds)
            declared, rate = stream.frames, stream.samplerate
            samples = stream.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip(" .").lower() or "unknown"
        raise BadAudioError(f"{kind} cannot be decoded ({reason}): it is damaged") from error
    slack = _MPEG_SLACK if kind == "MP3" else 0
    if len(samples) + slack < declared:
        raise BadAudioError(
            f"the header says {declared:,} samples, the file holds {len(samples):,}: "
            "it was cut off or its header lies"
        )
    return samples, rate


def _check_header(stream: soundfile.SoundFile, max_seconds: float | None) -> None:
    low, high = RATES
    if not low <= stream.samplerate <= high:
        raise BadAudioError(f"the header says {stream.samplerate} samples per second")
    if not 1 <= stream.channels <= MAX_CHANNELS:
        raise BadAudioError(f"the header says {stream.channels} channels")
    if stream.frames == 0:
        raise BadAudioError("the file has a header but no audio")
    if stream.frames >= _UNKNOWN_LENGTH:
        raise BadAudioError("the header does not say how long it is: export the file again")
    if max_seconds is not None and stream.frames > max_seconds * stream.samplerate:
        minutes = stream.frames / stream.samplerate / 60
        raise BadAudioError(f"{minutes:,.0f} minutes are too long: cut it into clips")


def _check_values(samples: npt.NDArray[np.float32]) -> None:
    if len(samples) == 0:
        raise BadAudioError("the file has a header but no audio")
    bad = int(np.count_nonzero(~np.isfinite(samples)))
    if bad:
        raise BadAudioError(f"{bad:,} samples are not finite numbers")
    peak = float(np.abs(samples).max())
    if peak > SCALE:
        raise BadAudioError(f"samples reach {peak:,.0f}: float audio must lie in [-1, 1]")


def _pcm(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")


def audio_digest(samples: npt.NDArray[np.float32]) -> str:
    """Hex SHA-256 of samples in [-1, 1], shape (n,), as 16-bit little-endian PCM.

    >>> audio_digest(np.zeros(4, np.float32)) == hashlib.sha256(bytes(8)).hexdigest()
    True
    """
    return hashlib.sha256(_pcm(samples).tobytes()).hexdigest()


def encode_flac(samples: npt.NDArray[np.float32]) -> bytes:
    """A 16 kHz mono 16-bit FLAC file; same samples and libFLAC, same bytes.

    Args:
        samples: Shape (n,), in [-1, 1]; louder ones are clipped. Samples on the 16-bit grid
            (k / 32768) come back exactly.
    """
    buffer = io.BytesIO()
    soundfile.write(buffer, _pcm(samples), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write_audio(path: Path | str, samples: npt.NDArray[np.float32]) -> bytes:
    """Write a FLAC file that is whole or absent after a kill.

    Unlike `artifacts.write_bytes` it does not wait for the disk: thousands of clips would spend
    most of their time there, and a clip lost in a power cut is noticed when it is read and can be
    rendered again.

    Returns:
        The bytes written.

    Raises:
        UserError: The file cannot be written; names it and its size.
    """
    target, data = Path(path), encode_flac(samples)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {target} ({len(data):,} bytes): {error.strerror or error}; "
            "free space or choose another place, then run again"
        ) from error
    return data
