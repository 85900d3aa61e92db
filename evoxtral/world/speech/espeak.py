"""espeak-ng as a pure function: (utterances, seed) → samples with phoneme and word times.

The library runs in a helper process (`espeak_server`), which answers every request from a fork of
its freshly initialised state. Equal requests therefore give equal bytes, in any process and any
order; calls inside one process do not (espeak-ng issue 1528).

espeak-ng is GPL-3 software. Nothing of it is part of this package: the `espeakng-loader` wheel
brings the library and its data.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evoxtral.world.speech.child import Child, ChildDiedError

_SERVER = Path(__file__).with_name("espeak_server.py")
_STARTING = threading.Lock()
_STRESS_MARKS = "',%=|"
_SILENCE = "_"


@dataclass(frozen=True)
class Utterance:
    """One call of the synthesiser.

    Attributes:
        text: SSML without the `<speak>` element.
        voice: espeak-ng voice name, with an optional `+variant`.
        rate: Words per minute, 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
        range: Pitch range, 0 (monotone) to 99, 50 is the voice's own.
        volume: 0 to 200, 100 is full scale; above it the synthesiser clips.
    """

    text: str
    voice: str
    rate: int
    pitch: int
    range: int
    volume: int = 60


@dataclass(frozen=True)
class Spoken:
    """What one utterance sounds like.

    Attributes:
        audio: Samples in [-1, 1], float32, shape (n,).
        sample_rate: Hz.
        phonemes: (start, end, symbol) in samples, silences left out, stress marks removed.
        words: (start, character position in the utterance's text) in samples.
    """

    audio: npt.NDArray[np.float32]
    sample_rate: int
    phonemes: tuple[tuple[int, int, str], ...]
    words: tuple[tuple[int, int], ...]


@functools.cache
def _server(process_id: int) -> Child:
    """The helper of this process; a forked copy of this process starts its own."""
    child = Child([str(_SERVER)])
    atexit.register(child.close)
    return child


def _phonemes(events: list[tuple[int, str]], end: int) -> tuple[tuple[int, int, str], ...]:
    starts = [sample for sample, _ in events] + [end]
    spans = []
    for (start, symbol), stop in zip(events, starts[1:], strict=True):
        clean = symbol.strip(_STRESS_MARKS)
        if clean and not clean.startswith(_SILENCE) and stop > start:
            spans.append((start, stop, clean))
    return tuple(spans)


def speak(utterances: list[Utterance], seed: int) -> list[Spoken]:
    """Synthesise utterances in sequence from one pristine state of espeak-ng.

    Args:
        utterances: What to say.
        seed: Seed of espeak-ng's own generator (aspiration noise, flutter), 0 to 2**31 - 1.

    Raises:
        ValueError: espeak-ng refused a voice or a parameter.
        ChildDiedError: espeak-ng crashed; the next call starts it anew.
    """
    request = {"seed": seed, "utterances": [asdict(item) for item in utterances]}
    with _STARTING:
        server = _server(os.getpid())
    try:
        answer = server.ask(json.dumps(request).encode())
    except ChildDiedError:
        _server.cache_clear()
        raise
    head, _, pcm = answer.partition(b"\n")
    header = json.loads(head)
    if "error" in header:
        raise ValueError(header["error"])
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
    ends = np.cumsum([part["samples"] for part in header["utterances"]])
    return [
        _spoken(audio, header["sample_rate"], part["events"])
        for audio, part in zip(np.split(samples, ends[:-1]), header["utterances"], strict=True)
    ]


def _spoken(audio: npt.NDArray[np.float32], sample_rate: int, events: list[list]) -> Spoken:
    phonemes = [(sample, symbol) for kind, sample, _, symbol in events if kind == "phoneme"]
    words = tuple((sample, position) for kind, sample, position, _ in events if kind == "word")
    return Spoken(audio, sample_rate, _phonemes(phonemes, len(audio)), words)
