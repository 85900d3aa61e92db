"""Paid services: speech by ElevenLabs, scripts by a language model.

Nothing is spent beyond `allow_characters` and `allow_requests`; the cost is told first. Each reply
is kept in `bought/` under the digest of its request and never bought again. A key comes from its
environment variable and comes out nowhere.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from evoxtral import UserError, runs

RETRIES = 5
TIMEOUT = 240.0
"""Seconds without a byte after which a request has failed."""

_KEYS = ("ELEVENLABS_API_KEY", "OPENAI_API_KEY")
_NO_SECRET = 12  # characters; the word given to a server that asks for no key may occur in a text
_SHOWN = 300


def read_key(variable: str, url: str) -> str:
    """The key in an environment variable, to be sent to a base URL.

    A `UserError` if it is not set, or would go unencrypted to a machine outside the local network.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_near(parts.hostname or "")):
        raise UserError(
            f"{url!r} gets no key: give a base URL like https://host/v1; http will do for this "
            "machine and private addresses like 192.168.0.7"
        )
    if value := os.environ.get(variable, "").strip():
        return value
    raise UserError(
        f"the environment variable {variable} is not set: export {variable}=<your key>, or any "
        "word for a server of your own that asks for none"
    )


def _is_near(host: str) -> bool:
    """Whether a name or an address stands for this machine or for private addresses only."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # no such name, or none at all
        return False
    return all(ipaddress.ip_address(one.partition("%")[0]).is_private for one in found)


def one_line(said: object) -> str:
    """What a server or client says, on one line and without the keys, which some echo."""
    text = " ".join(str(said).split())
    for key in (os.environ.get(variable, "").strip() for variable in _KEYS):
        text = text.replace(key, "***") if len(key) >= _NO_SECRET else text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def bought(kind: str, digest: str, suffix: str) -> Path:
    """Where the reply to a request lies, or will lie, by the digest of the request."""
    return runs.bought_dir() / kind / digest[:2] / f"{digest}{suffix}"
