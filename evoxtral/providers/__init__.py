"""Paid services: speech by ElevenLabs, scripts by a language model.

Nothing is spent without a number that allows it (`allow_characters`, `allow_requests`); without
one, what it would cost is said and nothing happens. What was bought lies in `bought/`, one file
for each reply under the digest of what was asked, and is never bought again, whoever asks. A key
comes from its environment variable and comes out nowhere.

Needs `pip install evoxtral[providers]` where something is bought; estimates and replays do not.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from evoxtral import UserError, runs

KEYS = ("ELEVENLABS_API_KEY", "OPENAI_API_KEY")
RETRIES = 5
TIMEOUT = 240.0
"""Seconds without a byte after which a request has failed."""

_LOCAL = ("127.0.0.1", "::1", "localhost")
_NO_SECRET = 12  # characters; the word given to a server that asks for no key may occur in a text
_EXHAUSTED = re.compile(r"insufficient_quota|quota_exceeded")
_SHOWN = 300


def require(module: str) -> ModuleType:
    """Import a module of the extra `providers`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"the package {module!r} is missing: pip install evoxtral[providers]"
        ) from error


def read_key(variable: str) -> str:
    """The key in an environment variable.

    Raises:
        UserError: it is not set, or holds what cannot be a key.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(
            f"the environment variable {variable} is not set: export {variable}=<your key>, or any "
            "word for a server of your own that asks for none"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UserError(f"the environment variable {variable} holds no key: copy it again")
    return value


def check_url(url: str) -> str:
    """A base URL that a key may be sent to.

    Raises:
        UserError: it is no URL, or would send the key unencrypted to another machine.

    >>> check_url("https://api.openai.com/v1")
    'https://api.openai.com/v1'
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no base URL: it must look like https://host/v1")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise UserError(f"the key would travel unencrypted to {parts.hostname}: use https")
    return url


def redact(text: str) -> str:
    """Text of a server without the keys, which some echo in their messages."""
    for variable in KEYS:
        key = os.environ.get(variable, "").strip()
        if len(key) >= _NO_SECRET:
            text = text.replace(key, "***")
    return text


def one_line(text: str) -> str:
    """What a server or client says, as part of a sentence: no key, no control characters."""
    text = redact(text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def refusal(provider: str, status: int, body: str) -> str:
    """Why a request was not served, on one line.

    Raises:
        UserError: every other request would be refused too: a wrong key, no credit.
    """
    reason = one_line(f"HTTP {status}: {body or 'no reason given'}")
    if status in (401, 402, 403) or _EXHAUSTED.search(body):
        raise UserError(
            f"{provider} refuses to serve: {reason}; check key and credit, then run again: "
            "what was bought is kept"
        ) from None
    return reason


def bought(kind: str, digest: str, suffix: str) -> Path:
    """Where the reply to a request lies, or will lie, by the digest of the request."""
    return runs.bought_dir() / kind / digest[:2] / f"{digest}{suffix}"


@contextmanager
def buyers(concurrency: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that buy: requests under way are waited for and kept on any way out."""
    pool = ThreadPoolExecutor(concurrency)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
