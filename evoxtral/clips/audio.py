"""Reading any recording as 16 kHz mono; writing 16-bit FLAC."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from evoxtral import UserError, runs

SAMPLE_RATE = 16_000
MIN_SECONDS = 0.1
MIN_RATE = 4_000

SILENCE = 1e-4
"""Largest absolute sample below which a recording is silent: -80 dB of full scale."""

SCALE = 8.0
"""Above this, float samples are not scaled to [-1, 1]; lossy codecs overshoot 1 a little."""


class BadAudioError(UserError):
    """Audio that cannot be used; the message is the reason without the path."""


def decode(path: Path | str) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Read a recording of any length in a format that libsndfile knows, and check it.

    Returns:
        Samples, shape (n,), 16 kHz mono, at least 0.1 s, finite, not silent; and what was changed
        to make them so, one phrase each, nothing for most files.

    Raises:
        BadAudioError: Missing, damaged, empty, silent or not audio.
    """
    samples, rate = _read(Path(path))
    if not np.isfinite(samples).all():
        raise BadAudioError("some samples are not finite numbers")
    repairs = []
    if samples.shape[1] > 1:
        repairs.append(f"{samples.shape[1]} channels mixed to one")
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate < MIN_RATE:
        raise BadAudioError(f"the header says {rate} samples per second")
    if rate != SAMPLE_RATE:
        repairs.append(f"{rate} Hz resampled to {SAMPLE_RATE}")
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    if len(mono) < MIN_SECONDS * SAMPLE_RATE:
        raise BadAudioError(f"{len(mono) / SAMPLE_RATE:.3f} s is too short to hold speech")
    peak = float(np.abs(mono).max())
    if peak < SILENCE:
        raise BadAudioError("silent: no sample above -80 dB of full scale")
    if peak > SCALE:
        raise BadAudioError(f"samples reach {peak:,.0f}: float audio must lie in [-1, 1]")
    return mono, tuple(repairs)


def _read(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Samples, shape (n, channels), and their rate."""
    if not path.is_file():
        raise BadAudioError("the file does not exist")
    if path.stat().st_size == 0:
        raise BadAudioError("the file is empty")
    try:
        return soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip(" .").lower()
    except (MemoryError, ValueError):  # as many samples as the header says do not fit
        reason = "the header does not say how long it is"
    raise BadAudioError(
        f"cannot be decoded ({reason}): give a whole WAV, FLAC, MP3 or OGG file"
    ) from None


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


def write_audio(path: Path | str, samples: npt.NDArray[np.float32]) -> None:
    """Write a FLAC file that is whole or absent after a kill."""
    runs.write_bytes(path, encode_flac(samples))


def to_mp3(audio: npt.NDArray[np.float32]) -> bytes:
    """16 kHz samples as MP3, which every browser plays; same samples and library, same bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III",
                    bitrate_mode="VARIABLE", compression_level=0.7)  # fmt: skip
    return buffer.getvalue()
