"""What a file's own header says about its length, compared with the file.

libsndfile reads a cut WAV, a lying WAV header and a cut MP3 without a word: 7 of 13 kinds of
damage pass it silently. Each format therefore gets its own look here.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import numpy.typing as npt

from evoxtral import UserError

_UNSTREAMED = 0xFFFFFFFF
_END_OF_STREAM = 4

# MPEG audio, layer III: kbit/s by the header's bitrate index, samples/s by its rate index; the
# keys are the header's version bits (3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5).
_LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBPS = {3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), 2: _LOW, 0: _LOW}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


class BadAudioError(UserError):
    """Audio that cannot be used; the message is the reason without the path."""


def sniff(data: bytes) -> str:
    """Container format by content.

    Args:
        data: The whole file or at least its first 512 bytes.

    Returns:
        `WAV`, `FLAC`, `MP3` or `OGG`.

    Raises:
        BadAudioError: Empty, a web page, or anything else.
    """
    if not data:
        raise BadAudioError("the file is empty")
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "WAV"
    if data[:4] == b"fLaC":
        return "FLAC"
    if data[:4] == b"OggS":
        return "OGG"
    # An MPEG frame starts with eleven set bits, then version, layer III (01).
    frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2
    if data[:3] == b"ID3" or frame:
        return "MP3"
    if data[:512].lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        raise BadAudioError("a web page, not audio: download the file itself")
    raise BadAudioError("not audio: only WAV, FLAC, MP3 and OGG are read")


def check_wav(data: bytes) -> None:
    """Walk the chunks of a WAV file.

    Raises:
        BadAudioError: Format or data is missing or impossible, or the sizes in the header do not
            fit the file.
    """
    if data[:4] == b"RF64":
        raise BadAudioError("RF64 (a WAV above 4 GB) is not read: split it")
    chunks = _riff_chunks(data)
    if len(chunks.get(b"fmt ", b"")) < 16:
        raise BadAudioError("the WAV header has no format: export the file again")
    _, channels, rate, _, block, _ = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if rate == 0:
        raise BadAudioError("the header says 0 samples per second")
    if channels == 0 or block == 0:
        raise BadAudioError("the header says 0 channels")
    if b"data" not in chunks:
        raise BadAudioError("the WAV file has a header but no audio")


def _riff_chunks(data: bytes) -> dict[bytes, bytes]:
    """Chunks by name; the first of each."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        rest = len(data) - at - 8
        if size > rest:
            said = "an unknown number of" if size == _UNSTREAMED else f"{size:,}"
            raise BadAudioError(
                f"the header says {said} bytes of {_printable(name)}, the file holds {rest:,}: "
                "it was cut off or its header lies"
            )
        chunks.setdefault(name, data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    declared = struct.unpack_from("<I", data, 4)[0] + 8
    # A missing pad byte after the last chunk is common and harmless.
    if abs(declared - len(data)) > 1:
        raise BadAudioError(
            f"the header says the file has {declared:,} bytes, it has {len(data):,}: "
            "it was cut off or its header lies"
        )
    if len(data) - at > 1:
        raise BadAudioError(f"{len(data) - at} bytes of rubbish after the last chunk")
    return chunks


def _printable(name: bytes) -> str:
    return repr(name.decode("latin-1"))


def check_ogg(data: bytes) -> None:
    """Look for the flag that ends the last page.

    Raises:
        BadAudioError: The stream does not end.
    """
    last = data.rfind(b"OggS")
    if len(data) < last + 6 or not data[last + 5] & _END_OF_STREAM:
        raise BadAudioError("the stream has no end: it was cut off")


def check_flac(data: bytes, samples: npt.NDArray[np.float32]) -> None:
    """Compare decoded audio with the checksum that a FLAC file carries.

    Args:
        data: The file.
        samples: What was decoded, shape (n, channels), in [-1, 1].

    Raises:
        BadAudioError: They differ: the file was changed, or its header lies about its length.
    """
    bits = ((data[20] & 1) << 4 | data[21] >> 4) + 1
    declared = data[26:42]
    if bits not in (16, 24) or declared == bytes(16):
        return
    whole = np.rint(samples.astype(np.float64) * 2.0 ** (bits - 1)).astype("<i4")
    pcm = np.ascontiguousarray(whole).view(np.uint8).reshape(-1, 4)[:, : bits // 8]
    if hashlib.md5(pcm.tobytes(), usedforsecurity=False).digest() != declared:
        raise BadAudioError("the audio does not match the file's own checksum: it was changed")


def check_mp3(data: bytes) -> None:
    """Walk the frames of an MP3 file to its last.

    A file cut exactly between two frames shows only if it declares its length (the Xing header,
    which libsndfile reads); nothing else in the format tells.

    Raises:
        BadAudioError: The last frame is not whole.
    """
    at = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        at = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)
        )
    while (length := _frame_length(data[at : at + 4])) is not None:
        if at + length > len(data):
            raise BadAudioError(
                f"the last frame has {len(data) - at} of {length} bytes: it was cut off"
            )
        at += length


def _frame_length(header: bytes) -> int | None:
    """Bytes of an MPEG layer III frame; None if these four bytes start none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or rate == 3 or not 1 <= bitrate <= 14:
        return None
    per_bit = 144_000 if version == 3 else 72_000
    return per_bit * _KBPS[version][bitrate - 1] // _RATES[version][rate] + (header[2] >> 1 & 1)
