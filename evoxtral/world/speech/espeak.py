"""espeak-ng as a pure function: (utterances, seed) → samples with phoneme and word times.

espeak-ng cannot be reset (its issue 1528). So this file, run as a script without numpy or threads,
initialises it once and answers every request from a fork of that state: equal requests, equal
bytes. It is GPL-3 software and no part of this package: the `espeakng-loader` wheel brings it.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import pickle
import subprocess
import sys
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import espeakng_loader

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8_SSML = 2, 1, 1 | 0x10
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LOUDNESS = 60  # of 100: full scale with room for emphasis; above 100 the synthesiser clips


class Utterance(NamedTuple):
    """One call of the synthesiser."""

    text: str  # SSML without the `<speak>` element
    voice: str  # espeak-ng voice name, with an optional `+variant`
    rate: int  # words per minute, 80 to 450
    pitch: int  # 0 to 99, 50 is the voice's own
    range: int  # pitch range, 0 (monotone) to 99, 50 is the voice's own


class Spoken(NamedTuple):
    """What one utterance sounds like; starts and ends in samples."""

    pcm: bytes  # 16-bit samples
    sample_rate: int
    phonemes: list[tuple[int, int, str]]  # start, end, symbol; no silences, no stress marks
    words: list[tuple[int, int]]  # start, position in the utterance's text


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    """The helper of this process; it ends with it."""
    server = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process; the helper sees it close
    )
    atexit.register(server.communicate)
    return server


def speak(utterances: list[Utterance], seed: int) -> list[Spoken]:
    """Synthesise utterances in sequence from one pristine state of espeak-ng.

    The seed, 0 to 2**31 - 1, is of espeak-ng's own generator (aspiration noise, flutter). A
    ValueError if it refused an utterance; a RuntimeError if it crashed: the next call starts it
    anew.
    """
    server = _server()
    try:  # as plain tuples: the helper does not import this package
        pickle.dump(([*map(tuple, utterances)], seed), server.stdin)
        server.stdin.flush()
        answer = pickle.load(server.stdout)
    except (EOFError, OSError):
        _server.cache_clear()
        raise RuntimeError(f"espeak-ng ended with status {server.wait()}") from None
    if isinstance(answer, Exception):
        raise answer
    return [Spoken(*parts) for parts in answer]


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _numbers = ("type", "unique_identifier", "text_position", "length", "audio_position", "sample")
    _fields_ = (
        *((name, ctypes.c_int) for name in _numbers),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _say(library: ctypes.CDLL, sample_rate: int, utterance: Utterance) -> tuple:
    """What one utterance sounds like, as the parts of a `Spoken`."""
    pcm, sounds, words = bytearray(), [], []

    def receive(wave: Any, count: int, events: Any) -> int:
        if count > 0:
            pcm.extend(ctypes.string_at(wave, 2 * count))
        for event in takewhile(lambda event: event.type != _END_OF_LIST, events):
            if event.type == _WORD:
                words.append((event.sample, event.text_position - 1))
            elif event.type == _PHONEME:
                symbol = event.id.decode("utf-8", "replace").strip("',%=|")  # stress marks
                sounds.append((event.sample, symbol))
        return 0

    said, voice, rate, pitch, span = utterance
    failed = library.espeak_SetVoiceByName(voice.encode())
    for kind, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, span), (_VOLUME, _LOUDNESS)):
        failed |= library.espeak_SetParameter(kind, value, 0)
    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    text = said.encode() + b"\0"
    failed |= library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8_SSML, None, None)
    if failed | library.espeak_Synchronize():
        raise ValueError(f"espeak-ng refused {utterance}")
    following = pairwise([*sounds, (len(pcm) // 2, "")])
    spans = [(start, end, symbol) for (start, symbol), (end, _) in following]
    phonemes = [span for span in spans if span[1] > span[0] and span[2] and span[2][0] != "_"]
    return bytes(pcm), sample_rate, phonemes, words


def main() -> int:
    """Answer each request from a fork; a crashed fork ends the server with status 1."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if sample_rate <= 0:
        raise RuntimeError("espeak-ng could not read its data: reinstall espeakng-loader")
    while sys.stdin.buffer.peek():
        utterances, seed = pickle.load(sys.stdin.buffer)
        child = os.fork()
        if child == 0:
            library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
            try:
                answer = [_say(library, sample_rate, Utterance(*item)) for item in utterances]
            except ValueError as error:
                answer = error
            pickle.dump(answer, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
