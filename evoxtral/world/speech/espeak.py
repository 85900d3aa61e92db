"""espeak-ng as a pure function: (utterances, seed) → samples with phoneme and word times.

espeak-ng keeps hidden state between calls and cannot be reset (its issue 1528). So this file, run
as a script, is a helper process that initialises the library once and answers every request from a
fork of that pristine state: equal requests give equal bytes, in any process and any order. It must
stay free of numpy and threads, for `fork` to be cheap and safe.

espeak-ng is GPL-3 software. Nothing of it is part of this package: the `espeakng-loader` wheel
brings the library and its data, loaded at run time.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import espeakng_loader

_ROOT = Path(__file__).resolve().parents[3]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8_SSML = 2, 1, 1 | 0x10
_END_OF_LIST, _WORD, _PHONEME = 0, 1, 7
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_VOLUME = 60  # of 100: full scale with room for emphasis; above 100 the synthesiser clips
_STRESS_MARKS = "',%=|"


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


class Child:
    """A helper process that answers one message at a time; closing it, or our death, ends it.

    A fresh interpreter (`exec`, not `fork`), so threads of this process do not matter and its main
    module is not imported again.
    """

    def __init__(self, *arguments: str) -> None:
        """Start `python <arguments> <number of its socket>`."""
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._socket, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *arguments, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process; the helper sees it close
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            )

    def ask(self, request: object) -> Any:
        """Send one request and wait for its answer.

        Raises:
            RuntimeError: The helper ended before it had answered.
            Exception: The answer, if it is one.
        """
        try:
            self._socket.send(request)
            answer = self._socket.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            status = self._process.wait()
            raise RuntimeError(f"a helper process ended with status {status}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the helper and reap it."""
        self._socket.close()
        self._process.wait()


@functools.cache
def _server(process_id: int) -> Child:
    """The helper of this process; a forked copy of this process starts its own."""
    child = Child("-P", __file__)
    atexit.register(child.close)
    return child


def speak(utterances: list[Utterance], seed: int) -> list[Spoken]:
    """Synthesise utterances in sequence from one pristine state of espeak-ng.

    The seed, 0 to 2**31 - 1, is of espeak-ng's own generator (aspiration noise, flutter).

    Raises:
        ValueError: espeak-ng refused a voice or a parameter.
        RuntimeError: espeak-ng crashed; the next call starts it anew.
    """
    try:  # as plain tuples: the helper does not import this package
        answer = _server(os.getpid()).ask(([tuple(item) for item in utterances], seed))
    except RuntimeError:
        _server.cache_clear()
        raise
    return [Spoken(*parts) for parts in answer]


def requests(socket: Connection) -> Iterator[Any]:
    """What the other side asks for, until it closes."""
    with suppress(EOFError):
        while True:
            yield socket.recv()


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
    blocks: list[bytes] = []
    sounds: list[tuple[int, str]] = []
    words: list[tuple[int, int]] = []

    def receive(wave: Any, count: int, events: Any) -> int:
        if count > 0:
            blocks.append(ctypes.string_at(wave, 2 * count))
        for event in takewhile(lambda event: event.type != _END_OF_LIST, events):
            if event.type == _WORD:
                words.append((event.sample, event.text_position - 1))
            elif event.type == _PHONEME:
                sounds.append((event.sample, event.id.decode("utf-8", "replace")))
        return 0

    if library.espeak_SetVoiceByName(utterance.voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {utterance.voice!r}")
    for name, value in {**utterance._asdict(), "volume": _VOLUME}.items():
        if name in _PARAMETERS and library.espeak_SetParameter(_PARAMETERS[name], value, 0) != 0:
            raise ValueError(f"espeak-ng refused {name} = {value}")
    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    text = utterance.text.encode() + b"\0"
    status = library.espeak_Synth(text, len(text), 0, 1, 0, _UTF8_SSML, None, None)
    if status != 0 or library.espeak_Synchronize() != 0:
        raise ValueError(f"espeak-ng failed on {utterance.text!r}")
    pcm = b"".join(blocks)
    return pcm, sample_rate, _spans(sounds, len(pcm) // 2), words


def _spans(sounds: list[tuple[int, str]], end: int) -> list[tuple[int, int, str]]:
    """Phonemes with their ends, without silences and stress marks."""
    edges = [*(start for start, _ in sounds), end]
    spans = [
        (start, stop, symbol.strip(_STRESS_MARKS))
        for (start, symbol), stop in zip(sounds, edges[1:], strict=True)
    ]
    return [span for span in spans if span[2] and span[2][0] != "_" and span[1] > span[0]]


def main() -> int:
    """Answer each request from a fork; a crashed fork ends the server with status 1."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if sample_rate <= 0:
        raise RuntimeError("espeak-ng could not read its data: reinstall espeakng-loader")
    with Connection(int(sys.argv[1])) as socket:
        for utterances, seed in requests(socket):
            child = os.fork()
            if child == 0:
                library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
                try:
                    socket.send([_say(library, sample_rate, Utterance(*u)) for u in utterances])
                except ValueError as error:
                    socket.send(error)
                os._exit(0)
            if os.waitpid(child, 0)[1] != 0:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
