"""How a paid request is made: when it is repeated, and what its failure says.

A request is repeated only where nothing can have been billed: the server was busy or failed
(408, 409, 429, 5xx) or was never reached. A request that timed out or broke off may have been
billed; it becomes a failure of its clip or brief, and the next run asks again, after telling how
much it wants to spend.

The retries of the client packages are switched off. elevenlabs 2.78 takes `max_retries` and
ignores it for `text_to_speech.convert`, whose reply is a stream; openai repeats requests that
timed out.
"""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from evoxtral.providers.access import require

_BUSY = (408, 409, 429)
_CLOSED = (401, 402, 403)
_EXHAUSTED = re.compile(r"insufficient_quota|quota_exceeded")
_SHOWN = 300

Result = TypeVar("Result")


class ProviderError(Exception):
    """A request that brought nothing; the message is the reason, on one line, without the key.

    Attributes:
        repeat: Nothing was billed and another attempt may succeed.
        after: Seconds that the server asks to wait before it, or None.
        fatal: Every other request would fail the same way: a wrong key, no credit.
        perhaps_billed: The provider may charge for it.
    """

    def __init__(
        self,
        reason: str,
        *,
        repeat: bool = False,
        after: float | None = None,
        fatal: bool = False,
        perhaps_billed: bool = False,
    ) -> None:
        super().__init__(_one_line(reason))
        self.repeat = repeat
        self.after = after
        self.fatal = fatal
        self.perhaps_billed = perhaps_billed


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a provider.

    Attributes:
        timeout_seconds: For one reply, from request to last byte.
        retries: Attempts after the first.
        backoff_seconds: Before the first repetition if the server names no time; doubles.
        longest_wait: Seconds; a server that asks for more is not waited for.
    """

    timeout_seconds: float = 240.0
    retries: int = 5
    backoff_seconds: float = 1.0
    longest_wait: float = 60.0


def patiently(call: Callable[[], Result], patience: Patience) -> Result:
    """Make a request, repeating it where that is free.

    Raises:
        ProviderError: The last attempt failed, or one that must not be repeated.
    """
    tenacity = require("tenacity")

    def again(error: BaseException) -> bool:
        if not isinstance(error, ProviderError) or not error.repeat:
            return False
        return (error.after or 0.0) <= patience.longest_wait

    def wait(state: Any) -> float:
        if (after := state.outcome.exception().after) is not None:
            return after
        backoff = patience.backoff_seconds * 2 ** (state.attempt_number - 1)
        return min(backoff, patience.longest_wait) * random.uniform(0.8, 1.2)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(again),
        stop=tenacity.stop_after_attempt(patience.retries + 1),
        wait=wait,
        reraise=True,
    )
    return retrying(call)


def refusal(status: int, body: str, headers: Mapping[str, str]) -> ProviderError:
    """The error of a reply whose HTTP status is not 2xx.

    Args:
        status: HTTP status.
        body: What the server says, already without the key.
        headers: Of the reply, names in lower case.
    """
    fatal = status in _CLOSED or bool(_EXHAUSTED.search(body))
    return ProviderError(
        f"HTTP {status}: {body or 'no reason given'}",
        repeat=not fatal and (status in _BUSY or status >= 500),
        after=_retry_after(headers.get("retry-after", "")),
        fatal=fatal,
    )


def _retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header: a number or a date."""
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    date = email.utils.parsedate_tz(value)
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def _one_line(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
