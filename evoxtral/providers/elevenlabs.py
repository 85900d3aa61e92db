"""Speech from ElevenLabs: one text in, checked 16 kHz samples out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import SecretStr

from evoxtral.providers.access import check_url, redact, require
from evoxtral.providers.casting import FORMAT, SpeechSettings, least_seconds
from evoxtral.providers.retry import Patience, ProviderError, patiently, refusal

BASE_URL = "https://api.elevenlabs.io"

RATE = 16_000
MAX_SECONDS = 1800.0
SILENCE = 1e-4
_NOT_AUDIO = ("application/json", "text/")


@dataclass(frozen=True)
class Spoken:
    """A reply.

    Attributes:
        pcm: 16-bit little-endian mono samples at 16 kHz, not yet checked.
        request_id: The provider's name for the request, to look it up in its history.
        billed: What the provider says it charged, in its unit; None if it does not say.
    """

    pcm: bytes
    request_id: str | None
    billed: float | None


class ElevenLabs:
    """A client for one set of settings; several threads may speak at once."""

    def __init__(
        self,
        key: SecretStr,
        settings: SpeechSettings,
        patience: Patience | None = None,
        base_url: str = BASE_URL,
    ) -> None:
        """Make a client; nothing is sent yet.

        Raises:
            UserError: The package is not installed, or the URL must not get a key.
        """
        self._key = key
        self._settings = settings
        self._patience = patience or Patience()
        self._httpx = require("httpx")
        self._api_error = require("elevenlabs.core.api_error").ApiError
        sdk = require("elevenlabs")
        self._voice_settings = sdk.VoiceSettings(stability=settings.stability)
        # A redirect would carry the key header to another host.
        self._http = self._httpx.Client(
            timeout=self._patience.timeout_seconds, follow_redirects=False
        )
        self._client = require("elevenlabs.client").ElevenLabs(
            api_key=key.get_secret_value(),
            base_url=check_url(base_url),
            timeout=self._patience.timeout_seconds,
            httpx_client=self._http,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def speak(self, text: str, voice: str) -> Spoken:
        """Turn a tagged text into speech.

        Raises:
            ProviderError: No speech came; nothing was billed unless it says so.
        """
        return patiently(lambda: self._once(text, voice), self._patience)

    def _once(self, text: str, voice: str) -> Spoken:
        httpx = self._httpx
        try:
            return self._convert(text, voice)
        except self._api_error as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            body = redact(str(_detail(error.body)), self._key)
            raise refusal(error.status_code or 0, body, headers) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = redact(f"no connection ({error})", self._key)
            raise ProviderError(reason, repeat=True) from None
        except httpx.HTTPError as error:
            what = "timed out" if isinstance(error, httpx.TimeoutException) else "broke off"
            reason = redact(f"the reply {what} ({error or type(error).__name__})", self._key)
            raise ProviderError(reason, perhaps_billed=True) from None

    def _convert(self, text: str, voice: str) -> Spoken:
        options: dict[str, Any] = {}
        if self._settings.seed is not None:
            options["seed"] = self._settings.seed
        if self._settings.language is not None:
            options["language_code"] = self._settings.language
        deadline = time.monotonic() + self._patience.timeout_seconds
        with self._client.text_to_speech.with_raw_response.convert(
            voice,
            text=text,
            model_id=self._settings.model,
            output_format=FORMAT,
            voice_settings=self._voice_settings,
            request_options={"max_retries": 0, "chunk_size": 2**16},
            **options,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if headers.get("content-type", "").startswith(_NOT_AUDIO):
                raise ProviderError("the reply is text, not audio", perhaps_billed=True)
            pcm = _collect(response.data, deadline)
        request_id = headers.get("request-id")
        return Spoken(
            pcm,
            None if request_id is None else redact(request_id, self._key),
            _number(headers.get("character-cost", "")),
        )


def _collect(chunks: Any, deadline: float) -> bytes:
    """All bytes of a reply; the client's own timeout starts anew with every one of them."""
    pcm = bytearray()
    for chunk in chunks:
        pcm += chunk
        if time.monotonic() > deadline:
            raise ProviderError("the reply timed out (still sending)", perhaps_billed=True)
        if len(pcm) > 2 * RATE * MAX_SECONDS:
            raise ProviderError("the reply does not end", perhaps_billed=True)
    return bytes(pcm)


def _detail(body: Any) -> Any:
    """The part of an error body that says what is wrong."""
    detail = body.get("detail", body) if isinstance(body, dict) else body
    return "" if detail is None else detail


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def check_speech(pcm: bytes, tagged_text: str) -> npt.NDArray[np.float32]:
    """Samples of a reply, shape (n,), in [-1, 1], after every check that needs no ears.

    A connection that breaks off is noticed before. What is found here is a reply that the
    provider itself ended too early, if no voice could have said the words in the time.

    Raises:
        ProviderError: The reply was cut off, is silent, or is too short to hold all words.
    """
    if len(pcm) % 2:
        raise ProviderError(
            f"truncated: {len(pcm):,} bytes are no whole samples", perhaps_billed=True
        )
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    seconds, least = len(samples) / RATE, least_seconds(tagged_text)
    if seconds < max(least, 0.1):
        words = f"{seconds:.2f} s cannot hold its words, which take {least:.2f} s at least"
        raise ProviderError(f"truncated: {words}", perhaps_billed=True)
    if np.abs(samples).max() < SILENCE:
        raise ProviderError("the reply is silent", perhaps_billed=True)
    return samples
