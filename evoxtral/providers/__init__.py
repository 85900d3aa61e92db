"""Paid services: speech by ElevenLabs, scripts by a language model.

Nothing is spent without a number that allows it (`allow_characters`, `allow_requests`); without
one, what it would cost is said and nothing happens. What was bought lies in `bought/`, one file
for each reply under the digest of what was asked, and is never bought again, whoever asks. A key
comes from its environment variable and comes out nowhere.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from evoxtral import UserError, runs

RETRIES = 5
TIMEOUT = 240.0
"""Seconds without a byte after which a request has failed."""

_KEYS = ("ELEVENLABS_API_KEY", "OPENAI_API_KEY")
_NO_SECRET = 12  # characters; the word given to a server that asks for no key may occur in a text
_SHOWN = 300


def read_key(variable: str) -> str:
    """The key in an environment variable; a `UserError` if it is not set."""
    if value := os.environ.get(variable, "").strip():
        return value
    raise UserError(
        f"the environment variable {variable} is not set: export {variable}=<your key>, or any "
        "word for a server of your own that asks for none"
    )


def check_url(url: str) -> str:
    """A base URL that a key may be sent to.

    Raises:
        UserError: it is no URL, or would send the key unencrypted to another machine.

    >>> check_url("https://api.openai.com/v1")
    'https://api.openai.com/v1'
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return url
    raise UserError(f"{url!r} gets no key: give a base URL like https://host/v1, with https")


def one_line(said: object) -> str:
    """What a server or client says, on one line and without the keys, which some echo."""
    text = " ".join(str(said).split())
    for key in (os.environ.get(variable, "").strip() for variable in _KEYS):
        text = text.replace(key, "***") if len(key) >= _NO_SECRET else text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def bought(kind: str, digest: str, suffix: str) -> Path:
    """Where the reply to a request lies, or will lie, by the digest of the request."""
    return runs.bought_dir() / kind / digest[:2] / f"{digest}{suffix}"
