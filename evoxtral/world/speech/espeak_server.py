"""The process that owns espeak-ng: one request in, one forked child, one answer out.

Run as a script, never imported by the package: it must stay free of numpy and threads, so that
`fork` is cheap and safe. espeak-ng keeps hidden state between calls and cannot be reset (calling
it twice in one process gives different samples even after re-seeding), so the library is
initialised once and every request is answered by a fork of that pristine state.

A request is JSON
`{"seed": int, "utterances": [{"text", "voice", "rate", "pitch", "range", "volume"}, ...]}`; an
answer is a JSON header line (`{"sample_rate", "utterances": [{"samples", "events"}, ...]}` or
`{"error"}`), a newline, and the 16-bit samples of all utterances one after the other.

espeak-ng is GPL-3; it comes as a separate wheel (`espeakng-loader`) and is loaded at run time.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

import espeakng_loader

_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_CHARS_UTF8, _SSML = 1, 0x10
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Collector:
    """What the synthesis callback hands over: sample blocks and events of one utterance."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.events: list[tuple[str, int, int, str]] = []
        self.callback = _Callback(self._receive)

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if count > 0:
            self.blocks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while events[index].type != _END_OF_LIST:
            event = events[index]
            if event.type == _WORD:
                self.events.append(("word", event.sample, event.text_position - 1, ""))
            elif event.type == _PHONEME:
                symbol = bytes(event.id.string).decode("utf-8", "replace")
                self.events.append(("phoneme", event.sample, 0, symbol))
            index += 1
        return 0


def _load() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if sample_rate <= 0:
        raise RuntimeError("espeak-ng could not read its data: reinstall espeakng-loader")
    return library, sample_rate


def _say(library: ctypes.CDLL, utterance: dict[str, Any]) -> tuple[bytes, list[Any]]:
    if library.espeak_SetVoiceByName(utterance["voice"].encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {utterance['voice']!r}")
    for key, name in ((_RATE, "rate"), (_VOLUME, "volume"), (_PITCH, "pitch"), (_RANGE, "range")):
        if library.espeak_SetParameter(key, int(utterance[name]), 0) != 0:
            raise ValueError(f"espeak-ng refused {name} = {utterance[name]}")
    collector = _Collector()
    library.espeak_SetSynthCallback(collector.callback)
    text = utterance["text"].encode() + b"\0"
    status = library.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8 | _SSML, None, None)
    if status != 0 or library.espeak_Synchronize() != 0:
        raise RuntimeError(f"espeak-ng failed on {utterance['text']!r}")
    return b"".join(collector.blocks), collector.events


def _answer(library: ctypes.CDLL, sample_rate: int, request: bytes) -> bytes:
    try:
        job = json.loads(request)
        library.espeak_ng_SetRandSeed(ctypes.c_long(job["seed"]))
        spoken = [_say(library, utterance) for utterance in job["utterances"]]
    except (ValueError, RuntimeError) as error:
        return json.dumps({"error": str(error)}).encode() + b"\n"
    parts = [{"samples": len(pcm) // 2, "events": events} for pcm, events in spoken]
    header = json.dumps({"sample_rate": sample_rate, "utterances": parts}).encode() + b"\n"
    return header + b"".join(pcm for pcm, _ in spoken)


def main() -> int:
    """Answer until the other side closes; a crashed child ends the server with status 1."""
    library, sample_rate = _load()
    with Connection(int(sys.argv[1])) as socket:
        while (request := _receive(socket)) is not None:
            child = os.fork()
            if child == 0:
                socket.send_bytes(_answer(library, sample_rate, request))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if status != 0:
                return 1
    return 0


def _receive(socket: Connection) -> bytes | None:
    try:
        return socket.recv_bytes()
    except EOFError:
        return None


if __name__ == "__main__":
    sys.exit(main())
