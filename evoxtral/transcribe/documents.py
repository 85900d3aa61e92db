"""A transcript as JSON, plain text or SRT subtitles."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evoxtral import runs, tags


@dataclass(frozen=True)
class Chunk:
    """What was said between two pauses.

    Attributes:
        start: in seconds from the start of the recording.
        end: likewise.
        text: tagged transcript.
        finished: False if the model ran into the limit of tokens: the text breaks off.
    """

    start: float
    end: float
    text: str
    finished: bool

    @property
    def tags(self) -> list[str]:
        """Tags in the text, in order."""
        return tags.find_tags(self.text)


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording.

    Attributes:
        path: of the recording.
        seconds: its duration.
        chunks: in order; none if nothing was loud enough to be speech.
        repairs: what was changed to read it: channels mixed, rate converted.
    """

    path: Path
    seconds: float
    chunks: tuple[Chunk, ...]
    repairs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The whole tagged transcript."""
        return " ".join(chunk.text for chunk in self.chunks if chunk.text)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable value; times are rounded to milliseconds."""
        return {
            "file": self.path.name,
            "seconds": round(self.seconds, 3),
            "text": self.text,
            "plain_text": tags.plain_text(self.text),
            "repairs": list(self.repairs),
            "chunks": [
                {
                    **asdict(chunk),
                    "start": round(chunk.start, 3),
                    "end": round(chunk.end, 3),
                    "tags": chunk.tags,
                }
                for chunk in self.chunks
            ],
        }


def _json(transcript: Transcript) -> str:
    return runs.json_text(transcript.to_dict())


def _text(transcript: Transcript) -> str:
    return "".join(f"{_line(chunk.text)}\n" for chunk in _spoken(transcript))


def _srt(transcript: Transcript) -> str:
    return "\n".join(
        f"{number}\n{_clock(chunk.start)} --> {_clock(chunk.end)}\n{_caption(chunk.text)}\n"
        for number, chunk in enumerate(_spoken(transcript), start=1)
    )


def _spoken(transcript: Transcript) -> list[Chunk]:
    return [chunk for chunk in transcript.chunks if _line(chunk.text)]


def _line(text: str) -> str:
    return " ".join(text.split())


def _caption(text: str) -> str:
    r"""Text that a player shows as it is: no markup, no line that ends the caption.

    Players read `<i>` and `{\an8}` as formatting, and an arrow or an empty line as structure.

    >>> _caption("[calm] a <b>\n\n{\\an8} --> & b")
    '[calm] a &lt;b&gt; {an8} --&gt; &amp; b'
    """
    escaped = _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"\{\\+", "{", escaped)


def _clock(seconds: float) -> str:
    """Time as SRT writes it.

    >>> _clock(3661.0015)
    '01:01:01,002'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


_RENDERERS: dict[str, Callable[[Transcript], str]] = {"json": _json, "text": _text, "srt": _srt}

FORMATS = tuple(_RENDERERS)
"""Names of the formats."""


def render(transcript: Transcript, form: str) -> str:
    """A transcript in one of `FORMATS`, ended by a newline unless it is empty."""
    return _RENDERERS[form](transcript)
